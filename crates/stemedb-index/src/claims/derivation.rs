//! From journal entries to rows, and back.

use std::collections::BTreeSet;

use stemedb_core::{ClaimId, CommandRef};
use stemedb_env::{Lsn, Micros};
use stemedb_lsm::WriteBatch;

use super::{
    Claims,
    entry::{Entry, EntryBuilder},
};
use crate::{
    Error, Result,
    derive::{Derive, ViewRow},
    keys::{self, Family, Position, SortedValue},
};

/// recorded_at in front of the command bytes in the value of a row that holds a command.
const STAMP_BYTES: usize = 8;

/// The value of a row that holds a command.
fn stamped(recorded_at: Micros, command: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(STAMP_BYTES + command.len());
    value.extend_from_slice(&recorded_at.0.to_be_bytes());
    value.extend_from_slice(command);
    value
}

/// Takes the value of a row that holds a command apart.
pub(super) fn parse_stamped(family: Family, value: &[u8]) -> Result<(Micros, &[u8])> {
    let (stamp, command) = value.split_first_chunk::<STAMP_BYTES>().ok_or(Error::BadValue { family })?;
    Ok((Micros(i64::from_be_bytes(*stamp)), command))
}

/// Takes the value of an entry row apart: when, and how many commands.
pub(super) fn parse_entry_value(value: &[u8]) -> Result<(Micros, u32)> {
    let bad = || Error::BadValue { family: Family::Entry };
    let (stamp, count) = value.split_first_chunk::<8>().ok_or_else(bad)?;
    let count = count.try_into().map_err(|_| bad())?;
    Ok((Micros(i64::from_be_bytes(*stamp)), u32::from_be_bytes(count)))
}

/// The questions that an entry has posted already. An entry of one command keeps nothing.
struct Postings<'a> {
    alone: bool,
    /// Subject and predicate: subjects tell apart sooner than predicates do.
    questions: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Postings<'a> {
    fn of(entry: &Entry<'_>) -> Postings<'a> {
        Postings { alone: entry.count <= 1, questions: BTreeSet::new() }
    }

    fn is_first_question(&mut self, predicate: &'a str, subject: &'a str) -> bool {
        self.alone || self.questions.insert((subject, predicate))
    }
}

impl Derive for Claims {
    const VERSION: u32 = 2;
    // The entry row counts the commands, every command's row has its ordinal, and a claim's key its hash.
    const INVERSE_IS_CERTAIN: bool = true;
    // Keys have a position; those that have not (`by_id`, `derived`) have the id of a claim, and a claim is admitted once.
    const WRITE_ONCE: bool = true;

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> Result<()> {
        let entry = Entry::parse(lsn, entry)?;
        let mut value = [0; 12];
        value[..8].copy_from_slice(&entry.recorded_at.0.to_be_bytes());
        value[8..].copy_from_slice(&entry.count.to_be_bytes());
        rows.put(&keys::entry(lsn), &value);
        let mut postings = Postings::of(&entry);
        entry.for_each(|ordinal, command, bytes| {
            let at = Position { lsn, ordinal };
            let value = stamped(entry.recorded_at, bytes);
            match command {
                CommandRef::Assert(claim) => {
                    let id = ClaimId::of(claim.canonical);
                    rows.put(&keys::claim(claim.subject, claim.predicate, at, &id.0), &value);
                    rows.put(&keys::by_id(&id.0), &keys::by_id_value(at, claim.subject, claim.predicate));
                    if postings.is_first_question(claim.predicate, claim.subject) {
                        rows.put(&keys::by_predicate(claim.predicate, claim.subject, at), &[]);
                    }
                    if let Some(value) = SortedValue::of(claim.object) {
                        rows.put(&keys::by_value(claim.predicate, &value, claim.subject, at), &[]);
                    }
                    let place = keys::by_source_value(claim.subject, claim.predicate);
                    rows.put(&keys::by_source(claim.source, at), &place);
                    if let Some(author) = claim.author {
                        rows.put(&keys::by_agent(&author.0, at), &id.0);
                    }
                    for signature in claim.signatures() {
                        if Some(signature.agent) != claim.author {
                            rows.put(&keys::by_agent(&signature.agent.0, at), &id.0);
                        }
                    }
                    for parent in claim.parents() {
                        rows.put(&keys::derived(&parent.0, &id.0), &[]);
                    }
                }
                CommandRef::Vote(vote) => {
                    rows.put(&keys::id_agent(Family::Vote, &vote.assertion.0, &vote.agent.0, at), &value);
                    rows.put(&keys::by_agent(&vote.agent.0, at), &vote.assertion.0);
                }
                CommandRef::Supersede(supersession) => {
                    rows.put(&keys::superseded(&supersession.old.0, at), &value);
                    if let Some(agent) = supersession.agent {
                        rows.put(&keys::by_agent(&agent.0, at), &supersession.old.0);
                    }
                }
                CommandRef::Epoch(epoch) => rows.put(&keys::named(Family::Epoch, &epoch.name, at), &value),
                CommandRef::Source(source) => rows.put(&keys::named(Family::Source, &source.id, at), &value),
                CommandRef::Cosign(cosign) => {
                    rows.put(&keys::id_agent(Family::Cosigned, &cosign.claim.0, &cosign.agent.0, at), &value);
                    rows.put(&keys::by_agent(&cosign.agent.0, at), &cosign.claim.0);
                }
            }
            Ok(())
        })
    }

    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> Result<Option<Vec<u8>>> {
        let mut header = None;
        let mut commands: Vec<(u32, &[u8])> = Vec::new();
        for (key, value) in rows {
            let Some(family) = Family::of(key) else { continue };
            let at = match family {
                Family::Entry => {
                    header = Some(parse_entry_value(value)?);
                    continue;
                }
                Family::Claim => keys::parse_claim(key)?.position,
                Family::Vote | Family::Cosigned => keys::parse_id_agent(family, key)?.1,
                Family::Superseded => keys::parse_superseded(key)?,
                Family::Epoch | Family::Source => keys::parse_named(family, key)?.1,
                Family::ById
                | Family::ByPredicate
                | Family::ByValue
                | Family::BySource
                | Family::ByAgent
                | Family::Derived => continue,
            };
            if at.lsn == lsn {
                commands.push((at.ordinal, parse_stamped(family, value)?.1));
            }
        }
        let Some((recorded_at, count)) = header else { return Ok(None) };
        commands.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        let complete = commands.len() == count as usize
            && commands.iter().zip(0..count).all(|((ordinal, _), expected)| *ordinal == expected);
        if !complete {
            return Ok(None);
        }
        let mut entry = EntryBuilder::new(recorded_at, commands.iter().map(|(_, bytes)| bytes.len()).sum());
        for (_, bytes) in commands {
            entry.push(bytes);
        }
        entry.finish()
    }

    fn recorded_at(&self, lsn: Lsn, entry: &[u8]) -> Result<Option<Micros>> {
        Entry::parse(lsn, entry).map(|entry| Some(entry.recorded_at))
    }

    fn filtered_prefix_bytes(key: &[u8]) -> usize {
        keys::filtered_prefix_bytes(key)
    }
}
