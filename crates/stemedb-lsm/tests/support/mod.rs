//! What the suites share: a store beside its model, and the journal's part played by a list.
#![allow(dead_code)]

pub mod damage;
pub mod source;

use std::path::{Path, PathBuf};

use stemedb_env::{Env, frame::DatabaseId};
use stemedb_lsm::{
    DerivedWrite, Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, MemStore,
    Result, WriteBatch,
};

pub const DATABASE: DatabaseId = DatabaseId([0xDB; 16]);

/// xorshift64*, seeded.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }
}

/// Keys end their declared prefix at the second slash.
pub fn declared_prefix(key: &[u8]) -> usize {
    let mut slashes = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.nth(1).map_or(0, |(at, _)| at + 1)
}

pub fn options() -> LsmOptions {
    LsmOptions { prefix_extractor: Some(declared_prefix), ..LsmOptions::tiny() }
}

pub fn dir() -> PathBuf {
    PathBuf::from("/data/kv")
}

pub fn key(n: u64) -> Vec<u8> {
    format!("claim/subject-{:03}/predicate/{:05}", n % 97, n).into_bytes()
}

/// Key, LSN and value.
pub type Found = (Vec<u8>, Lsn, Vec<u8>);

/// All rows of a range.
pub fn rows<S: KvSnapshot>(snapshot: &S, range: &KeyRange, direction: Direction) -> Result<Vec<Found>> {
    let mut iter = snapshot.scan(range, direction);
    let mut found = Vec::new();
    while iter.advance()? {
        assert_eq!(&*iter.pinned_value(), iter.value());
        found.push((iter.key().to_vec(), iter.lsn(), iter.value().to_vec()));
    }
    Ok(found)
}

/// The batches of a journal.
#[derive(Clone, Default)]
pub struct Journal {
    pub batches: Vec<(Lsn, WriteBatch)>,
}

impl Journal {
    pub fn next_lsn(&self) -> Lsn {
        self.batches.last().map_or(Lsn(1), |(lsn, _)| lsn.next())
    }

    pub fn replay(&self, store: &impl KvStore, after: Lsn) -> Result<()> {
        for (lsn, batch) in self.batches.iter().filter(|(lsn, _)| *lsn > after) {
            store.apply(batch, *lsn)?;
            store.publish(*lsn);
        }
        Ok(())
    }

    /// The same, as an owner does it after a crash.
    pub fn replay_at_once(&self, store: &LsmStore, after: Lsn) -> Result<()> {
        let mut replay = store.begin_replay();
        for (lsn, batch) in self.batches.iter().filter(|(lsn, _)| *lsn > after) {
            replay.apply(batch, *lsn)?;
        }
        let reached = replay.finish()?;
        assert_eq!(reached, store.published_lsn());
        Ok(())
    }

    /// The state up to an LSN, in the reference implementation.
    pub fn model(&self, upto: Lsn) -> MemStore {
        let model = MemStore::new();
        for (lsn, batch) in self.batches.iter().filter(|(lsn, _)| *lsn <= upto) {
            model.apply(batch, *lsn).unwrap();
            model.publish(*lsn);
        }
        model
    }

    /// Every write in a key and LSN range, as the layer above derives them for a repair.
    pub fn rows(
        &self,
        smallest: &[u8],
        largest: &[u8],
        lsns: std::ops::RangeInclusive<Lsn>,
    ) -> Vec<DerivedWrite> {
        let batches = self.batches.iter().filter(|(lsn, _)| lsns.contains(lsn));
        let writes = batches.flat_map(|(lsn, batch)| DerivedWrite::of_batch(batch, *lsn));
        writes.filter(|write| write.meets(smallest, largest)).collect()
    }
}

pub fn create(env: &Env, dir: &Path, options: LsmOptions) -> LsmStore {
    LsmStore::create(env.clone(), dir, DATABASE, options).unwrap()
}

pub fn open(env: &Env, dir: &Path, options: LsmOptions) -> Result<LsmStore> {
    LsmStore::open(env.clone(), dir, DATABASE, options)
}
