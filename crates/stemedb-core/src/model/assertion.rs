//! A claim: what one source says about one subject.

use super::text::{NAME_MAX_BYTES, PARENTS_MAX, SIGNATURES_MAX, check_interval, check_name};
use super::{Lifecycle, Micros, ModelError, Nano, Problem, SourceClass};
use crate::identity::{AgentId, ClaimId, Signature};
use crate::object::Object;

/// One claim: `source` says that `predicate` of `subject` is `object`.
///
/// Every field but [`signatures`](Assertion::signatures) is part of the claim's identity. What the writer did not
/// say stays `None` and leaves no trace in the id: two writers who say the same thing make the same claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// What the claim is about: 1–512 bytes of UTF-8 without control characters. Scheme-like prefixes are welcome
    /// (`cas:50-00-0`).
    pub subject: String,
    /// Which property of the subject: same rules as `subject`.
    pub predicate: String,
    /// The value claimed.
    pub object: Object,
    /// Who says so: an id or URI, same rules as `subject`.
    pub source: String,
    /// How sure the source is, 0 to 1; counts as 1 when absent.
    pub confidence: Option<Nano>,
    /// The rank of the source, if the writer states it; otherwise it is taken from the source's record.
    pub source_class: Option<SourceClass>,
    /// The agent who wrote the claim down.
    pub author: Option<AgentId>,
    /// Digest of the excerpt of the source that says so.
    pub excerpt_hash: Option<[u8; 32]>,
    /// Name of the epoch the claim belongs to: same rules as `subject`.
    pub epoch: Option<String>,
    /// Where the claim stands in its author's process.
    pub lifecycle: Option<Lifecycle>,
    /// First instant at which the claim holds.
    pub valid_from: Option<Micros>,
    /// First instant at which the claim no longer holds.
    pub valid_to: Option<Micros>,
    /// When the source observed it.
    pub observed_at: Option<Micros>,
    /// Claims this one derives from: ascending, without duplicates, at most 64.
    pub parents: Vec<ClaimId>,
    /// Agents who vouch for the claim: ascending by agent, one signature each, at most 64. Not part of the identity.
    pub signatures: Vec<Signature>,
}

impl Assertion {
    /// A claim that says only what every claim must say.
    pub fn new(
        subject: impl Into<String>,
        predicate: impl Into<String>,
        object: Object,
        source: impl Into<String>,
    ) -> Assertion {
        Assertion {
            subject: subject.into(),
            predicate: predicate.into(),
            object,
            source: source.into(),
            confidence: None,
            source_class: None,
            author: None,
            excerpt_hash: None,
            epoch: None,
            lifecycle: None,
            valid_from: None,
            valid_to: None,
            observed_at: None,
            parents: Vec::new(),
            signatures: Vec::new(),
        }
    }

    /// Brings the two lists into their canonical order: parents ascending without duplicates, signatures ascending
    /// by agent with the first of each agent kept.
    pub fn normalize(&mut self) {
        self.parents.sort_unstable();
        self.parents.dedup();
        self.signatures.sort_by_key(|signature| signature.agent);
        self.signatures.dedup_by_key(|signature| signature.agent);
    }

    /// Checks every rule of the model. A record that passes encodes to canonical bytes that decode to itself.
    ///
    /// # Errors
    /// The first field, in the order of the struct, that breaks a rule.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_name("/subject", &self.subject, NAME_MAX_BYTES)?;
        check_name("/predicate", &self.predicate, NAME_MAX_BYTES)?;
        self.object.validate()?;
        check_name("/source", &self.source, NAME_MAX_BYTES)?;
        if let Some(confidence) = self.confidence
            && !(Nano::ZERO..=Nano::ONE).contains(&confidence)
        {
            return Err(ModelError::at("/confidence", Problem::OutOfRange { min: 0, max: 1 }));
        }
        if let Some(epoch) = &self.epoch {
            check_name("/epoch", epoch, NAME_MAX_BYTES)?;
        }
        check_interval("/valid_to", self.valid_from, self.valid_to)?;
        if self.parents.len() > PARENTS_MAX {
            let problem = Problem::TooMany { count: self.parents.len(), max: PARENTS_MAX };
            return Err(ModelError::at("/parents", problem));
        }
        if !self.parents.is_sorted_by(|a, b| a < b) {
            return Err(ModelError::at("/parents", Problem::NotSorted));
        }
        if self.signatures.len() > SIGNATURES_MAX {
            let problem = Problem::TooMany { count: self.signatures.len(), max: SIGNATURES_MAX };
            return Err(ModelError::at("/signatures", problem));
        }
        if !self.signatures.is_sorted_by(|a, b| a.agent < b.agent) {
            return Err(ModelError::at("/signatures", Problem::NotSorted));
        }
        Ok(())
    }
}
