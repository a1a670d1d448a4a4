//! Columns: ranges of keys whose borders no table below level 0 crosses.
//!
//! ```text
//!  level 0   ────────────────────────────────  newest: each table a run of its own
//!                    │ merged as a whole, cut on the borders of the columns
//!                    ▼
//!  level 4   ── ──  │ ─────   │
//!  level 5   ─────  │ ─── ──  │ ── ─── ──      each column is a stack of runs
//!  level 6   ────── │ ─────── │ ── ── ─────    its last run
//! ```
//!
//! A merge takes whole adjacent runs of a column, never a part of one. So a table holds all rows of its key range that
//! were written in its LSN range, and the largest merge is a column, not the tree.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    LsmOptions,
    table::Table,
    version::{LAST_LEVEL, Version},
};

/// A tree has about this many columns, or fewer.
const MOST_COLUMNS: u64 = 8;
/// A column holds at least this many times what one merge of level 0 brings.
const LEAST_MERGES: u64 = 4;

/// One column and its tables, by level and key.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) largest: Vec<u8>,
    pub(crate) tables: Vec<(usize, Arc<Table>)>,
}

/// The tables of one level of a column: a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunSize {
    pub(crate) level: usize,
    /// Bytes of keys and values.
    pub(crate) data_bytes: u64,
    pub(crate) file_bytes: u64,
}

impl Column {
    /// Its runs, newest first.
    pub(crate) fn runs(&self) -> Vec<RunSize> {
        let mut runs: BTreeMap<usize, RunSize> = BTreeMap::new();
        for (level, table) in &self.tables {
            let run = runs.entry(*level).or_insert(RunSize { level: *level, data_bytes: 0, file_bytes: 0 });
            run.data_bytes += table.meta.data_bytes;
            run.file_bytes += table.meta.bytes;
        }
        runs.into_values().collect()
    }

    /// The level of its newest run.
    pub(crate) fn top(&self) -> usize {
        self.tables.iter().map(|(level, _)| *level).min().unwrap_or(LAST_LEVEL)
    }

    /// Rows that hide others or are hidden, of all rows.
    pub(crate) fn dead_rows(&self) -> (u64, u64) {
        self.tables.iter().fold((0, 0), |(dead, rows), (_, table)| {
            let meta = &table.meta;
            // A removal is a dead row itself, and most hide one more. How much a range hides nobody knows: at least that.
            (
                dead + 2 * (meta.tombstones + meta.ranges) + (meta.rows - meta.keys.min(meta.rows)),
                rows + meta.rows,
            )
        })
    }
}

/// The columns of a tree, in key order. Empty if there is nothing below level 0.
pub(crate) fn columns(version: &Version, options: &LsmOptions) -> Vec<Column> {
    let mut tables: Vec<(usize, &Arc<Table>)> = version.tables().filter(|(level, _)| *level > 0).collect();
    tables.sort_by(|a, b| a.1.meta.smallest.cmp(&b.1.meta.smallest));
    let total: u64 = tables.iter().map(|(_, table)| table.meta.data_bytes).sum();
    let least = (total / MOST_COLUMNS).max(l0_merge_bytes(options).saturating_mul(LEAST_MERGES));
    let mut columns: Vec<Column> = Vec::new();
    let mut bytes = 0;
    for (level, table) in tables {
        let meta = &table.meta;
        match columns.last_mut() {
            Some(column) if bytes < least || meta.smallest <= column.largest => {
                if column.largest < meta.largest {
                    column.largest.clone_from(&meta.largest);
                }
                bytes += meta.data_bytes;
                column.tables.push((level, Arc::clone(table)));
            }
            _ => {
                bytes = meta.data_bytes;
                columns
                    .push(Column { largest: meta.largest.clone(), tables: vec![(level, Arc::clone(table))] });
            }
        }
    }
    columns
}

/// What one merge of level 0 brings, about.
pub(crate) fn l0_merge_bytes(options: &LsmOptions) -> u64 {
    (options.memtable_bytes as u64).saturating_mul(options.l0_trigger as u64).max(1)
}
