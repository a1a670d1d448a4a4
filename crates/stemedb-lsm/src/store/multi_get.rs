//! Many lookups at once.
//!
//! Alone, a lookup waits for one thing after another: a filter line, a block, a read from disk. Together, the keys ask for
//! these things first and look at them later: a few keys at a time for what is in memory, all keys of a run for what must
//! be read, with one batch of reads.

use std::sync::Arc;

use stemedb_env::{
    Lsn,
    fs::read_batch,
    planted::{Bug, planted},
};

use super::core::State;
use crate::{
    Result, Value,
    table::{
        Found, Room, Run, Table,
        block::{Block, FoundBlock, Lookup},
        filter::filter_hash,
    },
};

/// Keys whose memory is asked for together. A borrowed block occupies one of eight places of its thread.
const TOGETHER: usize = 8;

/// Keys whose blocks are read together. More would wait no less for the disk, and all their blocks are in memory at once.
const READ_TOGETHER: usize = 256;

/// A key without an answer yet.
struct Pending<'a> {
    /// Its place in the answers.
    at: usize,
    key: &'a [u8],
    hash: u64,
}

/// A key whose block must be read.
struct Missing<'a, 't> {
    pending: Pending<'a>,
    table: &'t Arc<Table>,
    block: usize,
}

impl Missing<'_, '_> {
    /// Table and block.
    fn place(&self) -> (u64, usize) {
        (self.table.meta.file, self.block)
    }
}

/// What is found in one place.
enum Outcome {
    Found(Option<Value>),
    Nothing,
}

/// The newest versions of the keys at or below `lsn`, in their order.
pub(super) fn multi_get(state: &State, keys: &[&[u8]], lsn: Lsn) -> Result<Vec<Option<Value>>> {
    let mut answers: Vec<Option<Value>> = vec![None; keys.len()];
    let mut pending = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().copied().enumerate() {
        let hash = filter_hash(key);
        let found = state.memtables().map(|memtable| memtable.get(key, hash, lsn));
        match { found }.find(|found| !matches!(found, Found::Nothing)) {
            Some(found) => put(&mut answers, at, found.into_value()),
            None => pending.push(Pending { at, key, hash }),
        }
    }
    let left_out = usize::from(planted(Bug::LsmMultiGetSkipsARun));
    let runs = state.version.runs().count().saturating_sub(left_out);
    for run in state.version.runs().take(runs) {
        if pending.is_empty() {
            break;
        }
        pending = look_into(run, pending, lsn, &mut answers)?;
    }
    Ok(answers)
}

fn put(answers: &mut [Option<Value>], at: usize, value: Option<Value>) {
    if let Some(answer) = answers.get_mut(at) {
        *answer = value;
    }
}

/// Answers what the run has; returns the rest.
fn look_into<'a>(
    run: &Run,
    pending: Vec<Pending<'a>>,
    lsn: Lsn,
    answers: &mut [Option<Value>],
) -> Result<Vec<Pending<'a>>> {
    let mut left = Vec::new();
    let mut missing: Vec<Missing<'a, '_>> = Vec::new();
    let mut pending = pending.into_iter().peekable();
    let mut group: Vec<(Pending<'a>, &Arc<Table>)> = Vec::with_capacity(TOGETHER);
    let mut blocks: Vec<(Pending<'a>, &Arc<Table>, FoundBlock)> = Vec::with_capacity(TOGETHER);
    while pending.peek().is_some() {
        for key in pending.by_ref().take(TOGETHER) {
            match run.find(key.key) {
                Some(table) => {
                    table.prefetch_filter(key.hash);
                    group.push((key, table));
                }
                None => left.push(key),
            }
        }
        for (key, table) in group.drain(..) {
            if table.is_covered(key.key, lsn)? {
                match table.get(key.key, lsn, key.hash)? {
                    Found::Nothing => left.push(key),
                    found => put(answers, key.at, found.into_value()),
                }
                continue;
            }
            match table.candidate(key.key, lsn, key.hash)? {
                None => left.push(key),
                Some(at) => match table.cached_block(at) {
                    Some(block) => blocks.push((key, table, block)),
                    // Nothing to read together.
                    None if table.has_no_file() => match table.get(key.key, lsn, key.hash)? {
                        Found::Nothing => left.push(key),
                        found => put(answers, key.at, found.into_value()),
                    },
                    None => missing.push(Missing { pending: key, table, block: at }),
                },
            }
        }
        for (key, table, block) in blocks.drain(..) {
            match look_at(&block, table, &key, lsn)? {
                Outcome::Found(value) => put(answers, key.at, value),
                Outcome::Nothing => left.push(key),
            }
        }
    }
    for (key, value) in read(missing, lsn)? {
        match value {
            Outcome::Found(value) => put(answers, key.at, value),
            Outcome::Nothing => left.push(key),
        }
    }
    Ok(left)
}

fn look_at(block: &FoundBlock, table: &Table, key: &Pending<'_>, lsn: Lsn) -> Result<Outcome> {
    Ok(match block.find(key.key, key.hash, lsn) {
        Lookup::Row(row) => Outcome::Found(block.pinned(row)),
        Lookup::Absent => {
            table.count_false_positive();
            Outcome::Nothing
        }
        // Rare: its versions may go on in the next block. The plain way knows how.
        Lookup::Older => match table.get(key.key, lsn, key.hash)? {
            Found::Nothing => Outcome::Nothing,
            found => Outcome::Found(found.into_value()),
        },
    })
}

/// Reads the missing blocks, each once, and looks the keys up in them.
fn read<'a>(mut missing: Vec<Missing<'a, '_>>, lsn: Lsn) -> Result<Vec<(Pending<'a>, Outcome)>> {
    missing.sort_by_key(Missing::place);
    let mut outcomes = Vec::with_capacity(missing.len());
    let mut missing = missing.into_iter().peekable();
    while missing.peek().is_some() {
        let mut group: Vec<Missing<'a, '_>> = missing.by_ref().take(READ_TOGETHER).collect();
        let last = group.last().map(Missing::place);
        group.extend(std::iter::from_fn(|| missing.next_if(|key| Some(key.place()) == last)));
        read_group(group, lsn, &mut outcomes)?;
    }
    Ok(outcomes)
}

/// As [`read`], for a few keys sorted by place.
fn read_group<'a>(
    missing: Vec<Missing<'a, '_>>,
    lsn: Lsn,
    outcomes: &mut Vec<(Pending<'a>, Outcome)>,
) -> Result<()> {
    let mut distinct: Vec<(&Arc<Table>, usize)> = Vec::with_capacity(missing.len());
    for key in &missing {
        if distinct.last().is_none_or(|(table, at)| (table.meta.file, *at) != key.place()) {
            distinct.push((key.table, key.block));
        }
    }
    let reads = distinct.iter().map(|(table, at)| table.block_read(*at)).collect::<Result<Vec<_>>>()?;
    let mut blocks: Vec<Option<Result<Block>>> = distinct.iter().map(|_| None).collect();
    let mut room = Room::default();
    read_batch(&reads, &mut |nth, sealed| {
        if let (Some((table, at)), Some(slot)) = (distinct.get(nth), blocks.get_mut(nth)) {
            *slot = Some(table.block_from(*at, sealed, &mut room));
        }
    });
    let mut blocks = blocks.into_iter().zip(&distinct);
    let mut present: Option<(FoundBlock, (u64, usize))> = None;
    for key in missing {
        if present.as_ref().is_none_or(|(_, at)| *at != key.place()) {
            present = None;
            if let Some((Some(block), (table, at))) = blocks.next() {
                present = Some((FoundBlock::Read(block?), (table.meta.file, *at)));
            }
        }
        let outcome = match &present {
            Some((block, _)) => look_at(block, key.table, &key.pending, lsn)?,
            // Never: every read is taken. The plain way answers all the same.
            None => match key.table.get(key.pending.key, lsn, key.pending.hash)? {
                Found::Nothing => Outcome::Nothing,
                found => Outcome::Found(found.into_value()),
            },
        };
        outcomes.push((key.pending, outcome));
    }
    Ok(())
}
