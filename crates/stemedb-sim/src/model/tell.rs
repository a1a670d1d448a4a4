//! Commands in the oracle's words.

use stemedb_core::{Command, Object, SourceClass};
use stemedb_env::Micros;
use stemedb_index::Position;
use stemedb_oracle as oracle;

/// Tells the oracle a command that was recorded at a place.
pub(super) fn tell(world: &mut oracle::World, command: &Command, at: Position, recorded_at: Micros) {
    let (lsn, ordinal) = (at.lsn.0, at.ordinal);
    match command {
        Command::Assert(claim) => {
            world.assert(oracle::Claim {
                id: claim.id().to_string(),
                lsn,
                ordinal,
                recorded_at_us: recorded_at.0,
                subject: claim.subject.clone(),
                predicate: claim.predicate.clone(),
                object: value(&claim.object),
                source: claim.source.clone(),
                confidence_nano: claim.confidence.map(|nano| nano.0),
                source_class: claim.source_class.map(SourceClass::number),
                author: claim.author.map(|agent| agent.to_string()),
                epoch: claim.epoch.clone(),
                lifecycle: claim.lifecycle.map(|lifecycle| lifecycle.to_string()),
                valid_from_us: claim.valid_from.map(|time| time.0),
                valid_to_us: claim.valid_to.map(|time| time.0),
                observed_at_us: claim.observed_at.map(|time| time.0),
                parents: claim.parents.iter().map(ToString::to_string).collect(),
                signers: claim.signatures.iter().map(|signature| signature.agent.to_string()).collect(),
            });
        }
        Command::Vote(vote) => world.vote(oracle::Vote {
            lsn,
            ordinal,
            claim: vote.assertion.to_string(),
            agent: vote.agent.to_string(),
            weight_nano: vote.weight.0,
        }),
        Command::Supersede(supersession) => world.supersede(oracle::Supersession {
            lsn,
            ordinal,
            old: supersession.old.to_string(),
            new: supersession.new.map(|id| id.to_string()),
        }),
        Command::Epoch(epoch) => world.epoch(oracle::Epoch {
            lsn,
            ordinal,
            name: epoch.name.clone(),
            supersedes: epoch.supersedes.clone(),
        }),
        Command::Source(source) => {
            world.source(oracle::Source {
                lsn,
                ordinal,
                id: source.id.clone(),
                class: source.class.number(),
            });
        }
        Command::Cosign(cosign) => world.cosign(oracle::Cosign {
            lsn,
            ordinal,
            claim: cosign.claim.to_string(),
            agent: cosign.agent.to_string(),
        }),
        Command::Agent(agent) => world.agent(oracle::Agent {
            lsn,
            ordinal,
            id: agent.id.to_string(),
            trust_nano: agent.trust.map(|trust| trust.0),
        }),
    }
}

/// An object in the oracle's words.
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
