//! Reading.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::{
    core::{Core, State},
    multi_get::multi_get,
};
use crate::{
    DerivedBy, Direction, KeyRange, KvSnapshot, LsmIter, Result, RowHash, RowSum, Value,
    iter::{Merge, Source},
    memtable::{MemCursor, Memtable},
    ranges::{Cover, Fragments},
    sum::row_sum,
    table::{Bounds, Found, RunCursor, Table, filter::filter_hash},
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

impl SnapshotInner {
    /// A scan has stepped over so many rows in a row that a table should be merged.
    pub(crate) fn note_dead_rows(&self, file: u64, rows: u64) {
        if self.core.context.note_dead_rows(file, rows) {
            self.core.wake_compaction();
        }
    }
}

impl LsmSnapshot {
    pub(super) fn newest(core: &Arc<Core>) -> LsmSnapshot {
        let (state, lsn) = core.newest();
        LsmSnapshot { inner: Arc::new(SnapshotInner { core: Arc::clone(core), state, lsn }) }
    }

    pub(super) fn at(core: &Arc<Core>, lsn: Lsn) -> Result<LsmSnapshot> {
        let (state, lsn) = core.earlier(lsn)?;
        Ok(LsmSnapshot { inner: Arc::new(SnapshotInner { core: Arc::clone(core), state, lsn }) })
    }
}

/// Tables whose filters are fetched together: as many as a healthy tree has runs.
const MAX_TOGETHER: usize = 8;

/// The newest version of a key at or below `lsn`. Nothing is locked and nothing allocated, unless a block must be read.
pub(super) fn find(state: &State, key: &[u8], lsn: Lsn) -> Result<Found> {
    // One hash serves the filters of all memtables and tables.
    let hash = filter_hash(key);
    for memtable in state.memtables() {
        match memtable.get(key, hash, lsn) {
            Found::Nothing => {}
            found => return Ok(found),
        }
    }
    // The filters of several tables are fetched together instead of one after another.
    let mut candidates: [Option<&Table>; MAX_TOGETHER] = [None; MAX_TOGETHER];
    let mut runs = state.version.runs();
    loop {
        let mut filled = 0;
        for (slot, table) in candidates.iter_mut().zip(runs.by_ref().filter_map(|run| run.find(key))) {
            table.prefetch_filter(hash);
            *slot = Some(table);
            filled += 1;
        }
        for table in candidates.iter_mut().take(filled).filter_map(Option::take) {
            match table.get(key, lsn, hash)? {
                Found::Nothing => {}
                found => return Ok(found),
            }
        }
        if filled < MAX_TOGETHER {
            return Ok(Found::Nothing);
        }
    }
}

/// What removed ranges hide from a scan; `None` if nothing, as nearly always. Neither filters nor the rows of a table say
/// anything about its removed ranges: every table within the bounds is asked.
fn cover(state: &State, bounds: &Bounds, lsn: Lsn) -> Result<Option<Cover>> {
    let in_memory = || state.memtables().filter(|memtable| memtable.has_ranges());
    if !state.version.has_ranges() && in_memory().next().is_none() {
        return Ok(None);
    }
    let (start, end) = (bounds.start.as_slice(), bounds.end.as_deref());
    let mut sources: Vec<Fragments> = Vec::new();
    in_memory().for_each(|memtable| memtable.each_range(start, end, lsn, |ranges| sources.push(ranges)));
    for run in state.version.runs() {
        let within = run.get(bounds.tables(run)).unwrap_or_default();
        for table in within.iter().filter(|table| table.meta.ranges > 0 && table.meta.min_lsn <= lsn) {
            sources.push(table.ranges()?.as_of(start, end, lsn));
        }
    }
    let cover = Cover::new(&Fragments::merged(sources), lsn);
    Ok((!cover.is_empty()).then_some(cover))
}

impl Found {
    /// The value, if there is one.
    pub(super) fn into_value(self) -> Option<Value> {
        match self {
            Found::Value(value) => Some(value),
            Found::Nothing | Found::Removed => None,
        }
    }
}

/// As a snapshot of this moment would answer, without making one.
pub(super) fn get_newest(core: &Core, key: &[u8]) -> Result<Option<Value>> {
    // The state before the LSN: whatever of it is visible by then is shown. A row that is published later into a newer
    // memtable is missed, as if this call had come before it.
    let state = core.state();
    let lsn = core.published_lsn();
    Ok(find(&state, key, lsn)?.into_value())
}

impl KvSnapshot for LsmSnapshot {
    type Iter = LsmIter;

    fn lsn(&self) -> Lsn {
        self.inner.lsn
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        Ok(find(&self.inner.state, key, self.inner.lsn)?.into_value())
    }

    fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>> {
        multi_get(&self.inner.state, keys, self.inner.lsn)
    }

    fn may_have<P: AsRef<[u8]>>(&self, prefixes: &[P]) -> Result<Vec<bool>> {
        let SnapshotInner { state, core, lsn } = &*self.inner;
        let mut may = vec![false; prefixes.len()];
        // Filters are far larger than the processor's caches: all lines are asked for before the first one is looked at.
        let mut asked: Vec<(usize, u64, &Table)> = Vec::with_capacity(2 * prefixes.len());
        for (nth, (prefix, may)) in prefixes.iter().zip(&mut may).enumerate() {
            let prefix = prefix.as_ref();
            let declared = core.options.prefix_extractor.map_or(0, |extract| extract(prefix));
            let hash = filter_hash(prefix);
            let in_memory = |memtable: &Arc<Memtable>| !memtable.is_empty() && memtable.may_contain(hash);
            if declared == 0 || declared != prefix.len() || state.memtables().any(in_memory) {
                *may = true;
                continue;
            }
            for run in state.version.runs() {
                let tables = run.from(prefix).iter().take_while(|table| table.may_reach(prefix));
                for table in tables.filter(|table| table.meta.min_lsn <= *lsn) {
                    table.prefetch_prefix(hash);
                    asked.push((nth, hash, table));
                }
            }
        }
        for (nth, hash, table) in asked {
            let Some(may) = may.get_mut(nth).filter(|may| !**may) else { continue };
            *may = table.may_contain_prefix(hash)?;
            if !*may {
                table.count_filtered();
            }
        }
        Ok(may)
    }

    fn derived_by(&self) -> Option<DerivedBy> {
        DerivedBy::of(&self.inner.core.options).written()
    }

    fn row_sum(&self, hash: &RowHash<'_>) -> Result<Option<RowSum>> {
        row_sum(&self.inner.core, &self.inner.state, self.inner.lsn, hash)
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> LsmIter {
        self.within(Bounds::of(range, self.inner.core.options.prefix_extractor), direction)
    }

    fn scan_prefix(&self, prefix: &[u8]) -> LsmIter {
        self.within(Bounds::of_prefix(prefix, self.inner.core.options.prefix_extractor), Direction::Forward)
    }
}

impl LsmSnapshot {
    /// The rows within bounds.
    fn within(&self, bounds: Bounds, direction: Direction) -> LsmIter {
        let SnapshotInner { state, lsn, .. } = &*self.inner;
        let bounds = Arc::new(bounds);
        let (cover, failed) = match cover(state, &bounds, *lsn) {
            Ok(cover) => (cover, None),
            Err(error) => (None, Some(error)),
        };
        let mut merge = Merge::new(direction, bounds.shared_bytes());
        // What a filter rules out needs no cursor.
        let prefix = bounds.prefix_hash();
        let may_have = |memtable: &&Arc<Memtable>| {
            !memtable.is_empty() && prefix.is_none_or(|hash| memtable.may_contain(hash))
        };
        for memtable in state.memtables().filter(may_have) {
            merge.push(Source::Mem(MemCursor::new(memtable, Arc::clone(&bounds), direction, *lsn)));
        }
        for run in state.version.runs() {
            let tables = bounds.tables(run);
            match (run.get(tables.clone()).unwrap_or_default(), prefix) {
                ([], _) => continue,
                // A table that cannot be opened says so when its rows are asked for.
                ([only], Some(hash)) if matches!(only.may_contain_prefix(hash), Ok(false)) => {
                    only.count_filtered();
                    continue;
                }
                _ => {}
            }
            let cursor = RunCursor::over(run.clone(), tables, Arc::clone(&bounds), direction, true);
            let cursor = cursor.healing(*lsn).beneath(cover.as_ref());
            merge.push(Source::Run(Box::new(cursor)));
        }
        LsmIter::new(merge, direction, *lsn, cover, failed, Arc::clone(&self.inner))
    }
}
