//! Reading.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::core::{Core, State};
use crate::{
    Direction, KeyRange, KvSnapshot, LsmIter, Result, Value,
    iter::{Merge, Source},
    memtable::MemCursor,
    table::{Bounds, Found, RunCursor, filter::filter_hash},
};

/// A consistent view of an [`crate::LsmStore`]. It keeps the tables and memtables that it needs, whatever flushes and
/// compactions do; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct LsmSnapshot {
    inner: Arc<SnapshotInner>,
}

/// What a snapshot and its iterators share.
#[derive(Debug)]
pub(crate) struct SnapshotInner {
    core: Arc<Core>,
    state: Arc<State>,
    lsn: Lsn,
}

impl Drop for SnapshotInner {
    fn drop(&mut self) {
        self.core.release_snapshot(self.lsn);
    }
}

impl LsmSnapshot {
    pub(super) fn newest(core: &Arc<Core>) -> LsmSnapshot {
        // The LSN before the state: a flush between the two cannot hide rows.
        let lsn = core.register_newest();
        LsmSnapshot {
            inner: Arc::new(SnapshotInner { core: Arc::clone(core), state: core.state_full(), lsn }),
        }
    }

    pub(super) fn at(core: &Arc<Core>, lsn: Lsn) -> Result<LsmSnapshot> {
        let lsn = core.register_earlier(lsn)?;
        Ok(LsmSnapshot {
            inner: Arc::new(SnapshotInner { core: Arc::clone(core), state: core.state_full(), lsn }),
        })
    }

    fn find(&self, key: &[u8]) -> Result<Found> {
        let SnapshotInner { state, lsn, .. } = &*self.inner;
        // One hash serves the filters of all memtables and tables.
        let hash = filter_hash(key);
        for memtable in state.memtables() {
            match memtable.get(key, hash, *lsn) {
                Found::Nothing => {}
                found => return Ok(found),
            }
        }
        for run in state.version.runs() {
            let at = run.partition_point(|table| table.meta.largest.as_slice() < key);
            let Some(table) = run.get(at).filter(|table| table.meta.smallest.as_slice() <= key) else {
                continue;
            };
            match table.get(key, *lsn, hash)? {
                Found::Nothing => {}
                found => return Ok(found),
            }
        }
        Ok(Found::Nothing)
    }
}

impl KvSnapshot for LsmSnapshot {
    type Iter = LsmIter;

    fn lsn(&self) -> Lsn {
        self.inner.lsn
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        Ok(match self.find(key)? {
            Found::Value(value) => Some(value),
            Found::Nothing | Found::Removed => None,
        })
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> LsmIter {
        let SnapshotInner { state, core, lsn } = &*self.inner;
        let bounds = Arc::new(Bounds::of(range, core.options.prefix_extractor));
        let mut sources = Vec::new();
        for memtable in state.memtables().filter(|memtable| !memtable.is_empty()) {
            let cursor = MemCursor::new(memtable, Arc::clone(&bounds), direction, *lsn);
            sources.push(Source::Mem(cursor));
        }
        for run in state.version.runs().filter(|run| !bounds.tables(run).is_empty()) {
            let cursor = RunCursor::new(Arc::clone(run), Arc::clone(&bounds), direction, true);
            sources.push(Source::Run(Box::new(cursor)));
        }
        LsmIter::new(Merge::new(sources, direction), direction, *lsn, Arc::clone(&self.inner))
    }
}
