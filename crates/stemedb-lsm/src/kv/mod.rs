//! The boundary: what an ordered, versioned key-value store promises to the layers above.

mod batch;
mod mem;
mod source;

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use batch::Span;
pub use batch::{Op, WriteBatch};
pub use mem::{MemIter, MemSnapshot, MemStore};
use smallvec::SmallVec;
pub use source::{ObservedTable, TableObserver, WriteSource};
use stemedb_env::Lsn;

use crate::{
    DerivedBy, Error, Pressure, Result, RowHash, RowSum, memtable::MemValue, table::block::BlockBytes,
};

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 8 << 10;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 << 20;

/// Refuses a key or value beyond the limits.
pub(crate) fn check_row_sizes(key_bytes: usize, value_bytes: usize) -> Result<()> {
    if key_bytes > MAX_KEY_BYTES {
        return Err(Error::TooLarge { what: "key", bytes: key_bytes, limit_bytes: MAX_KEY_BYTES });
    }
    if value_bytes > MAX_VALUE_BYTES {
        return Err(Error::TooLarge { what: "value", bytes: value_bytes, limit_bytes: MAX_VALUE_BYTES });
    }
    Ok(())
}

/// A value that stays readable as long as this handle lives. Cloning is cheap: it shares the block it lies in.
#[derive(Clone, Debug)]
pub struct Value {
    owner: Owner,
    start: u32,
    end: u32,
}

/// What a value keeps.
#[derive(Clone, Debug)]
enum Owner {
    Bytes(Arc<[u8]>),
    Block(BlockBytes),
    Memtable(MemValue),
}

impl Owner {
    fn bytes(&self) -> &[u8] {
        match self {
            Owner::Bytes(bytes) => bytes,
            Owner::Block(block) => &block.slice,
            Owner::Memtable(value) => value.bytes(),
        }
    }
}

impl Value {
    /// A value that is all of `owner`.
    pub fn whole(owner: Arc<[u8]>) -> Value {
        let end = u32::try_from(owner.len()).unwrap_or(u32::MAX);
        Value { owner: Owner::Bytes(owner), start: 0, end }
    }

    pub(crate) fn memtable(value: MemValue) -> Value {
        let end = u32::try_from(value.bytes().len()).unwrap_or(u32::MAX);
        Value { owner: Owner::Memtable(value), start: 0, end }
    }

    /// A part of a shared buffer; `None` if the range lies outside of it.
    pub fn part(owner: Arc<[u8]>, start: usize, end: usize) -> Option<Value> {
        owner.get(start..end)?;
        Value::new(Owner::Bytes(owner), start, end)
    }

    /// A part of a block; `None` if the range lies outside of it.
    pub(crate) fn in_block(owner: BlockBytes, start: usize, end: usize) -> Option<Value> {
        owner.slice.get(start..end)?;
        Value::new(Owner::Block(owner), start, end)
    }

    fn new(owner: Owner, start: usize, end: usize) -> Option<Value> {
        Some(Value { owner, start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.owner.bytes().get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        **self == **other
    }
}

/// A half-open range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key of the range.
    pub start: Vec<u8>,
    /// First key behind the range; `None` = to the end.
    pub end: Option<Vec<u8>>,
    /// When every key of the range starts with the same declared prefix, that prefix's length: filters may then rule
    /// out whole tables. 0 when nothing is known.
    pub prefix_bytes: usize,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> KeyRange {
        KeyRange { start: Vec::new(), end: None, prefix_bytes: 0 }
    }

    /// From `start` (included) to `end` (excluded).
    pub fn between(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> KeyRange {
        KeyRange { start: start.into(), end: Some(end.into()), prefix_bytes: 0 }
    }

    /// All keys that start with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> KeyRange {
        let start: Vec<u8> = prefix.into();
        let prefix_bytes = start.len();
        let mut end: SmallVec<[u8; 64]> = SmallVec::from_slice(&start);
        let has_end = to_prefix_end(&mut end);
        KeyRange { start, end: has_end.then(|| end.to_vec()), prefix_bytes }
    }

    /// True if `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_deref().is_none_or(|end| key < end)
    }
}

/// Makes the first key behind all that start with a prefix from the prefix; false if there is none: then the keys go on to the end.
pub(crate) fn to_prefix_end<const N: usize>(prefix: &mut SmallVec<[u8; N]>) -> bool
where
    [u8; N]: smallvec::Array<Item = u8>,
{
    // Drop trailing 0xFF, add one to the last byte. All 0xFF means "to the end".
    while let Some(last) = prefix.last_mut() {
        if let Some(next) = last.checked_add(1) {
            *last = next;
            return true;
        }
        prefix.pop();
    }
    false
}

/// Which way a scan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// An ordered, versioned key-value store.
///
/// Batches arrive in LSN order, each with one LSN; every row of a batch has that LSN as its version. A batch becomes
/// visible only through [`KvStore::publish`]. Keys are at most [`MAX_KEY_BYTES`], values at most [`MAX_VALUE_BYTES`].
pub trait KvStore: Send + Sync + 'static {
    /// A consistent view.
    type Snapshot: KvSnapshot;

    /// Inserts a batch. Invisible until published. May wait while flushing is behind; `lsn` must be greater than that
    /// of every batch before. Within a batch a later operation on the same key wins; a removed range hides what older
    /// batches and earlier operations have written in it, and nothing that comes later.
    fn apply(&self, batch: &WriteBatch, lsn: Lsn) -> Result<()>;
    /// Makes every batch up to `lsn` visible. Never goes back.
    fn publish(&self, lsn: Lsn);
    /// Forgets every batch that was applied but not published.
    fn abandon(&self) -> Result<()>;
    /// The newest visible LSN.
    fn published_lsn(&self) -> Lsn;
    /// Every batch up to here survives a crash in this store's own files. Never passes the published LSN.
    fn flushed_lsn(&self) -> Lsn;
    /// A view of everything visible now.
    fn snapshot(&self) -> Self::Snapshot;
    /// The newest visible value of a key: what a snapshot made now would answer.
    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.snapshot().get(key)
    }
    /// A view as of an earlier LSN, if its versions are still there.
    fn snapshot_at(&self, lsn: Lsn) -> Result<Self::Snapshot>;
    /// Makes everything published so far survive a crash; returns the flushed LSN.
    fn flush(&self) -> Result<Lsn>;
    /// Merges everything into as few tables as possible; returns when done.
    fn compact(&self) -> Result<()>;
    /// Reads everything back and checks it. Returns the number of rows.
    fn verify(&self) -> Result<u64>;
    /// Where the owner of the journal reports how long its durable writes take; `None` if this store does nothing that
    /// could slow them down.
    fn pressure(&self) -> Option<Arc<Pressure>> {
        None
    }
    /// Bytes that must be free on the disk so that everything in memory can become durable and be merged once. It follows
    /// what is there: a small store needs little. Cost: a few reads of memory.
    fn room_needed(&self) -> u64 {
        0
    }
    /// Begins to make what is published durable, and does not wait.
    fn begin_flush(&self) {}
    /// There is room on the disk again: background work that has failed is tried again now instead of later.
    fn retry_background(&self) {}
}

/// A consistent view at one LSN. Owned: it may outlive the borrow of its store.
pub trait KvSnapshot: Clone + Send + Sync + 'static {
    /// Its iterator; owned too.
    type Iter: KvIter;

    /// The LSN it shows.
    fn lsn(&self) -> Lsn;
    /// The value of a key. An unreadable block is an error, never `None`.
    fn get(&self, key: &[u8]) -> Result<Option<Value>>;
    /// The rows of a range.
    fn scan(&self, range: &KeyRange, direction: Direction) -> Self::Iter;

    /// The rows whose keys start with a prefix, ascending. Cheaper to begin than [`KvSnapshot::scan`], which matters where one or
    /// two rows are wanted.
    fn scan_prefix(&self, prefix: &[u8]) -> Self::Iter {
        self.scan(&KeyRange::prefix(prefix), Direction::Forward)
    }

    /// Which versions of the owner's derivation the rows come from, if they may be others than that of whoever asks.
    fn derived_by(&self) -> Option<DerivedBy> {
        None
    }

    /// The sum of the hashes of all rows, if the store can have it for less than a scan and can prove that it is the same; `None`
    /// if not. Worth asking only where keys are written once. Errors: as of a scan.
    fn row_sum(&self, _hash: &RowHash<'_>) -> Result<Option<RowSum>> {
        Ok(None)
    }

    /// For each of some prefixes false if certainly no key starts with it. Worth asking for whole prefixes of those that the store
    /// keeps filters over, before scans; of any other the answer is true. Cost: a few loads a prefix and run, all of them
    /// under way together; the filters are read at the first use of a table. Errors: as of a scan.
    fn may_have<P: AsRef<[u8]>>(&self, prefixes: &[P]) -> Result<Vec<bool>> {
        Ok(vec![true; prefixes.len()])
    }

    /// The values of several keys, in the order asked.
    fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>> {
        keys.iter().map(|key| self.get(key)).collect()
    }
}

/// A lending iterator: key and value are borrowed until the next [`KvIter::advance`].
pub trait KvIter: Send {
    /// Moves to the next row; false at the end. After an error every further call returns an error.
    fn advance(&mut self) -> Result<bool>;
    /// Key of the current row. Empty before the first and after the last row.
    fn key(&self) -> &[u8];
    /// Value of the current row.
    fn value(&self) -> &[u8];
    /// LSN of the batch that wrote the current row.
    fn lsn(&self) -> Lsn;
    /// The current value, kept readable beyond the next [`KvIter::advance`].
    fn pinned_value(&self) -> Value {
        Value::whole(Arc::from(self.value()))
    }
}

/// What the manifest knows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// File number; `kv/NNNNNN.sst`.
    pub file: u64,
    /// Level, 0 = newest.
    pub level: u32,
    /// Smallest key.
    pub smallest: Vec<u8>,
    /// Largest key.
    pub largest: Vec<u8>,
    /// Smallest LSN of a row in it.
    pub min_lsn: Lsn,
    /// Greatest LSN of a row in it.
    pub max_lsn: Lsn,
    /// Number of rows.
    pub rows: u64,
    /// Number of pieces of removed ranges.
    pub range_removals: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Order-independent digest over its rows, see [`row_digest`], and pieces of removed ranges.
    pub digest: u128,
    /// When it was built, of each key only the newest version at or below this LSN was kept.
    pub horizon: Lsn,
}

/// Digest of one row; a table's digest is the wrapping sum over its rows, so it does not depend on their order.
pub fn row_digest(key: &[u8], lsn: Lsn, value: Option<&[u8]>) -> u128 {
    RowDigester::default().digest(key, lsn, value)
}

/// [`row_digest`] for many rows: keeps its buffer.
#[derive(Debug, Default)]
pub(crate) struct RowDigester {
    // One contiguous buffer and a one-shot hash: the streaming hasher sets up more than half a KiB of state per row.
    row: Vec<u8>,
}

impl RowDigester {
    pub(crate) fn digest(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) -> u128 {
        self.row.clear();
        self.row.extend_from_slice(&lsn.0.to_le_bytes());
        self.row.extend_from_slice(&(key.len() as u64).to_le_bytes());
        self.row.extend_from_slice(key);
        self.row.push(u8::from(value.is_some()));
        self.row.extend_from_slice(value.unwrap_or_default());
        xxhash_rust::xxh3::xxh3_128(&self.row)
    }

    /// Of the removal of a range, cut as its table has it.
    pub(crate) fn range_digest(&mut self, start: &[u8], end: &[u8], lsn: Lsn) -> u128 {
        self.row.clear();
        self.row.extend_from_slice(&lsn.0.to_le_bytes());
        self.row.extend_from_slice(&(start.len() as u64).to_le_bytes());
        self.row.extend_from_slice(start);
        self.row.push(2);
        self.row.extend_from_slice(end);
        xxhash_rust::xxh3::xxh3_128(&self.row)
    }
}

/// One write, as it is derived again from the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Vec<u8>,
    /// LSN of its batch.
    pub lsn: Lsn,
    /// The value; `None` for a removal.
    pub value: Option<Vec<u8>>,
}

/// The removal of a range of keys, as it is derived again from the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRemoval {
    /// First key.
    pub start: Vec<u8>,
    /// First key behind the range.
    pub end: Vec<u8>,
    /// LSN of its batch.
    pub lsn: Lsn,
}

/// What a batch has written, as it is derived again from the journal: of each key its last operation, unless that comes before
/// the removal of a range with this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DerivedWrite {
    /// A key was set or removed.
    Row(Row),
    /// A range was removed.
    Range(RangeRemoval),
}

impl DerivedWrite {
    /// All of a batch: rows by key, then ranges.
    pub fn of_batch(batch: &WriteBatch, lsn: Lsn) -> Vec<DerivedWrite> {
        let split;
        let (rows, ranges) = match batch.has_ranges() {
            true => {
                split = batch.without_ranges(lsn);
                (&split.0, split.1.spans())
            }
            false => (batch, &[][..]),
        };
        let last: BTreeMap<&[u8], Option<&[u8]>> = rows.iter().map(|op| (op.key(), op.value())).collect();
        let rows = last.into_iter().map(|(key, value)| {
            DerivedWrite::Row(Row { key: key.to_vec(), lsn, value: value.map(<[u8]>::to_vec) })
        });
        let ranges = ranges.iter().map(|span| {
            DerivedWrite::Range(RangeRemoval { start: span.start.to_vec(), end: span.end.to_vec(), lsn })
        });
        rows.chain(ranges).collect()
    }

    /// Hands over what a batch has written, for one who sorts it anyway: rows from the last operation to the first, those among
    /// them that a later operation has written again, then ranges. So of a key the first row is what the batch has written.
    pub fn each_of_batch(batch: &WriteBatch, lsn: Lsn, mut take: impl FnMut(DerivedWrite)) {
        if batch.has_ranges() {
            DerivedWrite::of_batch(batch, lsn).into_iter().for_each(take);
            return;
        }
        let (bytes, spans) = batch.raw();
        let end = |span: &Span| span.value_end.unwrap_or(span.key_end);
        for (at, span) in spans.iter().enumerate().rev() {
            let start = at.checked_sub(1).and_then(|before| spans.get(before)).map_or(0, end);
            let slice = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default().to_vec();
            let value = span.value_end.map(|end| slice(span.key_end, end));
            take(DerivedWrite::Row(Row { key: slice(start, span.key_end), lsn, value }));
        }
    }

    /// True if it touches a key from `smallest` to `largest`.
    pub fn meets(&self, smallest: &[u8], largest: &[u8]) -> bool {
        match self {
            DerivedWrite::Row(row) => (smallest..=largest).contains(&row.key.as_slice()),
            DerivedWrite::Range(range) => {
                range.start.as_slice() <= largest && range.end.as_slice() > smallest
            }
        }
    }
}

impl From<Row> for DerivedWrite {
    fn from(row: Row) -> DerivedWrite {
        DerivedWrite::Row(row)
    }
}

/// Rows in table order, lent one at a time: keys ascending, and of each key LSNs descending.
pub trait SortedRows {
    /// Moves to the next row; false at the end.
    fn advance(&mut self) -> Result<bool>;
    /// Key of the current row.
    fn key(&self) -> &[u8];
    /// LSN of the current row.
    fn lsn(&self) -> Lsn;
    /// Value of the current row; `None` for a removal.
    fn value(&self) -> Option<&[u8]>;
}

/// A store whose tables can be rebuilt from rows that somebody else can derive again.
pub trait TableRepair: KvStore {
    /// Every live table.
    fn tables(&self) -> Vec<TableInfo>;

    /// Replaces a table by one of the same content. First by what can be read of it and, for the rest, by what a source that is
    /// attached to the store tells; then nothing is taken from `writes`. Else by `writes`: every write that meets the table's key
    /// range with an LSN in its LSN range, in LSN order; of a row that comes twice the first counts. What other live tables or the memtable hold is left out; what remains
    /// must have the table's digest, else [`crate::Error::RepairMismatch`] and nothing changes. The old file, if any,
    /// is moved to `quarantine/`. Reads go on.
    ///
    /// A removal that was the newest write of its keys may have been forgotten with all that it hid. So a table may need writes
    /// behind its LSN range, up to its horizon, to be understood: what it refuses without them is worth another try with them.
    fn repair_table(&self, file: u64, writes: &mut dyn Iterator<Item = Result<DerivedWrite>>) -> Result<()>;
}
