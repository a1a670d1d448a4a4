//! From journal entries to rows, and back.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    ops::RangeInclusive,
};

use stemedb_core::{AgentId, ClaimId, CommandRef, Cosign, Vote};
use stemedb_env::{Lsn, Micros};
use stemedb_lsm::WriteBatch;

use super::{
    Claims,
    entry::{Entry, EntryBuilder},
    wanted::{Everything, Wanted, Within},
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

/// Appends the rows of an entry that are wanted. Of the others nothing is built, and a claim is hashed only if a row that has
/// its id may be wanted.
#[inline(always)]
fn rows_of<W: Wanted>(lsn: Lsn, entry: &[u8], wanted: &W, rows: &mut WriteBatch) -> Result<()> {
    let entry = Entry::parse(lsn, entry)?;
    if wanted.starts(Family::Entry, &[&lsn.0.to_be_bytes()]) {
        let mut value = [0; 12];
        value[..8].copy_from_slice(&entry.recorded_at.0.to_be_bytes());
        value[8..].copy_from_slice(&entry.count.to_be_bytes());
        wanted.put(rows, &keys::entry(lsn), || value);
    }
    let postings = RefCell::new(Postings::of(&entry));
    entry.for_each(|ordinal, command, bytes| {
        let at = Position { lsn, ordinal };
        let value = || stamped(entry.recorded_at, bytes);
        let by_agent = |rows: &mut WriteBatch, agent: AgentId, id: &dyn Fn() -> ClaimId| {
            if wanted.starts(Family::ByAgent, &[&agent.0, &at.oldest_first()]) {
                wanted.put(rows, &keys::by_agent(&agent.0, at), || id().0);
            }
        };
        match command {
            CommandRef::Assert(claim) => {
                let (subject, predicate) = (claim.subject, claim.predicate);
                let known = Cell::new(None);
                let id = || {
                    let id = known.get().unwrap_or_else(|| ClaimId::of(claim.canonical));
                    known.set(Some(id));
                    id
                };
                let question = [subject.as_bytes(), &[0], predicate.as_bytes(), &[0], &at.newest_first()];
                if wanted.starts(Family::Claim, &question) {
                    wanted.put(rows, &keys::claim(subject, predicate, at, &id().0), value);
                }
                if wanted.starts(Family::ById, &[]) && wanted.starts(Family::ById, &[&id().0]) {
                    wanted.put(rows, &keys::by_id(&id().0), || keys::by_id_value(at, subject, predicate));
                }
                // All claims of a question begin alike, so that a span has the first of them or none.
                if wanted.starts(Family::ByPredicate, &[predicate.as_bytes(), &[0], subject.as_bytes(), &[0]])
                    && postings.borrow_mut().is_first_question(predicate, subject)
                {
                    wanted.put(rows, &keys::by_predicate(predicate, subject, at), || []);
                }
                if wanted.starts(Family::ByValue, &[predicate.as_bytes(), &[0]])
                    && let Some(value) = SortedValue::of(claim.object)
                {
                    wanted.put(rows, &keys::by_value(predicate, &value, subject, at), || []);
                }
                if wanted.starts(Family::BySource, &[claim.source.as_bytes(), &[0], &at.oldest_first()]) {
                    let place = || keys::by_source_value(subject, predicate);
                    wanted.put(rows, &keys::by_source(claim.source, at), place);
                }
                if let Some(author) = claim.author {
                    by_agent(rows, author, &id);
                }
                if wanted.starts(Family::ByAgent, &[]) {
                    for signature in claim.signatures() {
                        if Some(signature.agent) != claim.author {
                            by_agent(rows, signature.agent, &id);
                        }
                    }
                }
                if wanted.starts(Family::Derived, &[]) {
                    for parent in claim.parents() {
                        if wanted.starts(Family::Derived, &[&parent.0]) {
                            wanted.put(rows, &keys::derived(&parent.0, &id().0), || []);
                        }
                    }
                }
            }
            CommandRef::Vote(vote) => {
                let Vote { assertion, agent, .. } = vote;
                if wanted.starts(Family::Vote, &[&assertion.0, &agent.0]) {
                    wanted.put(rows, &keys::id_agent(Family::Vote, &assertion.0, &agent.0, at), value);
                }
                by_agent(rows, agent, &|| assertion);
            }
            CommandRef::Supersede(supersession) => {
                let old = supersession.old;
                if wanted.starts(Family::Superseded, &[&old.0]) {
                    wanted.put(rows, &keys::superseded(&old.0, at), value);
                }
                if let Some(agent) = supersession.agent {
                    by_agent(rows, agent, &|| old);
                }
            }
            CommandRef::Epoch(epoch) => {
                if wanted.starts(Family::Epoch, &[epoch.name.as_bytes(), &[0]]) {
                    wanted.put(rows, &keys::named(Family::Epoch, &epoch.name, at), value);
                }
            }
            CommandRef::Source(source) => {
                if wanted.starts(Family::Source, &[source.id.as_bytes(), &[0]]) {
                    wanted.put(rows, &keys::named(Family::Source, source.id, at), value);
                }
            }
            CommandRef::Cosign(cosign) => {
                let Cosign { claim, agent, .. } = cosign;
                if wanted.starts(Family::Cosigned, &[&claim.0, &agent.0]) {
                    wanted.put(rows, &keys::id_agent(Family::Cosigned, &claim.0, &agent.0, at), value);
                }
                by_agent(rows, agent, &|| claim);
            }
            CommandRef::Agent(agent) => {
                if wanted.starts(Family::Agent, &[&agent.id.0]) {
                    wanted.put(rows, &keys::agent(&agent.id.0, at), value);
                }
            }
        }
        Ok(())
    })
}

impl Derive for Claims {
    const VERSION: u32 = 2;
    // The entry row counts the commands, every command's row has its ordinal, and a claim's key its hash.
    const INVERSE_IS_CERTAIN: bool = true;
    // Keys have a position; those that have not (`by_id`, `derived`) have the id of a claim, and a claim is admitted once.
    const WRITE_ONCE: bool = true;

    /// Every family of version 1 is as it was, but for those that [`Family::derived_since`] names: a listing of these asks its
    /// snapshot's `derived_by`.
    fn reads_version(version: u32) -> bool {
        version == 1
    }

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> Result<()> {
        rows_of(lsn, entry, &Everything, rows)
    }

    fn derive_within(
        &self,
        lsn: Lsn,
        entry: &[u8],
        keys: &RangeInclusive<&[u8]>,
        rows: &mut WriteBatch,
    ) -> Result<()> {
        rows_of(lsn, entry, &Within::of(keys), rows)
    }

    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> Result<Option<Vec<u8>>> {
        let mut header = None;
        let mut commands: Vec<(u32, &[u8])> = Vec::new();
        for (key, value) in rows {
            let Some(family) = Family::of(key) else { continue };
            if family == Family::Entry {
                header = Some(parse_entry_value(value)?);
            } else if let Some(at) = keys::command_position(key)?
                && at.lsn == lsn
            {
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
