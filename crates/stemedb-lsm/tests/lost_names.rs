//! A directory sync that fails is told once: what it lost must never be named by a later manifest edit.
#![allow(clippy::unwrap_used)]

use std::{path::Path, sync::Arc};

use stemedb_env::{
    Env, IoOp, Lsn,
    frame::DatabaseId,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_lsm::{Error, KvSnapshot, KvStore, LsmOptions, LsmStore, WriteBatch};

const DATABASE: DatabaseId = DatabaseId([3; 16]);

fn put(store: &LsmStore, lsn: u64) {
    let mut batch = WriteBatch::new();
    batch.put(&lsn.to_be_bytes(), b"value");
    store.apply(&batch, Lsn(lsn)).unwrap();
    store.publish(Lsn(lsn));
}

#[test]
fn after_a_failed_directory_sync_no_table_is_named_until_the_tree_is_opened_again() {
    let (env, sim) = Env::sim(1);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), 1));
    let faulty = Env { fs: Arc::clone(&faults) as _, ..env };
    let dir = Path::new("/kv");
    let store = LsmStore::create(faulty, dir, DATABASE, LsmOptions::tiny()).unwrap();
    put(&store, 1);
    assert_eq!(store.flush().unwrap(), Lsn(1));
    put(&store, 2);
    faults.add(FaultRule::new(Fault::SyncFailsThenLies).on(IoOp::SyncDir).path("/kv").times(1));
    assert!(store.flush().is_err());
    // The disk says OK again. Whatever is written now, the manifest must not believe it.
    for lsn in 3..6 {
        put(&store, lsn);
        assert!(matches!(store.flush(), Err(Error::ReadOnly { .. })), "at {lsn}");
    }
    assert_eq!(store.flushed_lsn(), Lsn(1));
    let newest = store.snapshot();
    assert!((1..6u64).all(|lsn| newest.get(&lsn.to_be_bytes()).unwrap().is_some()), "reads go on");
    drop((newest, store));
    for image in [sim.fs.crash_losing_all(), sim.fs.crash_keeping_all()] {
        let (env, _sim) = Env::over(image, Arc::clone(&sim.clock), 2);
        let store = LsmStore::open(env, dir, DATABASE, LsmOptions::tiny()).unwrap();
        assert!(store.damaged().is_empty());
        assert_eq!(store.flushed_lsn(), Lsn(1));
        put(&store, 2);
        assert_eq!(store.flush().unwrap(), Lsn(2), "opening again is the way back");
    }
}
