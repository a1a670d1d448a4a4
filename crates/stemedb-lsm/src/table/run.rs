//! Sorted tables without overlap: one table of level 0, or a whole deeper level.

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use super::{Table, heads::Heads};

/// A run; cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tables: Box<[Arc<Table>]>,
    /// Of the greatest keys, so that finding a key's table does not touch every table on the way.
    heads: Heads,
    /// No key has several versions.
    has_unique_keys: bool,
}

impl Run {
    /// A run of these tables, which must be in key order.
    pub(crate) fn new(tables: impl Into<Box<[Arc<Table>]>>) -> Run {
        let tables = tables.into();
        let heads = Heads::of_sorted(tables.iter().map(|table| table.meta.largest.as_slice()));
        let has_unique_keys = tables.iter().all(|table| table.meta.keys == table.meta.rows);
        Run { shared: Arc::new(Shared { tables, heads, has_unique_keys }) }
    }

    /// True if no key has several versions in it.
    pub(crate) fn has_unique_keys(&self) -> bool {
        self.shared.has_unique_keys
    }

    /// The table that may hold `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Arc<Table>> {
        self.from(key).first().filter(|table| table.meta.smallest.as_slice() <= key)
    }

    /// Where the tables lie that may have keys from `start` on, and before `end`.
    pub(crate) fn within(&self, start: &[u8], end: Option<&[u8]>) -> Range<usize> {
        let tables = self.from(start);
        let first = self.len() - tables.len();
        let is_before_end = |table: &Arc<Table>| end.is_none_or(|end| table.meta.smallest.as_slice() < end);
        // Most ranges are short: one or two tables decide it.
        let overlapping = match tables {
            [] => 0,
            [only, ..] if !is_before_end(only) => 0,
            [_, second, ..] if !is_before_end(second) => 1,
            more => more.partition_point(is_before_end),
        };
        first..first + overlapping
    }

    /// The tables that have keys at or behind `key`.
    pub(crate) fn from(&self, key: &[u8]) -> &[Arc<Table>] {
        let Shared { tables, heads, .. } = &*self.shared;
        let prefix_bytes = heads.prefix().len();
        let suffix = |at: usize| {
            tables.get(at).and_then(|table| table.meta.largest.get(prefix_bytes..)).unwrap_or_default()
        };
        tables.get(heads.lower_bound(key, suffix)..).unwrap_or_default()
    }
}

impl Deref for Run {
    type Target = [Arc<Table>];

    fn deref(&self) -> &[Arc<Table>] {
        &self.shared.tables
    }
}
