//! One change in JSON: a command as the journal has it.

use serde::Serialize;
use stemedb_core::{Command, Micros};
use stemedb_env::Lsn;

use super::{claim::rfc3339, exported::BodyJson};

/// A line of `GET /v1/feed`. `record` has the members of the request that records the same, so that it can be sent on.
#[derive(Debug, Serialize)]
pub struct ChangeJson<'a> {
    lsn: u64,
    ordinal: u32,
    /// How many changes the entry has: they were recorded together.
    of: u32,
    recorded_at: String,
    kind: &'static str,
    /// Of a claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    record: BodyJson<'a>,
}

impl<'a> ChangeJson<'a> {
    /// Command `ordinal` of an entry of `of` commands.
    pub fn new(
        lsn: Lsn,
        (ordinal, of): (u32, u32),
        recorded_at: Micros,
        command: &'a Command,
    ) -> ChangeJson<'a> {
        let (kind, id) = match command {
            Command::Assert(claim) => ("assert", Some(claim.id())),
            Command::Vote(_) => ("vote", None),
            Command::Supersede(_) => ("supersede", None),
            Command::Epoch(_) => ("epoch", None),
            Command::Source(_) => ("source", None),
            Command::Cosign(_) => ("cosign", None),
            Command::Agent(_) => ("agent", None),
        };
        ChangeJson {
            lsn: lsn.0,
            ordinal,
            of,
            recorded_at: rfc3339(recorded_at),
            kind,
            id: id.map(|id| id.to_string()),
            record: BodyJson(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use stemedb_core::{
        Agent, AgentKey, Assertion, ClaimId, Cosign, Epoch, Nano, Object, Source, SourceClass, Supersession,
        SupersessionKind, Vote,
    };

    use super::*;
    use crate::json;

    /// What a change says can be sent on, and is then the same record.
    #[test]
    fn a_record_is_read_back_as_it_was() {
        let key = AgentKey::from_seed(&[1; 32]);
        let mut claim = Assertion::new("s", "p", Object::Number("1.50".into()), "src");
        claim.confidence = Some(Nano(123_456_789));
        claim.valid_to = Some(Micros(1));
        claim.parents = vec![ClaimId([2; 32])];
        claim.sign(&key);
        let id = claim.id();
        let mut vote = Vote::new(id, key.agent(), Nano(-250_000_001));
        vote.reason = Some("why".into());
        vote.sign(&key);
        let mut change = Supersession::replace(id, ClaimId([3; 32]), SupersessionKind::Refines);
        change.sign(&key);
        let mut epoch = Epoch::new("b");
        (epoch.supersedes, epoch.to) = (Some("a".into()), Some(Micros(1_700_000_000_000_001)));
        let mut source = Source::new("src", SourceClass::REGULATORY);
        source.content_hash = Some([9; 32]);
        let mut agent = Agent::new(key.agent());
        (agent.name, agent.class, agent.trust) =
            (Some("desk".into()), Some(SourceClass::REGULATORY), Some(Nano(123_456_789)));
        let commands = [
            Command::Assert(claim),
            Command::Vote(vote),
            Command::Supersede(change),
            Command::Supersede(Supersession::retract(id)),
            Command::Epoch(epoch),
            Command::Source(source),
            Command::Cosign(Cosign::new(&key, id)),
            Command::Agent(agent),
        ];
        for command in commands {
            let line = serde_json::to_string(&ChangeJson::new(Lsn(7), (1, 2), Micros(0), &command)).unwrap();
            #[derive(serde::Deserialize)]
            struct Line<'a> {
                lsn: u64,
                of: u32,
                kind: String,
                id: Option<String>,
                #[serde(borrow)]
                record: &'a serde_json::value::RawValue,
            }
            let read: Line<'_> = serde_json::from_str(&line).unwrap();
            assert_eq!((read.lsn, read.of), (7, 2));
            let body = read.record.get().as_bytes();
            let again = match read.kind.as_str() {
                "assert" => {
                    assert_eq!(read.id, Some(id.to_string()));
                    Command::Assert(json::assertion(body).unwrap())
                }
                "vote" => Command::Vote(json::vote(body).unwrap()),
                "supersede" => Command::Supersede(json::supersession(body).unwrap()),
                "epoch" => Command::Epoch(json::epoch(body).unwrap()),
                "source" => Command::Source(json::source(body).unwrap()),
                "agent" => Command::Agent(json::agent(body).unwrap()),
                _ => Command::Cosign(json::cosign(body).unwrap()),
            };
            assert_eq!(again, command);
        }
    }
}
