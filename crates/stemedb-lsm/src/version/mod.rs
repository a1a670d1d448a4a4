//! One immutable arrangement of the tables. A reader that holds it is not disturbed by flushes and compactions.

use std::sync::Arc;

use crate::table::{Run, Table};

/// Levels are 0 (newest, its tables overlap) to this one.
pub(crate) const LAST_LEVEL: usize = 6;

/// Tables by level.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// Each table is a run of its own, newest first.
    pub(crate) l0: Vec<Run>,
    /// One run per level, from level 1.
    levels: Vec<Run>,
    /// A table has removed ranges.
    has_ranges: bool,
}

impl Version {
    /// Arranges tables by their levels.
    pub(crate) fn new(tables: impl IntoIterator<Item = (usize, Arc<Table>)>) -> Version {
        let mut levels: Vec<Vec<Arc<Table>>> = vec![Vec::new(); LAST_LEVEL + 1];
        for (level, table) in tables {
            if let Some(level) = levels.get_mut(level) {
                level.push(table);
            }
        }
        let mut levels = levels.into_iter();
        let mut newest = levels.next().unwrap_or_default();
        newest.sort_by_key(|table| std::cmp::Reverse((table.meta.max_lsn, table.meta.file)));
        let sorted = |mut run: Vec<Arc<Table>>| -> Run {
            run.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
            debug_assert!(
                run.is_sorted_by(|a, b| a.meta.largest < b.meta.smallest),
                "a level's tables are disjoint"
            );
            Run::new(run)
        };
        let has_ranges = levels.as_slice().iter().flatten().chain(&newest).any(|table| table.meta.ranges > 0);
        Version {
            has_ranges,
            l0: newest.into_iter().map(|table| Run::new([table])).collect(),
            levels: levels.map(sorted).collect(),
        }
    }

    /// True if a table has removed ranges.
    pub(crate) fn has_ranges(&self) -> bool {
        self.has_ranges
    }

    /// The run of a level below 0.
    pub(crate) fn level(&self, level: usize) -> &[Arc<Table>] {
        level.checked_sub(1).and_then(|at| self.levels.get(at)).map_or(&[], |run| run)
    }

    /// Every run, newest first.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.l0.iter().chain(&self.levels).filter(|run| !run.is_empty())
    }

    /// The tables of level 0, newest first.
    pub(crate) fn newest_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.l0.iter().flat_map(|run| run.iter())
    }

    /// Every table with its level.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Arc<Table>)> {
        let newest = self.l0.iter().flat_map(|run| run.iter()).map(|table| (0, table));
        newest.chain(
            (1..=LAST_LEVEL).flat_map(|level| self.level(level).iter().map(move |table| (level, table))),
        )
    }

    /// A new arrangement without some tables and with others.
    pub(crate) fn edited(&self, removed: &[u64], added: &[(usize, Arc<Table>)]) -> Version {
        let kept = self.tables().filter(|(_, table)| !removed.contains(&table.meta.file));
        Version::new(kept.map(|(level, table)| (level, Arc::clone(table))).chain(added.iter().cloned()))
    }

    /// Bytes of a level's files.
    pub(crate) fn level_bytes(&self, level: usize) -> u64 {
        match level {
            0 => self.l0.iter().flat_map(|run| run.iter()).map(|table| table.meta.bytes).sum(),
            _ => self.level(level).iter().map(|table| table.meta.bytes).sum(),
        }
    }

    /// Bytes of all files.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.tables().map(|(_, table)| table.meta.bytes).sum()
    }

    /// Number of files.
    pub(crate) fn file_count(&self) -> usize {
        self.tables().count()
    }
}
