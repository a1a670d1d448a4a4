//! Which tables to merge next.

use std::{collections::BTreeSet, sync::Arc};

use stemedb_env::Lsn;

use super::{
    column::{Column, RunSize, columns},
    task::{Kind, Place, Task, merge_runs, target_table_bytes},
};
use crate::{
    LsmOptions,
    table::Table,
    version::{LAST_LEVEL, Version},
};

/// A column with one dead row in this many is merged: what is hidden goes, and scans need not step over it.
const DENSE: u64 = 4;

/// What the picker must know besides the arrangement of the tables.
pub(crate) struct Facts<'a> {
    pub(crate) version: &'a Version,
    pub(crate) options: &'a LsmOptions,
    /// Compaction keeps away from them.
    pub(crate) damaged: &'a dyn Fn(u64) -> bool,
    /// Inputs of compactions that have begun.
    pub(crate) busy: &'a BTreeSet<u64>,
    /// Key ranges into which compactions that have begun write.
    pub(crate) busy_ranges: &'a [(Vec<u8>, Vec<u8>)],
    /// Versions at or below may be merged now.
    pub(crate) horizon: Lsn,
    /// Tables in which scans had to step over many dead rows.
    pub(crate) reported: &'a BTreeSet<u64>,
}

impl Facts<'_> {
    fn is_free(&self, table: &Table) -> bool {
        !(self.damaged)(table.meta.file) && !self.busy.contains(&table.meta.file)
    }

    fn column_is_free(&self, column: &Column) -> bool {
        column.tables.iter().all(|(_, table)| self.is_free(table))
    }

    /// Level-0 tables that may be merged: from the oldest one on. Newer rows must not sink below a table that stays.
    fn free_l0(&self) -> Vec<Arc<Table>> {
        let oldest_first = self.version.l0.iter().rev().flat_map(|run| run.iter());
        oldest_first.take_while(|table| self.is_free(table)).cloned().collect()
    }

    fn target(&self, level: usize) -> u64 {
        target_table_bytes(self.version, self.options, level)
    }
}

/// True if level 0 should be merged now.
pub(crate) fn l0_is_due(version: &Version, options: &LsmOptions) -> bool {
    version.l0.len() >= options.l0_trigger.max(1)
        || version.level_bytes(0) >= options.compaction_trigger_bytes.max(1)
}

/// The most urgent compaction of level 0.
pub(crate) fn pick_l0(facts: &Facts<'_>) -> Option<Task> {
    let reported = || facts.version.newest_tables().any(|table| facts.reported.contains(&table.meta.file));
    if !l0_is_due(facts.version, facts.options) && !reported() {
        return None;
    }
    let columns = columns(facts.version, facts.options);
    sink(facts, &columns).or_else(|| merge_l0(facts, &columns, Kind::Level0)).or_else(|| shorten_l0(facts))
}

/// Runs that lie high above the next one, as after a merge below them, move down: the next ones need their place.
fn sink(facts: &Facts<'_>, columns: &[Column]) -> Option<Task> {
    let mut moves = Vec::new();
    for column in columns.iter().filter(|column| column.top() == 1) {
        let mut below = LAST_LEVEL + 1;
        for run in column.runs().iter().rev() {
            let tables = || column.tables.iter().filter(|(level, _)| *level == run.level);
            let to = below - 1;
            // Nor into what a merge under way will write: an ingest may have put a run between its inputs and its output.
            let may_move = |table: &Arc<Table>| {
                let meets = |(start, end): &(Vec<u8>, Vec<u8>)| table.meta.overlaps(start, end);
                facts.is_free(table) && !facts.busy_ranges.iter().any(meets)
            };
            if run.level < to && tables().all(|(_, table)| may_move(table)) {
                moves.extend(tables().map(|(from, table)| (*from, Arc::clone(table), to)));
                below = to;
            } else {
                below = run.level;
            }
        }
    }
    (!moves.is_empty()).then_some(Task {
        kind: Kind::Level0,
        inputs: Vec::new(),
        moves,
        places: Vec::new(),
        borders: Vec::new(),
    })
}

/// The tables of level 0 as one new run on top of each column.
pub(crate) fn merge_l0(facts: &Facts<'_>, columns: &[Column], kind: Kind) -> Option<Task> {
    let free = facts.free_l0();
    if free.is_empty() {
        return None;
    }
    let moves = moves_from_l0(facts, columns, &free);
    if !moves.is_empty() {
        return Some(Task { kind, inputs: Vec::new(), moves, places: Vec::new(), borders: Vec::new() });
    }
    let inputs: Vec<(usize, Arc<Table>)> = free.iter().map(|table| (0, Arc::clone(table))).collect();
    let [only] = columns else {
        return place_l0(facts, columns, inputs, kind);
    };
    let above: u64 =
        only.tables.iter().filter(|(level, _)| *level < LAST_LEVEL).map(|(_, t)| t.meta.data_bytes).sum();
    let newest: u64 = free.iter().map(|table| table.meta.data_bytes).sum();
    let last: u64 = only.tables.iter().map(|(_, table)| table.meta.data_bytes).sum::<u64>() - above;
    if facts.column_is_free(only) && (newest + above).saturating_mul(ratio(facts.options)) >= last {
        // One merge instead of two: it would be due right after.
        let tables = inputs.into_iter().chain(only.tables.iter().cloned()).collect();
        return Some(merge_runs(kind, tables, LAST_LEVEL, true, facts.target(LAST_LEVEL)));
    }
    place_l0(facts, columns, inputs, kind)
}

/// Rows written in key order are never rewritten: the oldest tables that overlap nothing go straight to the last level.
fn moves_from_l0(
    facts: &Facts<'_>,
    columns: &[Column],
    free: &[Arc<Table>],
) -> Vec<(usize, Arc<Table>, usize)> {
    let mut moves: Vec<(usize, Arc<Table>, usize)> = Vec::new();
    for table in free {
        let meta = &table.meta;
        let hit = |smallest: &[u8], largest: &[u8]| meta.overlaps(smallest, largest);
        let stands_alone = !columns
            .iter()
            .flat_map(|column| &column.tables)
            .map(|(_, table)| table)
            // Newer tables that overlap it would soon be merged with it.
            .chain(free.iter().filter(|other| !Arc::ptr_eq(other, table)))
            .any(|other| hit(&other.meta.smallest, &other.meta.largest))
            && !facts.busy_ranges.iter().any(|(smallest, largest)| hit(smallest, largest));
        if !stands_alone || meta.tombstones > 0 || meta.ranges > 0 {
            break;
        }
        moves.push((0, Arc::clone(table), LAST_LEVEL));
    }
    moves
}

fn place_l0(
    facts: &Facts<'_>,
    columns: &[Column],
    inputs: Vec<(usize, Arc<Table>)>,
    kind: Kind,
) -> Option<Task> {
    let mut places = Vec::with_capacity(columns.len().max(1));
    for (at, column) in columns.iter().enumerate() {
        let level = column.top().checked_sub(1).filter(|level| *level > 0);
        let upto = (at + 1 < columns.len()).then(|| column.largest.clone());
        let from = at.checked_sub(1).and_then(|before| columns.get(before)).map(|before| &before.largest);
        let touched = inputs.iter().any(|(_, table)| {
            upto.as_ref().is_none_or(|upto| table.meta.smallest <= *upto)
                && from.is_none_or(|from| table.meta.largest > *from)
        });
        let level = match level {
            Some(level) => level,
            // No row goes there; the place only says where the others end.
            None if !touched => LAST_LEVEL,
            // Its merge must make room first.
            None => return merge_column(facts, column, Kind::Level0),
        };
        places.push(Place { upto, level, is_bottom: false });
    }
    if places.is_empty() {
        places.push(Place { upto: None, level: LAST_LEVEL, is_bottom: true });
    }
    Some(Task { kind, inputs, moves: Vec::new(), places, borders: Vec::new() })
}

/// Two or more tables of level 0 into one, when they can go nowhere else: reads look into fewer, and writers go on.
fn shorten_l0(facts: &Facts<'_>) -> Option<Task> {
    let free = facts.version.l0.iter().flat_map(|run| run.iter());
    // The newest ones: a merge of the oldest may have begun.
    let newest: Vec<(usize, Arc<Table>)> =
        free.take_while(|table| facts.is_free(table)).map(|table| (0, Arc::clone(table))).collect();
    let crowded = facts.version.l0.len() >= facts.options.l0_trigger.max(1) * 2;
    // Tables of about one size: a large one of an earlier merge is left alone until there is as much again.
    let mut bytes = 0;
    let same_size: Vec<_> = newest
        .into_iter()
        .take_while(|(_, table)| {
            let fits = bytes == 0 || table.meta.bytes <= bytes.max(facts.options.memtable_bytes as u64 * 2);
            bytes += table.meta.bytes;
            fits
        })
        .collect();
    (crowded && same_size.len() >= facts.options.l0_trigger.max(2)).then_some(Task {
        kind: Kind::Level0,
        inputs: same_size,
        moves: Vec::new(),
        places: vec![Place { upto: None, level: 0, is_bottom: false }],
        borders: Vec::new(),
    })
}

fn ratio(options: &LsmOptions) -> u64 {
    options.last_run_ratio.max(1)
}

fn upper_runs(options: &LsmOptions) -> usize {
    options.upper_runs.clamp(1, LAST_LEVEL - 2)
}

/// What a column needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// These many of its newest runs become one.
    Shorten(usize),
    /// Everything becomes its last run.
    Whole,
}

fn parts(runs: &[RunSize]) -> (&[RunSize], u64) {
    match runs.split_last() {
        Some((last, above)) if last.level == LAST_LEVEL => (above, last.data_bytes),
        _ => (runs, 0),
    }
}

fn sum(runs: &[RunSize]) -> u64 {
    runs.iter().map(|run| run.data_bytes).sum()
}

/// How many of the newest runs are merged together: always two, and each further one that is not larger than what is
/// taken already. With at most `n` runs above the last each row is rewritten about as seldom as it can be
/// (k-binomial merging, Mathieu et al., "Bigtable Merge Compaction").
fn newest_of_a_size(above: &[RunSize]) -> usize {
    let mut taken = sum(above.get(..2).unwrap_or(above));
    let mut count = above.len().min(2);
    while let Some(run) = above.get(count).filter(|run| run.data_bytes <= taken) {
        taken += run.data_bytes;
        count += 1;
    }
    count
}

pub(crate) fn need(facts: &Facts<'_>, column: &Column) -> Need {
    let runs = column.runs();
    let (above, last) = parts(&runs);
    if !above.is_empty() && sum(above).saturating_mul(ratio(facts.options)) >= last {
        return Need::Whole;
    }
    if is_dense(facts, column) {
        return Need::Whole;
    }
    if above.len() > upper_runs(facts.options) {
        Need::Shorten(newest_of_a_size(above))
    } else {
        Need::Nothing
    }
}

/// Much of the column is dead, or a scan has suffered from it, and a merge would really get rid of it.
fn is_dense(facts: &Facts<'_>, column: &Column) -> bool {
    let (dead, rows) = column.dead_rows();
    if dead == 0 || column.tables.iter().any(|(_, table)| table.meta.max_lsn > facts.horizon) {
        return false;
    }
    dead.saturating_mul(DENSE) >= rows
        || column.tables.iter().any(|(_, table)| facts.reported.contains(&table.meta.file))
}

/// Merges what the column needs, or at least its newest two runs.
fn merge_column(facts: &Facts<'_>, column: &Column, kind: Kind) -> Option<Task> {
    let need = match need(facts, column) {
        Need::Nothing => Need::Shorten(newest_of_a_size(parts(&column.runs()).0)),
        need => need,
    };
    column_task(facts, column, need, kind)
}

pub(crate) fn column_task(facts: &Facts<'_>, column: &Column, need: Need, kind: Kind) -> Option<Task> {
    let runs = column.runs();
    let mut count = match need {
        Need::Nothing => return None,
        Need::Shorten(count) => count,
        Need::Whole => runs.len(),
    };
    // Only as deep as nothing is damaged or taken: what is above may still become one.
    let is_free = |run: &RunSize| {
        column.tables.iter().filter(|(level, _)| *level == run.level).all(|(_, table)| facts.is_free(table))
    };
    count = count.min(runs.iter().take_while(|run| is_free(run)).count());
    if count == 0 || (count == 1 && need != Need::Whole) || (count == 1 && runs.len() > 1) {
        return None;
    }
    let below = runs.get(count);
    let deepest = runs.get(count - 1)?.level;
    let level = below.map_or(LAST_LEVEL, |run| run.level - 1);
    let tables = column.tables.iter().filter(|(level, _)| *level <= deepest).cloned().collect();
    let mut task = merge_runs(kind, tables, level, below.is_none(), facts.target(level));
    if let Some(below) = below {
        let ends = column.tables.iter().filter(|(level, _)| *level == below.level);
        task.borders = ends.map(|(_, table)| table.meta.largest.clone()).collect();
        task.borders.sort();
    }
    Some(task)
}

/// The column that needs a merge most: the one with most runs, then the one with the largest part above its last run,
/// then the one with the oldest table.
pub(crate) fn pick_column(facts: &Facts<'_>) -> Option<Task> {
    let columns = columns(facts.version, facts.options);
    let mut due: Vec<_> = columns
        .iter()
        .filter_map(|column| {
            let need = need(facts, column);
            let runs = column.runs();
            let (above, last) = parts(&runs);
            let part = sum(above).saturating_mul(1000) / last.max(1);
            let oldest = column.tables.iter().map(|(_, table)| table.meta.file).min();
            (need != Need::Nothing).then_some((
                (usize::MAX - above.len(), u64::MAX - part, oldest),
                column,
                need,
            ))
        })
        .collect();
    due.sort_by_key(|(urgency, ..)| *urgency);
    due.into_iter().find_map(|(_, column, need)| column_task(facts, column, need, Kind::Column))
}

/// A tree with more files than this has small neighbours in its last runs merged.
const CROWDED_FILES: usize = 96;

/// Small neighbours of a last run as larger tables, when there are too many files: rows that were written in order lie in
/// tables of the size of a memtable, which was large once.
pub(crate) fn pick_crowded(facts: &Facts<'_>) -> Option<Task> {
    if facts.version.file_count() <= CROWDED_FILES {
        return None;
    }
    let target = facts.target(LAST_LEVEL);
    let mut best: Vec<Arc<Table>> = Vec::new();
    for column in columns(facts.version, facts.options) {
        let mut group: (u64, Vec<Arc<Table>>) = (0, Vec::new());
        for (_, table) in column.tables.iter().filter(|(level, _)| *level == LAST_LEVEL) {
            let is_small = facts.is_free(table) && table.meta.bytes.saturating_mul(2) < target;
            if !is_small || group.0 >= target {
                group = (0, Vec::new());
            }
            if is_small {
                group.0 += table.meta.bytes;
                group.1.push(Arc::clone(table));
                if group.1.len() > best.len() {
                    best.clone_from(&group.1);
                }
            }
        }
    }
    let inputs = best.into_iter().map(|table| (LAST_LEVEL, table)).collect::<Vec<_>>();
    let places = vec![Place { upto: None, level: LAST_LEVEL, is_bottom: true }];
    (inputs.len() > 1).then_some(Task {
        kind: Kind::Column,
        inputs,
        moves: Vec::new(),
        places,
        borders: Vec::new(),
    })
}

/// Bytes of files that the merges which are due now have to read: the debt.
pub(crate) fn debt_bytes(facts: &Facts<'_>) -> u64 {
    let (version, options) = (facts.version, facts.options);
    let columns = columns(version, options);
    let mut debt: u64 = columns
        .iter()
        .map(|column| {
            let runs = column.runs();
            let count = match need(facts, column) {
                Need::Nothing => 0,
                Need::Shorten(count) => count,
                Need::Whole => runs.len(),
            };
            runs.iter().take(count).map(|run| run.file_bytes).sum::<u64>()
        })
        .sum();
    if l0_is_due(version, options) {
        debt += version.level_bytes(0);
        // In a tree of one column the merge may take everything.
        if debt == version.level_bytes(0)
            && let [only] = &columns[..]
        {
            let runs = only.runs();
            let (above, last) = parts(&runs);
            let newest: u64 = version.newest_tables().map(|table| table.meta.data_bytes).sum();
            if (newest + sum(above)).saturating_mul(ratio(options)) >= last {
                debt += runs.iter().map(|run| run.file_bytes).sum::<u64>();
            }
        }
    }
    debt
}
