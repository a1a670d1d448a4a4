//! Readers beside writers, flushes and compactions.
// Real threads and a real folder: what is tested is what they do to each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use stemedb_env::Env;
use stemedb_lsm::{
    Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, Lsn, TableRepair, WriteBatch,
};
use support::{create, key, options, rows};

fn fill(round: u64, keys: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    (0..keys).for_each(|n| batch.put(&key(n), &round.to_be_bytes()));
    batch
}

#[test]
fn an_open_iterator_survives_the_deletion_of_the_files_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("kv");
    let store = create(&Env::real(), &dir, options());
    store.apply(&fill(1, 500), Lsn(1)).unwrap();
    store.publish(Lsn(1));
    store.compact().unwrap();
    let old_files: Vec<u64> = store.tables().iter().map(|table| table.file).collect();
    let exists = |file: &u64| dir.join(format!("{file:06}.sst")).exists();
    let snapshot = store.snapshot();
    let mut iter = snapshot.scan(&KeyRange::all(), Direction::Forward);
    (0..100).for_each(|_| assert!(iter.advance().unwrap()));
    drop(snapshot);
    for round in 2..6 {
        store.apply(&fill(round, 500), Lsn(round)).unwrap();
        store.publish(Lsn(round));
        store.compact().unwrap();
    }
    assert!(old_files.iter().all(exists), "the iterator holds them");
    let mut left = 100;
    while iter.advance().unwrap() {
        left += 1;
        assert_eq!((iter.value(), iter.lsn()), (&1u64.to_be_bytes()[..], Lsn(1)));
    }
    assert_eq!(left, 500);
    drop(iter);
    // Whatever the job does next, it removes what nobody holds any more.
    store.apply(&fill(6, 500), Lsn(6)).unwrap();
    store.publish(Lsn(6));
    store.compact().unwrap();
    let mut tries = 0;
    while old_files.iter().any(exists) {
        tries += 1;
        assert!(tries < 1_000, "files that nobody reads are deleted");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn snapshots_are_stable_while_writers_flushes_and_compactions_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = create(&Env::real(), &folder.path().join("kv"), options());
    store.apply(&fill(0, 300), Lsn(1)).unwrap();
    store.publish(Lsn(1));
    let done = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0u64;
                    while !done.load(Ordering::Relaxed) || reads < 20 {
                        let snapshot = store.snapshot();
                        let first = rows(&snapshot, &KeyRange::all(), Direction::Forward).unwrap();
                        assert_eq!(first.len(), 300, "a batch is visible as a whole or not at all");
                        assert!(
                            first
                                .iter()
                                .all(|(_, lsn, value)| *lsn == snapshot.lsn() && *value == first[0].2)
                        );
                        let mut again = rows(&snapshot, &KeyRange::all(), Direction::Backward).unwrap();
                        again.reverse();
                        assert_eq!(first, again);
                        assert_eq!(snapshot.get(&key(7)).unwrap().as_deref(), Some(&first[0].2[..]));
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for round in 2..150 {
            store.apply(&fill(round, 300), Lsn(round)).unwrap();
            store.publish(Lsn(round));
            if round % 40 == 0 {
                store.compact().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>()
    });
    assert!(reads >= 40);
    assert!(store.stats().flushes > 50, "{:?}", store.stats());
}

#[test]
fn absent_keys_and_prefixes_cost_almost_no_block_reads() {
    let (env, _handles) = Env::sim(1);
    let small = LsmOptions { block_cache_bytes: 0, ..options() };
    let store = create(&env, &support::dir(), small);
    for lsn in 1..=200 {
        let mut batch = WriteBatch::new();
        (0..10).for_each(|n| batch.put(&key((lsn * 10 + n) * 7 % 2_011), b"some value"));
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    }
    store.flush().unwrap();
    let snapshot = store.snapshot();
    let absent = |n: u64| [key(n), b"?".to_vec()].concat();
    let prefix = |n: u64| KeyRange::prefix(format!("claim/subject-{:03}x/", n % 97));
    // Everything that is resident is loaded by the first rounds.
    (0..2_000).for_each(|n| assert_eq!(snapshot.get(&absent(n)).unwrap(), None));
    let before = store.stats();
    (0..2_000).for_each(|n| assert_eq!(snapshot.get(&absent(n)).unwrap(), None));
    let after = store.stats();
    let reads = after.block_reads - before.block_reads;
    assert!(reads <= 60, "{reads} block reads for 2,000 absent keys");
    assert!(after.filter_useful - before.filter_useful > 2_000);
    for n in 0..97 {
        assert!(rows(&snapshot, &prefix(n), Direction::Forward).unwrap().is_empty());
        assert!(rows(&snapshot, &prefix(n), Direction::Backward).unwrap().is_empty());
    }
    let reads = store.stats().block_reads - after.block_reads;
    assert!(reads <= 12, "{reads} block reads for 194 scans of absent prefixes");
}

#[test]
fn rows_written_in_order_are_never_rewritten() {
    let (env, _handles) = Env::sim(2);
    let store = create(&env, &support::dir(), options());
    for lsn in 1..=240u64 {
        let mut batch = WriteBatch::new();
        (0..10)
            .for_each(|n| batch.put(format!("{:08}", lsn * 10 + n).as_bytes(), b"some value of some length"));
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    }
    store.flush().unwrap();
    let stats = store.stats();
    assert_eq!((stats.compactions, stats.compaction_bytes), (0, 0), "{stats:?}");
    assert!(stats.moves > 10);
    assert!(stats.flushes > 30 && stats.levels[0].files <= 3);
    assert_eq!(stats.levels[6].files as u64 + stats.levels[0].files as u64, stats.flushes);
    // Until there are too many files of the size of a memtable: then neighbours become larger ones, a few times each.
    for lsn in 241..=2_400u64 {
        let mut batch = WriteBatch::new();
        (0..10)
            .for_each(|n| batch.put(format!("{:08}", lsn * 10 + n).as_bytes(), b"some value of some length"));
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    }
    store.flush().unwrap();
    while env.tasks.drive() {}
    let stats = store.stats();
    assert!(stats.flushes > 500 && stats.sst_file_count < 110, "{stats:?}");
    assert!(stats.compaction_bytes < 2 * stats.flush_bytes, "{stats:?}");
}

#[test]
fn blocks_stay_within_the_bound_of_the_cache() {
    let (env, _handles) = Env::sim(3);
    let bound = 20_000;
    let store = create(&env, &support::dir(), LsmOptions { block_cache_bytes: bound, ..options() });
    for lsn in 1..=300u64 {
        store.apply(&fill(lsn, 40), Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    }
    let mut batch = WriteBatch::new();
    (0..3_000).for_each(|n| batch.put(&key(n), &[7; 50]));
    store.apply(&batch, Lsn(301)).unwrap();
    store.publish(Lsn(301));
    store.flush().unwrap();
    let snapshot = store.snapshot();
    assert_eq!(rows(&snapshot, &KeyRange::all(), Direction::Forward).unwrap().len(), 3_000);
    let stats = store.stats();
    assert!(stats.cache_memory_bytes > 0 && stats.cache_memory_bytes <= bound, "{stats:?}");
    assert!(stats.total_bytes > 3 * bound);
}
