//! What one compaction does, decided before it starts.

use std::sync::Arc;

use crate::{
    LsmOptions,
    table::Table,
    version::{LAST_LEVEL, Version},
};

/// Why a compaction runs; also how urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Level 0 gets shorter. Goes before everything else, also before what has begun already.
    Level0,
    /// A column has too many runs, or much that is hidden or due.
    Column,
    /// Asked for.
    Request,
    /// Nobody writes: reads should find fewer runs.
    Idle,
}

/// Where the rows of a part of the key space go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Greatest key of the part; `None` for the last one. No output table reaches over it.
    pub(crate) upto: Option<Vec<u8>>,
    pub(crate) level: usize,
    /// No older version of any key lies below.
    pub(crate) is_bottom: bool,
}

/// One compaction.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) kind: Kind,
    /// Tables that are rewritten, with their levels.
    pub(crate) inputs: Vec<(usize, Arc<Table>)>,
    /// Tables that only change their level: from, table, to.
    pub(crate) moves: Vec<(usize, Arc<Table>, usize)>,
    /// In key order; the last one is without an end. Empty if nothing is rewritten.
    pub(crate) places: Vec<Place>,
    /// Borders below level 0 where outputs are cut if that costs little: what the table below ends with.
    pub(crate) borders: Vec<Vec<u8>>,
}

impl Task {
    /// Bytes of files that are read.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.inputs.iter().map(|(_, table)| table.meta.bytes).sum()
    }

    /// Numbers of all files that it takes.
    pub(crate) fn files(&self) -> impl Iterator<Item = u64> {
        let moved = self.moves.iter().map(|(_, table, _)| table);
        self.inputs.iter().map(|(_, table)| table).chain(moved).map(|table| table.meta.file)
    }

    /// True if tables are written.
    pub(crate) fn rewrites(&self) -> bool {
        !self.inputs.is_empty()
    }
}

/// Tables below half of the target are rewritten even if they overlap nothing: they would pile up.
fn may_stay(table: &Table, is_bottom: bool, target: u64) -> bool {
    let meta = &table.meta;
    meta.bytes.saturating_mul(2) >= target && (meta.is_clean() || !is_bottom)
}

/// Merges runs into one at `level`. Tables that overlap none of the others move there as they are.
pub(crate) fn merge_runs(
    kind: Kind,
    tables: Vec<(usize, Arc<Table>)>,
    level: usize,
    is_bottom: bool,
    target: u64,
) -> Task {
    let mut sorted = tables;
    sorted.sort_by(|a, b| a.1.meta.smallest.cmp(&b.1.meta.smallest));
    // Sorted by their smallest key, a table overlaps an earlier one if that reaches as far as it.
    let mut alone = vec![true; sorted.len()];
    let mut furthest: Option<(usize, &[u8])> = None;
    for (at, (_, table)) in sorted.iter().enumerate() {
        if let Some((other, largest)) = furthest
            && largest >= table.meta.smallest.as_slice()
        {
            alone[at] = false;
            alone[other] = false;
        }
        if furthest.is_none_or(|(_, largest)| largest < table.meta.largest.as_slice()) {
            furthest = Some((at, &table.meta.largest));
        }
    }
    let mut task =
        Task { kind, inputs: Vec::new(), moves: Vec::new(), places: Vec::new(), borders: Vec::new() };
    let mut open = false;
    for ((from, table), alone) in sorted.into_iter().zip(alone) {
        if alone && may_stay(&table, is_bottom, target) {
            if std::mem::take(&mut open) {
                // Rows of the inputs so far are below this table, the others above it.
                let upto = Some(table.meta.largest.clone());
                task.places.push(Place { upto, level, is_bottom });
            }
            if from != level {
                task.moves.push((from, table, level));
            }
        } else {
            open = true;
            task.inputs.push((from, table));
        }
    }
    if !task.inputs.is_empty() {
        task.places.push(Place { upto: None, level, is_bottom });
    }
    task
}

/// Tables of the target size are fewer than this, so that a tree with half-full ones still has fewer than a hundred.
const HEALTHY_FILES: u64 = 40;

/// Target size of tables at a level: twice the option at the last level, doubled as often as needed to keep the number of
/// files small.
pub(crate) fn target_table_bytes(version: &Version, options: &LsmOptions, level: usize) -> u64 {
    target_bytes(version.total_bytes(), options, level)
}

/// The same for a tree of `total` bytes.
pub(crate) fn target_bytes(total: u64, options: &LsmOptions, level: usize) -> u64 {
    let base = options.target_table_bytes.max(1);
    let mut target = if level == LAST_LEVEL { base.saturating_mul(2) } else { base };
    while total / target >= HEALTHY_FILES {
        target = target.saturating_mul(2);
    }
    target
}
