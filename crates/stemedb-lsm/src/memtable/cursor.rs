//! An owned cursor over a memtable that may grow while it is read.

use std::{ops::Bound, sync::Arc};

use stemedb_env::Lsn;

use super::{MemRow, Memtable, Place, Position};
use crate::{Direction, Value, table::Bounds};

/// Rows fetched per search of the list; starts small, so that a short scan stays cheap.
const FIRST_CHUNK: usize = 4;
const LARGEST_CHUNK: usize = 256;

/// Walks the rows at or below an LSN, all versions, in table order or against it. Rows are fetched in chunks, each
/// with one search, so the cursor borrows nothing and allocates nothing per row.
#[derive(Debug)]
pub(crate) struct MemCursor {
    memtable: Arc<Memtable>,
    bounds: Arc<Bounds>,
    direction: Direction,
    upto: Lsn,
    chunk: Vec<MemRow>,
    at: usize,
    chunk_rows: usize,
    /// The last chunk has been fetched.
    last: bool,
}

impl MemCursor {
    /// A cursor before the first row.
    pub(crate) fn new(
        memtable: Arc<Memtable>,
        bounds: Arc<Bounds>,
        direction: Direction,
        upto: Lsn,
    ) -> MemCursor {
        let last = bounds.is_empty() || memtable.min_lsn() > upto;
        MemCursor {
            memtable,
            bounds,
            direction,
            upto,
            chunk: Vec::new(),
            at: 0,
            chunk_rows: FIRST_CHUNK,
            last,
        }
    }

    /// Moves to the next row; false at the end.
    pub(crate) fn advance(&mut self) -> bool {
        if self.at + 1 < self.chunk.len() {
            self.at += 1;
            return true;
        }
        self.refill();
        !self.chunk.is_empty()
    }

    fn refill(&mut self) {
        let before = self.chunk.pop();
        self.chunk.clear();
        self.at = 0;
        if self.last {
            return;
        }
        let start = Position { key: &self.bounds.start, lsn: Lsn::MAX };
        let mut low: Bound<&dyn Place> = Bound::Included(&start);
        let end = self.bounds.end.as_deref().map(|key| Position { key, lsn: Lsn::MAX });
        let mut high: Bound<&dyn Place> = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end));
        if let Some(before) = &before {
            match self.direction {
                Direction::Forward => low = Bound::Excluded(before),
                Direction::Backward => high = Bound::Excluded(before),
            }
        }
        let rows = self.memtable.rows.range::<dyn Place, _>((low, high));
        let wanted = |row: &MemRow| row.lsn() <= self.upto;
        let take = |rows: &mut dyn Iterator<Item = MemRow>, chunk: &mut Vec<MemRow>| {
            chunk.extend(rows.filter(wanted).take(self.chunk_rows));
        };
        match self.direction {
            Direction::Forward => take(&mut rows.map(|entry| entry.key().clone()), &mut self.chunk),
            Direction::Backward => take(&mut rows.rev().map(|entry| entry.key().clone()), &mut self.chunk),
        }
        self.last = self.chunk.len() < self.chunk_rows;
        self.chunk_rows = (self.chunk_rows * 4).min(LARGEST_CHUNK);
    }

    fn row(&self) -> Option<&MemRow> {
        self.chunk.get(self.at)
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.row().map_or(&[], MemRow::key)
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.row().map_or(Lsn::ZERO, MemRow::lsn)
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.row().and_then(MemRow::value)
    }

    pub(crate) fn pinned(&self) -> Option<Value> {
        self.row().and_then(MemRow::pinned)
    }
}
