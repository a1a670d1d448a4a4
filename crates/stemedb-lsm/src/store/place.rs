//! How deep newer rows may lie.
//!
//! A row must not lie below an older version of its key, nor its table beside one that it overlaps. So a table of rows that are
//! newer than all others belongs on the level above the highest table that it overlaps, and at the bottom if it overlaps
//! none.

use stemedb_env::planted::{Bug, planted};

use crate::{
    LsmOptions,
    compaction::columns,
    version::{LAST_LEVEL, Version},
};

/// Key range and level of a table that was there before.
#[derive(Debug)]
struct Older {
    smallest: Vec<u8>,
    largest: Vec<u8>,
    level: usize,
}

/// Finds the places of rows that come in key order.
#[derive(Debug)]
pub(super) struct Places {
    /// By their smallest key.
    older: Vec<Older>,
    /// The first that begins behind the present key.
    next: usize,
    /// Those that began before and may not have ended yet.
    open: Vec<usize>,
    /// Ends of the columns of keys: merges work on whole ones, so tables end there.
    borders: Vec<Vec<u8>>,
    border: usize,
    /// Of the table being written.
    level: usize,
}

impl Places {
    pub(super) fn new(version: &Version, options: &LsmOptions) -> Places {
        let mut older: Vec<Older> = version
            .tables()
            .filter(|(level, _)| *level > 0 || !planted(Bug::LsmIngestBelowLevel0))
            .map(|(level, table)| Older {
                smallest: table.meta.smallest.clone(),
                largest: table.meta.largest.clone(),
                level,
            })
            .collect();
        older.sort_by(|a, b| a.smallest.cmp(&b.smallest));
        let mut borders: Vec<Vec<u8>> =
            columns(version, options).into_iter().map(|column| column.largest).collect();
        // What is behind the last column may join it.
        borders.pop();
        Places { older, next: 0, open: Vec::new(), borders, border: 0, level: LAST_LEVEL }
    }

    /// True if the table being written must end before `key`, the next one: its level would be another, or a column
    /// begins. Cost: two comparisons, if nothing begins there.
    pub(super) fn ends_before(&mut self, key: &[u8]) -> bool {
        let mut level = self.level;
        while let Some(older) = self.older.get(self.next).filter(|older| older.smallest.as_slice() <= key) {
            level = level.min(older.level.saturating_sub(1));
            self.open.push(self.next);
            self.next += 1;
        }
        let border = self.border;
        while self.borders.get(self.border).is_some_and(|border| border.as_slice() < key) {
            self.border += 1;
        }
        level < self.level || self.border > border
    }

    /// A table begins with `key`, of which [`Places::ends_before`] has been asked. Returns its level.
    pub(super) fn begin(&mut self, key: &[u8]) -> usize {
        let Places { older, open, .. } = self;
        open.retain(|at| older.get(*at).is_some_and(|older| older.largest.as_slice() >= key));
        let levels = open.iter().filter_map(|at| older.get(*at)).map(|older| older.level.saturating_sub(1));
        self.level = levels.min().unwrap_or(LAST_LEVEL);
        self.level
    }
}

/// The deepest level at which a table of newer rows between two keys may lie now.
pub(super) fn deepest(version: &Version, smallest: &[u8], largest: &[u8]) -> usize {
    version
        .tables()
        .filter(|(level, _)| *level > 0 || !planted(Bug::LsmIngestBelowLevel0))
        .filter(|(_, table)| table.meta.overlaps(smallest, largest))
        .map(|(level, _)| level.saturating_sub(1))
        .min()
        .unwrap_or(LAST_LEVEL)
}
