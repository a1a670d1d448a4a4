//! Writers wait for flushes, and never for one that waits for them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use stemedb_env::Env;
use stemedb_lsm::{Direction, KeyRange, KvStore, LsmOptions, Lsn, WriteBatch};
use support::{create, dir, key, options, rows};

fn batch(first: u64, keys: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    (first..first + keys).for_each(|n| batch.put(&key(n), &[7; 100]));
    batch
}

#[test]
fn a_writer_does_not_wait_for_a_flush_that_waits_for_what_he_has_still_to_publish() {
    let (env, _handles) = Env::sim(5);
    let options = LsmOptions { max_sealed_memtables: 1, memtable_bytes: 4 << 10, ..options() };
    let store = create(&env, &dir(), options);
    store.apply(&batch(0, 10), Lsn(1)).unwrap();
    store.publish(Lsn(1));
    // Large: sealed by itself, together with what was active. That is one more than is allowed, and not published.
    store.apply(&batch(100, 30), Lsn(2)).unwrap();
    // These fill the active memtable, and the flush that a writer then waits for frees no place.
    for lsn in 3..10 {
        store.apply(&batch(lsn * 1_000, 10), Lsn(lsn)).unwrap();
    }
    store.publish(Lsn(9));
    store.flush().unwrap();
    let found = rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
    assert_eq!(found.len(), 10 + 30 + 7 * 10);
}
