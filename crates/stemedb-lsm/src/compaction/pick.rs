//! Which tables to merge next.

use std::sync::Arc;

use crate::{
    LsmOptions,
    table::Table,
    version::{LAST_LEVEL, Version},
};

/// One compaction: these tables become tables of `output_level`.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) inputs: Vec<(usize, Arc<Table>)>,
    pub(crate) output_level: usize,
    /// Nothing overlaps: the tables change their level and are not rewritten.
    pub(crate) moves: bool,
    /// No older version of any key lies below.
    pub(crate) is_bottom: bool,
}

/// What each level may hold.
#[derive(Debug)]
pub(crate) struct Targets {
    /// Where level 0 goes.
    pub(crate) base: usize,
    /// Bytes by level; 0 for level 0 and levels above the base, which should be empty.
    pub(crate) bytes: [u64; LAST_LEVEL + 1],
}

/// The staircase under the present last level.
pub(crate) fn targets(version: &Version, options: &LsmOptions) -> Targets {
    let base_bytes = (options.memtable_bytes as u64).saturating_mul(options.l0_trigger as u64).max(1);
    let largest = (1..=LAST_LEVEL).map(|level| version.level_bytes(level)).max().unwrap_or(0);
    let mut bytes = [0; LAST_LEVEL + 1];
    let mut target = largest.max(base_bytes);
    let mut base = LAST_LEVEL;
    for (level, slot) in bytes.iter_mut().enumerate().skip(1).rev() {
        *slot = target;
        base = level;
        if target <= base_bytes {
            break;
        }
        target /= options.level_fanout.max(2);
    }
    Targets { base, bytes }
}

/// Bytes by which levels exceed their targets.
pub(crate) fn pending_bytes(version: &Version, options: &LsmOptions) -> u64 {
    let targets = targets(version, options);
    let newest = if version.l0.len() >= options.l0_trigger { version.level_bytes(0) } else { 0 };
    let over = |level: usize| {
        version.level_bytes(level).saturating_sub(targets.bytes.get(level).copied().unwrap_or(0))
    };
    newest + (1..LAST_LEVEL).map(over).sum::<u64>()
}

fn range_of<'a>(tables: impl Iterator<Item = &'a Arc<Table>> + Clone) -> (&'a [u8], &'a [u8]) {
    let smallest = tables.clone().map(|table| table.meta.smallest.as_slice()).min().unwrap_or_default();
    let largest = tables.map(|table| table.meta.largest.as_slice()).max().unwrap_or_default();
    (smallest, largest)
}

fn task(version: &Version, inputs: Vec<(usize, Arc<Table>)>, output_level: usize, moves: bool) -> Task {
    let (smallest, largest) = range_of(inputs.iter().map(|(_, table)| table));
    let is_bottom =
        (output_level + 1..=LAST_LEVEL).all(|level| version.overlapping(level, smallest, largest).is_empty());
    Task { inputs, output_level, moves, is_bottom }
}

/// The most urgent compaction, if a level is over its target. Damaged tables are left alone.
pub(crate) fn pick(version: &Version, options: &LsmOptions, damaged: &dyn Fn(u64) -> bool) -> Option<Task> {
    let targets = targets(version, options);
    // Level 0 goes first: every read looks into each of its tables.
    if version.l0.len() >= options.l0_trigger
        && let Some(task) = pick_newest(version, &targets, damaged)
    {
        return Some(task);
    }
    let mut over: Vec<(u64, usize)> = (1..LAST_LEVEL)
        .filter_map(|level| {
            let (have, target) = (version.level_bytes(level), *targets.bytes.get(level)?);
            let score = have.saturating_mul(1000).checked_div(target).unwrap_or(u64::MAX);
            (have > target).then_some((score, level))
        })
        .collect();
    over.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    over.into_iter().find_map(|(_, level)| pick_level(version, level, damaged))
}

fn pick_newest(version: &Version, targets: &Targets, damaged: &dyn Fn(u64) -> bool) -> Option<Task> {
    // After the tree has shrunk there may be older rows above the base: they must not be jumped over.
    let output = (1..targets.base).find(|level| !version.level(*level).is_empty()).unwrap_or(targets.base);
    // Oldest first, up to the first damaged one: newer rows must not sink below it.
    let oldest_first = version.l0.iter().rev().flat_map(|run| run.iter());
    let healthy: Vec<Arc<Table>> =
        oldest_first.take_while(|table| !damaged(table.meta.file)).cloned().collect();
    let mut free: Vec<(usize, Arc<Table>)> = Vec::new();
    for table in &healthy {
        let (smallest, largest) = (&table.meta.smallest, &table.meta.largest);
        let alone = version.overlapping(output, smallest, largest).is_empty()
            && free.iter().all(|(_, other)| !other.meta.overlaps(smallest, largest));
        if !alone {
            break;
        }
        free.push((0, Arc::clone(table)));
    }
    if !free.is_empty() {
        return Some(task(version, free, output, true));
    }
    if healthy.is_empty() {
        return None;
    }
    let (smallest, largest) = range_of(healthy.iter());
    let below = version.overlapping(output, smallest, largest);
    if below.iter().any(|table| damaged(table.meta.file)) {
        return None;
    }
    let newest = healthy.iter().map(|table| (0, Arc::clone(table)));
    let inputs = newest.chain(below.into_iter().map(|table| (output, table))).collect();
    Some(task(version, inputs, output, false))
}

/// The table of a level that costs least to merge: the smallest ratio of overlapped to own bytes, the oldest of equals.
fn pick_level(version: &Version, level: usize, damaged: &dyn Fn(u64) -> bool) -> Option<Task> {
    let candidates =
        version.level(level).iter().filter(|table| !damaged(table.meta.file)).filter_map(|table| {
            let below = version.overlapping(level + 1, &table.meta.smallest, &table.meta.largest);
            if below.iter().any(|table| damaged(table.meta.file)) {
                return None;
            }
            let overlap: u64 = below.iter().map(|table| table.meta.bytes).sum();
            let ratio = overlap.saturating_mul(1000) / table.meta.bytes.max(1);
            Some(((ratio, table.meta.file), table, below))
        });
    let (_, table, below) = candidates.min_by_key(|(cost, ..)| *cost)?;
    let moves = below.is_empty();
    let mut inputs = vec![(level, Arc::clone(table))];
    inputs.extend(below.into_iter().map(|table| (level + 1, table)));
    Some(task(version, inputs, level + 1, moves))
}

/// Everything into the last level; `None` if it is there already and nothing in it could be forgotten.
pub(crate) fn pick_everything(version: &Version, damaged: &dyn Fn(u64) -> bool) -> Option<Task> {
    let inputs: Vec<(usize, Arc<Table>)> =
        version.tables().map(|(level, table)| (level, Arc::clone(table))).collect();
    let settled = inputs.iter().all(|(level, table)| {
        *level == LAST_LEVEL && table.meta.tombstones == 0 && table.meta.keys == table.meta.rows
    });
    if settled || inputs.iter().any(|(_, table)| damaged(table.meta.file)) {
        return None;
    }
    Some(task(version, inputs, LAST_LEVEL, false))
}
