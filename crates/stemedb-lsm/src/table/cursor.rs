//! A cursor over one run: tables that are sorted and do not overlap.

use std::{ops::Range, sync::Arc};

use smallvec::SmallVec;
use stemedb_env::Lsn;

use super::{
    OnDamage, Run, Table,
    block::{Block, Place},
    filter::filter_hash,
    read_ahead::ReadAhead,
};
use crate::{
    Direction, KeyRange, PrefixExtractor, Result, Value,
    codec::common_prefix,
    kv::to_prefix_end,
    ranges::{Cover, successor},
};

/// Values are asked for this far ahead of the row that is shown: the memory answers in the time of a few rows.
const AHEAD_BYTES: u32 = 2048;

/// A limit of a scan: most are prefixes of a few dozen bytes, which need no allocation of their own.
type Limit = SmallVec<[u8; 64]>;

/// Most keys are not longer.
const KEY_BYTES: usize = 160;

/// The limits that all sources of one scan share.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) start: Limit,
    pub(crate) end: Option<Limit>,
    /// Set when all keys of the range share one declared prefix: its filter hash.
    prefix_hash: Option<u64>,
}

impl Bounds {
    pub(crate) fn of(range: &KeyRange, extractor: Option<PrefixExtractor>) -> Bounds {
        let limit = |key: &[u8]| Limit::from_slice(key);
        Bounds {
            start: limit(&range.start),
            end: range.end.as_deref().map(limit),
            prefix_hash: shared_hash(&range.start, range.prefix_bytes, extractor),
        }
    }

    /// Of all keys that start with a prefix.
    pub(crate) fn of_prefix(prefix: &[u8], extractor: Option<PrefixExtractor>) -> Bounds {
        let mut end = Limit::from_slice(prefix);
        let has_end = to_prefix_end(&mut end);
        Bounds {
            start: Limit::from_slice(prefix),
            end: has_end.then_some(end),
            prefix_hash: shared_hash(prefix, prefix.len(), extractor),
        }
    }

    /// The filter hash of the declared prefix that all keys of the range share, if they do.
    pub(crate) fn prefix_hash(&self) -> Option<u64> {
        self.prefix_hash
    }

    /// True if no key can lie within.
    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Bytes that all keys within the bounds share.
    pub(crate) fn shared_bytes(&self) -> usize {
        self.end.as_deref().map_or(0, |end| {
            let shared = common_prefix(&self.start, end);
            // "ab" up to, but not including, "ac": the keys share more than the bounds.
            let next = |at: usize| (self.start.get(at).copied(), end.get(at).copied());
            let only = matches!(next(shared), (Some(low), Some(high)) if low.checked_add(1) == Some(high));
            if only && end.len() == shared + 1 { shared + 1 } else { shared }
        })
    }

    /// The tables of a run that overlap.
    pub(crate) fn tables(&self, run: &Run) -> Range<usize> {
        run.within(&self.start, self.end.as_deref())
    }
}

/// The filter hash of the declared prefix that all keys share which start with the first `shared_bytes` bytes of `start`: they do if
/// it lies inside of that.
fn shared_hash(start: &[u8], shared_bytes: usize, extractor: Option<PrefixExtractor>) -> Option<u64> {
    let declared = extractor.map_or(0, |extract| extract(start));
    let is_shared = declared > 0 && declared <= shared_bytes;
    start.get(..declared).filter(|_| is_shared).map(filter_hash)
}

/// Walks the rows of a run, all versions, in table order or against it.
#[derive(Debug)]
pub(crate) struct RunCursor {
    run: Run,
    bounds: Arc<Bounds>,
    direction: Direction,
    /// Whether blocks read from disk go into the cache.
    fill: bool,
    /// As of when it is read, if by one who may be shown healed blocks.
    reader: Option<Lsn>,
    /// Removed ranges that hide whole tables.
    cover: Option<Cover>,
    ahead: ReadAhead,
    /// Tables not yet entered.
    tables: Range<usize>,
    table: Option<Arc<Table>>,
    block_at: usize,
    block: Option<Block>,
    row: usize,
    place: Place,
    /// Rows of the block within the bounds.
    rows: Range<usize>,
    key: Vec<u8>,
    prefix_bytes: usize,
}

impl RunCursor {
    /// A cursor before the first row. It fails where it meets damage: see [`RunCursor::healing`].
    pub(crate) fn new(run: Run, bounds: Arc<Bounds>, direction: Direction, fill: bool) -> RunCursor {
        let tables = bounds.tables(&run);
        RunCursor::over(run, tables, bounds, direction, fill)
    }

    /// As [`RunCursor::new`], where the tables that overlap with the bounds have been found already.
    pub(crate) fn over(
        run: Run,
        tables: Range<usize>,
        bounds: Arc<Bounds>,
        direction: Direction,
        fill: bool,
    ) -> RunCursor {
        let tables = if bounds.is_empty() { 0..0 } else { tables };
        RunCursor {
            run,
            bounds,
            direction,
            fill,
            reader: None,
            cover: None,
            // Whoever does not fill the cache is a background job that reads everything.
            ahead: if fill { ReadAhead::default() } else { ReadAhead::eager() },
            tables,
            table: None,
            block_at: 0,
            block: None,
            row: 0,
            place: Place::default(),
            rows: 0..0,
            key: Vec::with_capacity(KEY_BYTES),
            prefix_bytes: 0,
        }
    }

    /// For a reader as of `lsn`: damaged blocks are healed, and show no more than the newest versions up to there.
    pub(crate) fn healing(mut self, lsn: Lsn) -> RunCursor {
        self.reader = Some(lsn);
        self
    }

    /// Leaves out tables of which `cover` hides every row.
    pub(crate) fn beneath(mut self, cover: Option<&Cover>) -> RunCursor {
        self.cover = cover.cloned();
        self
    }

    /// Moves to the next row; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        if self.block.is_some() {
            let next = match self.direction {
                Direction::Forward => Some(self.row + 1).filter(|row| *row < self.rows.end),
                Direction::Backward => self.row.checked_sub(1).filter(|row| *row >= self.rows.start),
            };
            if let Some(row) = next {
                // Going forward, the row begins where the last one ended.
                self.show(row, (self.direction == Direction::Forward).then_some(self.place));
                return Ok(true);
            }
        }
        loop {
            if !self.next_block()? {
                self.block = None;
                return Ok(false);
            }
            if !self.rows.is_empty() {
                let row = match self.direction {
                    Direction::Forward => self.rows.start,
                    Direction::Backward => self.rows.end - 1,
                };
                if let Some(block) = &self.block {
                    self.key.clear();
                    self.key.extend_from_slice(block.prefix());
                    self.prefix_bytes = self.key.len();
                }
                self.show(row, None);
                return Ok(true);
            }
        }
    }

    fn show(&mut self, row: usize, before: Option<Place>) {
        self.row = row;
        if let Some(block) = &self.block {
            self.place = block.place(row, before);
            if before.is_some() {
                let Place { value, value_end, .. } = self.place;
                block.prefetch_values(value_end + AHEAD_BYTES, (value_end - value) as usize);
            } else if self.direction == Direction::Forward {
                block.prefetch_values(self.place.value, AHEAD_BYTES as usize);
            }
            self.key.truncate(self.prefix_bytes);
            self.key.extend_from_slice(block.bytes(self.place.key, self.place.key_end));
        }
    }

    /// The table of the current row.
    pub(crate) fn file(&self) -> Option<u64> {
        self.table.as_ref().map(|table| table.meta.file)
    }

    /// True if no key of the run has several versions.
    pub(crate) fn has_unique_keys(&self) -> bool {
        self.run.has_unique_keys()
    }

    /// Loads the next block that may have rows within the bounds; false when there is none.
    fn next_block(&mut self) -> Result<bool> {
        if let Some(table) = self.table.take() {
            let index = table.index()?;
            let next = match self.direction {
                Direction::Forward => {
                    // All keys behind this block are at least its separator.
                    let over = self
                        .bounds
                        .end
                        .as_ref()
                        .is_some_and(|end| !index.block_is_before(self.block_at, end));
                    if over {
                        return Ok(false);
                    }
                    Some(self.block_at + 1).filter(|at| *at < index.blocks())
                }
                Direction::Backward => self
                    .block_at
                    .checked_sub(1)
                    .filter(|before| !index.block_is_before(*before, &self.bounds.start)),
            };
            if let Some(at) = next {
                let left = self.block.take();
                self.load(&table, at, left)?;
                self.table = Some(table);
                return Ok(true);
            }
        }
        while let Some(table) = self.next_table()? {
            let index = table.index()?;
            let at = match (self.direction, &self.bounds.end) {
                (Direction::Forward, _) => index.seek(&self.bounds.start),
                (Direction::Backward, Some(end)) => index.seek(end).min(index.blocks().saturating_sub(1)),
                (Direction::Backward, None) => index.blocks().saturating_sub(1),
            };
            if at < index.blocks() {
                self.load(&table, at, None)?;
                self.table = Some(table);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn next_table(&mut self) -> Result<Option<Arc<Table>>> {
        loop {
            let at = match self.direction {
                Direction::Forward => self.tables.next(),
                Direction::Backward => self.tables.next_back(),
            };
            let Some(table) = at.and_then(|at| self.run.get(at)) else { return Ok(None) };
            if let Some(cover) = &self.cover
                && cover.hides_all(&table.meta.smallest, &table.meta.largest, table.meta.max_lsn)
            {
                continue;
            }
            match self.bounds.prefix_hash {
                Some(hash) if !table.may_contain_prefix(hash)? => table.count_filtered(),
                _ => return Ok(Some(Arc::clone(table))),
            }
        }
    }

    /// What of a block has been shown as rows of the one that is left: a healed block has all versions of its keys, and one of the
    /// two may share a key with it.
    #[cold]
    fn without_shared(&self, table: &Table, left: &Block, block: &Block, rows: Range<usize>) -> Range<usize> {
        let Some(last) = left.rows().checked_sub(1) else { return rows };
        match self.direction {
            Direction::Forward if left.is_healed() => {
                let start = block.lower_bound(&successor(&left.key(last)), Lsn::MAX);
                rows.start.max(start)..rows.end.max(start)
            }
            // Where no key has two versions, what the left one shows of its first key is all.
            Direction::Backward if left.is_healed() || table.meta.keys == table.meta.rows => {
                let end = rows.end.min(block.lower_bound(&left.key(0), Lsn::MAX));
                rows.start.min(end)..end
            }
            _ => rows,
        }
    }

    /// A healed block as this reader may see it.
    #[cold]
    fn healed(&self, table: &Table, block: Block) -> Result<Block> {
        match self.reader {
            Some(lsn) => table.thinned(&block, lsn),
            None => Err(table.refused()),
        }
    }

    /// Loads block `at`, a neighbour of the one that is left.
    fn load(&mut self, table: &Table, at: usize, left: Option<Block>) -> Result<()> {
        let damaged = if self.reader.is_some() { OnDamage::Heal } else { OnDamage::Refuse };
        let mut block = match self.direction {
            Direction::Forward => table.block_in_order(at, self.fill, &mut self.ahead, damaged)?,
            Direction::Backward => table.block(at, self.fill, damaged)?,
        };
        if block.is_healed() {
            block = self.healed(table, block)?;
        }
        block.prefetch_keys();
        let index = table.index()?;
        let start =
            if self.bounds.start.is_empty() { 0 } else { block.lower_bound(&self.bounds.start, Lsn::MAX) };
        let end = match &self.bounds.end {
            // Compared once per block instead of once per row.
            Some(end) if !index.block_is_before(at, end) => block.lower_bound(end, Lsn::MAX),
            _ => block.rows(),
        };
        self.rows = start..end.max(start);
        if let Some(left) = left.filter(|left| left.is_healed() || block.is_healed()) {
            self.rows = self.without_shared(table, &left, &block, self.rows.clone());
        }
        if end == block.rows() && self.direction == Direction::Forward {
            table.prefetch_block(at + 1);
        }
        self.block_at = at;
        self.block = Some(block);
        Ok(())
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.block.as_ref().map_or(Lsn::ZERO, |block| block.lsn(self.row))
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        let Place { value, value_end, removed, .. } = self.place;
        self.block.as_ref().filter(|_| !removed).map(|block| block.bytes(value, value_end))
    }

    pub(crate) fn pinned(&self) -> Option<Value> {
        let Place { value, value_end, removed, .. } = self.place;
        self.block.as_ref().filter(|_| !removed).and_then(|block| block.pinned_bytes(value, value_end))
    }
}
