//! A block in memory: validated once, then read in place.

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
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
    memory::{Kind, Ledger},
    prefetch::prefetch,
};

/// A sequence of byte strings, one per row.
#[derive(Clone, Copy, Debug)]
struct Strings {
    /// Where the column of starts lies, if there is one.
    starts_at: u32,
    /// 0 = no column: all strings are equally long.
    start_width: u8,
    /// The length of each, if there is no column.
    equal_bytes: u32,
    /// Where the strings lie.
    bytes_at: u32,
    /// Behind the last.
    end: u32,
}

/// How much of a block a search is given at once: all of a block of a few dozen rows but their values.
const SEARCHED_BYTES: usize = 1024;
/// How much of a found value is asked for before it is read.
const VALUE_BYTES: usize = 256;

/// Where the parts of a block lie, as offsets into its bytes. Checked by [`Block::parse`].
#[derive(Debug)]
pub(crate) struct Shape {
    rows: u32,
    buckets: u32,
    keys: Strings,
    values: Strings,
    lsns_at: u32,
    removals_at: u32,
    prefix_at: u32,
    lsn_width: u8,
    has_tombstones: bool,
    /// Its rows were derived again: see [`crate::table::heal`].
    healed: bool,
    /// Set by a hit, cleared by the cache's hand: see [`crate::cache`].
    referenced: AtomicBool,
    /// Behind the columns.
    bytes: u32,
    /// Where the block is charged as long as anybody holds it.
    charged: Option<Arc<Ledger>>,
    min_lsn: u64,
}

impl Shape {
    /// Bytes of the allocation that the block lies in: two words of the counted pointer come on top.
    fn memory_bytes(&self) -> u64 {
        (self.bytes as usize + size_of::<Shape>() + 16) as u64
    }
}

impl Drop for Shape {
    fn drop(&mut self) {
        if let Some(ledger) = &self.charged {
            ledger.sub(Kind::Blocks, self.memory_bytes());
        }
    }
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
    /// The key's suffix begins here,
    pub(crate) key: u32,
    /// and ends here.
    pub(crate) key_end: u32,
    /// The value begins here,
    pub(crate) value: u32,
    /// and ends here.
    pub(crate) value_end: u32,
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
    /// the shape. The block is charged to the ledger until nobody holds it. Cost: one pass over the columns, one
    /// allocation.
    pub(crate) fn parse(bytes: &[u8], ledger: Option<&Arc<Ledger>>) -> Result<Block, Malformed> {
        Block::parse_as(bytes, ledger, false)
    }

    /// [`Block::parse`], for rows that were derived again.
    pub(crate) fn parse_healed(bytes: &[u8], ledger: Option<&Arc<Ledger>>) -> Result<Block, Malformed> {
        Block::parse_as(bytes, ledger, true)
    }

    /// A block without rows, which no file has: all that was derived for it is known elsewhere.
    pub(crate) fn healed_without_rows(ledger: Option<&Arc<Ledger>>) -> Block {
        let nothing = Strings { starts_at: 0, start_width: 0, equal_bytes: 0, bytes_at: 0, end: 0 };
        let mut shape = Shape {
            rows: 0,
            buckets: 0,
            keys: nothing,
            values: nothing,
            lsns_at: 0,
            removals_at: 0,
            prefix_at: 0,
            lsn_width: 0,
            has_tombstones: false,
            healed: true,
            referenced: AtomicBool::new(false),
            bytes: 0,
            charged: None,
            min_lsn: 0,
        };
        if let Some(ledger) = ledger {
            ledger.add(Kind::Blocks, shape.memory_bytes());
            shape.charged = Some(Arc::clone(ledger));
        }
        Block { shared: ThinArc::from_header_and_slice(shape, &[]) }
    }

    fn parse_as(bytes: &[u8], ledger: Option<&Arc<Ledger>>, healed: bool) -> Result<Block, Malformed> {
        let mut fields = Fields::new(bytes);
        let rows = fields.u32()?;
        let prefix_bytes = fields.u32()?;
        let suffix_bytes = fields.u32()?;
        let buckets = u32::from(fields.u16()?);
        let lsn_width = fields.u8()?;
        let key_width = fields.u8()?;
        let value_width = fields.u8()?;
        let flags = fields.u8()?;
        let min_lsn = fields.u64()?;
        let sane = matches!(lsn_width, 0 | 1 | 2 | 4 | 8)
            && matches!((key_width, value_width), (0 | 2 | 4, 0 | 2 | 4))
            && flags <= FLAG_TOMBSTONES
            && rows > 0
            // Rows differ in key or LSN, so each of several has a byte of its own: a wild count ends here.
            && rows as usize <= bytes.len();
        if !sane {
            return Err(Malformed);
        }
        let has_tombstones = flags & FLAG_TOMBSTONES != 0;
        let add = |at: u32, n: u32| at.checked_add(n).ok_or(Malformed);
        let times = |width: u8| rows.checked_mul(u32::from(width)).ok_or(Malformed);
        let key_starts_at = add(FIXED_BYTES as u32, buckets)?;
        let value_starts_at = add(key_starts_at, times(key_width)?)?;
        let lsns_at = add(value_starts_at, times(value_width)?)?;
        let removals_at = add(lsns_at, times(lsn_width)?)?;
        let prefix_at = add(removals_at, if has_tombstones { rows.div_ceil(8) } else { 0 })?;
        let keys_at = add(prefix_at, prefix_bytes)?;
        let values_at = add(keys_at, suffix_bytes)?;
        let total = u32::try_from(bytes.len()).map_err(|_| Malformed)?;
        let value_bytes = total.checked_sub(values_at).ok_or(Malformed)?;
        let strings = |starts_at, start_width, bytes_at, n: u32| match start_width {
            0 if !n.is_multiple_of(rows) => Err(Malformed),
            0 => Ok(Strings { starts_at, start_width, equal_bytes: n / rows, bytes_at, end: bytes_at + n }),
            _ => Ok(Strings { starts_at, start_width, equal_bytes: 0, bytes_at, end: bytes_at + n }),
        };
        let mut shape = Shape {
            rows,
            buckets,
            keys: strings(key_starts_at, key_width, keys_at, suffix_bytes)?,
            values: strings(value_starts_at, value_width, values_at, value_bytes)?,
            lsns_at,
            removals_at,
            prefix_at,
            lsn_width,
            has_tombstones,
            healed,
            referenced: AtomicBool::new(false),
            bytes: total,
            charged: None,
            min_lsn,
        };
        let view = View { shape: &shape, bytes };
        if !hash_index::is_sane(view.buckets(), rows as usize) {
            return Err(Malformed);
        }
        for strings in [&shape.keys, &shape.values].into_iter().filter(|strings| strings.start_width > 0) {
            let mut before = 0;
            for at in 0..rows as usize {
                let start = view.field(strings.starts_at, strings.start_width, at);
                if start < before || start > strings.end - strings.bytes_at || (at == 0 && start != 0) {
                    return Err(Malformed);
                }
                before = start;
            }
        }
        if let Some(ledger) = ledger {
            ledger.add(Kind::Blocks, shape.memory_bytes());
            shape.charged = Some(Arc::clone(ledger));
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

    /// Number of rows, at least one in a block from a file.
    pub(crate) fn rows(&self) -> usize {
        self.view().shape.rows as usize
    }

    /// True if its rows were derived again instead of read.
    pub(crate) fn is_healed(&self) -> bool {
        self.view().shape.healed
    }

    /// The key of row `at`.
    pub(crate) fn key(&self, at: usize) -> Vec<u8> {
        [self.prefix(), self.suffix(at)].concat()
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

    /// Where the parts of row `at` lie; `before` is the place of the row before, if it is known.
    pub(crate) fn place(&self, at: usize, before: Option<Place>) -> Place {
        let view = self.view();
        let Shape { keys, values, .. } = view.shape;
        let (key, value) = match before {
            Some(before) => (before.key_end, before.value_end),
            None => (view.start(keys, at), view.start(values, at)),
        };
        Place {
            key,
            key_end: view.start(keys, at + 1),
            value,
            value_end: view.start(values, at + 1),
            removed: view.is_tombstone(at),
        }
    }

    /// Starts loading what a search in this block reads.
    pub(crate) fn prefetch_keys(&self) {
        let view = self.view();
        let upto = (view.shape.values.bytes_at as usize).min(SEARCHED_BYTES);
        prefetch(view.bytes.as_ptr(), upto);
    }

    /// Starts loading `bytes` bytes from offset `from` on, as far as there are any.
    pub(crate) fn prefetch_values(&self, from: u32, bytes: usize) {
        let rest = self.shared.slice.get(from as usize..).unwrap_or_default();
        prefetch(rest.as_ptr(), bytes.min(rest.len()));
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
    shared.header.header.memory_bytes()
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
        self.bytes.get(self.shape.prefix_at as usize..self.shape.keys.bytes_at as usize).unwrap_or_default()
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

    /// Where string `at` starts; behind the last string, where that one ends.
    fn start(&self, strings: &Strings, at: usize) -> u32 {
        if at >= self.shape.rows as usize {
            strings.end
        } else if strings.start_width == 0 {
            strings.bytes_at + strings.equal_bytes * at as u32
        } else {
            strings.bytes_at + self.field(strings.starts_at, strings.start_width, at)
        }
    }

    fn suffix(&self, at: usize) -> &'a [u8] {
        let keys = &self.shape.keys;
        self.bytes.get(self.start(keys, at) as usize..self.start(keys, at + 1) as usize).unwrap_or_default()
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
        let values = &self.shape.values;
        Some((self.start(values, at) as usize, self.start(values, at + 1) as usize))
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
            // Key and value are on their way while the prefix is compared.
            Hint::Row(first) => {
                prefetch(self.suffix(first).as_ptr(), 1);
                let value = self.start(&self.shape.values, first) as usize;
                prefetch(self.bytes.get(value..).unwrap_or_default().as_ptr(), VALUE_BYTES);
            }
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
        // A healed block may have no rows.
        let is_last = rows.checked_sub(1).is_some_and(|last| self.suffix(last) == suffix);
        if is_last { Lookup::Older } else { Lookup::Absent }
    }
}
