//! The rows that a snapshot shows.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::Merge;
use crate::{
    Direction, Error, KvIter, Result, Value,
    ranges::Cover,
    store::{DEAD_ROWS_WORTH_NOTING, SnapshotInner},
};

/// Iterator over the visible rows of a range; see [`crate::KvSnapshot::scan`]. Holds its snapshot.
#[derive(Debug)]
pub struct LsmIter {
    merge: Merge,
    direction: Direction,
    lsn: Lsn,
    /// Forward: the key whose newer versions have been decided. Backward: the current key.
    key: Vec<u8>,
    started: bool,
    /// No key comes twice: nothing has to be remembered of one row for the next.
    unique: bool,
    /// Removed ranges.
    cover: Option<Cover>,
    /// There is a current row.
    valid: bool,
    /// Backward only: the current row; its source has moved on already.
    held: Option<(Lsn, Value)>,
    failed: Option<Error>,
    /// Also keeps alive what is read.
    snapshot: Arc<SnapshotInner>,
}

impl LsmIter {
    /// The visible rows of `merge` that `cover` does not hide, or the error that kept somebody from finding out what it is.
    pub(crate) fn new(
        merge: Merge,
        direction: Direction,
        lsn: Lsn,
        cover: Option<Cover>,
        failed: Option<Error>,
        snapshot: Arc<SnapshotInner>,
    ) -> LsmIter {
        LsmIter {
            unique: merge.has_unique_keys() && direction == Direction::Forward && cover.is_none(),
            cover,
            merge,
            direction,
            lsn,
            key: Vec::new(),
            started: false,
            valid: false,
            held: None,
            failed,
            snapshot,
        }
    }

    fn forward(&mut self) -> Result<bool> {
        if self.unique {
            self.started = true;
            let mut dead = 0;
            while self.merge.advance()? {
                if self.merge.lsn() <= self.lsn && self.merge.value().is_some() {
                    return Ok(true);
                }
                dead += 1;
                self.note_dead(dead);
            }
            return Ok(false);
        }
        let mut dead = 0;
        let mut decided = self.started;
        self.started = true;
        while self.merge.advance()? {
            if self.merge.lsn() > self.lsn || (decided && self.merge.key() == self.key.as_slice()) {
                dead += 1;
                self.note_dead(dead);
                continue;
            }
            self.key.clear();
            self.key.extend_from_slice(self.merge.key());
            decided = true;
            if self.merge.value().is_some() && !self.is_hidden(self.merge.lsn()) {
                return Ok(true);
            }
            dead += 1;
            self.note_dead(dead);
        }
        Ok(false)
    }

    /// True if a removed range hides the version `lsn` of the current key.
    fn is_hidden(&mut self, lsn: Lsn) -> bool {
        let LsmIter { cover, key, .. } = self;
        cover.as_mut().is_some_and(|cover| lsn < cover.newest(key))
    }

    /// So many rows in a row were stepped over: once they are many, the tables that they are in should be merged.
    fn note_dead(&self, rows: u64) {
        if rows == DEAD_ROWS_WORTH_NOTING + 1 {
            self.merge.files().for_each(|file| self.snapshot.note_dead_rows(file, rows));
        }
    }

    /// Against the order the oldest version of a key comes first, so the row is known only when its last version has
    /// been passed.
    fn backward(&mut self) -> Result<bool> {
        self.held = None;
        if !self.started {
            self.started = true;
            self.merge.advance()?;
        }
        while self.merge.is_valid() {
            self.key.clear();
            self.key.extend_from_slice(self.merge.key());
            while self.merge.is_valid() && self.merge.key() == self.key.as_slice() {
                if self.merge.lsn() <= self.lsn {
                    let lsn = self.merge.lsn();
                    self.held = self.merge.pinned().map(|value| (lsn, value));
                }
                self.merge.advance()?;
            }
            let newest = self.held.as_ref().map(|(lsn, _)| *lsn);
            if newest.is_some_and(|newest| !self.is_hidden(newest)) {
                return Ok(true);
            }
            self.held = None;
        }
        Ok(false)
    }
}

impl KvIter for LsmIter {
    fn advance(&mut self) -> Result<bool> {
        if let Some(error) = &self.failed {
            return Err(error.again());
        }
        if self.started && !self.valid {
            return Ok(false);
        }
        let moved = match self.direction {
            Direction::Forward => self.forward(),
            Direction::Backward => self.backward(),
        };
        self.valid = matches!(moved, Ok(true));
        if let Err(error) = &moved {
            self.failed = Some(error.again());
        }
        moved
    }

    fn key(&self) -> &[u8] {
        match (self.valid, self.unique) {
            (false, _) => &[],
            (true, true) => self.merge.key(),
            (true, false) => &self.key,
        }
    }

    fn value(&self) -> &[u8] {
        if !self.valid {
            return &[];
        }
        match (&self.held, self.direction) {
            (Some((_, value)), Direction::Backward) => value,
            _ => self.merge.value().unwrap_or_default(),
        }
    }

    fn lsn(&self) -> Lsn {
        if !self.valid {
            return Lsn::ZERO;
        }
        match (&self.held, self.direction) {
            (Some((lsn, _)), Direction::Backward) => *lsn,
            _ => self.merge.lsn(),
        }
    }

    fn pinned_value(&self) -> Value {
        let shared = match (&self.held, self.direction) {
            (Some((_, value)), Direction::Backward) => Some(value.clone()),
            _ => self.merge.pinned(),
        };
        shared.filter(|_| self.valid).unwrap_or_else(|| Value::whole(Arc::from(&[][..])))
    }
}
