//! The contenders, each in its configuration.
//!
//! The peers are set up as their documentation recommends, and with the same memory for pages and blocks. Each file says
//! what is not the default, and how its commits become durable.

mod fjall;
mod lmdb;
mod no_sync;
mod raw;
mod redb;
mod rocksdb;
mod sled;
mod sqlite;
mod stemedb;
mod stemedb_async;

pub use self::{
    fjall::Fjall, lmdb::Lmdb, no_sync::NoSyncFs, raw::Raw, redb::Redb, rocksdb::RocksDb, sled::Sled,
    sqlite::Sqlite, stemedb::StemeDb, stemedb_async::StemeDbAsync,
};

use crate::engine::Engine;

/// Memory for blocks or pages, for every engine that has such a cache of its own.
pub const CACHE_BYTES: usize = 256 << 20;

/// Names by which workloads find single contenders.
pub mod names {
    /// StemeDB's journal, threads that wait.
    pub const STEMEDB: &str = "stemedb";
    /// StemeDB's journal, one thread with many commits under way.
    pub const STEMEDB_ASYNC: &str = "stemedb-async";
    /// StemeDB's journal on files that are never synced.
    pub const STEMEDB_NO_SYNC: &str = "stemedb-nosync";
    /// The bare disk.
    pub const RAW: &str = "raw";
    /// RocksDB.
    pub const ROCKSDB: &str = "rocksdb";
    /// fjall with `SyncAll`.
    pub const FJALL: &str = "fjall";
    /// fjall with `SyncData`.
    pub const FJALL_DATA: &str = "fjall-data";
    /// redb.
    pub const REDB: &str = "redb";
    /// LMDB.
    pub const LMDB: &str = "lmdb";
    /// SQLite.
    pub const SQLITE: &str = "sqlite";
    /// sled.
    pub const SLED: &str = "sled";
}

/// Every contender, in the order of the reports: ours, the peers, the limits.
pub fn all() -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(StemeDb::synced()),
        Box::new(StemeDbAsync),
        Box::new(RocksDb),
        Box::new(Fjall::sync_all()),
        Box::new(Fjall::sync_data()),
        Box::new(Redb),
        Box::new(Lmdb),
        Box::new(Sqlite),
        Box::new(Sled),
        Box::new(Raw),
        Box::new(StemeDb::never_synced()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Pair;

    #[test]
    fn every_contender_opens_and_commits_one_pair_and_several() {
        for engine in all() {
            let folder = tempfile::tempdir().unwrap();
            let store = engine.open(folder.path()).unwrap();
            let pair = |key| Pair { key, value: b"value" };
            store.commit(&[pair(b"one")]).unwrap();
            store.commit(&[pair(b"two"), pair(b"three"), pair(b"four")]).unwrap();
            let syncs = store.syncs();
            assert!(syncs.is_none_or(|syncs| syncs >= 2), "{}: {syncs:?}", engine.name());
        }
    }

    #[test]
    fn a_pipeline_makes_everything_durable_that_it_took() {
        let folder = tempfile::tempdir().unwrap();
        let store = StemeDbAsync.open(folder.path()).unwrap();
        let mut pipeline = store.pipeline().unwrap();
        for _ in 0..10 {
            pipeline.submit(&[Pair { key: b"key", value: b"value" }]).unwrap();
        }
        for _ in 0..10 {
            pipeline.wait_oldest().unwrap();
        }
        assert_eq!(pipeline.wait_oldest().unwrap_err().to_string(), "nothing is under way");
    }

    #[test]
    fn no_two_contenders_have_the_same_name() {
        let mut names: Vec<&str> = all().iter().map(|engine| engine.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
