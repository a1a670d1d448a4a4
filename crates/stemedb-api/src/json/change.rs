//! One change in JSON: a command as the journal has it.

use serde::{Serialize, Serializer};
use stemedb_core::{
    Agent, ClaimId, Command, Cosign, Epoch, Micros, Nano, Source, SourceClass, Supersession, Vote,
};
use stemedb_env::Lsn;

use super::claim::{AssertionJson, rfc3339};

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
    record: RecordJson<'a>,
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
            record: RecordJson(command),
        }
    }
}

#[derive(Debug)]
struct RecordJson<'a>(&'a Command);

impl Serialize for RecordJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Command::Assert(claim) => AssertionJson::new(claim).serialize(serializer),
            Command::Vote(vote) => VoteJson::new(vote).serialize(serializer),
            Command::Supersede(change) => SupersessionJson::new(change).serialize(serializer),
            Command::Epoch(epoch) => EpochJson::new(epoch).serialize(serializer),
            Command::Source(source) => SourceJson::new(source).serialize(serializer),
            Command::Cosign(cosign) => CosignJson::new(cosign).serialize(serializer),
            Command::Agent(agent) => AgentRecordJson::new(agent).serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct VoteJson<'a> {
    assertion: String,
    agent: String,
    weight: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl<'a> VoteJson<'a> {
    fn new(vote: &'a Vote) -> VoteJson<'a> {
        VoteJson {
            assertion: vote.assertion.to_string(),
            agent: vote.agent.to_string(),
            weight: Nano::to_f64(vote.weight),
            reason: vote.reason.as_deref(),
            signature: vote.signature.map(|bytes| bytes.to_string()),
        }
    }
}

#[derive(Serialize)]
struct SupersessionJson<'a> {
    old: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl<'a> SupersessionJson<'a> {
    fn new(change: &'a Supersession) -> SupersessionJson<'a> {
        SupersessionJson {
            old: change.old.to_string(),
            new: change.new.map(|id| id.to_string()),
            kind: change.kind.name(),
            reason: change.reason.as_deref(),
            agent: change.agent.map(|agent| agent.to_string()),
            signature: change.signature.map(|bytes| bytes.to_string()),
        }
    }
}

#[derive(Serialize)]
struct EpochJson<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl<'a> EpochJson<'a> {
    fn new(epoch: &'a Epoch) -> EpochJson<'a> {
        EpochJson {
            name: &epoch.name,
            supersedes: epoch.supersedes.as_deref(),
            from: epoch.from.map(rfc3339),
            to: epoch.to.map(rfc3339),
        }
    }
}

#[derive(Serialize)]
struct SourceJson<'a> {
    id: &'a str,
    class: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<String>,
}

impl<'a> SourceJson<'a> {
    fn new(source: &'a Source) -> SourceJson<'a> {
        SourceJson {
            id: &source.id,
            class: source.class.number(),
            title: source.title.as_deref(),
            uri: source.uri.as_deref(),
            content_hash: source.content_hash.map(|hash| ClaimId(hash).to_string()),
        }
    }
}

#[derive(Serialize)]
struct AgentRecordJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<f64>,
}

impl<'a> AgentRecordJson<'a> {
    fn new(agent: &'a Agent) -> AgentRecordJson<'a> {
        AgentRecordJson {
            id: agent.id.to_string(),
            name: agent.name.as_deref(),
            class: agent.class.map(SourceClass::number),
            trust: agent.trust.map(Nano::to_f64),
        }
    }
}

#[derive(Serialize)]
struct CosignJson {
    claim: String,
    agent: String,
    signature: String,
}

impl CosignJson {
    fn new(cosign: &Cosign) -> CosignJson {
        CosignJson {
            claim: cosign.claim.to_string(),
            agent: cosign.agent.to_string(),
            signature: cosign.signature.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use stemedb_core::{AgentKey, Assertion, Object, SupersessionKind};

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
