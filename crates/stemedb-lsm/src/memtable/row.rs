//! One row in the list, and how rows are ordered.

use std::{borrow::Borrow, cmp::Ordering, sync::Arc};

use stemedb_env::Lsn;

use crate::Value;

/// A row: a place in the shared buffer of its batch.
#[derive(Clone, Debug)]
pub(crate) struct MemRow {
    owner: Arc<[u8]>,
    lsn: Lsn,
    start: u32,
    key_end: u32,
    /// `u32::MAX` = removal.
    value_end: u32,
}

impl MemRow {
    /// `None` if the places do not fit.
    pub(crate) fn new(
        owner: Arc<[u8]>,
        start: usize,
        key_end: usize,
        value_end: Option<usize>,
        lsn: Lsn,
    ) -> Option<MemRow> {
        let narrow = |n: usize| u32::try_from(n).ok();
        let value_end = value_end.map_or(Some(u32::MAX), narrow)?;
        Some(MemRow { owner, lsn, start: narrow(start)?, key_end: narrow(key_end)?, value_end })
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.owner.get(self.start as usize..self.key_end as usize).unwrap_or_default()
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.lsn
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        (self.value_end != u32::MAX)
            .then(|| self.owner.get(self.key_end as usize..self.value_end as usize).unwrap_or_default())
    }

    pub(crate) fn pinned(&self) -> Option<Value> {
        if self.value_end == u32::MAX {
            return None;
        }
        Value::part(Arc::clone(&self.owner), self.key_end as usize, self.value_end as usize)
    }

    pub(crate) fn data_bytes(&self) -> usize {
        self.key().len() + self.value().map_or(0, <[u8]>::len)
    }
}

/// Anything that has a place in the order key ascending, LSN descending. Lets the list be searched with a borrowed key.
pub(crate) trait Place {
    fn place(&self) -> (&[u8], Lsn);
}

/// A borrowed place.
pub(crate) struct Position<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) lsn: Lsn,
}

impl Place for MemRow {
    fn place(&self) -> (&[u8], Lsn) {
        (self.key(), self.lsn)
    }
}

impl Place for Position<'_> {
    fn place(&self) -> (&[u8], Lsn) {
        (self.key, self.lsn)
    }
}

fn order(a: (&[u8], Lsn), b: (&[u8], Lsn)) -> Ordering {
    a.0.cmp(b.0).then_with(|| b.1.cmp(&a.1))
}

impl Ord for MemRow {
    fn cmp(&self, other: &MemRow) -> Ordering {
        order(self.place(), other.place())
    }
}

impl PartialOrd for MemRow {
    fn partial_cmp(&self, other: &MemRow) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for MemRow {
    fn eq(&self, other: &MemRow) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for MemRow {}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self.place(), other.place())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Place + '_ {}

impl<'a> Borrow<dyn Place + 'a> for MemRow {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}
