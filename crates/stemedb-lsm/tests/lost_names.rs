//! A directory sync that fails is told once: what it lost must never be named by a later manifest edit, and the tree goes
//! on with other names.
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
use stemedb_lsm::{KvSnapshot, KvStore, LsmOptions, LsmStore, WriteBatch};

const DATABASE: DatabaseId = DatabaseId([3; 16]);

fn put(store: &LsmStore, lsn: u64) {
    let mut batch = WriteBatch::new();
    batch.put(&lsn.to_be_bytes(), &[lsn as u8; 300]);
    // So that tables overlap, and are merged instead of moved.
    batch.put(&[0xff, (lsn % 5) as u8], &lsn.to_le_bytes());
    store.apply(&batch, Lsn(lsn)).unwrap();
    store.publish(Lsn(lsn));
}

/// Opens what a power cut leaves, and looks for everything.
fn check(image: stemedb_env::fs::SimFs, clock: &Arc<stemedb_env::clock::SimClock>, flushed: Lsn) {
    let (env, _sim) = Env::over(image, Arc::clone(clock), 2);
    let store = LsmStore::open(env, Path::new("/kv"), DATABASE, LsmOptions::tiny()).unwrap();
    assert_eq!(store.damaged(), [], "the manifest names a table whose name was lost");
    assert!(store.flushed_lsn() >= flushed);
    store.verify().unwrap();
    let snapshot = store.snapshot();
    assert!((1..=flushed.0).all(|lsn| snapshot.get(&lsn.to_be_bytes()).unwrap().is_some()));
}

#[test]
fn after_a_failed_directory_sync_tables_are_made_again_under_other_names() {
    let (env, sim) = Env::sim(1);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), 1));
    let faulty = Env { fs: Arc::clone(&faults) as _, ..env };
    let store = LsmStore::create(faulty, Path::new("/kv"), DATABASE, LsmOptions::tiny()).unwrap();
    put(&store, 1);
    assert_eq!(store.flush().unwrap(), Lsn(1));
    put(&store, 2);
    faults.add(FaultRule::new(Fault::SyncFailsThenLies).on(IoOp::SyncDir).path("/kv").times(1));
    assert!(store.flush().is_err());
    // The disk says OK again. Nothing whose name it has lost may be named.
    for lsn in 3..6 {
        put(&store, lsn);
        assert_eq!(store.flush().unwrap(), Lsn(lsn));
        check(sim.fs.crash_losing_all(), &sim.clock, Lsn(lsn));
        check(sim.fs.crash_keeping_all(), &sim.clock, Lsn(lsn));
    }
}

#[test]
fn a_failure_while_another_job_makes_tables_takes_their_names_too() {
    let (mut failures, mut made_again) = (0, 0);
    for seed in 0..60 {
        let (env, sim) = Env::sim(seed);
        let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), seed));
        let faulty = Env { fs: Arc::clone(&faults) as _, ..env };
        // A merge takes several steps, and nothing is sealed but by a flush.
        let options = LsmOptions { memtable_bytes: 16 << 10, ..LsmOptions::tiny() };
        let store = LsmStore::create(faulty, Path::new("/kv"), DATABASE, options).unwrap();
        let lies = FaultRule::new(Fault::SyncFailsThenLies).on(IoOp::SyncDir).path("/kv");
        faults.add(lies.chance_per_million(120_000));
        let (mut lsn, mut flushed) = (0, Lsn::ZERO);
        for _ in 0..20 {
            for _ in 0..12 {
                lsn += 1;
                put(&store, lsn);
            }
            match store.flush() {
                Ok(upto) => flushed = upto,
                Err(_) => failures += 1,
            }
            // Some steps only: a merge is under way when the next flush fails.
            sim.tasks.settle(3);
            check(sim.fs.crash_losing_all(), &sim.clock, flushed);
        }
        faults.clear();
        assert_eq!(store.flush().unwrap(), Lsn(lsn), "seed {seed}: it goes on");
        flushed = flushed.max(Lsn(lsn));
        check(sim.fs.crash_losing_all(), &sim.clock, flushed);
        store.compact().unwrap();
        check(sim.fs.crash_losing_all(), &sim.clock, flushed);
        made_again += store.stats().compactions;
    }
    assert!(failures > 50 && made_again > 60, "{failures} failures, {made_again} merges");
}
