//! Sorted tables without overlap: one table of level 0, or a whole deeper level.

use std::{ops::Deref, sync::Arc};

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
}

impl Run {
    /// A run of these tables, which must be in key order.
    pub(crate) fn new(tables: impl Into<Box<[Arc<Table>]>>) -> Run {
        let tables = tables.into();
        let heads = Heads::of_sorted(tables.iter().map(|table| table.meta.largest.as_slice()));
        Run { shared: Arc::new(Shared { tables, heads }) }
    }

    /// The table that may hold `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Arc<Table>> {
        self.from(key).first().filter(|table| table.meta.smallest.as_slice() <= key)
    }

    /// The tables that have keys at or behind `key`.
    pub(crate) fn from(&self, key: &[u8]) -> &[Arc<Table>] {
        let Shared { tables, heads } = &*self.shared;
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
