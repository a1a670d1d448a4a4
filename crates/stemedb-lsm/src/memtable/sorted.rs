//! Rows that came at once: sorted once, then only read.
//!
//! A batch of the size of a memtable, or what a replay collects, is not worth a list: its rows are gathered in buffers,
//! an array of their places is sorted, and lookups are binary searches.

use std::{cmp::Ordering, sync::Arc};

use stemedb_env::Lsn;

use super::{MemtableShape, ROW_OVERHEAD_BYTES, arena::Piece, filter::GrowingFilter, order::Sorter};
use crate::{
    WriteBatch,
    memory::{Charge, Kind},
    ranges::Fragments,
};

/// Where a row lies.
#[derive(Clone, Copy, Debug)]
struct Entry {
    lsn: Lsn,
    piece: u32,
    start: u32,
    /// `u32::MAX` = removal.
    value_bytes: u32,
    key_bytes: u16,
}

impl Entry {
    fn key_range(&self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + usize::from(self.key_bytes)
    }

    fn row_bytes(&self) -> usize {
        self.key_range().len() + self.value_range().map_or(0, |range| range.len()) + ROW_OVERHEAD_BYTES
    }

    fn value_range(&self) -> Option<std::ops::Range<usize>> {
        let start = self.key_range().end;
        (self.value_bytes != u32::MAX).then(|| start..start + self.value_bytes as usize)
    }
}

/// Gathers rows for a [`SortedRun`].
#[derive(Debug)]
pub(crate) struct RunBuilder {
    shape: MemtableShape,
    pieces: Vec<Piece>,
    entries: Vec<Entry>,
    /// Filled as rows come, while their keys are in the cache.
    filter: GrowingFilter,
    bytes: usize,
    /// Removed ranges, each batch's by itself.
    ranges: Vec<Fragments>,
    range_bytes: usize,
    lsns: Option<(Lsn, Lsn)>,
    /// For the entries.
    charge: Charge,
}

impl RunBuilder {
    pub(crate) fn new(shape: &MemtableShape) -> RunBuilder {
        RunBuilder {
            shape: shape.clone(),
            pieces: Vec::new(),
            entries: Vec::new(),
            filter: GrowingFilter::new(shape.prefix_extractor, shape.memory()),
            bytes: 0,
            ranges: Vec::new(),
            range_bytes: 0,
            lsns: None,
            charge: Charge::new(shape.memory(), Kind::Memtables, 0),
        }
    }

    /// Adds the rows of a batch whose LSN is greater than that of every batch before.
    pub(crate) fn add(&mut self, batch: &WriteBatch, lsn: Lsn) {
        if batch.is_empty() {
            return;
        }
        self.lsns = Some((self.lsns.map_or(lsn, |(first, _)| first), lsn));
        if batch.has_ranges() {
            let (rows, ranges) = batch.without_ranges(lsn);
            self.range_bytes += ranges.memory_bytes();
            self.ranges.push(ranges);
            return self.add(&rows, lsn);
        }
        let (bytes, spans) = batch.raw();
        let mut start = 0;
        for span in spans {
            let end = span.value_end.unwrap_or(span.key_end);
            let row = bytes.get(start..end).unwrap_or_default();
            let at = self.append(row);
            let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let entry = Entry {
                lsn,
                piece: narrow(self.pieces.len() - 1),
                start: narrow(at),
                value_bytes: span.value_end.map_or(u32::MAX, |end| narrow(end - span.key_end)),
                // The sizes have been checked.
                key_bytes: u16::try_from(span.key_end - start).unwrap_or(u16::MAX),
            };
            self.bytes += entry.row_bytes();
            self.entries.push(entry);
            let (rows, bytes, shape) = (self.entries.len(), self.bytes, &self.shape);
            let key = row.get(..span.key_end - start).unwrap_or_default();
            self.filter.add_key(key, || shape.expected_rows(rows, bytes));
            start = end;
        }
        self.charge.set(self.entries.capacity() * size_of::<Entry>());
    }

    fn append(&mut self, row: &[u8]) -> usize {
        if let Some(at) = self.pieces.last_mut().and_then(|piece| piece.append(row)) {
            return at;
        }
        let mut piece = Piece::new(&self.shape.pool, row.len().max(self.shape.pool.chunk_bytes()));
        let at = piece.append(row).unwrap_or_default();
        self.pieces.push(piece);
        at
    }

    /// Bytes of the rows gathered, as memtables count them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.range_bytes
    }

    /// Sorts what has been gathered. Of several writes of one key at one LSN the last stays.
    pub(crate) fn finish(self, sorter: &mut Sorter) -> SortedRun {
        let RunBuilder { shape, pieces, entries, filter, charge, ranges, lsns, .. } = self;
        let mut kept = Charge::new(shape.memory(), Kind::Memtables, entries.len() * size_of::<Entry>());
        let key = |at: u32| {
            let entry = &entries[at as usize];
            pieces[entry.piece as usize].bytes().get(entry.key_range()).unwrap_or_default()
        };
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let mut rows: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut before: Option<u32> = None;
        for at in sorter.sort(count, &key) {
            let entry = entries[at as usize];
            let superseded = before
                .replace(at)
                .is_some_and(|before| entries[before as usize].lsn == entry.lsn && key(before) == key(at));
            if !superseded {
                rows.push(entry);
            }
        }
        let rows = rows.into_boxed_slice();
        kept.set(size_of_val(&*rows));
        drop(entries);
        drop(charge);
        SortedRun {
            pieces: pieces.into_iter().map(Arc::new).collect(),
            bytes: rows.iter().map(Entry::row_bytes).sum(),
            ranges: Fragments::merged(ranges),
            lsns,
            rows,
            filter,
            _charge: kept,
        }
    }
}

/// The sorted rows.
#[derive(Debug)]
pub(crate) struct SortedRun {
    pieces: Box<[Arc<Piece>]>,
    rows: Box<[Entry]>,
    filter: GrowingFilter,
    bytes: usize,
    ranges: Fragments,
    lsns: Option<(Lsn, Lsn)>,
    /// For the rows' places.
    _charge: Charge,
}

impl SortedRun {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of the rows, as memtables count them.
    pub(super) fn row_bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that it holds of the budget.
    pub(super) fn held_bytes(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|piece| piece.held_bytes()).sum();
        pieces + size_of_val(&*self.rows) + self.filter.held_bytes()
    }

    /// The LSNs of the first and the last batch added.
    pub(super) fn lsns(&self) -> Option<(Lsn, Lsn)> {
        self.lsns
    }

    /// The removed ranges.
    pub(super) fn ranges(&self) -> &Fragments {
        &self.ranges
    }

    pub(super) fn take_ranges(&mut self) -> Fragments {
        std::mem::take(&mut self.ranges)
    }

    /// False means that no row has a key or declared prefix with this filter hash.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        self.filter.may_contain(hash)
    }

    fn bytes(&self, entry: &Entry, range: std::ops::Range<usize>) -> &[u8] {
        self.pieces.get(entry.piece as usize).and_then(|piece| piece.bytes().get(range)).unwrap_or_default()
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        self.rows.get(at).map_or(&[], |entry| self.bytes(entry, entry.key_range()))
    }

    pub(super) fn lsn(&self, at: usize) -> Lsn {
        self.rows.get(at).map_or(Lsn::ZERO, |entry| entry.lsn)
    }

    /// `None` for a removal.
    pub(super) fn value(&self, at: usize) -> Option<&[u8]> {
        let entry = self.rows.get(at)?;
        entry.value_range().map(|range| self.bytes(entry, range))
    }

    /// `None` for a removal.
    pub(super) fn pinned(&self, at: usize) -> Option<PieceValue> {
        let entry = self.rows.get(at)?;
        let range = entry.value_range()?;
        let piece = Arc::clone(self.pieces.get(entry.piece as usize)?);
        Some(PieceValue { piece, start: u32::try_from(range.start).ok()?, bytes: entry.value_bytes })
    }

    /// The first row at or behind a position.
    pub(super) fn find(&self, key: &[u8], lsn: Lsn) -> usize {
        self.rows.partition_point(|entry| {
            let order = self.bytes(entry, entry.key_range()).cmp(key);
            order.then_with(|| lsn.cmp(&entry.lsn)) == Ordering::Less
        })
    }
}

/// A value with the buffer that it lies in.
#[derive(Clone, Debug)]
pub(super) struct PieceValue {
    piece: Arc<Piece>,
    start: u32,
    bytes: u32,
}

impl PieceValue {
    pub(super) fn bytes(&self) -> &[u8] {
        let start = self.start as usize;
        self.piece.bytes().get(start..start + self.bytes as usize).unwrap_or_default()
    }
}
