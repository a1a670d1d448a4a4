//! The reference implementation: a sorted map of versions. The upper crates' tests run on it, and the tree is compared
//! with it.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use stemedb_env::Lsn;

use super::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, Op, Value, WriteBatch};
use crate::{Error, Result};

type Versions = BTreeMap<Lsn, Option<Arc<[u8]>>>;

/// An in-memory [`KvStore`]. Keeps every version; nothing survives a crash, so its flushed LSN stays 0.
#[derive(Debug, Default)]
pub struct MemStore {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rows: RwLock<BTreeMap<Vec<u8>, Versions>>,
    published: AtomicU64,
}

impl MemStore {
    /// An empty store.
    pub fn new() -> MemStore {
        MemStore::default()
    }
}

impl KvStore for MemStore {
    type Snapshot = MemSnapshot;

    fn apply(&self, batch: &WriteBatch, lsn: Lsn) -> Result<()> {
        let published = self.published_lsn();
        if lsn <= published {
            return Err(Error::OutOfOrder { lsn, applied: published });
        }
        let mut rows = self.shared.rows.write();
        for op in batch.iter() {
            match op {
                // A removal of every key that there is: those that come later are not concerned.
                Op::DeleteRange { start, end } => {
                    let range = (Bound::Included(start), Bound::Excluded(end));
                    rows.range_mut::<[u8], _>(range).for_each(|(_, versions)| _ = versions.insert(lsn, None));
                }
                _ => _ = rows.entry(op.key().to_vec()).or_default().insert(lsn, op.value().map(Arc::from)),
            }
        }
        Ok(())
    }

    fn publish(&self, lsn: Lsn) {
        self.shared.published.fetch_max(lsn.0, Ordering::AcqRel);
    }

    fn abandon(&self) -> Result<()> {
        let published = self.published_lsn();
        let mut rows = self.shared.rows.write();
        for versions in rows.values_mut() {
            versions.split_off(&published.next());
        }
        rows.retain(|_, versions| !versions.is_empty());
        Ok(())
    }

    fn published_lsn(&self) -> Lsn {
        Lsn(self.shared.published.load(Ordering::Acquire))
    }

    fn flushed_lsn(&self) -> Lsn {
        Lsn::ZERO
    }

    fn snapshot(&self) -> MemSnapshot {
        MemSnapshot { shared: Arc::clone(&self.shared), lsn: self.published_lsn() }
    }

    fn snapshot_at(&self, lsn: Lsn) -> Result<MemSnapshot> {
        let newest = self.published_lsn();
        if lsn > newest {
            return Err(Error::SnapshotTooNew { wanted: lsn, newest });
        }
        Ok(MemSnapshot { shared: Arc::clone(&self.shared), lsn })
    }

    fn flush(&self) -> Result<Lsn> {
        Ok(Lsn::ZERO)
    }

    fn compact(&self) -> Result<()> {
        Ok(())
    }

    fn verify(&self) -> Result<u64> {
        Ok(self.shared.rows.read().values().map(|versions| versions.len() as u64).sum())
    }
}

/// A view of a [`MemStore`].
#[derive(Clone, Debug)]
pub struct MemSnapshot {
    shared: Arc<Shared>,
    lsn: Lsn,
}

fn visible(versions: &Versions, lsn: Lsn) -> Option<(Lsn, Arc<[u8]>)> {
    let (version, value) = versions.range(..=lsn).next_back()?;
    value.as_ref().map(|value| (*version, Arc::clone(value)))
}

impl KvSnapshot for MemSnapshot {
    type Iter = MemIter;

    fn lsn(&self) -> Lsn {
        self.lsn
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let rows = self.shared.rows.read();
        Ok(rows
            .get(key)
            .and_then(|versions| visible(versions, self.lsn))
            .map(|(_, value)| Value::whole(value)))
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> MemIter {
        MemIter { snapshot: self.clone(), range: range.clone(), direction, current: None, done: false }
    }
}

/// An iterator over a [`MemStore`]; each step looks its place up again.
#[derive(Debug)]
pub struct MemIter {
    snapshot: MemSnapshot,
    range: KeyRange,
    direction: Direction,
    current: Option<(Vec<u8>, Lsn, Arc<[u8]>)>,
    done: bool,
}

impl KvIter for MemIter {
    fn advance(&mut self) -> Result<bool> {
        if self.done {
            return Ok(false);
        }
        let empty = self.range.end.as_ref().is_some_and(|end| *end <= self.range.start);
        let rows = self.snapshot.shared.rows.read();
        let at = self.current.take().map(|(key, ..)| key);
        let mut lower = Bound::Included(self.range.start.clone());
        let mut upper = self.range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        match (self.direction, at) {
            (_, None) => {}
            (Direction::Forward, Some(key)) => lower = Bound::Excluded(key),
            (Direction::Backward, Some(key)) => upper = Bound::Excluded(key),
        }
        // A range whose bounds have met holds nothing more (and would make the map panic).
        let met = match (&lower, &upper) {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
            _ => false,
        };
        if !empty && !met {
            let lsn = self.snapshot.lsn;
            let shown = |(key, versions): (&Vec<u8>, &Versions)| {
                visible(versions, lsn).map(|(version, value)| (key.clone(), version, value))
            };
            let range = rows.range::<Vec<u8>, _>((lower, upper));
            self.current = match self.direction {
                Direction::Forward => range.into_iter().find_map(shown),
                Direction::Backward => range.into_iter().rev().find_map(shown),
            };
        }
        self.done = self.current.is_none();
        Ok(!self.done)
    }

    fn key(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |(key, ..)| key)
    }

    fn value(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |(.., value)| value)
    }

    fn lsn(&self) -> Lsn {
        self.current.as_ref().map_or(Lsn::ZERO, |(_, lsn, _)| *lsn)
    }
}
