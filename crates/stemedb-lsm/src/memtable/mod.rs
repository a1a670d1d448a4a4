//! Rows that are not in a table yet.
//!
//! - `skiplist`: the rows, in the order key ascending, LSN descending, in memory of `arena`.
//! - `sorted`: the same for rows that came at once, without a list.
//! - `order`: comparing and sorting keys that share long beginnings.
//! - `filter`: keeps lookups of absent keys away from both.
//! - `cursor`, `value`: what readers hold.
//!
//! Nothing is allocated per row, neither by writers nor by readers, and no row is copied to be read.

mod arena;
mod cursor;
mod filter;
mod order;
mod skiplist;
mod sorted;
#[cfg(test)]
mod tests;
mod value;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arena::ChunkPool;
pub(crate) use cursor::MemCursor;
use filter::GrowingFilter;
pub(crate) use order::Sorter;
use skiplist::{GROUP, NewRow, SkipList};
pub(crate) use sorted::{RunBuilder, SortedRun};
use stemedb_env::Lsn;
pub(crate) use value::MemValue;

use crate::{
    LsmOptions, PrefixExtractor, Value, WriteBatch,
    memory::Memory,
    ranges::{Fragments, GrowingRanges},
    table::Found,
};

/// What a row costs beside its bytes, about: header, a tower of 4/3 links, alignment, its share of the filter.
const ROW_OVERHEAD_BYTES: usize = 32;

/// What all memtables of a tree have in common.
#[derive(Clone, Debug)]
pub(crate) struct MemtableShape {
    limit_bytes: usize,
    prefix_extractor: Option<PrefixExtractor>,
    pool: Arc<ChunkPool>,
}

impl MemtableShape {
    pub(crate) fn new(options: &LsmOptions, memory: &Arc<Memory>) -> MemtableShape {
        MemtableShape {
            limit_bytes: options.memtable_bytes,
            prefix_extractor: options.prefix_extractor,
            // While one memtable grows at most one other is freed, unless flushes are far ahead.
            pool: Arc::new(ChunkPool::new(options.memtable_bytes, memory)),
        }
    }

    fn memory(&self) -> &Arc<Memory> {
        self.pool.memory()
    }

    /// How many rows a full memtable will have, if they go on as they began.
    fn expected_rows(&self, rows: usize, bytes: usize) -> usize {
        let row_bytes = (bytes / rows.max(1)).max(ROW_OVERHEAD_BYTES);
        self.limit_bytes.div_ceil(row_bytes)
    }
}

#[derive(Debug)]
enum Rows {
    List(Arc<SkipList>, GrowingFilter),
    Sorted(Arc<SortedRun>),
}

/// An in-memory table. Written under the writer's lock, read without one.
#[derive(Debug)]
pub(crate) struct Memtable {
    rows: Rows,
    ranges: GrowingRanges,
    shape: MemtableShape,
    count: AtomicUsize,
    bytes: AtomicUsize,
    held: AtomicUsize,
    min_lsn: AtomicU64,
    max_lsn: AtomicU64,
    /// Once sealed: its rows up to this LSN, and only these, go into its table. Newer rows stand in a newer memtable too.
    upto: AtomicU64,
    /// Rows above this LSN are as if they were not there: their batches have been abandoned.
    kept: AtomicU64,
}

impl Memtable {
    pub(crate) fn new(shape: &MemtableShape) -> Memtable {
        let list = Arc::new(SkipList::new(Arc::clone(&shape.pool)));
        let filter = GrowingFilter::new(shape.prefix_extractor, shape.memory());
        let held = list.writer().held_bytes() + filter.held_bytes();
        let memtable = Memtable::over(Rows::List(list, filter), shape);
        memtable.held.store(held, Ordering::Relaxed);
        memtable
    }

    fn over(rows: Rows, shape: &MemtableShape) -> Memtable {
        Memtable {
            rows,
            ranges: GrowingRanges::charged(shape.memory()),
            shape: shape.clone(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            min_lsn: AtomicU64::new(u64::MAX),
            max_lsn: AtomicU64::new(0),
            upto: AtomicU64::new(u64::MAX),
            kept: AtomicU64::new(u64::MAX),
        }
    }

    /// A memtable of rows that were sorted elsewhere. Takes no further rows.
    pub(crate) fn sorted(mut run: SortedRun, shape: &MemtableShape) -> Memtable {
        let (rows, bytes, lsns) = (run.len(), run.row_bytes(), run.lsns());
        let held = run.held_bytes();
        let ranges = run.take_ranges();
        let memtable = Memtable::over(Rows::Sorted(Arc::new(run)), shape);
        memtable.ranges.add(ranges);
        memtable.held.store(held, Ordering::Relaxed);
        memtable.bytes.store(bytes, Ordering::Relaxed);
        memtable.count.store(rows, Ordering::Release);
        if let Some((first, last)) = lsns {
            memtable.note_lsn(first);
            memtable.note_lsn(last);
        }
        memtable
    }

    /// Inserts the rows of a batch; of several operations on one key the last wins. `sorter` is scratch space.
    pub(crate) fn insert_batch(&self, batch: &WriteBatch, lsn: Lsn, sorter: &mut Sorter) {
        if batch.has_ranges() {
            let (rows, ranges) = batch.without_ranges(lsn);
            self.insert_ranges(ranges);
            return self.insert_batch(&rows, lsn, sorter);
        }
        let (bytes, spans) = batch.raw();
        let row = |at: u32| {
            let at = at as usize;
            let start = match at.checked_sub(1).and_then(|before| spans.get(before)) {
                Some(span) => span.value_end.unwrap_or(span.key_end),
                None => 0,
            };
            let span = spans.get(at)?;
            let value = span.value_end.and_then(|end| bytes.get(span.key_end..end));
            Some(NewRow { key: bytes.get(start..span.key_end)?, lsn, value })
        };
        let key = |at: u32| row(at).map_or(&[][..], |row| row.key);
        let count = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        let mut before: Option<&[u8]> = None;
        // Of equal keys the latest comes first.
        let rows = sorter.sort(count, &key).filter_map(row);
        self.insert_sorted(rows.filter(|row| before.replace(row.key) != Some(row.key)));
    }

    /// Inserts removals of ranges.
    fn insert_ranges(&self, ranges: Fragments) {
        if let Some((smallest, greatest)) = ranges.lsns() {
            self.note_lsn(smallest);
            self.note_lsn(greatest);
            self.ranges.add(ranges);
        }
    }

    /// Inserts rows in the order of the list.
    fn insert_sorted<'r>(&self, mut rows: impl Iterator<Item = NewRow<'r>>) {
        let Rows::List(list, filter) = &self.rows else {
            debug_assert!(false, "sorted memtables are sealed from the start");
            return;
        };
        let mut writer = list.writer();
        let (mut count, mut bytes) = (self.rows(), self.bytes.load(Ordering::Relaxed));
        loop {
            let mut group = [NewRow::NOTHING; GROUP];
            let mut filled = 0;
            for (slot, row) in group.iter_mut().zip(&mut rows) {
                *slot = row;
                filled += 1;
            }
            let Some(group) = group.get(..filled).filter(|group| !group.is_empty()) else { break };
            for row in group {
                count += 1;
                bytes += row_bytes(row.key, row.value);
                self.note_lsn(row.lsn);
                // Before the row: whoever sees the row sees the bits.
                filter.add_key(row.key, || self.shape.expected_rows(count, bytes));
            }
            writer.insert(group);
        }
        self.held.store(writer.held_bytes() + filter.held_bytes(), Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.count.store(count, Ordering::Release);
    }

    /// Copies the rows of a sorted run, which must all be newer than what is here, into the list.
    pub(crate) fn insert_run(&self, run: &SortedRun) {
        let row = |at| NewRow { key: run.key(at), lsn: run.lsn(at), value: run.value(at) };
        self.insert_sorted((0..run.len()).map(row));
        self.insert_ranges(run.ranges().clone());
    }

    /// A new memtable with the rows whose LSN is wanted.
    fn copy(&self, wanted: impl Fn(Lsn) -> bool) -> Memtable {
        let copy = Memtable::new(&self.shape);
        let kept = self.kept();
        let is_wanted = |lsn: Lsn| lsn <= kept && wanted(lsn);
        if self.has_ranges() {
            let wanted = |lsns: &[Lsn]| lsns.iter().copied().filter(|lsn| is_wanted(*lsn)).collect();
            copy.insert_ranges(self.ranges.upto(kept).with_lsns(wanted));
        }
        match &self.rows {
            Rows::List(list, _) => {
                let rows = list.rows().filter(|row| is_wanted(row.lsn()));
                copy.insert_sorted(rows.map(|row| NewRow {
                    key: row.key(),
                    lsn: row.lsn(),
                    value: row.value(),
                }));
            }
            Rows::Sorted(run) => {
                let rows = (0..run.len()).filter(|at| is_wanted(run.lsn(*at)));
                copy.insert_sorted(rows.map(|at| NewRow {
                    key: run.key(at),
                    lsn: run.lsn(at),
                    value: run.value(at),
                }));
            }
        }
        copy
    }

    /// A new memtable with the rows above `lsn`.
    pub(crate) fn rows_above(&self, lsn: Lsn) -> Memtable {
        self.copy(|row| row > lsn)
    }

    /// A new memtable without the rows above `lsn`. Readers of this one are not disturbed.
    pub(crate) fn without_above(&self, lsn: Lsn) -> Memtable {
        self.copy(|row| row <= lsn)
    }

    /// Hides every row above `lsn` for good. For memtables that take no more rows: one that did would hide them too if
    /// they came with the same LSNs again.
    pub(crate) fn remove_above(&self, lsn: Lsn) {
        if self.max_lsn() <= lsn {
            return;
        }
        self.kept.fetch_min(lsn.0, Ordering::AcqRel);
        let mut count = 0;
        let mut keep = |row: Lsn| count += usize::from(row <= lsn);
        match &self.rows {
            Rows::List(list, _) => list.rows().for_each(|row| keep(row.lsn())),
            Rows::Sorted(run) => (0..run.len()).for_each(|at| keep(run.lsn(at))),
        }
        self.count.store(count, Ordering::Release);
        self.max_lsn.store(lsn.0, Ordering::Release);
        self.upto.fetch_min(lsn.0, Ordering::AcqRel);
        if self.min_lsn() > lsn {
            self.min_lsn.store(u64::MAX, Ordering::Release);
        }
    }

    fn note_lsn(&self, lsn: Lsn) {
        self.min_lsn.fetch_min(lsn.0, Ordering::AcqRel);
        self.max_lsn.fetch_max(lsn.0, Ordering::AcqRel);
    }

    fn kept(&self) -> Lsn {
        Lsn(self.kept.load(Ordering::Acquire))
    }

    /// Bytes of its rows with what they cost beside, and of its ranges. Abandoned ones of a sealed memtable count until it is
    /// gone.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + self.ranges.bytes()
    }

    pub(crate) fn rows(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// True without rows; there may be removed ranges.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// True if ranges were removed, visibly or not.
    pub(crate) fn has_ranges(&self) -> bool {
        self.ranges.has_any()
    }

    /// The removed ranges as of an LSN.
    pub(crate) fn ranges_upto(&self, lsn: Lsn) -> Fragments {
        self.ranges.upto(lsn.min(self.kept()))
    }

    /// Hands over what hides keys from `start` on and before `end` as of an LSN.
    pub(crate) fn each_range(&self, start: &[u8], end: Option<&[u8]>, lsn: Lsn, take: impl FnMut(Fragments)) {
        self.ranges.each_as_of(start, end, lsn.min(self.kept()), take);
    }

    /// Smallest LSN of a row or removed range; [`Lsn::MAX`] without.
    pub(crate) fn min_lsn(&self) -> Lsn {
        Lsn(self.min_lsn.load(Ordering::Acquire))
    }

    /// Greatest LSN of a row or removed range; 0 without.
    pub(crate) fn max_lsn(&self) -> Lsn {
        Lsn(self.max_lsn.load(Ordering::Acquire))
    }

    /// Bytes that it holds of the budget, as of its last batch.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed) + self.ranges.bytes()
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
        let lsn = lsn.min(self.kept());
        match &self.rows {
            Rows::List(list, _) => list.find(key, lsn).filter(|row| row.key() == key).map(|row| row.lsn()),
            Rows::Sorted(run) => {
                let at = run.find(key, lsn);
                (at < run.len() && run.key(at) == key).then(|| run.lsn(at))
            }
        }
    }

    /// False means that no row has a key or declared prefix with this filter hash.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        match &self.rows {
            Rows::List(_, filter) => filter.may_contain(hash),
            Rows::Sorted(run) => run.may_contain(hash),
        }
    }

    /// True if a removed range is what decides about `key` at `lsn`.
    #[cold]
    fn is_removed(&self, key: &[u8], lsn: Lsn) -> bool {
        let lsn = lsn.min(self.kept());
        let removed = self.ranges.newest(key, lsn);
        removed > Lsn::ZERO && self.version_at(key, lsn).is_none_or(|version| version < removed)
    }

    /// The newest version of `key`, whose filter hash is `hash`, at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], hash: u64, lsn: Lsn) -> Found {
        if self.min_lsn() > lsn {
            return Found::Nothing;
        }
        if self.has_ranges() && self.is_removed(key, lsn) {
            return Found::Removed;
        }
        if !self.may_contain(hash) {
            return Found::Nothing;
        }
        let lsn = lsn.min(self.kept());
        let value = match &self.rows {
            Rows::List(list, _) => list.get(key, lsn).map(|value| value.map(MemValue::from)),
            Rows::Sorted(run) => {
                let at = run.find(key, lsn);
                (at < run.len() && run.key(at) == key).then(|| run.pinned(at).map(MemValue::from))
            }
        };
        match value {
            None => Found::Nothing,
            Some(None) => Found::Removed,
            Some(Some(value)) => Found::Value(Value::memtable(value)),
        }
    }
}

/// Bytes that a batch adds to a memtable, about.
pub(crate) fn batch_bytes(batch: &WriteBatch) -> usize {
    batch.data_bytes() + batch.len() * ROW_OVERHEAD_BYTES
}

fn row_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + ROW_OVERHEAD_BYTES
}
