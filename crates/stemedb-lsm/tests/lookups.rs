//! What lookups cost, counted in blocks.
// Reads of the blocks themselves are counted; time is not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use stemedb_env::Env;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, WriteBatch};
use support::{create, declared_prefix, key, open};

const KEYS: u64 = 20_000;

fn options() -> LsmOptions {
    LsmOptions {
        prefix_extractor: Some(declared_prefix),
        memtable_bytes: 128 << 10,
        block_cache_bytes: 64 << 20,
        target_table_bytes: 256 << 10,
        ..LsmOptions::default()
    }
}

/// Even numbers are there, odd ones are not; every tenth was removed.
fn filled(dir: &std::path::Path) -> LsmStore {
    let store = create(&Env::real(), dir, options());
    let mut lsn = 0;
    for chunk in 0..KEYS / 500 {
        let mut batch = WriteBatch::new();
        for n in (chunk * 500..(chunk + 1) * 500).map(|n| n * 7919 % KEYS) {
            batch.put(&key(2 * n), format!("value {n}").as_bytes());
        }
        lsn += 1;
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    }
    let mut removals = WriteBatch::new();
    (0..KEYS).step_by(10).for_each(|n| removals.delete(&key(2 * n)));
    lsn += 1;
    store.apply(&removals, Lsn(lsn)).unwrap();
    store.publish(Lsn(lsn));
    store.flush().unwrap();
    store
}

#[test]
fn absent_keys_and_absent_prefixes_read_hardly_any_block() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("kv"));
    let tables = store.stats().sst_file_count as u64;
    assert!(tables >= 3, "{tables} tables");
    let snapshot = store.snapshot();
    // Indexes and filters are read at the first use of a table, and then never again.
    for n in 0..KEYS {
        snapshot.get(&key(2 * n)).unwrap();
    }
    let before = store.stats();
    for n in 0..KEYS {
        assert_eq!(snapshot.get(&key(2 * n + 1)).unwrap(), None);
        let keys = [&*key(2 * n + 1), b"claim/subject-000/", b"zzz"];
        assert_eq!(snapshot.multi_get(&keys).unwrap(), [None, None, None]);
    }
    let after = store.stats();
    let looked_at = |stats: &stemedb_lsm::Stats| stats.cache_hits + stats.cache_misses;
    // 10 bits per key let one key in a hundred through, per run.
    let blocks = looked_at(&after) - looked_at(&before);
    assert!(blocks < 3 * 2 * KEYS * 15 / 1000, "{blocks} blocks looked at for {} absent keys", 2 * KEYS);
    assert!(after.filter_useful - before.filter_useful > KEYS, "the filters answered");
    let before = after;
    for n in 0..1_000 {
        let mut rows = snapshot.scan(&KeyRange::prefix(format!("claim/absent-{n}/")), Direction::Forward);
        assert!(!rows.advance().unwrap());
    }
    let blocks = looked_at(&store.stats()) - looked_at(&before);
    assert!(blocks < 1_000 * 3 * 15 / 1000 + 20, "{blocks} blocks looked at for 1,000 absent prefixes");
}

#[test]
fn many_lookups_at_once_read_each_block_once_and_answer_as_single_ones() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("kv");
    filled(&dir).close();
    let store = open(&Env::real(), &dir, options()).unwrap();
    // Some answers are in the memtable.
    let newest = store.published_lsn().next();
    let mut batch = WriteBatch::new();
    (0..50).for_each(|n| batch.put(&key(n), b"newer"));
    (50..60).for_each(|n| batch.delete(&key(n)));
    store.apply(&batch, newest).unwrap();
    store.publish(newest);
    store.compact().unwrap();
    let snapshot = store.snapshot();
    // Opens every table: what is counted below are data blocks.
    assert!(snapshot.get(&key(0)).unwrap().is_some());
    (25..KEYS).step_by(50).for_each(|n| assert!(snapshot.get(&key(2 * n + 1)).unwrap().is_none()));
    let keys: Vec<Vec<u8>> = (0..3_000).map(|n| key(n * 31 % (2 * KEYS))).chain([key(4), key(4)]).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let before = store.stats();
    let together = snapshot.multi_get(&keys).unwrap();
    let read = store.stats().block_reads - before.block_reads;
    assert!(read > 50, "{read}");
    let blocks = store.stats().total_bytes / 2_000;
    assert!(read <= blocks, "{read} reads of about {blocks} blocks");
    assert!(together.iter().filter(|value| value.is_some()).count() > 1_000);
    let before = store.stats();
    assert_eq!(snapshot.multi_get(&keys).unwrap(), together);
    assert_eq!(store.stats().block_reads, before.block_reads, "everything is cached now");
    for (key, value) in keys.iter().zip(&together) {
        assert_eq!(snapshot.get(key).unwrap(), *value);
        assert_eq!(store.get(key).unwrap(), *value);
    }
}

#[test]
fn a_prefix_that_has_rows_is_never_denied_and_an_absent_one_hardly_ever_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let store = create(&Env::real(), &folder.path().join("kv"), options());
    let (mut lsn, mut earlier) = (0, Vec::new());
    // Every prefix has one row, written in another order than they sort; every third is in several places.
    let prefix = |n: u64| format!("claim/s{:05}/", n * 7919 % 9_973);
    for n in 0..6_000_u64 {
        let mut batch = WriteBatch::new();
        batch.put(format!("{}p", prefix(n)).as_bytes(), &[7; 100]);
        if n % 3 == 0 {
            batch.put(format!("{}q{n}", prefix(n / 2)).as_bytes(), b"again");
        }
        lsn += 1;
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
        if n % 1_000 == 999 {
            earlier.push((n, store.snapshot()));
        }
        if n == 3_000 {
            store.compact().unwrap();
        }
    }
    let tables = store.stats().sst_file_count;
    assert!(tables >= 2 && store.stats().memtable_bytes > 0, "{tables}");
    let snapshot = store.snapshot();
    let of = |numbers: std::ops::Range<u64>| numbers.map(prefix).collect::<Vec<_>>();
    // All at once, one by one, and those that are there between those that are not: no answer is another one's.
    assert_eq!(snapshot.may_have(&of(0..6_000)).unwrap(), [true; 6_000]);
    for (last, snapshot) in &earlier {
        assert!(snapshot.may_have(&of(0..last + 1)).unwrap().iter().all(|may| *may), "{last}");
    }
    let before = store.stats();
    let absent = snapshot.may_have(&of(6_000..9_900)).unwrap();
    let allowed = absent.iter().filter(|may| **may).count();
    assert!(allowed < 3_900 * 5 / 100, "{allowed} of 3,900 absent prefixes");
    let mixed: Vec<String> = (0..3_900).flat_map(|n| [prefix(n), prefix(6_000 + n)]).collect();
    let expected: Vec<bool> = absent.iter().flat_map(|may| [true, *may]).collect();
    assert_eq!(snapshot.may_have(&mixed).unwrap(), expected);
    assert!(mixed.iter().zip(&expected).all(|(one, may)| snapshot.may_have(&[one]).unwrap() == [*may]));
    let after = store.stats();
    assert_eq!((after.cache_hits, after.block_reads), (before.cache_hits, before.block_reads), "no block");
    // Of what no filter knows nothing can be said.
    for unknown in [&b""[..], b"claim/", b"claim/s00001", b"claim/s00001/p"] {
        assert_eq!(snapshot.may_have(&[unknown]).unwrap(), [true]);
    }
}
