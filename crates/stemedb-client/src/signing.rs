//! Ids and signatures, made here (feature `signing`).
//!
//! A claim's id is a hash of its canonical bytes, and a signature is over the id. Two encodings of the same thing would be two
//! things, so this is the engine's own, `stemedb-core`: a crate without I/O that brings blake3, ed25519-dalek, smallvec and thiserror.

use std::str::FromStr;

pub use stemedb_core::AgentKey;
use stemedb_core::{
    AgentId, ClaimId, Micros, Nano, Object, Problem, SignatureBytes, SourceClass, object::canonical_json,
};

use crate::{
    error::Error,
    records::{Assertion, Cosignature, Signature, Supersession, Vote},
    value::Value,
};

fn wrong(member: &'static str, problem: impl ToString) -> Error {
    Error::Unsendable { member, detail: problem.to_string() }
}

fn hex<T: FromStr<Err = Problem>>(member: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|problem| wrong(member, problem))
}

fn instant(member: &'static str, text: &Option<String>) -> Result<Option<Micros>, Error> {
    text.as_deref().map(Micros::parse_rfc3339).transpose().map_err(|problem| wrong(member, problem))
}

/// A fraction as the server reads the number that is sent.
fn nano(member: &'static str, fraction: f64) -> Result<Nano, Error> {
    let text = serde_json::to_string(&fraction).map_err(|error| wrong(member, error))?;
    Nano::parse_json_number(&text).map_err(|problem| wrong(member, problem))
}

impl Value {
    fn to_core(&self) -> Result<Object, Error> {
        Ok(match self {
            Value::Text(text) => Object::Text(text.clone()),
            Value::Number(text) => Object::Number(text.clone()),
            Value::Integer(integer) => Object::Integer(*integer),
            Value::Boolean(truth) => Object::Boolean(*truth),
            Value::Time(text) => Object::Time(text.clone()),
            Value::Reference(subject) => Object::Reference(subject.clone()),
            Value::Json(text) => {
                Object::Json(canonical_json(text).map_err(|problem| wrong("object", problem))?)
            }
        })
    }
}

impl Assertion {
    fn to_core(&self) -> Result<stemedb_core::Assertion, Error> {
        let object = self.object.to_core()?;
        let mut claim = stemedb_core::Assertion::new(&*self.subject, &*self.predicate, object, &*self.source);
        claim.confidence = self.confidence.map(|confidence| nano("confidence", confidence)).transpose()?;
        claim.source_class = self
            .source_class
            .map(SourceClass::new)
            .transpose()
            .map_err(|problem| wrong("source_class", problem))?;
        claim.author = self.author.as_deref().map(|author| hex("author", author)).transpose()?;
        let hash =
            self.excerpt_hash.as_deref().map(|hash| hex::<ClaimId>("excerpt_hash", hash)).transpose()?;
        claim.excerpt_hash = hash.map(|hash| hash.0);
        claim.epoch.clone_from(&self.epoch);
        let lifecycle = self.lifecycle.as_ref().map(|stage| stage.as_str().parse()).transpose();
        claim.lifecycle = lifecycle.map_err(|problem| wrong("lifecycle", problem))?;
        claim.valid_from = instant("valid_from", &self.valid_from)?;
        claim.valid_to = instant("valid_to", &self.valid_to)?;
        claim.observed_at = instant("observed_at", &self.observed_at)?;
        claim.parents =
            self.parents.iter().map(|parent| hex("parents", parent)).collect::<Result<_, Error>>()?;
        claim.normalize();
        claim.validate().map_err(|error| wrong("the claim", error))?;
        Ok(claim)
    }

    /// The id that the server gives it: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Unsendable`]: the server would refuse it.
    pub fn id(&self) -> Result<String, Error> {
        self.to_core().map(|claim| claim.id().to_string())
    }

    /// Adds the key owner's signature, in place of an earlier one. Sign last: every other change makes another claim of it.
    ///
    /// # Errors
    /// As [`id`](Assertion::id).
    pub fn sign(&mut self, key: &AgentKey) -> Result<(), Error> {
        let signed = stemedb_core::identity::sign_claim(key, &self.to_core()?.id());
        let agent = signed.agent.to_string();
        self.signatures.retain(|signature| signature.agent != agent);
        self.signatures.push(Signature { agent, signature: signed.bytes.to_string() });
        Ok(())
    }
}

impl Vote {
    /// Makes the key owner the voter, and signs.
    ///
    /// # Errors
    /// [`Error::Unsendable`].
    pub fn sign(&mut self, key: &AgentKey) -> Result<(), Error> {
        let claim = hex("assertion", &self.assertion)?;
        let mut vote = stemedb_core::Vote::new(claim, key.agent(), nano("weight", self.weight)?);
        vote.reason.clone_from(&self.reason);
        vote.validate().map_err(|error| wrong("the vote", error))?;
        vote.sign(key);
        self.agent = Some(vote.agent.to_string());
        self.signature = vote.signature.map(|bytes: SignatureBytes| bytes.to_string());
        Ok(())
    }
}

impl Supersession {
    /// Makes the key owner the agent, and signs.
    ///
    /// # Errors
    /// [`Error::Unsendable`].
    pub fn sign(&mut self, key: &AgentKey) -> Result<(), Error> {
        let mut change = stemedb_core::Supersession::retract(hex("old", &self.old)?);
        change.new = self.new.as_deref().map(|new| hex("new", new)).transpose()?;
        change.kind = self.kind.as_str().parse().map_err(|problem| wrong("kind", problem))?;
        change.reason.clone_from(&self.reason);
        change.validate().map_err(|error| wrong("the supersession", error))?;
        change.sign(key);
        self.agent = change.agent.map(|agent: AgentId| agent.to_string());
        self.signature = change.signature.map(|bytes| bytes.to_string());
        Ok(())
    }
}

impl Cosignature {
    /// The key owner's signature on a claim that is there.
    ///
    /// # Errors
    /// [`Error::Unsendable`] for what is no id.
    pub fn new(key: &AgentKey, claim: &str) -> Result<Cosignature, Error> {
        let signed = stemedb_core::identity::sign_claim(key, &hex("claim", claim)?);
        Ok(Cosignature {
            claim: claim.to_owned(),
            agent: signed.agent.to_string(),
            signature: signed.bytes.to_string(),
        })
    }
}
