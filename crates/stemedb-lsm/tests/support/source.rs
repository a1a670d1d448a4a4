//! Who derives rows again: all batches in memory, and a count of what was asked. Also what an observer was told.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    sync::{Arc, Mutex},
};

use stemedb_lsm::{
    DerivedWrite, Error, LsmStore, Lsn, ObservedTable, Result, TableObserver, WriteBatch, WriteSource,
};

use super::Journal;

/// What an observer was told of one flush or ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub lsns: RangeInclusive<Lsn>,
    pub rows: Vec<(Vec<u8>, Lsn)>,
    pub ranges: Vec<(Vec<u8>, Vec<u8>, Lsn)>,
}

/// Remembers every write.
#[derive(Debug, Default)]
pub struct Remembering {
    batches: Mutex<Vec<(Lsn, WriteBatch)>>,
    pub fails: AtomicBool,
    pub asked: AtomicU64,
    pub rows: AtomicU64,
    pub cuts: AtomicU64,
    pub told: Mutex<Vec<Told>>,
    pub begun: AtomicU64,
    /// Looked at by every question.
    pub store: Mutex<Option<(Arc<LsmStore>, Vec<u8>)>>,
}

impl Remembering {
    pub fn of(journal: &Journal) -> Arc<Remembering> {
        let source = Remembering::default();
        *source.batches.lock().unwrap() = journal.batches.clone();
        Arc::new(source)
    }

    pub fn remember(&self, lsn: Lsn, batch: &WriteBatch) {
        self.batches.lock().unwrap().push((lsn, batch.clone()));
    }

    /// Questions for rows, rows given, and questions for cuts.
    pub fn counts(&self) -> (u64, u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.asked), of(&self.rows), of(&self.cuts))
    }

    pub fn attach(self: &Arc<Remembering>, store: &LsmStore) {
        assert!(self.try_attach(store));
    }

    pub fn try_attach(self: &Arc<Remembering>, store: &LsmStore) -> bool {
        let source = Arc::clone(self) as Arc<dyn WriteSource>;
        store.attach(source, Arc::new(Observer(Arc::clone(self))))
    }

    fn check(&self) -> Result<()> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(Error::ReadOnly { cause: "the journal is gone".to_owned() }),
            false => Ok(()),
        }
    }

    fn found(&self, keys: &RangeInclusive<&[u8]>, lsns: &RangeInclusive<Lsn>) -> Vec<DerivedWrite> {
        let journal = Journal { batches: self.batches.lock().unwrap().clone() };
        journal.rows(keys.start(), keys.end(), lsns.clone())
    }
}

impl WriteSource for Remembering {
    fn writes(&self, keys: &RangeInclusive<&[u8]>, lsns: &RangeInclusive<Lsn>) -> Result<Vec<DerivedWrite>> {
        self.check()?;
        if let Some((store, key)) = self.store.lock().unwrap().as_ref() {
            use stemedb_lsm::KvStore;
            assert!(matches!(store.get(key), Err(Error::Corruption { .. })), "a question within a question");
        }
        let mut found = self.found(keys, lsns);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(found.len() as u64, Ordering::Relaxed);
        // In no order.
        let third = found.len() / 3;
        found.rotate_left(third);
        Ok(found)
    }

    fn cuts(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
        rows: usize,
    ) -> Result<Vec<Vec<u8>>> {
        self.check()?;
        self.cuts.fetch_add(1, Ordering::Relaxed);
        let mut keys: Vec<Vec<u8>> = self
            .found(keys, lsns)
            .into_iter()
            .filter_map(|write| match write {
                DerivedWrite::Row(row) => Some(row.key),
                DerivedWrite::Range(_) => None,
            })
            .collect();
        keys.sort();
        let mut cuts: Vec<Vec<u8>> =
            keys.chunks(rows.min(7)).map(|chunk| chunk[chunk.len() - 1].clone()).collect();
        cuts.dedup();
        Ok(cuts)
    }
}

#[derive(Debug)]
struct Observer(Arc<Remembering>);

impl TableObserver for Observer {
    fn begin(&self) -> Box<dyn ObservedTable> {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        let told = Told { lsns: Lsn(0)..=Lsn(0), rows: Vec::new(), ranges: Vec::new() };
        Box::new(Observed { source: Arc::clone(&self.0), told })
    }
}

struct Observed {
    source: Arc<Remembering>,
    told: Told,
}

impl ObservedTable for Observed {
    fn row(&mut self, key: &[u8], lsn: Lsn) {
        assert!(self.told.ranges.is_empty(), "rows come first");
        if let Some((last, newer)) = self.told.rows.last() {
            assert!(last.as_slice() < key || (last == key && *newer > lsn), "table order");
        }
        self.told.rows.push((key.to_vec(), lsn));
    }

    fn range(&mut self, start: &[u8], end: &[u8], lsn: Lsn) {
        self.told.ranges.push((start.to_vec(), end.to_vec(), lsn));
    }

    fn finish(self: Box<Self>, lsns: RangeInclusive<Lsn>) {
        let mut told = self.told;
        told.lsns = lsns;
        self.source.told.lock().unwrap().push(told);
    }
}
