//! A binary heap over concrete sources; nothing is allocated per row.

use std::cmp::Ordering;

use stemedb_env::Lsn;

use crate::{Direction, Result, Value, memtable::MemCursor, table::RunCursor};

/// One sorted input.
#[derive(Debug)]
pub(crate) enum Source {
    /// A memtable.
    Mem(MemCursor),
    /// A run of tables.
    Run(Box<RunCursor>),
}

impl Source {
    fn advance(&mut self) -> Result<bool> {
        match self {
            Source::Mem(cursor) => Ok(cursor.advance()),
            Source::Run(cursor) => cursor.advance(),
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Source::Mem(cursor) => cursor.key(),
            Source::Run(cursor) => cursor.key(),
        }
    }

    fn lsn(&self) -> Lsn {
        match self {
            Source::Mem(cursor) => cursor.lsn(),
            Source::Run(cursor) => cursor.lsn(),
        }
    }

    fn value(&self) -> Option<&[u8]> {
        match self {
            Source::Mem(cursor) => cursor.value(),
            Source::Run(cursor) => cursor.value(),
        }
    }

    fn pinned(&self) -> Option<Value> {
        match self {
            Source::Mem(cursor) => cursor.pinned(),
            Source::Run(cursor) => cursor.pinned(),
        }
    }
}

/// All versions of all sources: key ascending and LSN descending, or the exact reverse.
#[derive(Debug)]
pub(crate) struct Merge {
    /// Sources that have a row, as a heap: the root is next.
    heap: Vec<Source>,
    /// Sources not asked for their first row yet.
    fresh: Vec<Source>,
    direction: Direction,
}

impl Merge {
    pub(crate) fn new(sources: Vec<Source>, direction: Direction) -> Merge {
        Merge { heap: Vec::with_capacity(sources.len()), fresh: sources, direction }
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.heap.get(a), self.heap.get(b)) else { return false };
        let order = a.key().cmp(b.key()).then_with(|| b.lsn().cmp(&a.lsn()));
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Backward => order == Ordering::Greater,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.heap.len() {
                return;
            }
            let child = if right < self.heap.len() && self.before(right, left) { right } else { left };
            if !self.before(child, at) {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }

    /// Moves to the next row; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        if !self.fresh.is_empty() {
            for mut source in std::mem::take(&mut self.fresh) {
                if source.advance()? {
                    self.heap.push(source);
                }
            }
            (0..self.heap.len() / 2).rev().for_each(|at| self.sift_down(at));
        } else if let Some(root) = self.heap.first_mut() {
            if !root.advance()? {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        Ok(!self.heap.is_empty())
    }

    /// True if there is a current row.
    pub(crate) fn is_valid(&self) -> bool {
        self.fresh.is_empty() && !self.heap.is_empty()
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.heap.first().map_or(&[], Source::key)
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.heap.first().map_or(Lsn::ZERO, Source::lsn)
    }

    /// The value of the current row; `None` for a removal.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.heap.first().and_then(Source::value)
    }

    pub(crate) fn pinned(&self) -> Option<Value> {
        self.heap.first().and_then(Source::pinned)
    }
}
