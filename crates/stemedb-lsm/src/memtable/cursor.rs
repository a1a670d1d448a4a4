//! An owned cursor over a memtable that may grow while it is read.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::{MemValue, Memtable, Rows, skiplist::ListCursor, sorted::SortedRun};
use crate::{Direction, Value, table::Bounds};

/// Walks the rows at or below an LSN, all versions, in table order or against it. Copies nothing and allocates nothing
/// per row. A step is one link; against the order there is a search of the list every sixteen rows or so.
#[derive(Debug)]
pub(crate) struct MemCursor {
    bounds: Arc<Bounds>,
    direction: Direction,
    upto: Lsn,
    at: At,
    state: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    Fresh,
    Within,
    Done,
}

#[derive(Debug)]
enum At {
    List(ListCursor),
    Sorted(Arc<SortedRun>, RunPlace),
}

/// A row of a sorted run. In front of the first is the greatest number, so that it is none.
#[derive(Debug)]
struct RunPlace(usize);

impl At {
    fn seek(&mut self, key: &[u8]) {
        match self {
            At::List(cursor) => cursor.seek(key, Lsn::MAX),
            At::Sorted(run, place) => place.0 = run.find(key, Lsn::MAX),
        }
    }

    fn seek_before(&mut self, key: Option<&[u8]>) {
        match self {
            At::List(cursor) => cursor.seek_before(key.map(|key| (key, Lsn::MAX))),
            At::Sorted(run, place) => {
                place.0 = key.map_or(run.len(), |key| run.find(key, Lsn::MAX)).wrapping_sub(1);
            }
        }
    }

    fn step(&mut self, direction: Direction) {
        match (self, direction) {
            (At::List(cursor), Direction::Forward) => cursor.next(),
            (At::List(cursor), Direction::Backward) => cursor.previous(),
            (At::Sorted(_, place), Direction::Forward) => place.0 = place.0.wrapping_add(1),
            (At::Sorted(_, place), Direction::Backward) => place.0 = place.0.wrapping_sub(1),
        }
    }

    fn row(&self) -> Option<(&[u8], Lsn)> {
        match self {
            At::List(cursor) => cursor.row().map(|row| (row.key(), row.lsn())),
            At::Sorted(run, place) => (place.0 < run.len()).then(|| (run.key(place.0), run.lsn(place.0))),
        }
    }
}

impl MemCursor {
    /// A cursor before the first row.
    pub(crate) fn new(
        memtable: &Memtable,
        bounds: Arc<Bounds>,
        direction: Direction,
        upto: Lsn,
    ) -> MemCursor {
        let has_none = bounds.is_empty()
            || memtable.min_lsn() > upto
            || bounds.prefix_hash().is_some_and(|hash| !memtable.may_contain(hash));
        let at = match &memtable.rows {
            Rows::List(list, _) => At::List(ListCursor::new(Arc::clone(list))),
            Rows::Sorted(run) => At::Sorted(Arc::clone(run), RunPlace(usize::MAX)),
        };
        let upto = upto.min(memtable.kept());
        let state = if has_none { Progress::Done } else { Progress::Fresh };
        MemCursor { bounds, direction, upto, at, state }
    }

    /// Moves to the next row; false at the end.
    pub(crate) fn advance(&mut self) -> bool {
        match (self.state, self.direction) {
            (Progress::Done, _) => return false,
            (Progress::Fresh, Direction::Forward) => self.at.seek(&self.bounds.start),
            (Progress::Fresh, Direction::Backward) => self.at.seek_before(self.bounds.end.as_deref()),
            (Progress::Within, direction) => self.at.step(direction),
        }
        self.state = Progress::Within;
        while let Some((key, lsn)) = self.at.row() {
            let is_outside = match self.direction {
                Direction::Forward => self.bounds.end.as_deref().is_some_and(|end| key >= end),
                Direction::Backward => key < self.bounds.start.as_slice(),
            };
            if is_outside {
                break;
            }
            if lsn <= self.upto {
                return true;
            }
            self.at.step(self.direction);
        }
        self.state = Progress::Done;
        false
    }

    fn row(&self) -> Option<(&[u8], Lsn)> {
        if self.state == Progress::Within { self.at.row() } else { None }
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.row().map_or(&[], |(key, _)| key)
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.row().map_or(Lsn::ZERO, |(_, lsn)| lsn)
    }

    /// `None` for a removal.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        match &self.at {
            _ if self.state != Progress::Within => None,
            At::List(cursor) => cursor.row().and_then(|row| row.value()),
            At::Sorted(run, place) => run.value(place.0),
        }
    }

    /// `None` for a removal.
    pub(crate) fn pinned(&self) -> Option<Value> {
        let value = match &self.at {
            _ if self.state != Progress::Within => None,
            At::List(cursor) => cursor.pinned().map(MemValue::from),
            At::Sorted(run, place) => run.pinned(place.0).map(MemValue::from),
        };
        value.map(Value::memtable)
    }
}
