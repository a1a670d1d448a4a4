//! The bodies of requests, and lines of an import.

use serde::de::MapAccess;
use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Command, Cosign, Epoch, Lifecycle, Nano, Object, SignatureBytes,
    Source, SourceClass, Supersession, SupersessionKind, Vote,
};

use super::{
    members::{Findings, Member, MemberValue, Record, optional, read, required},
    object::read_object,
    values::{class, digest, fraction, hex, ids, instant, name, signatures},
};
use crate::errors::{Code, FieldError, Invalid};

/// Members of an assertion.
pub const ASSERT_FIELDS: &[Member] = &[
    required("subject"),
    required("predicate"),
    required("object"),
    required("source"),
    optional("confidence"),
    optional("source_class"),
    optional("author"),
    optional("excerpt_hash"),
    optional("epoch"),
    optional("lifecycle"),
    optional("valid_from"),
    optional("valid_to"),
    optional("observed_at"),
    optional("parents"),
    optional("signatures"),
];

/// Members of a vote.
pub const VOTE_FIELDS: &[Member] = &[
    required("assertion"),
    required("agent"),
    required("weight"),
    optional("reason"),
    optional("signature"),
];

/// Members of a supersession.
pub const SUPERSEDE_FIELDS: &[Member] = &[
    required("old"),
    optional("new"),
    required("kind"),
    optional("reason"),
    optional("agent"),
    optional("signature"),
];

/// Members of an epoch.
pub const EPOCH_FIELDS: &[Member] =
    &[required("name"), optional("supersedes"), optional("from"), optional("to")];

/// Members of a source.
pub const SOURCE_FIELDS: &[Member] =
    &[required("id"), required("class"), optional("title"), optional("uri"), optional("content_hash")];

/// Members of an agent.
pub const AGENT_FIELDS: &[Member] = &[required("id"), optional("name"), optional("class"), optional("trust")];

/// Members of a co-signature.
pub const COSIGN_FIELDS: &[Member] = &[required("claim"), required("agent"), required("signature")];

/// Reads the body of `POST /v1/assert`, by the rules of the model. Signatures are not verified here.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn assertion(body: &[u8]) -> Result<Assertion, Invalid> {
    let mut assertion = read_whole(body, AssertRecord(Assertion::new("", "", Object::Boolean(false), "")))?.0;
    assertion.normalize();
    assertion.validate()?;
    Ok(assertion)
}

/// Reads one line of an import: the members of an assertion, of which only `subject`, `predicate`, `object` and
/// `source` must be there.
///
/// Cost: one pass over the line and one allocation per text kept.
///
/// # Errors
/// As [`assertion`].
pub fn import_line(line: &[u8]) -> Result<Command, Invalid> {
    assertion(line).map(Command::Assert)
}

/// Reads the body of `POST /v1/vote`.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn vote(body: &[u8]) -> Result<Vote, Invalid> {
    let vote = read_whole(body, VoteRecord(Vote::new(ClaimId([0; 32]), AgentId([0; 32]), Nano::ZERO)))?.0;
    vote.validate()?;
    Ok(vote)
}

/// Reads the body of `POST /v1/vote` of an agent who is known: it need not be named.
///
/// # Errors
/// As [`vote`].
pub fn vote_by(body: &[u8], agent: AgentId) -> Result<Vote, Invalid> {
    let vote = read_whole(body, OwnVoteRecord(VoteRecord(Vote::new(ClaimId([0; 32]), agent, Nano::ZERO))))?;
    let vote = vote.0.0;
    vote.validate()?;
    Ok(vote)
}

/// Reads the body of `POST /v1/supersede`.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn supersession(body: &[u8]) -> Result<Supersession, Invalid> {
    let supersession = read_whole(body, SupersedeRecord(Supersession::retract(ClaimId([0; 32]))))?.0;
    supersession.validate()?;
    Ok(supersession)
}

/// Reads the body of `POST /v1/epoch`.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn epoch(body: &[u8]) -> Result<Epoch, Invalid> {
    let epoch = read_whole(body, EpochRecord(Epoch::new("")))?.0;
    epoch.validate()?;
    Ok(epoch)
}

/// Reads the body of `POST /v1/source`.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn source(body: &[u8]) -> Result<Source, Invalid> {
    let source = read_whole(body, SourceRecord(Source::new("", SourceClass::ANECDOTAL)))?.0;
    source.validate()?;
    Ok(source)
}

/// Reads the body of `POST /v1/agent`.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn agent(body: &[u8]) -> Result<Agent, Invalid> {
    let agent = read_whole(body, AgentRecord(Agent::new(AgentId([0; 32]))))?.0;
    agent.validate()?;
    Ok(agent)
}

/// Reads a co-signature: `{claim, agent, signature}`.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn cosign(body: &[u8]) -> Result<Cosign, Invalid> {
    let empty =
        Cosign { claim: ClaimId([0; 32]), agent: AgentId([0; 32]), signature: SignatureBytes([0; 64]) };
    Ok(read_whole(body, CosignRecord(empty))?.0)
}

/// Reads a record from a whole body. What is read is used only when nothing was wrong, so that the record's first
/// values never show.
pub(super) fn read_whole<'de, R: Record<'de>>(body: &'de [u8], mut record: R) -> Result<R, Invalid> {
    let text = utf8(body)?;
    let mut findings = Findings::default();
    read(text, &mut record, &mut findings);
    findings.finish(record)
}

/// The text of a body.
fn utf8(body: &[u8]) -> Result<&str, Invalid> {
    std::str::from_utf8(body).map_err(|error| {
        let detail = format!("is not UTF-8 at byte {}", error.valid_up_to());
        FieldError::in_body("", Code::InvalidUtf8, detail).into()
    })
}

pub(super) struct AssertRecord(pub(super) Assertion);

impl<'de> Record<'de> for AssertRecord {
    const MEMBERS: &'static [Member] = ASSERT_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        mut value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let claim = &mut self.0;
        match index {
            0 => set(&mut claim.subject, value.text()?),
            1 => set(&mut claim.predicate, value.text()?),
            2 => {
                let json = value.raw_text()?;
                if let Some(object) = read_object(json, value.findings) {
                    claim.object = object;
                }
            }
            3 => set(&mut claim.source, value.text()?),
            4 => claim.confidence = value.raw(fraction)?,
            5 => claim.source_class = value.raw(class)?,
            6 => claim.author = value.checked(hex)?,
            7 => claim.excerpt_hash = value.checked(digest)?,
            8 => claim.epoch = value.text()?.map(Into::into),
            9 => claim.lifecycle = value.checked(|text| name(text, &Lifecycle::ALL.map(Lifecycle::name)))?,
            10 => claim.valid_from = value.checked(instant)?,
            11 => claim.valid_to = value.checked(instant)?,
            12 => claim.observed_at = value.checked(instant)?,
            13 => claim.parents = value.raw(ids)?.unwrap_or_default(),
            _ => claim.signatures = value.raw(signatures)?.unwrap_or_default(),
        }
        Ok(())
    }
}

fn set(slot: &mut String, text: Option<std::borrow::Cow<'_, str>>) {
    if let Some(text) = text {
        *slot = text.into_owned();
    }
}

pub(super) struct VoteRecord(pub(super) Vote);

impl<'de> Record<'de> for VoteRecord {
    const MEMBERS: &'static [Member] = VOTE_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let vote = &mut self.0;
        match index {
            0 => vote.assertion = value.checked(hex)?.unwrap_or(vote.assertion),
            1 => vote.agent = value.checked(hex)?.unwrap_or(vote.agent),
            2 => vote.weight = value.raw(fraction)?.unwrap_or(vote.weight),
            3 => vote.reason = value.text()?.map(Into::into),
            _ => vote.signature = value.checked(hex)?,
        }
        Ok(())
    }
}

/// A vote whose agent is known.
struct OwnVoteRecord(VoteRecord);

impl<'de> Record<'de> for OwnVoteRecord {
    const MEMBERS: &'static [Member] = &[
        required("assertion"),
        optional("agent"),
        required("weight"),
        optional("reason"),
        optional("signature"),
    ];

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        self.0.read(index, value)
    }
}

pub(super) struct SupersedeRecord(pub(super) Supersession);

impl<'de> Record<'de> for SupersedeRecord {
    const MEMBERS: &'static [Member] = SUPERSEDE_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let change = &mut self.0;
        match index {
            0 => change.old = value.checked(hex)?.unwrap_or(change.old),
            1 => change.new = value.checked(hex)?,
            2 => {
                let kinds = SupersessionKind::ALL.map(SupersessionKind::name);
                change.kind = value.checked(|text| name(text, &kinds))?.unwrap_or(change.kind);
            }
            3 => change.reason = value.text()?.map(Into::into),
            4 => change.agent = value.checked(hex)?,
            _ => change.signature = value.checked(hex)?,
        }
        Ok(())
    }
}

pub(super) struct EpochRecord(pub(super) Epoch);

impl<'de> Record<'de> for EpochRecord {
    const MEMBERS: &'static [Member] = EPOCH_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let epoch = &mut self.0;
        match index {
            0 => set(&mut epoch.name, value.text()?),
            1 => epoch.supersedes = value.text()?.map(Into::into),
            2 => epoch.from = value.checked(instant)?,
            _ => epoch.to = value.checked(instant)?,
        }
        Ok(())
    }
}

pub(super) struct SourceRecord(pub(super) Source);

impl<'de> Record<'de> for SourceRecord {
    const MEMBERS: &'static [Member] = SOURCE_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let source = &mut self.0;
        match index {
            0 => set(&mut source.id, value.text()?),
            1 => source.class = value.raw(class)?.unwrap_or(source.class),
            2 => source.title = value.text()?.map(Into::into),
            3 => source.uri = value.text()?.map(Into::into),
            _ => source.content_hash = value.checked(digest)?,
        }
        Ok(())
    }
}

pub(super) struct CosignRecord(pub(super) Cosign);

impl<'de> Record<'de> for CosignRecord {
    const MEMBERS: &'static [Member] = COSIGN_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let cosign = &mut self.0;
        match index {
            0 => cosign.claim = value.checked(hex)?.unwrap_or(cosign.claim),
            1 => cosign.agent = value.checked(hex)?.unwrap_or(cosign.agent),
            _ => cosign.signature = value.checked(hex)?.unwrap_or(cosign.signature),
        }
        Ok(())
    }
}

pub(super) struct AgentRecord(pub(super) Agent);

impl<'de> Record<'de> for AgentRecord {
    const MEMBERS: &'static [Member] = AGENT_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let agent = &mut self.0;
        match index {
            0 => agent.id = value.checked(hex)?.unwrap_or(agent.id),
            1 => agent.name = value.text()?.map(Into::into),
            2 => agent.class = value.raw(class)?,
            _ => agent.trust = value.raw(fraction)?,
        }
        Ok(())
    }
}
