//! The contenders, each in its configuration.
//!
//! The peers are set up as their documentation recommends, and with the same memory for pages and blocks. Each file says
//! what is not the default, and how its commits become durable.

mod driver;
mod fjall;
mod hybrid;
mod lmdb;
mod no_sync;
mod raw;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod snapshot_reader;
mod sqlite;
mod stemedb;
mod stemedb_async;

pub use self::{
    driver::Driver,
    fjall::Fjall,
    hybrid::{Hybrid, HybridAsync, Lsm},
    lmdb::Lmdb,
    no_sync::NoSyncFs,
    raw::Raw,
    redb::Redb,
    sled::Sled,
    sqlite::Sqlite,
    stemedb::StemeDb,
    stemedb_async::StemeDbAsync,
};

#[cfg(feature = "rocksdb")]
pub use self::rocksdb::RocksDb;
use crate::engine::Engine;

/// Names by which workloads find single contenders.
pub mod names {
    /// StemeDB; where only logs are compared, its journal with threads that wait.
    pub const STEMEDB: &str = "stemedb";
    /// One thread with many commits under way; where only logs are compared, over the journal alone.
    pub const STEMEDB_ASYNC: &str = "stemedb-async";
    /// StemeDB's journal on files that are never synced.
    pub const STEMEDB_NO_SYNC: &str = "stemedb-nosync";
    /// StemeDB's LSM tree without a journal.
    pub const STEMEDB_LSM: &str = "stemedb-lsm";
    /// No engine at all.
    pub const DRIVER: &str = "driver";
    /// The bare disk.
    pub const RAW: &str = "raw";
    /// RocksDB as its wiki recommends.
    pub const ROCKSDB: &str = "rocksdb";
    /// RocksDB tuned further.
    pub const ROCKSDB_TUNED: &str = "rocksdb-tuned";
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

/// Every contender in durable commits, in the order of the reports: ours, the peers, the limits.
pub fn commit_logs() -> Vec<Box<dyn Engine>> {
    let mut all: Vec<Box<dyn Engine>> = vec![Box::new(StemeDb::synced()), Box::new(StemeDbAsync)];
    #[cfg(feature = "rocksdb")]
    all.push(Box::new(RocksDb::wiki()));
    let others: [Box<dyn Engine>; 8] = [
        Box::new(Fjall::sync_all()),
        Box::new(Fjall::sync_data()),
        Box::new(Redb),
        Box::new(Lmdb),
        Box::new(Sqlite),
        Box::new(Sled),
        Box::new(Raw),
        Box::new(StemeDb::never_synced()),
    ];
    all.extend(others);
    all
}

/// Every contender that stores and reads, in the order of the reports: ours, the peers, the limits.
pub fn stores() -> Vec<Box<dyn Engine>> {
    let mut all: Vec<Box<dyn Engine>> = vec![Box::new(Hybrid)];
    #[cfg(feature = "rocksdb")]
    {
        all.push(Box::new(RocksDb::wiki()));
        all.push(Box::new(RocksDb::tuned()));
    }
    let others: [Box<dyn Engine>; 7] = [
        Box::new(Fjall::sync_data().as_store()),
        Box::new(Redb),
        Box::new(Lmdb),
        Box::new(Sqlite),
        Box::new(Sled),
        Box::new(Lsm),
        Box::new(Driver),
    ];
    all.extend(others);
    all
}

/// The first key behind all keys with a prefix; `None`: there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Pair, Setting, Store, Tally, touch};

    #[test]
    fn every_contender_opens_and_commits_one_pair_and_several() {
        for engine in commit_logs() {
            let folder = tempfile::tempdir().unwrap();
            let store = engine.open(folder.path(), &Setting::default()).unwrap();
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
        let store = StemeDbAsync.open(folder.path(), &Setting::default()).unwrap();
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
        for engines in [commit_logs(), stores()] {
            let mut names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(successor(&[1, 255, 255]), Some(vec![2]));
        assert_eq!((successor(&[255]), successor(b"")), (None, None));
    }

    /// Every engine shows what was written, deleted and compacted, in a view and in the newest state, also when it is opened
    /// again.
    #[test]
    fn every_store_reads_what_it_wrote() {
        let setting = Setting { durable: false, cache_bytes: 8 << 20, ..Setting::default() };
        for engine in stores().iter().filter(|engine| engine.name() != names::DRIVER) {
            let folder = tempfile::tempdir().unwrap();
            let mut store = engine.open(folder.path(), &setting).unwrap();
            let keys: Vec<String> = (0..500).map(|n| format!("group{:03}key{n:05}", n / 100)).collect();
            let value = |key: &str| key.repeat(10).into_bytes();
            for part in keys.chunks(100) {
                let values: Vec<Vec<u8>> = part.iter().map(|key| value(key)).collect();
                let pairs: Vec<Pair<'_>> = part
                    .iter()
                    .zip(&values)
                    .map(|(key, value)| Pair { key: key.as_bytes(), value })
                    .collect();
                store.commit(&pairs).unwrap();
            }
            store.flush().unwrap();
            store.delete(&[keys[7].as_bytes(), keys[499].as_bytes()]).unwrap();
            let check = |store: &dyn Store| {
                let mut reader = store.reader().unwrap();
                let seen = |key: &str| Some(touch(&value(key)));
                assert_eq!(reader.get(keys[8].as_bytes()).unwrap(), seen(&keys[8]), "{}", engine.name());
                assert_eq!(reader.get_fresh(keys[9].as_bytes()).unwrap(), seen(&keys[9]));
                assert_eq!(reader.get(keys[7].as_bytes()).unwrap(), None);
                reader.renew().unwrap();
                let mut found = Vec::new();
                reader.multi_get(&[keys[1].as_bytes(), b"none", keys[7].as_bytes()], &mut found).unwrap();
                assert_eq!(found, [seen(&keys[1]), None, None], "{}", engine.name());
                assert_eq!(reader.scan(b"", u64::MAX).unwrap().rows, 498, "{}", engine.name());
                assert_eq!(reader.scan(b"", 10).unwrap().rows, 10);
                let mut group = Tally::default();
                keys[100..200].iter().for_each(|key| group.add(key.as_bytes(), &value(key)));
                assert_eq!(reader.scan(b"group001", u64::MAX).unwrap(), group, "{}", engine.name());
                assert_eq!(reader.scan(b"group001", 3).unwrap().rows, 3);
            };
            check(&*store);
            store.persist().unwrap();
            store.flush().unwrap();
            store.compact().unwrap();
            store.close().unwrap();
            let store = engine.open(folder.path(), &setting).unwrap();
            check(&*store);
        }
    }
}
