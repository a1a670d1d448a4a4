//! A bounded map that counts.

use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::CacheCounts;

/// Something that knows what it holds in memory.
pub(super) trait Measured {
    /// In bytes, itself included; computed once, when it is made.
    fn bytes(&self) -> usize;
}

#[derive(Clone, Debug, Default)]
struct ByBytes;

impl<K, V: Measured> Weighter<K, Arc<V>> for ByBytes {
    fn weight(&self, _key: &K, value: &Arc<V>) -> u64 {
        value.bytes() as u64
    }
}

/// A hash that whoever names subjects cannot foresee, if the seed is secret, and that is the same in every run with one seed.
#[derive(Clone, Debug)]
struct Seeded(u64);

#[derive(Debug)]
struct SeededHasher(u64);

impl BuildHasher for Seeded {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher(self.0)
    }
}

impl Hasher for SeededHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A counter that shares no cache line with another one.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Count(AtomicU64);

impl Count {
    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Values of one kind, bounded by their bytes.
pub(super) struct Bounded<K, V> {
    map: Cache<K, Arc<V>, ByBytes, Seeded>,
    hits: Count,
    misses: Count,
    stale: Count,
}

impl<K, V> fmt::Debug for Bounded<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").finish_non_exhaustive()
    }
}

/// Fewer values than this make no shard of their own.
const SHARDS: usize = 16;
/// A value is about so large: more than that cannot be known beforehand.
const TYPICAL_BYTES: u64 = 4096;

impl<K: Eq + Hash, V: Measured> Bounded<K, V> {
    /// For `bytes` of values.
    pub fn new(bytes: u64, seed: u64) -> Bounded<K, V> {
        let estimated = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).max(64);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(estimated)
            .weight_capacity(bytes)
            .build();
        let map = match options {
            Ok(options) => Cache::with_options(options, ByBytes, Seeded(seed), Default::default()),
            Err(_) => Cache::with(estimated, bytes, ByBytes, Seeded(seed), Default::default()),
        };
        Bounded { map, hits: Count::default(), misses: Count::default(), stale: Count::default() }
    }

    /// The value of a key, if it is still right.
    pub fn get<Q>(&self, key: &Q, is_right: impl FnOnce(&V) -> bool) -> Option<Arc<V>>
    where
        Q: Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        match self.map.get(key) {
            None => self.misses.add_one(),
            Some(value) if is_right(&value) => {
                self.hits.add_one();
                return Some(value);
            }
            Some(_) => self.stale.add_one(),
        }
        None
    }

    /// True if there is a value like this. Counts nothing.
    pub fn has<Q>(&self, key: &Q, is_such: impl FnOnce(&V) -> bool) -> bool
    where
        Q: Hash + Eq + ?Sized,
        K: Borrow<Q>,
    {
        self.map.peek(key).is_some_and(|there| is_such(&there))
    }

    /// Keeps a value in the place of what was there.
    pub fn put(&self, key: K, value: Arc<V>) {
        self.map.insert(key, value);
    }

    pub fn counts(&self) -> CacheCounts {
        CacheCounts {
            hits: self.hits.get(),
            misses: self.misses.get(),
            stale: self.stale.get(),
            entries: self.map.len() as u64,
            bytes: self.map.weight(),
            capacity_bytes: self.map.capacity(),
        }
    }
}
