//! What is submitted, in the words of the oracle.

use stemedb_core::{Assertion, Command, Object};
use stemedb_index::Outcome;
use stemedb_oracle as oracle;

/// An object as the oracle writes it.
pub fn value(object: &Object) -> oracle::Value {
    match object {
        Object::Text(text) => oracle::Value::Text(text.clone()),
        Object::Number(text) => oracle::Value::Number(text.clone()),
        Object::Integer(integer) => oracle::Value::Integer(integer.to_string()),
        Object::Boolean(truth) => oracle::Value::Boolean(*truth),
        Object::Time(text) => oracle::Value::Time(text.clone()),
        Object::Reference(text) => oracle::Value::Reference(text.clone()),
        Object::Json(text) => oracle::Value::Json(text.clone()),
    }
}

/// The other way round. An integer that does not fit is a number.
pub fn object(value: &oracle::Value) -> Object {
    match value {
        oracle::Value::Text(text) => Object::Text(text.clone()),
        oracle::Value::Number(text) => Object::Number(text.clone()),
        oracle::Value::Integer(text) => {
            text.parse().map_or_else(|_| Object::Number(text.clone()), Object::Integer)
        }
        oracle::Value::Boolean(truth) => Object::Boolean(*truth),
        oracle::Value::Time(text) => Object::Time(text.clone()),
        oracle::Value::Reference(text) => Object::Reference(text.clone()),
        oracle::Value::Json(text) => Object::Json(text.clone()),
    }
}

/// Tells the oracle of a command that was recorded in the entry `lsn`. Returns the kind of the record.
pub fn tell(
    world: &mut oracle::World,
    command: &Command,
    outcome: &Outcome,
    lsn: u64,
    recorded_at_us: i64,
) -> &'static str {
    let ordinal = outcome.position.ordinal;
    match command {
        Command::Assert(claim) if outcome.created => {
            world.assert(oracle_claim(claim, lsn, ordinal, recorded_at_us));
            "claims"
        }
        // Signatures that come again with a known claim are co-signatures of this entry.
        Command::Assert(claim) => {
            for signature in claim.signatures.iter().filter(|_| outcome.cosigned > 0) {
                let (claim, agent) = (claim.id().to_string(), signature.agent.to_string());
                world.cosign(oracle::Cosign { lsn, ordinal: 0, claim, agent });
            }
            "said_again"
        }
        _ if !outcome.created => "said_again",
        Command::Vote(vote) => {
            let (claim, agent) = (vote.assertion.to_string(), vote.agent.to_string());
            world.vote(oracle::Vote { lsn, ordinal, claim, agent, weight_nano: vote.weight.0 });
            "votes"
        }
        Command::Supersede(change) => {
            let (old, new) = (change.old.to_string(), change.new.map(|id| id.to_string()));
            let kind = if new.is_some() { "supersessions" } else { "retractions" };
            world.supersede(oracle::Supersession { lsn, ordinal, old, new });
            kind
        }
        Command::Epoch(epoch) => {
            let (name, supersedes) = (epoch.name.clone(), epoch.supersedes.clone());
            world.epoch(oracle::Epoch { lsn, ordinal, name, supersedes });
            "epochs"
        }
        Command::Source(source) => {
            let (id, class) = (source.id.clone(), source.class.number());
            world.source(oracle::Source { lsn, ordinal, id, class });
            "sources"
        }
        Command::Agent(agent) => {
            let (id, trust_nano) = (agent.id.to_string(), agent.trust.map(|trust| trust.0));
            world.agent(oracle::Agent { lsn, ordinal, id, trust_nano });
            "agents"
        }
        Command::Cosign(cosign) => {
            let (claim, agent) = (cosign.claim.to_string(), cosign.agent.to_string());
            world.cosign(oracle::Cosign { lsn, ordinal, claim, agent });
            "cosignatures"
        }
    }
}

fn oracle_claim(claim: &Assertion, lsn: u64, ordinal: u32, recorded_at_us: i64) -> oracle::Claim {
    oracle::Claim {
        id: claim.id().to_string(),
        lsn,
        ordinal,
        recorded_at_us,
        subject: claim.subject.clone(),
        predicate: claim.predicate.clone(),
        object: value(&claim.object),
        source: claim.source.clone(),
        confidence_nano: claim.confidence.map(|nano| nano.0),
        source_class: claim.source_class.map(|class| class.number()),
        author: claim.author.map(|agent| agent.to_string()),
        epoch: claim.epoch.clone(),
        lifecycle: claim.lifecycle.map(|stage| stage.name().to_owned()),
        valid_from_us: claim.valid_from.map(|time| time.0),
        valid_to_us: claim.valid_to.map(|time| time.0),
        observed_at_us: claim.observed_at.map(|time| time.0),
        parents: claim.parents.iter().map(ToString::to_string).collect(),
        signers: claim.signatures.iter().map(|signature| signature.agent.to_string()).collect(),
    }
}
