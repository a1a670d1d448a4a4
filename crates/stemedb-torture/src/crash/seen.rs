//! Which states have been checked, by 64-bit keys: a repetition costs a look-up instead of three opens.
//!
//! The key covers the image of the disk and everything that had been promised. Of 10^7 keys two are the same by accident
//! with a chance of 3 in a million; then one state is left out.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

use parking_lot::Mutex;

/// Keys are spread already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = crate::dice::digest(bytes);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Keys = HashSet<u64, BuildHasherDefault<Identity>>;

/// A set of keys that threads share.
#[derive(Debug)]
pub struct Seen {
    shards: Vec<Mutex<Keys>>,
    /// Keys since the last [`Seen::take_new`], when they are wanted.
    new: Option<Mutex<Vec<u64>>>,
}

const SHARDS: usize = 16;

impl Seen {
    /// An empty set; `remembers` if the new keys will be taken to a file.
    pub fn new(remembers: bool) -> Seen {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Seen { shards, new: remembers.then(Mutex::default) }
    }

    fn put(&self, key: u64) -> bool {
        // The low bits choose the bucket, the high ones (mixed into the tag by the table) the shard.
        let shard = &self.shards[usize::try_from(key >> 56).unwrap_or(0) % SHARDS];
        shard.lock().insert(key)
    }

    /// Adds a key; false if it was there.
    pub fn insert(&self, key: u64) -> bool {
        let fresh = self.put(key);
        if let (true, Some(new)) = (fresh, &self.new) {
            new.lock().push(key);
        }
        fresh
    }

    /// Adds keys of an earlier run.
    pub fn restore(&self, keys: impl IntoIterator<Item = u64>) {
        keys.into_iter().for_each(|key| {
            self.put(key);
        });
    }

    /// The keys added since the last call.
    pub fn take_new(&self) -> Vec<u64> {
        self.new.as_ref().map(|new| std::mem::take(&mut *new.lock())).unwrap_or_default()
    }

    /// How many keys there are.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().len() as u64).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
