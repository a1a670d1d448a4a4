//! A block in memory: validated once, then read in place.

use std::{
    cmp::Ordering,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use stemedb_env::Lsn;
use triomphe::ThinArc;

use super::{
    FIXED_BYTES, FLAG_TOMBSTONES,
    hash_index::{self, Hint},
};
use crate::{
    Value,
    cache::BorrowedBlock,
    codec::{Fields, Malformed},
    prefetch::prefetch,
};

/// Where the parts of a block lie, as offsets into its bytes. Checked by [`Block::parse`].
#[derive(Debug)]
pub(crate) struct Shape {
    rows: u32,
    buckets: u32,
    starts_at: u32,
    lengths_at: u32,
    lsns_at: u32,
    removals_at: u32,
    prefix_at: u32,
    rows_at: u32,
    /// Bytes of every suffix, if the length width is 0.
    suffix_bytes: u32,
    lsn_width: u8,
    start_width: u8,
    length_width: u8,
    has_tombstones: bool,
    min_lsn: u64,
    /// Set by a hit, cleared by the cache's hand: see [`crate::cache`].
    referenced: AtomicBool,
}

/// What several holders share: the shape and, in the same allocation right behind it, the bytes.
pub(crate) type BlockBytes = ThinArc<Shape, u8>;

/// A validated block. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    shared: BlockBytes,
}

/// Where the parts of one row lie in the block's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its key's suffix begins here,
    pub(crate) start: u32,
    /// its value here,
    pub(crate) value: u32,
    /// and the next row here.
    pub(crate) end: u32,
    /// It is a removal.
    pub(crate) removed: bool,
}

/// What [`FoundBlock::find`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// No row has this key at or below the wanted LSN, and none in a later block can have.
    Absent,
    /// The newest version at or below the wanted LSN.
    Row(usize),
    /// The last key of the block is the wanted one, and all its versions here are newer: they may go on in the next
    /// block.
    Older,
}

impl Block {
    /// Checks that every part of the block lies inside of it and that rows never go back, and copies the bytes next to
    /// the shape. Cost: one pass over the columns, one allocation.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Block, Malformed> {
        let mut fields = Fields::new(bytes);
        let rows = fields.u32()?;
        let prefix_bytes = fields.u32()?;
        let suffix_bytes = fields.u32()?;
        let buckets = u32::from(fields.u16()?);
        let lsn_width = fields.u8()?;
        let start_width = fields.u8()?;
        let length_width = fields.u8()?;
        let flags = fields.u8()?;
        let min_lsn = fields.u64()?;
        let sane = matches!(lsn_width, 0 | 1 | 2 | 4 | 8)
            && matches!(start_width, 2 | 4)
            && matches!(length_width, 0 | 1 | 2 | 4)
            && (length_width == 0 || suffix_bytes == 0)
            && flags <= FLAG_TOMBSTONES
            && rows > 0;
        if !sane {
            return Err(Malformed);
        }
        let has_tombstones = flags & FLAG_TOMBSTONES != 0;
        let add = |at: u32, n: u32| at.checked_add(n).ok_or(Malformed);
        let times = |width: u8| rows.checked_mul(u32::from(width)).ok_or(Malformed);
        let starts_at = add(FIXED_BYTES as u32, buckets)?;
        let lengths_at = add(starts_at, times(start_width)?)?;
        let lsns_at = add(lengths_at, times(length_width)?)?;
        let removals_at = add(lsns_at, times(lsn_width)?)?;
        let prefix_at = add(removals_at, if has_tombstones { rows.div_ceil(8) } else { 0 })?;
        let rows_at = add(prefix_at, prefix_bytes)?;
        let total = u32::try_from(bytes.len()).map_err(|_| Malformed)?;
        let row_bytes = total.checked_sub(rows_at).ok_or(Malformed)?;
        let shape = Shape {
            rows,
            buckets,
            starts_at,
            lengths_at,
            lsns_at,
            removals_at,
            prefix_at,
            rows_at,
            suffix_bytes,
            lsn_width,
            start_width,
            length_width,
            has_tombstones,
            min_lsn,
            referenced: AtomicBool::new(false),
        };
        let view = View { shape: &shape, bytes };
        if !hash_index::is_sane(view.buckets(), rows as usize) {
            return Err(Malformed);
        }
        let mut start = view.start(0);
        if start != 0 {
            return Err(Malformed);
        }
        for at in 0..rows as usize {
            let end = if at + 1 == rows as usize { row_bytes } else { view.start(at + 1) };
            let length = view.suffix_bytes(at);
            if start.checked_add(length).is_none_or(|value| value > end) {
                return Err(Malformed);
            }
            start = end;
        }
        Ok(Block { shared: ThinArc::from_header_and_slice(shape, bytes) })
    }

    /// A block out of the cache again.
    pub(crate) fn from_shared(shared: BlockBytes) -> Block {
        Block { shared }
    }

    /// What the cache keeps.
    pub(crate) fn shared(&self) -> &BlockBytes {
        &self.shared
    }

    fn view(&self) -> View<'_> {
        View::of(&self.shared)
    }

    /// Number of rows, at least one.
    pub(crate) fn rows(&self) -> usize {
        self.view().shape.rows as usize
    }

    /// Bytes held in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        memory_bytes(&self.shared)
    }

    /// What all keys of the block start with.
    pub(crate) fn prefix(&self) -> &[u8] {
        self.view().prefix()
    }

    /// The key of row `at` without the block's prefix.
    pub(crate) fn suffix(&self, at: usize) -> &[u8] {
        self.view().suffix(at)
    }

    /// Where the parts of row `at` lie; `start` is where it begins, if that is known from the row before.
    pub(crate) fn place(&self, at: usize, start: Option<u32>) -> Place {
        let view = self.view();
        let start = start.unwrap_or_else(|| view.shape.rows_at + view.start(at));
        let end = match at + 1 == view.shape.rows as usize {
            true => view.bytes.len() as u32,
            false => view.shape.rows_at + view.start(at + 1),
        };
        Place { start, value: start + view.suffix_bytes(at), end, removed: view.is_tombstone(at) }
    }

    /// The bytes of a place.
    pub(crate) fn bytes(&self, from: u32, to: u32) -> &[u8] {
        self.shared.slice.get(from as usize..to as usize).unwrap_or_default()
    }

    /// A part of the bytes that stays readable on its own.
    pub(crate) fn pinned_bytes(&self, from: u32, to: u32) -> Option<Value> {
        Value::in_block(self.shared.clone(), from as usize, to as usize)
    }

    /// The LSN of row `at`.
    pub(crate) fn lsn(&self, at: usize) -> Lsn {
        self.view().lsn(at)
    }

    /// The value of row `at`; `None` for a removal.
    pub(crate) fn value(&self, at: usize) -> Option<&[u8]> {
        let view = self.view();
        let (start, end) = view.value_span(at)?;
        Some(view.bytes.get(start..end).unwrap_or_default())
    }

    /// The first row that is not before `(key, lsn)` in the order key ascending, LSN descending; [`Block::rows`] if
    /// all are before.
    pub(crate) fn lower_bound(&self, key: &[u8], lsn: Lsn) -> usize {
        self.view().lower_bound(key, lsn)
    }

    #[cfg(test)]
    pub(super) fn must_search(&self, hash: u64) -> bool {
        let buckets = self.view().buckets();
        buckets.is_empty() || hash_index::hint(buckets, hash) == Hint::Search
    }
}

/// A block that a lookup looks at: in its slot, or just read.
#[derive(Debug)]
pub(crate) enum FoundBlock {
    /// In the cache.
    Cached(BorrowedBlock),
    /// From disk.
    Read(Block),
}

impl FoundBlock {
    fn shared(&self) -> Option<&BlockBytes> {
        match self {
            FoundBlock::Cached(block) => block.shared(),
            FoundBlock::Read(block) => Some(&block.shared),
        }
    }

    /// The newest version of `key` at or below `lsn`, given that no earlier block has an older version. `hash` is the
    /// key's filter hash. Cost: one bucket and one comparison, or a binary search when two keys share the bucket.
    pub(crate) fn find(&self, key: &[u8], hash: u64, lsn: Lsn) -> Lookup {
        self.shared().map_or(Lookup::Absent, |shared| {
            touch(shared);
            View::of(shared).find(key, hash, lsn)
        })
    }

    /// The LSN of row `at`.
    pub(crate) fn lsn(&self, at: usize) -> Lsn {
        self.shared().map_or(Lsn::ZERO, |shared| View::of(shared).lsn(at))
    }

    /// The value of row `at` as a part of this block that stays readable on its own; `None` for a removal.
    pub(crate) fn pinned(&self, at: usize) -> Option<Value> {
        let shared = self.shared()?;
        let (start, end) = View::of(shared).value_span(at)?;
        Value::in_block(shared.clone(), start, end)
    }
}

/// Bytes that a shared block takes in memory.
pub(crate) fn memory_bytes(shared: &BlockBytes) -> u64 {
    (shared.slice.len() + size_of::<Shape>() + 16) as u64
}

/// Notes a use of the block, for the cache. A plain load when it has been noted already.
pub(crate) fn touch(shared: &BlockBytes) {
    let referenced = &shared.header.header.referenced;
    if !referenced.load(Relaxed) {
        referenced.store(true, Relaxed);
    }
}

/// True if the block was used since the last call.
pub(crate) fn take_touched(shared: &BlockBytes) -> bool {
    shared.header.header.referenced.swap(false, Relaxed)
}

#[derive(Clone, Copy)]
struct View<'a> {
    shape: &'a Shape,
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    fn of(shared: &'a BlockBytes) -> View<'a> {
        View { shape: &shared.header.header, bytes: &shared.slice }
    }

    fn buckets(&self) -> &'a [u8] {
        self.bytes.get(FIXED_BYTES..FIXED_BYTES + self.shape.buckets as usize).unwrap_or_default()
    }

    fn prefix(&self) -> &'a [u8] {
        self.bytes.get(self.shape.prefix_at as usize..self.shape.rows_at as usize).unwrap_or_default()
    }

    /// Field `at` of a column of the given width; 0 outside of the bytes.
    fn field(&self, column_at: u32, width: u8, at: usize) -> u32 {
        let start = column_at as usize + at * usize::from(width);
        match (width, self.bytes.get(start..start + usize::from(width))) {
            (2, Some(&[a, b])) => u32::from(u16::from_le_bytes([a, b])),
            (1, Some(&[a])) => u32::from(a),
            (4, Some(&[a, b, c, d])) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// Where row `at` starts, behind the first row's start.
    fn start(&self, at: usize) -> u32 {
        self.field(self.shape.starts_at, self.shape.start_width, at)
    }

    fn suffix_bytes(&self, at: usize) -> u32 {
        match self.shape.length_width {
            0 => self.shape.suffix_bytes,
            width => self.field(self.shape.lengths_at, width, at),
        }
    }

    fn suffix(&self, at: usize) -> &'a [u8] {
        let start = (self.shape.rows_at + self.start(at)) as usize;
        self.bytes.get(start..start + self.suffix_bytes(at) as usize).unwrap_or_default()
    }

    fn lsn(&self, at: usize) -> Lsn {
        let width = self.shape.lsn_width;
        let delta = match width {
            0 => 0,
            8 => {
                let start = self.shape.lsns_at as usize + at * 8;
                let bytes = self.bytes.get(start..start + 8).and_then(|bytes| bytes.try_into().ok());
                bytes.map_or(0, u64::from_le_bytes)
            }
            _ => u64::from(self.field(self.shape.lsns_at, width, at)),
        };
        Lsn(self.shape.min_lsn.wrapping_add(delta))
    }

    fn is_tombstone(&self, at: usize) -> bool {
        let bits = || self.bytes.get(self.shape.removals_at as usize + at / 8);
        self.shape.has_tombstones && bits().is_some_and(|bits| bits >> (at % 8) & 1 == 1)
    }

    /// `None` for a removal.
    fn value_span(&self, at: usize) -> Option<(usize, usize)> {
        if self.is_tombstone(at) || at >= self.shape.rows as usize {
            return None;
        }
        let start = self.shape.rows_at + self.start(at) + self.suffix_bytes(at);
        let end = match at + 1 == self.shape.rows as usize {
            true => self.bytes.len(),
            false => (self.shape.rows_at + self.start(at + 1)) as usize,
        };
        Some((start as usize, end))
    }

    fn lower_bound(&self, key: &[u8], lsn: Lsn) -> usize {
        let rows = self.shape.rows as usize;
        let prefix = self.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            // No key of the block can lie between two strings that differ from it before its prefix ends.
            return if key < prefix { 0 } else { rows };
        };
        self.search(suffix, lsn, 0, rows)
    }

    fn search(&self, suffix: &[u8], lsn: Lsn, mut low: usize, mut high: usize) -> usize {
        while low < high {
            let middle = low + (high - low) / 2;
            let before = match self.suffix(middle).cmp(suffix) {
                Ordering::Less => true,
                Ordering::Equal => self.lsn(middle) > lsn,
                Ordering::Greater => false,
            };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn find(&self, key: &[u8], hash: u64, lsn: Lsn) -> Lookup {
        let rows = self.shape.rows as usize;
        let buckets = self.buckets();
        let hint = if buckets.is_empty() { Hint::Search } else { hash_index::hint(buckets, hash) };
        match hint {
            Hint::Absent => return Lookup::Absent,
            // The row is on its way while the prefix is compared.
            Hint::Row(first) => prefetch(self.suffix(first).as_ptr(), 2 * 64),
            Hint::Search => {}
        }
        let Some(suffix) = key.strip_prefix(self.prefix()) else { return Lookup::Absent };
        let row = match hint {
            Hint::Row(first) if self.suffix(first) != suffix => return Lookup::Absent,
            Hint::Row(first) if self.lsn(first) <= lsn => return Lookup::Row(first),
            Hint::Row(first) => self.search(suffix, lsn, first + 1, rows),
            Hint::Absent | Hint::Search => self.search(suffix, lsn, 0, rows),
        };
        if row < rows {
            return if self.suffix(row) == suffix { Lookup::Row(row) } else { Lookup::Absent };
        }
        if self.suffix(rows - 1) == suffix { Lookup::Older } else { Lookup::Absent }
    }
}
