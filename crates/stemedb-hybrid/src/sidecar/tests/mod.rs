//! A journal and its sidecars on a simulated machine, and the answer that everything is compared with.

mod crash;
mod damage;
mod model;
mod reads;
mod sizes;
mod upkeep;

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use stemedb_env::{Env, Lsn, Micros, SimHandles, frame::DatabaseId};
use stemedb_index::{Admit, Derive, KeyValues};
use stemedb_lsm::{DerivedWrite, KvStore, MemStore, TableObserver, WriteBatch, WriteSource};
use stemedb_wal::{Journal, JournalIdentity, JournalOptions, JournalReader, SegmentedJournal};

use super::{
    format::Origin,
    observer::SidecarObserver,
    set::{Past, SidecarSet},
    source::JournalSource,
    upkeep::Upkeep,
};
use crate::Events;

pub const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([9; 16]), timeline: 1 };
pub const ORIGIN: Origin = Origin { database: DatabaseId([9; 16]), timeline: 1, derivation: 1 };

pub fn wal() -> &'static Path {
    Path::new("/db/wal")
}

pub fn folder() -> PathBuf {
    PathBuf::from("/db/sidecar")
}

/// A journal whose tables are made by the test itself.
pub struct Machine<D> {
    pub env: Env,
    pub sim: SimHandles,
    pub journal: Arc<SegmentedJournal>,
    pub derive: Arc<D>,
    pub set: Arc<SidecarSet>,
    pub flushed: Lsn,
}

impl<D: Derive> Machine<D> {
    pub fn new(derive: D, options: JournalOptions) -> Machine<D> {
        let (env, sim) = Env::sim(1);
        sim.fs.install_dir(Path::new("/db")).unwrap();
        let journal = SegmentedJournal::create(&env, wal(), IDENTITY, options).unwrap();
        Machine::over(env, sim, journal, Arc::new(derive), Lsn::ZERO)
    }

    pub fn over(
        env: Env,
        sim: SimHandles,
        journal: SegmentedJournal,
        derive: Arc<D>,
        flushed: Lsn,
    ) -> Machine<D> {
        let journal = Arc::new(journal);
        let set = open_set(&env, &journal, flushed);
        Machine { env, sim, journal, derive, set, flushed }
    }

    /// The same files after a restart: what was known in memory is gone.
    pub fn reopened(self, options: JournalOptions) -> Machine<D> {
        let Machine { env, sim, journal, derive, set, flushed } = self;
        journal.close().unwrap();
        drop((journal, set));
        let (journal, _) = SegmentedJournal::open(&env, wal(), IDENTITY, flushed, options).unwrap();
        Machine::over(env, sim, journal, derive, flushed)
    }

    /// A new look at the folder of the sidecars.
    pub fn look_again(&mut self) {
        self.set = open_set(&self.env, &self.journal, self.flushed);
    }

    pub fn append(&self, entries: &[Vec<u8>]) {
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        self.journal.append_group(&entries).unwrap();
    }

    pub fn source(&self) -> JournalSource<D> {
        JournalSource::new(&self.set, &self.journal, &self.derive, wal().to_path_buf())
    }

    pub fn upkeep(&self) -> Upkeep<D> {
        Upkeep::new(&self.set, &self.journal, &self.derive)
    }

    /// What a table of everything behind the last one would be told to the observer.
    pub fn flush(&mut self, upto: u64) {
        let lsns = self.flushed.next()..=Lsn(upto);
        self.observe(&lsns);
        self.flushed = Lsn(upto);
    }

    pub fn observe(&self, lsns: &RangeInclusive<Lsn>) {
        let observer = SidecarObserver { set: Arc::clone(&self.set), journal: Arc::clone(&self.journal) };
        let mut table = observer.begin();
        let (mut rows, mut ranges) = (Vec::new(), Vec::new());
        for write in everything(&self.journal, &*self.derive, lsns) {
            match write {
                DerivedWrite::Row(row) => rows.push((row.key, row.lsn)),
                DerivedWrite::Range(range) => ranges.push(range),
            }
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        rows.iter().for_each(|(key, lsn)| table.row(key, *lsn));
        ranges.iter().for_each(|range| table.range(&range.start, &range.end, range.lsn));
        table.finish(lsns.clone());
    }

    /// The answer must be that of the journal.
    pub fn check(&self, keys: &RangeInclusive<&[u8]>, lsns: &RangeInclusive<Lsn>) {
        let source = self.source();
        let found = plain(source.writes(keys, lsns).unwrap());
        let expected = plain(naive(&self.journal, &*self.derive, keys, lsns));
        assert_eq!(found, expected, "{keys:?} {lsns:?}");
        let ranges = source.range_removals(keys, lsns).unwrap().into_iter().map(DerivedWrite::Range);
        let expected: Vec<_> = expected.into_iter().filter(|(_, _, _, is_range)| *is_range).collect();
        assert_eq!(plain(ranges.collect()), expected, "{keys:?} {lsns:?}");
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        let names = self.env.fs.list(&folder()).unwrap();
        names.into_iter().map(|entry| folder().join(entry.name)).collect()
    }
}

pub fn open_set(env: &Env, journal: &SegmentedJournal, flushed: Lsn) -> Arc<SidecarSet> {
    let events = Events::new(Arc::clone(&env.clock));
    let past = Past { durable: journal.durable_lsn(), flushed, is_new_tree: false };
    Arc::new(SidecarSet::open(env, &folder(), ORIGIN, &events, past))
}

/// All writes of a range of entries, read one after the other.
pub fn everything<D: Derive>(
    journal: &SegmentedJournal,
    derive: &D,
    lsns: &RangeInclusive<Lsn>,
) -> Vec<DerivedWrite> {
    let mut writes = Vec::new();
    if *lsns.start() > journal.durable_lsn() {
        return writes;
    }
    let mut reader = journal.read_from(*lsns.start()).unwrap().up_to(*lsns.end());
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut batch = WriteBatch::new();
        derive.derive(entry.lsn, &entry.bytes, &mut batch).unwrap();
        writes.extend(DerivedWrite::of_batch(&batch, entry.lsn));
    }
    writes
}

pub fn naive<D: Derive>(
    journal: &SegmentedJournal,
    derive: &D,
    keys: &RangeInclusive<&[u8]>,
    lsns: &RangeInclusive<Lsn>,
) -> Vec<DerivedWrite> {
    let mut writes = everything(journal, derive, lsns);
    writes.retain(|write| keys.start() <= keys.end() && write.meets(keys.start(), keys.end()));
    writes
}

/// Key or start, LSN, value or end, and whether it is the removal of a range.
pub type PlainWrite = (Vec<u8>, Lsn, Option<Vec<u8>>, bool);

/// Writes in an order of their own, so that two answers can be compared.
pub fn plain(writes: Vec<DerivedWrite>) -> Vec<PlainWrite> {
    let plain = |write| match write {
        DerivedWrite::Row(row) => (row.key, row.lsn, row.value, false),
        DerivedWrite::Range(range) => (range.start, range.lsn, Some(range.end), true),
    };
    let mut all: Vec<_> = writes.into_iter().map(plain).collect();
    all.sort();
    all
}

/// The journal entry of a batch.
pub fn entry(batch: WriteBatch) -> Vec<u8> {
    let view = MemStore::new().snapshot();
    let admitted = KeyValues.admit(batch, &view, &mut (), Lsn(1), Micros(0)).unwrap();
    admitted.entry.unwrap()
}

pub fn put(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut batch = WriteBatch::new();
    batch.put(key, value);
    entry(batch)
}

pub fn frames_read<D: Derive>(source: &JournalSource<D>) -> u64 {
    source.reads().frames.load(Ordering::Relaxed)
}

pub fn entries_read<D: Derive>(source: &JournalSource<D>) -> u64 {
    source.reads().entries.load(Ordering::Relaxed)
}
