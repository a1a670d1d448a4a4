//! Rows that are not in a table yet.
//!
//! A concurrent skip list in the order key ascending, LSN descending. The rows of a batch share one buffer: inserting
//! one costs a list node and no copy of its own, and a value read from here pins that buffer only.

mod cursor;
mod row;

use std::{
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crossbeam_skiplist::SkipMap;
pub(crate) use cursor::MemCursor;
pub(crate) use row::{MemRow, Place, Position};
use stemedb_env::Lsn;

use crate::{WriteBatch, table::Found};

/// What a row costs beside its bytes: list node, tower, handle of the shared buffer.
const ROW_OVERHEAD_BYTES: usize = 96;

/// An in-memory table. Written under the writer's lock, read without one.
#[derive(Debug)]
pub(crate) struct Memtable {
    rows: SkipMap<MemRow, ()>,
    bytes: AtomicUsize,
    min_lsn: AtomicU64,
    max_lsn: AtomicU64,
    /// Once sealed: its rows up to this LSN, and only these, go into its table. Newer rows stand in a newer memtable too.
    upto: AtomicU64,
}

impl Memtable {
    pub(crate) fn new() -> Memtable {
        Memtable {
            rows: SkipMap::new(),
            bytes: AtomicUsize::new(0),
            min_lsn: AtomicU64::new(u64::MAX),
            max_lsn: AtomicU64::new(0),
            upto: AtomicU64::new(u64::MAX),
        }
    }

    /// Inserts the rows of a batch. `order` is scratch space.
    ///
    /// Rows go in sorted, so that one search path through the list serves many of them; of several operations on one
    /// key the last wins.
    pub(crate) fn insert_batch(&self, batch: &WriteBatch, lsn: Lsn, order: &mut Vec<u32>) {
        let (bytes, spans) = batch.raw();
        if spans.is_empty() {
            return;
        }
        let owner: Arc<[u8]> = Arc::from(bytes);
        let row = |at: u32| {
            let at = at as usize;
            let start = match at.checked_sub(1).and_then(|before| spans.get(before)) {
                Some(span) => span.value_end.unwrap_or(span.key_end),
                None => 0,
            };
            let span = spans.get(at)?;
            Some((bytes.get(start..span.key_end)?, start, span))
        };
        let key = |at: u32| row(at).map_or(&[][..], |(key, ..)| key);
        order.clear();
        order.extend(0..u32::try_from(spans.len()).unwrap_or(u32::MAX));
        order.sort_unstable_by(|a, b| key(*a).cmp(key(*b)).then(a.cmp(b)));
        let mut sum = 0;
        let mut following = order.iter().copied().skip(1);
        for at in order.iter().copied() {
            let superseded = following.next().is_some_and(|next| key(next) == key(at));
            let Some((_, start, span)) = row(at).filter(|_| !superseded) else { continue };
            let Some(row) = MemRow::new(Arc::clone(&owner), start, span.key_end, span.value_end, lsn) else {
                continue;
            };
            sum += row.data_bytes() + ROW_OVERHEAD_BYTES;
            self.rows.insert(row, ());
        }
        self.bytes.fetch_add(sum, Ordering::Relaxed);
        self.note_lsn(lsn);
    }

    /// Inserts a row of another memtable.
    pub(crate) fn insert_row(&self, row: MemRow) {
        self.bytes.fetch_add(row.data_bytes() + ROW_OVERHEAD_BYTES, Ordering::Relaxed);
        self.note_lsn(row.lsn());
        self.rows.insert(row, ());
    }

    fn note_lsn(&self, lsn: Lsn) {
        self.min_lsn.fetch_min(lsn.0, Ordering::AcqRel);
        self.max_lsn.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Removes every row above `lsn`.
    pub(crate) fn remove_above(&self, lsn: Lsn) {
        if self.max_lsn() <= lsn {
            return;
        }
        for entry in self.rows.iter().filter(|entry| entry.key().lsn() > lsn) {
            self.bytes.fetch_sub(entry.key().data_bytes() + ROW_OVERHEAD_BYTES, Ordering::Relaxed);
            entry.remove();
        }
        self.max_lsn.store(lsn.0, Ordering::Release);
        self.upto.fetch_min(lsn.0, Ordering::AcqRel);
        if self.min_lsn() > lsn {
            self.min_lsn.store(u64::MAX, Ordering::Release);
        }
    }

    /// Calls `visit` for every row above `lsn`.
    pub(crate) fn rows_above(&self, lsn: Lsn, visit: &mut dyn FnMut(MemRow)) {
        if self.max_lsn() > lsn {
            self.rows
                .iter()
                .filter(|entry| entry.key().lsn() > lsn)
                .for_each(|entry| visit(entry.key().clone()));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Smallest LSN of a row; [`Lsn::MAX`] without rows.
    pub(crate) fn min_lsn(&self) -> Lsn {
        Lsn(self.min_lsn.load(Ordering::Acquire))
    }

    /// Greatest LSN of a row; 0 without rows.
    pub(crate) fn max_lsn(&self) -> Lsn {
        Lsn(self.max_lsn.load(Ordering::Acquire))
    }

    /// What a sealed memtable will be flushed up to.
    pub(crate) fn upto(&self) -> Lsn {
        Lsn(self.upto.load(Ordering::Acquire))
    }

    pub(crate) fn seal(&self, upto: Lsn) {
        self.upto.store(upto.0, Ordering::Release);
    }

    /// The LSN of the newest version of `key` at or below `lsn`.
    pub(crate) fn version_at(&self, key: &[u8], lsn: Lsn) -> Option<Lsn> {
        let entry = self.rows.lower_bound(Bound::Included(&Position { key, lsn } as &dyn Place))?;
        (entry.key().key() == key).then(|| entry.key().lsn())
    }

    /// The newest version of `key` at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], lsn: Lsn) -> Found {
        if self.min_lsn() > lsn {
            return Found::Nothing;
        }
        let wanted = Position { key, lsn };
        match self.rows.lower_bound(Bound::Included(&wanted as &dyn Place)) {
            Some(entry) if entry.key().key() == key => {
                entry.key().pinned().map_or(Found::Removed, Found::Value)
            }
            _ => Found::Nothing,
        }
    }
}
