//! Every kind of record as one line of JSON, and back (`docs/formats/jsonl.md`).
//!
//! What tells where a record stood in a journal is written first and read past: the members of the record itself are those
//! of the request that makes it.

use serde::{Serialize, Serializer, de::MapAccess, ser::SerializeMap};
use serde_json::value::RawValue;
use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Command, Cosign, Epoch, Micros, Nano, Object, Signature,
    SignatureBytes, Source, SourceClass, Supersession, Vote,
};
use stemedb_index::Position;

use super::{
    ObjectJson,
    claim::rfc3339,
    members::{Findings, Member, MemberValue, Record, optional, type_of, wrong_type},
    records::{
        AgentRecord, AssertRecord, CosignRecord, EpochRecord, SourceRecord, SupersedeRecord, VoteRecord,
        read_whole,
    },
    values::{NanoJson, hex, instant, is_number},
};
use crate::errors::{Code, FieldError, Invalid};

/// Reads a line of one kind: the record, and the id that the line gives it.
type ReadKind = fn(&[u8]) -> Result<(Command, Option<ClaimId>), Invalid>;

/// A kind of record: its name on the wire, and how a line of it is read.
#[derive(Clone, Copy)]
pub struct RecordKind {
    /// The value of the member `record`.
    pub name: &'static str,
    read: ReadKind,
}

macro_rules! kind {
    ($name:literal, $variant:ident, $record:ident, $empty:expr) => {
        RecordKind {
            name: $name,
            read: |line: &[u8]| {
                let read = read_whole(line, Exported::new($record($empty)))?;
                Ok((Command::$variant(read.record.0), read.id))
            },
        }
    };
}

/// What a reader begins with where a line must bring an id.
const NO_CLAIM: ClaimId = ClaimId([0; 32]);
const NO_AGENT: AgentId = AgentId([0; 32]);

const CLAIM: RecordKind =
    kind!("claim", Assert, AssertRecord, Assertion::new("", "", Object::Boolean(false), ""));

/// Every kind of record. What a reader begins with never shows: a line that lacks a member is refused.
pub const RECORD_KINDS: &[RecordKind] = &[
    CLAIM,
    kind!("vote", Vote, VoteRecord, Vote::new(NO_CLAIM, NO_AGENT, Nano::ZERO)),
    kind!("supersession", Supersede, SupersedeRecord, Supersession::retract(NO_CLAIM)),
    kind!("epoch", Epoch, EpochRecord, Epoch::new("")),
    kind!("source", Source, SourceRecord, Source::new("", SourceClass::ANECDOTAL)),
    kind!(
        "cosignature",
        Cosign,
        CosignRecord,
        Cosign { claim: NO_CLAIM, agent: NO_AGENT, signature: SignatureBytes([0; 64]) }
    ),
    kind!("agent", Agent, AgentRecord, Agent::new(NO_AGENT)),
];

/// Reads one line: a record of any kind, by its member `record`; a claim without one. Signatures are not verified here.
///
/// Cost: one pass over the line; a second one where `record` does not come first.
///
/// # Errors
/// Every member that is wrong, by its pointer; [`Code::IdMismatch`] for a claim that is not the one its `id` names.
pub fn exported(line: &[u8]) -> Result<Command, Invalid> {
    let name = match kind_in_front(line) {
        Some(name) => Some(name.to_owned()),
        // A claim of an ordinary import is read at once; only what is refused is looked at again.
        None => match (CLAIM.read)(line) {
            Err(why) => match kind_anywhere(line)? {
                Some(name) => Some(name),
                None => return Err(why),
            },
            Ok((command, id)) => return checked(command, id),
        },
    };
    let name = name.as_deref().unwrap_or_default();
    let Some(kind) = RECORD_KINDS.iter().find(|kind| kind.name == name) else {
        let names: Vec<&str> = RECORD_KINDS.iter().map(|kind| kind.name).collect();
        let detail = format!("is none of {}", names.join(", "));
        return Err(FieldError::in_body("/record", Code::UnknownName, detail).into());
    };
    let (command, id) = (kind.read)(line)?;
    checked(command, id)
}

fn checked(mut command: Command, id: Option<ClaimId>) -> Result<Command, Invalid> {
    if let Command::Assert(claim) = &mut command {
        claim.normalize();
    }
    command.validate()?;
    let Some(id) = id else { return Ok(command) };
    let Command::Assert(claim) = &command else {
        let detail = "is the id of a claim; this record has none";
        return Err(FieldError::in_body("/id", Code::UnknownField, detail).into());
    };
    let found = claim.id();
    if found == id {
        return Ok(command);
    }
    let detail = format!("is not the id of what the line says, which is {found}");
    Err(FieldError::in_body("/id", Code::IdMismatch, detail).into())
}

/// The kind that a line names first.
fn kind_in_front(line: &[u8]) -> Option<&str> {
    let rest = line.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"record\"")?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    if rest.get(end) == Some(&b'\\') {
        return None;
    }
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// The kind that a line names somewhere, if it is JSON at all.
fn kind_anywhere(line: &[u8]) -> Result<Option<String>, Invalid> {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        record: Option<&'a RawValue>,
    }
    let Ok(Named { record: Some(record) }) = serde_json::from_slice::<Named<'_>>(line) else {
        return Ok(None);
    };
    match serde_json::from_str(record.get()) {
        Ok(name) => Ok(Some(name)),
        Err(_) => Err(wrong_type("/record".into(), "a string", type_of(record.get())).into()),
    }
}

/// Members about a record, which stand beside its own.
const ABOUT: [Member; 5] =
    [optional("record"), optional("id"), optional("lsn"), optional("ordinal"), optional("recorded_at")];
/// Most members that a record may have.
const MEMBERS_MAX: usize = 32;

/// The members of a record, then those about it.
const fn joined(own: &[Member]) -> ([Member; MEMBERS_MAX], usize) {
    let mut all = [optional(""); MEMBERS_MAX];
    let mut len = 0;
    while len < own.len() {
        all[len] = own[len];
        len += 1;
    }
    let mut index = 0;
    while index < ABOUT.len() {
        // A source has an id of its own.
        if !names(own, ABOUT[index].name) {
            all[len] = ABOUT[index];
            len += 1;
        }
        index += 1;
    }
    (all, len)
}

const fn names(members: &[Member], name: &str) -> bool {
    let mut index = 0;
    while index < members.len() {
        if same(members[index].name.as_bytes(), name.as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A record, and what a line says about it.
struct Exported<R> {
    record: R,
    id: Option<ClaimId>,
}

impl<R> Exported<R> {
    fn new(record: R) -> Exported<R> {
        Exported { record, id: None }
    }
}

impl<'de, R: Record<'de>> Exported<R> {
    const JOINED: &'static ([Member; MEMBERS_MAX], usize) = &joined(R::MEMBERS);
}

impl<'de, R: Record<'de>> Record<'de> for Exported<R> {
    const MEMBERS: &'static [Member] = {
        let (all, len) = Self::JOINED;
        all.split_at(*len).0
    };

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        if index < R::MEMBERS.len() {
            return self.record.read(index, value);
        }
        match Self::MEMBERS.get(index).map_or("", |member| member.name) {
            "record" => {
                value.text()?;
            }
            "id" => self.id = value.checked(hex)?,
            "recorded_at" => {
                value.checked(instant)?;
            }
            _ => {
                value.raw(whole_number)?;
            }
        }
        Ok(())
    }
}

fn whole_number(json: &str, findings: &mut Findings, pointer: std::borrow::Cow<'static, str>) -> Option<u64> {
    let number = json.parse().ok();
    if number.is_none() {
        let found = if is_number(json) { "another number" } else { type_of(json) };
        findings.push(wrong_type(pointer, "a whole number", found));
    }
    number
}

/// A record as one line of JSON, without its end.
#[derive(Clone, Copy, Debug)]
pub struct RecordJson<'a> {
    /// The record.
    pub command: &'a Command,
    /// Its id, of a claim, if it is to be written.
    pub id: Option<ClaimId>,
    /// Where and when it was recorded, if that is to be written.
    pub recorded: Option<(Position, Micros)>,
}

impl RecordJson<'_> {
    /// The value of the member `record`.
    pub fn kind(command: &Command) -> &'static str {
        match command {
            Command::Assert(_) => "claim",
            Command::Vote(_) => "vote",
            Command::Supersede(_) => "supersession",
            Command::Epoch(_) => "epoch",
            Command::Source(_) => "source",
            Command::Cosign(_) => "cosignature",
            Command::Agent(_) => "agent",
        }
    }
}

impl Serialize for RecordJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("record", RecordJson::kind(self.command))?;
        if let Some(id) = self.id {
            line.serialize_entry("id", &Shown(id))?;
        }
        if let Some((position, recorded_at)) = self.recorded {
            line.serialize_entry("lsn", &position.lsn.0)?;
            line.serialize_entry("ordinal", &position.ordinal)?;
            line.serialize_entry("recorded_at", &rfc3339(recorded_at))?;
        }
        write_record(self.command, &mut line)?;
        line.end()
    }
}

/// A record as the body of the request that makes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyJson<'a>(pub &'a Command);

impl Serialize for BodyJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(None)?;
        write_record(self.0, &mut body)?;
        body.end()
    }
}

/// The members of a record, in the order of the request that makes it.
fn write_record<M: SerializeMap>(command: &Command, line: &mut M) -> Result<(), M::Error> {
    match command {
        Command::Assert(claim) => write_claim(claim, line)?,
        Command::Vote(vote) => {
            line.serialize_entry("assertion", &Shown(vote.assertion))?;
            line.serialize_entry("agent", &Shown(vote.agent))?;
            line.serialize_entry("weight", &NanoJson(vote.weight))?;
            maybe(line, "reason", &vote.reason)?;
            maybe(line, "signature", &vote.signature.map(Shown))?;
        }
        Command::Supersede(change) => {
            line.serialize_entry("old", &Shown(change.old))?;
            maybe(line, "new", &change.new.map(Shown))?;
            line.serialize_entry("kind", change.kind.name())?;
            maybe(line, "reason", &change.reason)?;
            maybe(line, "agent", &change.agent.map(Shown))?;
            maybe(line, "signature", &change.signature.map(Shown))?;
        }
        Command::Epoch(epoch) => {
            line.serialize_entry("name", &epoch.name)?;
            maybe(line, "supersedes", &epoch.supersedes)?;
            maybe(line, "from", &epoch.from.map(rfc3339))?;
            maybe(line, "to", &epoch.to.map(rfc3339))?;
        }
        Command::Source(source) => {
            line.serialize_entry("id", &source.id)?;
            line.serialize_entry("class", &source.class.number())?;
            maybe(line, "title", &source.title)?;
            maybe(line, "uri", &source.uri)?;
            maybe(line, "content_hash", &source.content_hash.map(ClaimId).map(Shown))?;
        }
        Command::Cosign(cosign) => {
            line.serialize_entry("claim", &Shown(cosign.claim))?;
            line.serialize_entry("agent", &Shown(cosign.agent))?;
            line.serialize_entry("signature", &Shown(cosign.signature))?;
        }
        Command::Agent(agent) => {
            line.serialize_entry("id", &Shown(agent.id))?;
            maybe(line, "name", &agent.name)?;
            maybe(line, "class", &agent.class.map(SourceClass::number))?;
            maybe(line, "trust", &agent.trust.map(NanoJson))?;
        }
    }
    Ok(())
}

fn write_claim<M: SerializeMap>(claim: &Assertion, line: &mut M) -> Result<(), M::Error> {
    line.serialize_entry("subject", &claim.subject)?;
    line.serialize_entry("predicate", &claim.predicate)?;
    line.serialize_entry("object", &ObjectJson(claim.object.as_ref()))?;
    line.serialize_entry("source", &claim.source)?;
    maybe(line, "confidence", &claim.confidence.map(NanoJson))?;
    maybe(line, "source_class", &claim.source_class.map(|class| class.number()))?;
    maybe(line, "author", &claim.author.map(Shown))?;
    maybe(line, "excerpt_hash", &claim.excerpt_hash.map(ClaimId).map(Shown))?;
    maybe(line, "epoch", &claim.epoch)?;
    maybe(line, "lifecycle", &claim.lifecycle.map(|stage| stage.name()))?;
    maybe(line, "valid_from", &claim.valid_from.map(rfc3339))?;
    maybe(line, "valid_to", &claim.valid_to.map(rfc3339))?;
    maybe(line, "observed_at", &claim.observed_at.map(rfc3339))?;
    if !claim.parents.is_empty() {
        line.serialize_entry("parents", &Each(&claim.parents, |parent: &ClaimId| Shown(*parent)))?;
    }
    if !claim.signatures.is_empty() {
        line.serialize_entry("signatures", &Each(&claim.signatures, SignatureJson::new))?;
    }
    Ok(())
}

fn maybe<M: SerializeMap, T: Serialize>(
    line: &mut M,
    name: &'static str,
    value: &Option<T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => line.serialize_entry(name, value),
        None => Ok(()),
    }
}

/// As it prints.
struct Shown<T>(T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list, each member through a view.
struct Each<'a, T, F>(&'a [T], F);

impl<T, V: Serialize, F: Fn(&T) -> V> Serialize for Each<'_, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(&self.1))
    }
}

#[derive(Serialize)]
struct SignatureJson {
    agent: Shown<AgentId>,
    signature: Shown<SignatureBytes>,
}

impl SignatureJson {
    fn new(signature: &Signature) -> SignatureJson {
        SignatureJson { agent: Shown(signature.agent), signature: Shown(signature.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> (String, Code) {
        let why = exported(line.as_bytes()).unwrap_err();
        let first = why.errors().next().unwrap();
        (first.place.to_string(), first.code)
    }

    #[test]
    fn a_line_without_a_kind_is_a_claim_and_the_kind_may_stand_anywhere() {
        let claim = br#"{"subject":"s","predicate":"p","object":1,"source":"x"}"#;
        assert!(matches!(exported(claim), Ok(Command::Assert(_))));
        let epoch = br#"{"name":"e","record":"epoch"}"#;
        assert_eq!(exported(epoch), Ok(Command::Epoch(Epoch::new("e"))));
        let escaped = br#"{"rec\u006frd":"epoch","name":"e"}"#;
        assert_eq!(exported(escaped), Ok(Command::Epoch(Epoch::new("e"))));
        let source = br#" { "record" : "source" , "id" : "x", "class": 2 } "#;
        assert!(matches!(exported(source), Ok(Command::Source(_))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refusal(r#"{"record":"rumour","name":"e"}"#), ("/record".into(), Code::UnknownName));
        assert_eq!(refusal(r#"{"name":"e","record":5}"#), ("/record".into(), Code::WrongType));
        assert_eq!(refusal(r#"{"record":"epoch"}"#), ("/name".into(), Code::MissingField));
        assert_eq!(refusal(r#"{"record":"epoch","name":"e","lsn":"3"}"#), ("/lsn".into(), Code::WrongType));
        assert_eq!(refusal(r#"{"record":"epoch","name":"e","lsn":-3}"#), ("/lsn".into(), Code::WrongType));
        assert_eq!(
            refusal(r#"{"record":"epoch","name":"e","recorded_at":"noon"}"#),
            ("/recorded_at".into(), Code::NotATime)
        );
        let id = "0".repeat(64);
        let claim = format!(
            r#"{{"record":"claim","id":"{id}","subject":"s","predicate":"p","object":1,"source":"x"}}"#
        );
        assert_eq!(refusal(&claim), ("/id".into(), Code::IdMismatch));
        assert_eq!(
            refusal(&format!(r#"{{"record":"epoch","id":"{id}","name":"e"}}"#)),
            ("/id".into(), Code::UnknownField)
        );
        assert_eq!(refusal(r#"{"subject":"s"}"#), ("/predicate".into(), Code::MissingField));
    }

    #[test]
    fn instants_beyond_the_calendar_come_back() {
        for micros in [i64::MIN, -62_167_219_200_000_001, 253_402_300_800_000_000, i64::MAX, 0, 1] {
            assert_eq!(instant(&Micros(micros).to_string()), Ok(Micros(micros)));
        }
        assert!(instant("5us").is_err() && instant("+253402300800000000us").is_err());
    }
}
