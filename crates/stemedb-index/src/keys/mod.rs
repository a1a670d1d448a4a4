//! The key codec: every persisted key of the product is made and taken apart here.
//!
//! A key starts with a tag byte that names its family. Subjects, predicates, sources and epoch names hold no NUL, so one
//! NUL ends each; numbers are big-endian; `~` marks a complemented number, so that the newest comes first. Every key is
//! written once and never again.
//!
//! | tag | family | key | value |
//! |---|---|---|---|
//! | `01` | claim | subject `00` predicate `00` ~lsn ~ordinal id | recorded_at, command bytes |
//! | `02` | by_id | id | lsn, ordinal, subject `00` predicate |
//! | `03` | by_predicate | predicate `00` subject `00` compact position | empty |
//! | `04` | by_source | source `00` lsn ordinal | subject `00` predicate |
//! | `05` | by_agent | agent lsn ordinal | what it did, id |
//! | `06` | vote | claim id, agent, ~lsn ~ordinal | recorded_at, command bytes |
//! | `07` | superseded | old id, lsn ordinal | recorded_at, command bytes |
//! | `08` | derived | parent id, child id | empty |
//! | `09` | epoch | name `00` ~lsn ~ordinal | recorded_at, command bytes |
//! | `0a` | source | id `00` ~lsn ~ordinal | recorded_at, command bytes |
//! | `0b` | cosigned | claim id, agent, ~lsn ~ordinal | recorded_at, command bytes |
//! | `0c` | entry | lsn | recorded_at, count |
//! | `0d` | agent | agent, ~lsn ~ordinal | recorded_at, command bytes |
//! | `0e` | by_value | predicate `00` value subject `00` compact position | empty |
//!
//! The value of a family that holds a command holds its exact bytes, so that a journal entry can be rebuilt from the
//! view (`invert`).

mod position;
mod value;

pub use position::Position;
use stemedb_core::ClaimId;
use stemedb_env::Lsn;
pub use value::{BadRange, SortedValue, ValueKind, ValueRange};

use crate::{Error, Result};

/// The families, by tag byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// The claims themselves, clustered by question.
    Claim = 0x01,
    /// Where a claim lies.
    ById = 0x02,
    /// Which subjects have a predicate.
    ByPredicate = 0x03,
    /// What a source said.
    BySource = 0x04,
    /// What an agent did.
    ByAgent = 0x05,
    /// Votes on a claim.
    Vote = 0x06,
    /// What set a claim aside.
    Superseded = 0x07,
    /// Which claims derive from a claim.
    Derived = 0x08,
    /// Epoch records.
    Epoch = 0x09,
    /// Source records.
    Source = 0x0a,
    /// Signatures that were added to a claim.
    Cosigned = 0x0b,
    /// Journal entries: when, and how many commands.
    Entry = 0x0c,
    /// Agent records.
    Agent = 0x0d,
    /// Which subjects have a value under a predicate, in the order of values.
    ByValue = 0x0e,
}

impl Family {
    /// Every family, in key order.
    pub const ALL: [Family; 14] = [
        Family::Claim,
        Family::ById,
        Family::ByPredicate,
        Family::BySource,
        Family::ByAgent,
        Family::Vote,
        Family::Superseded,
        Family::Derived,
        Family::Epoch,
        Family::Source,
        Family::Cosigned,
        Family::Entry,
        Family::Agent,
        Family::ByValue,
    ];

    /// The family of a key.
    pub fn of(key: &[u8]) -> Option<Family> {
        let tag = *key.first()?;
        Family::ALL.into_iter().find(|family| *family as u8 == tag)
    }

    /// The version of the derivation that its keys have been made by as they are today.
    pub fn derived_since(self) -> u32 {
        match self {
            Family::ByPredicate | Family::ByValue => 2,
            _ => 1,
        }
    }

    /// Its name in tables and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Family::Claim => "claim",
            Family::ById => "by_id",
            Family::ByPredicate => "by_predicate",
            Family::BySource => "by_source",
            Family::ByAgent => "by_agent",
            Family::Vote => "vote",
            Family::Superseded => "superseded",
            Family::Derived => "derived",
            Family::Epoch => "epoch",
            Family::Source => "source",
            Family::Cosigned => "cosigned",
            Family::Entry => "entry",
            Family::Agent => "agent",
            Family::ByValue => "by_value",
        }
    }
}

/// The families whose values hold the commands themselves: each command lies in one of them, once.
pub const COMMAND_FAMILIES: [Family; 7] = [
    Family::Claim,
    Family::Vote,
    Family::Superseded,
    Family::Epoch,
    Family::Source,
    Family::Cosigned,
    Family::Agent,
];

/// Where the command of a row stands in the journal; `None` for rows that hold none.
pub fn command_position(key: &[u8]) -> Result<Option<Position>> {
    let Some(family) = Family::of(key) else { return Ok(None) };
    Ok(Some(match family {
        Family::Claim => parse_claim(key)?.position,
        Family::Vote | Family::Cosigned => parse_id_agent(family, key)?.1,
        Family::Superseded => parse_superseded(key)?,
        Family::Epoch | Family::Source => parse_named(family, key)?.1,
        Family::Agent => parse_agent(key)?.1,
        Family::ById
        | Family::ByPredicate
        | Family::BySource
        | Family::ByAgent
        | Family::Derived
        | Family::Entry
        | Family::ByValue => return Ok(None),
    }))
}

const ID_BYTES: usize = 32;
const NUL: u8 = 0;

/// Length of the prefix that the store keeps a filter over: the part of a key that a reader knows in advance.
/// 0 = whole keys only.
pub fn filtered_prefix_bytes(key: &[u8]) -> usize {
    let through_nul = |from: usize| {
        key.get(from..).and_then(|rest| rest.iter().position(|b| *b == NUL)).map(|at| from + at + 1)
    };
    match Family::of(key) {
        Some(Family::Claim) => through_nul(1).and_then(through_nul).unwrap_or(0),
        Some(Family::Epoch | Family::Source) => through_nul(1).unwrap_or(0),
        Some(Family::Vote | Family::Superseded | Family::Cosigned | Family::Derived | Family::Agent)
            if key.len() > ID_BYTES =>
        {
            1 + ID_BYTES
        }
        _ => 0,
    }
}

fn start(family: Family, capacity: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + capacity);
    key.push(family as u8);
    key
}

fn text(key: &mut Vec<u8>, text: &str) {
    key.extend_from_slice(text.as_bytes());
    key.push(NUL);
}

/// All claims about a subject and predicate, newest first.
pub fn claim_prefix(subject: &str, predicate: &str) -> Vec<u8> {
    let mut key = start(Family::Claim, subject.len() + predicate.len() + 2 + Position::BYTES + ID_BYTES);
    text(&mut key, subject);
    text(&mut key, predicate);
    key
}

/// All claims about a subject.
pub fn subject_prefix(subject: &str) -> Vec<u8> {
    let mut key = start(Family::Claim, subject.len() + 1);
    text(&mut key, subject);
    key
}

/// One claim.
pub fn claim(subject: &str, predicate: &str, position: Position, id: &[u8; 32]) -> Vec<u8> {
    let mut key = claim_prefix(subject, predicate);
    key.extend_from_slice(&position.newest_first());
    key.extend_from_slice(id);
    key
}

/// What a claim key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimKey<'a> {
    /// The subject.
    pub subject: &'a str,
    /// The predicate.
    pub predicate: &'a str,
    /// Where in the journal.
    pub position: Position,
    /// The claim's id.
    pub id: [u8; 32],
}

/// Takes a claim key apart.
pub fn parse_claim(key: &[u8]) -> Result<ClaimKey<'_>> {
    let bad = || Error::BadKey { family: Family::Claim };
    let rest = key.strip_prefix(&[Family::Claim as u8]).ok_or_else(bad)?;
    let (subject, rest) = split_text(rest).ok_or_else(bad)?;
    let (predicate, rest) = split_text(rest).ok_or_else(bad)?;
    let (position, id) = rest.split_first_chunk::<{ Position::BYTES }>().ok_or_else(bad)?;
    let id = id.try_into().map_err(|_| bad())?;
    Ok(ClaimKey { subject, predicate, position: Position::from_newest_first(position), id })
}

/// What a claim key says behind the prefix of its question, which is so many bytes long.
pub fn parse_claim_after(prefix_bytes: usize, key: &[u8]) -> Result<(Position, [u8; 32])> {
    let bad = || Error::BadKey { family: Family::Claim };
    let rest = key.get(prefix_bytes..).ok_or_else(bad)?;
    let (position, id) = rest.split_first_chunk::<{ Position::BYTES }>().ok_or_else(bad)?;
    Ok((Position::from_newest_first(position), id.try_into().map_err(|_| bad())?))
}

fn split_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|b| *b == NUL)?;
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    Some((text, bytes.get(end + 1..)?))
}

/// Where a claim lies, by its id.
pub fn by_id(id: &[u8; 32]) -> Vec<u8> {
    let mut key = start(Family::ById, ID_BYTES);
    key.extend_from_slice(id);
    key
}

/// The id in a key of [`by_id`].
pub fn parse_by_id(key: &[u8]) -> Result<ClaimId> {
    let bad = || Error::BadKey { family: Family::ById };
    let id = key.strip_prefix(&[Family::ById as u8]).ok_or_else(bad)?;
    id.try_into().map(ClaimId).map_err(|_| bad())
}

/// Value of [`by_id`].
pub fn by_id_value(position: Position, subject: &str, predicate: &str) -> Vec<u8> {
    let mut value = Vec::with_capacity(Position::BYTES + subject.len() + 1 + predicate.len());
    value.extend_from_slice(&position.oldest_first());
    text(&mut value, subject);
    value.extend_from_slice(predicate.as_bytes());
    value
}

/// Takes the value of [`by_id`] apart.
pub fn parse_by_id_value(value: &[u8]) -> Result<(Position, &str, &str)> {
    let bad = || Error::BadValue { family: Family::ById };
    let (position, rest) = value.split_first_chunk::<{ Position::BYTES }>().ok_or_else(bad)?;
    let (subject, predicate) = split_text(rest).ok_or_else(bad)?;
    let predicate = std::str::from_utf8(predicate).map_err(|_| bad())?;
    Ok((Position::from_oldest_first(position), subject, predicate))
}

/// One posting: a subject has claims under a predicate, of one entry; the position is that of the first of them.
pub fn by_predicate(predicate: &str, subject: &str, position: Position) -> Vec<u8> {
    let mut key = by_predicate_subject(predicate, subject);
    position.push_compact(&mut key);
    key
}

/// All postings of a subject under a predicate.
pub fn by_predicate_subject(predicate: &str, subject: &str) -> Vec<u8> {
    let mut key = by_predicate_prefix(predicate);
    text(&mut key, subject);
    key
}

/// All subjects that have a claim under a predicate.
pub fn by_predicate_prefix(predicate: &str) -> Vec<u8> {
    let mut key = start(Family::ByPredicate, predicate.len() + 64);
    text(&mut key, predicate);
    key
}

/// The subject in a key of [`by_predicate`].
pub fn parse_by_predicate(key: &[u8]) -> Result<(&str, &str, Position)> {
    let bad = || Error::BadKey { family: Family::ByPredicate };
    let rest = key.strip_prefix(&[Family::ByPredicate as u8]).ok_or_else(bad)?;
    let (predicate, rest) = split_text(rest).ok_or_else(bad)?;
    let (subject, rest) = split_text(rest).ok_or_else(bad)?;
    Ok((predicate, subject, Position::from_compact(rest).ok_or_else(bad)?))
}

/// One posting: a subject has a claim with a value under a predicate.
pub fn by_value(predicate: &str, value: &SortedValue, subject: &str, position: Position) -> Vec<u8> {
    let mut key = by_value_subject(predicate, value, subject);
    position.push_compact(&mut key);
    key
}

/// All postings of a value of a subject under a predicate.
pub fn by_value_subject(predicate: &str, value: &SortedValue, subject: &str) -> Vec<u8> {
    let capacity = predicate.len() + SortedValue::MAX_BYTES + subject.len() + 2 + Position::BYTES;
    let mut key = start(Family::ByValue, capacity);
    text(&mut key, predicate);
    key.extend_from_slice(value.as_bytes());
    text(&mut key, subject);
    key
}

/// All postings under a predicate whose value lies in a range: from the first key on, and before the second.
pub fn by_value_bounds(predicate: &str, range: &ValueRange) -> (Vec<u8>, Vec<u8>) {
    let (min, max) = range.bounds();
    let end = |bytes: &[u8]| {
        let mut key = start(Family::ByValue, predicate.len() + 1 + bytes.len());
        text(&mut key, predicate);
        key.extend_from_slice(bytes);
        key
    };
    (end(&min), end(&max))
}

/// What a key of [`by_value`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByValueKey<'a> {
    /// The predicate.
    pub predicate: &'a str,
    /// The value.
    pub value: SortedValue,
    /// The subject.
    pub subject: &'a str,
    /// Where the claim stands.
    pub position: Position,
}

/// Takes a key of [`by_value`] apart.
pub fn parse_by_value(key: &[u8]) -> Result<ByValueKey<'_>> {
    let bad = || Error::BadKey { family: Family::ByValue };
    let rest = key.strip_prefix(&[Family::ByValue as u8]).ok_or_else(bad)?;
    let (predicate, rest) = split_text(rest).ok_or_else(bad)?;
    let (value, rest) = SortedValue::split_from(rest).ok_or_else(bad)?;
    let (subject, rest) = split_text(rest).ok_or_else(bad)?;
    let position = Position::from_compact(rest).ok_or_else(bad)?;
    Ok(ByValueKey { predicate, value, subject, position })
}

/// One posting: a source made a claim.
pub fn by_source(source: &str, position: Position) -> Vec<u8> {
    let mut key = by_source_prefix(source);
    key.extend_from_slice(&position.oldest_first());
    key
}

/// All that a source said, oldest first.
pub fn by_source_prefix(source: &str) -> Vec<u8> {
    let mut key = start(Family::BySource, source.len() + 1 + Position::BYTES);
    text(&mut key, source);
    key
}

/// Value of [`by_source`].
pub fn by_source_value(subject: &str, predicate: &str) -> Vec<u8> {
    let mut value = Vec::with_capacity(subject.len() + 1 + predicate.len());
    text(&mut value, subject);
    value.extend_from_slice(predicate.as_bytes());
    value
}

/// The position in a key of [`by_value`], [`by_source`] or [`by_agent`], which ends with it.
pub fn parse_posting(family: Family, key: &[u8]) -> Result<Position> {
    if family == Family::ByValue {
        return Ok(parse_by_value(key)?.position);
    }
    let position = key.last_chunk::<{ Position::BYTES }>().ok_or(Error::BadKey { family })?;
    Ok(Position::from_oldest_first(position))
}

/// Takes the value of [`by_source`] apart: subject and predicate.
pub fn parse_by_source_value(value: &[u8]) -> Result<(&str, &str)> {
    let bad = || Error::BadValue { family: Family::BySource };
    let (subject, predicate) = split_text(value).ok_or_else(bad)?;
    Ok((subject, std::str::from_utf8(predicate).map_err(|_| bad())?))
}

/// One posting: an agent did something.
pub fn by_agent(agent: &[u8; 32], position: Position) -> Vec<u8> {
    let mut key = by_agent_prefix(agent);
    key.extend_from_slice(&position.oldest_first());
    key
}

/// All that an agent did, oldest first.
pub fn by_agent_prefix(agent: &[u8; 32]) -> Vec<u8> {
    let mut key = start(Family::ByAgent, ID_BYTES + Position::BYTES);
    key.extend_from_slice(agent);
    key
}

/// Claims that derive from a parent.
pub fn derived(parent: &[u8; 32], child: &[u8; 32]) -> Vec<u8> {
    let mut key = id_prefix(Family::Derived, parent);
    key.extend_from_slice(child);
    key
}

/// Parent and child in a key of [`derived`].
pub fn parse_derived(key: &[u8]) -> Result<(&[u8; 32], &[u8; 32])> {
    let bad = || Error::BadKey { family: Family::Derived };
    let rest = key.strip_prefix(&[Family::Derived as u8]).ok_or_else(bad)?;
    let (parent, child) = rest.split_first_chunk::<ID_BYTES>().ok_or_else(bad)?;
    Ok((parent, child.try_into().map_err(|_| bad())?))
}

/// All records of an agent, newest first.
pub fn agent_prefix(agent: &[u8; 32]) -> Vec<u8> {
    let mut key = start(Family::Agent, ID_BYTES + Position::BYTES);
    key.extend_from_slice(agent);
    key
}

/// One record of an agent.
pub fn agent(agent: &[u8; 32], position: Position) -> Vec<u8> {
    let mut key = agent_prefix(agent);
    key.extend_from_slice(&position.newest_first());
    key
}

/// The agent and position in a key of [`agent`].
pub fn parse_agent(key: &[u8]) -> Result<([u8; 32], Position)> {
    let bad = || Error::BadKey { family: Family::Agent };
    let rest = key.strip_prefix(&[Family::Agent as u8]).ok_or_else(bad)?;
    let (agent, position) = rest.split_first_chunk::<ID_BYTES>().ok_or_else(bad)?;
    let position = position.try_into().map_err(|_| bad())?;
    Ok((*agent, Position::from_newest_first(position)))
}

/// All keys of a family that hang on one claim: votes, supersessions, cosignatures, derived claims.
pub fn id_prefix(family: Family, id: &[u8; 32]) -> Vec<u8> {
    let mut key = start(family, 2 * ID_BYTES + Position::BYTES);
    key.extend_from_slice(id);
    key
}

/// As [`id_prefix`], without an allocation.
pub fn id_prefix_bytes(family: Family, id: &[u8; 32]) -> [u8; 1 + ID_BYTES] {
    let mut key = [family as u8; 1 + ID_BYTES];
    key[1..].copy_from_slice(id);
    key
}

/// All keys of a family that hang on one claim and one agent.
pub fn id_agent_prefix(family: Family, id: &[u8; 32], agent: &[u8; 32]) -> Vec<u8> {
    let mut key = id_prefix(family, id);
    key.extend_from_slice(agent);
    key
}

/// A vote or cosignature.
pub fn id_agent(family: Family, id: &[u8; 32], agent: &[u8; 32], position: Position) -> Vec<u8> {
    let mut key = id_agent_prefix(family, id, agent);
    key.extend_from_slice(&position.newest_first());
    key
}

/// The agent and position in a key of [`id_agent`].
pub fn parse_id_agent(family: Family, key: &[u8]) -> Result<([u8; 32], Position)> {
    let bad = || Error::BadKey { family };
    let rest = key.get(1 + ID_BYTES..).ok_or_else(bad)?;
    let (agent, position) = rest.split_first_chunk::<ID_BYTES>().ok_or_else(bad)?;
    let position = position.try_into().map_err(|_| bad())?;
    Ok((*agent, Position::from_newest_first(position)))
}

/// A supersession of a claim, oldest first.
pub fn superseded(old: &[u8; 32], position: Position) -> Vec<u8> {
    let mut key = id_prefix(Family::Superseded, old);
    key.extend_from_slice(&position.oldest_first());
    key
}

/// The position in a key of [`superseded`].
pub fn parse_superseded(key: &[u8]) -> Result<Position> {
    let bad = || Error::BadKey { family: Family::Superseded };
    let position = key.get(1 + ID_BYTES..).and_then(|rest| rest.try_into().ok()).ok_or_else(bad)?;
    Ok(Position::from_oldest_first(position))
}

/// All records of a named thing, newest first: [`Family::Epoch`] or [`Family::Source`].
pub fn named_prefix(family: Family, name: &str) -> Vec<u8> {
    let mut key = start(family, name.len() + 1 + Position::BYTES);
    text(&mut key, name);
    key
}

/// One record of a named thing.
pub fn named(family: Family, name: &str, position: Position) -> Vec<u8> {
    let mut key = named_prefix(family, name);
    key.extend_from_slice(&position.newest_first());
    key
}

/// Name and position in a key of [`named`].
pub fn parse_named(family: Family, key: &[u8]) -> Result<(&str, Position)> {
    let bad = || Error::BadKey { family };
    let (name, rest) = key.get(1..).and_then(split_text).ok_or_else(bad)?;
    let position = rest.try_into().map_err(|_| bad())?;
    Ok((name, Position::from_newest_first(position)))
}

/// The position in a key that the prefix of its thing begins, which is so many bytes long: [`Family::Epoch`], [`Family::Source`] or
/// [`Family::Agent`].
pub fn parse_position_after(family: Family, prefix_bytes: usize, key: &[u8]) -> Result<Position> {
    let position = key.get(prefix_bytes..).and_then(|rest| rest.try_into().ok());
    position.map(Position::from_newest_first).ok_or(Error::BadKey { family })
}

/// A journal entry.
pub fn entry(lsn: Lsn) -> Vec<u8> {
    let mut key = start(Family::Entry, 8);
    key.extend_from_slice(&lsn.0.to_be_bytes());
    key
}

/// Every key of a family.
pub fn family_prefix(family: Family) -> Vec<u8> {
    vec![family as u8]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = String> {
        "[ -~äöü€]{1,40}"
    }

    fn position() -> impl Strategy<Value = Position> {
        (any::<u64>(), any::<u32>()).prop_map(|(lsn, ordinal)| Position { lsn: Lsn(lsn), ordinal })
    }

    proptest! {
        #[test]
        fn a_claim_key_says_what_was_put_in(s in name(), p in name(), at in position(), id in any::<[u8; 32]>()) {
            let key = claim(&s, &p, at, &id);
            prop_assert_eq!(parse_claim(&key).unwrap(), ClaimKey { subject: &s, predicate: &p, position: at, id });
            prop_assert_eq!(filtered_prefix_bytes(&key), claim_prefix(&s, &p).len());
            prop_assert!(key.starts_with(&subject_prefix(&s)));
        }

        #[test]
        fn compact_positions_sort_and_come_apart(a in position(), b in position(), shift in 0..64u32, tail in any::<u8>()) {
            let a = Position { lsn: Lsn(a.lsn.0 >> shift), ordinal: a.ordinal >> (shift / 2) };
            let compact = |at: Position| { let mut key = Vec::new(); at.push_compact(&mut key); key };
            prop_assert_eq!(compact(a).cmp(&compact(b)), a.cmp(&b));
            prop_assert_eq!(Position::from_compact(&compact(a)), Some(a));
            let mut longer = compact(a);
            longer.push(tail);
            prop_assert_eq!(Position::from_compact(&longer), None);
            prop_assert_eq!(Position::from_compact(&longer[..longer.len() - 2]), None);
        }

        #[test]
        fn newer_claims_of_a_question_come_first(s in name(), p in name(), a in position(), b in position()) {
            let (x, y) = (claim(&s, &p, a, &[0; 32]), claim(&s, &p, b, &[0; 32]));
            prop_assert_eq!(x.cmp(&y), b.cmp(&a));
        }

        #[test]
        fn claims_of_different_questions_never_mix(s in name(), p in name(), t in name(), q in name(), at in position()) {
            prop_assume!((&s, &p) != (&t, &q));
            prop_assert!(!claim(&t, &q, at, &[0; 32]).starts_with(&claim_prefix(&s, &p)));
        }

        #[test]
        fn the_other_families_say_what_was_put_in(n in name(), m in name(), at in position(), id in any::<[u8; 32]>(), agent in any::<[u8; 32]>()) {
            let vote = id_agent(Family::Vote, &id, &agent, at);
            prop_assert_eq!(parse_id_agent(Family::Vote, &vote).unwrap(), (agent, at));
            prop_assert_eq!(filtered_prefix_bytes(&vote), id_prefix(Family::Vote, &id).len());
            prop_assert_eq!(parse_superseded(&superseded(&id, at)).unwrap(), at);
            let source = named(Family::Source, &n, at);
            prop_assert_eq!(parse_named(Family::Source, &source).unwrap(), (n.as_str(), at));
            let named = named_prefix(Family::Source, &n);
            prop_assert_eq!(filtered_prefix_bytes(&source), named.len());
            prop_assert_eq!(parse_position_after(Family::Source, named.len(), &source).unwrap(), at);
            prop_assert!(parse_position_after(Family::Source, named.len() + 1, &source).is_err());
            let place = by_id_value(at, &n, &m);
            prop_assert_eq!(parse_by_id_value(&place).unwrap(), (at, n.as_str(), m.as_str()));
            let record = super::agent(&agent, at);
            prop_assert_eq!(parse_agent(&record).unwrap(), (agent, at));
            prop_assert_eq!(filtered_prefix_bytes(&record), agent_prefix(&agent).len());
            prop_assert_eq!(parse_by_id(&by_id(&id)).unwrap(), ClaimId(id));
            let derivation = derived(&id, &agent);
            prop_assert_eq!(parse_derived(&derivation).unwrap(), (&id, &agent));
            let said = by_source_value(&n, &m);
            prop_assert_eq!(parse_by_source_value(&said).unwrap(), (n.as_str(), m.as_str()));
            let posting = by_predicate(&n, &m, at);
            prop_assert_eq!(parse_by_predicate(&posting).unwrap(), (n.as_str(), m.as_str(), at));
            let value = SortedValue::number(&stemedb_core::Decimal::from_integer(at.lsn.0 as i64));
            let posting = by_value(&n, &value, &m, at);
            let expected = ByValueKey { predicate: &n, value, subject: &m, position: at };
            prop_assert_eq!(parse_by_value(&posting).unwrap(), expected);
            prop_assert!(posting.starts_with(&by_value_subject(&n, &value, &m)));
            prop_assert_eq!(parse_posting(Family::BySource, &by_source(&n, at)).unwrap(), at);
            let place = by_source_value(&n, &m);
            prop_assert_eq!(parse_by_source_value(&place).unwrap(), (n.as_str(), m.as_str()));
        }

        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            for tag in 0..=15u8 {
                let mut key = vec![tag];
                key.extend_from_slice(&bytes);
                prop_assert!(filtered_prefix_bytes(&key) <= key.len());
                let _ = parse_claim(&key);
                let _ = parse_by_predicate(&key);
                let _ = parse_by_source_value(&key);
                let _ = parse_superseded(&key);
                let _ = parse_id_agent(Family::Vote, &key);
                let _ = parse_named(Family::Source, &key);
                let _ = parse_by_id_value(&key);
                let _ = parse_by_id(&key);
                let _ = parse_agent(&key);
                let _ = parse_derived(&key);
                let _ = parse_by_value(&key);
                let _ = parse_posting(Family::BySource, &key);
                let _ = parse_by_source_value(&key);
            }
        }
    }

    #[test]
    fn every_tag_is_its_own_family() {
        for family in Family::ALL {
            assert_eq!(Family::of(&family_prefix(family)), Some(family));
        }
        assert_eq!(Family::of(&[0]), None);
        assert_eq!(Family::of(&[0x0f]), None);
        assert_eq!(Family::of(&[]), None);
    }
}
