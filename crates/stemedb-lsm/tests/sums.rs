//! The sum over tables is the sum over rows, or there is none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use stemedb_env::{Env, SimHandles};
use stemedb_lsm::{
    Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, Row, RowIter, RowSum,
    Versions, WriteBatch,
};
use support::{Dice, create, dir, open, options};

fn hash(key: &[u8], value: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    for (at, chunk) in out.chunks_mut(8).enumerate() {
        let mut n: u64 = 0xcbf2_9ce4_8422_2325 ^ at as u64;
        for byte in key.iter().chain(&[0xfe]).chain(value) {
            n = (n ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        chunk.copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    }
    out
}

fn by_scan<S: KvSnapshot>(snapshot: &S) -> RowSum {
    let mut sum = RowSum::default();
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    while rows.advance().unwrap() {
        sum.add(&hash(rows.key(), rows.value()));
    }
    sum
}

fn by_parts<S: KvSnapshot>(snapshot: &S) -> Option<RowSum> {
    snapshot.row_sum(&hash).unwrap()
}

fn check(store: &LsmStore) {
    let snapshot = store.snapshot();
    assert_eq!(by_parts(&snapshot), Some(by_scan(&snapshot)), "at {}", snapshot.lsn());
}

/// Keys in no order, each once.
fn fresh_key(n: u64) -> Vec<u8> {
    let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
    format!("claim/subject-{:03}/{scattered:016x}", scattered % 31).into_bytes()
}

struct Once {
    store: LsmStore,
    env: Env,
    sim: SimHandles,
    next: u64,
    lsn: Lsn,
}

impl Once {
    fn new(seed: u64) -> Once {
        Once::with(seed, options())
    }

    /// Nothing is sealed or merged unless the test says so.
    fn calm(seed: u64) -> Once {
        Once::with(seed, LsmOptions { memtable_bytes: 1 << 20, enable_auto_compaction: false, ..options() })
    }

    fn with(seed: u64, options: LsmOptions) -> Once {
        let (env, sim) = Env::sim(seed);
        Once { store: create(&env, &dir(), options), env, sim, next: 0, lsn: Lsn::ZERO }
    }

    fn write(&mut self, rows: u64) {
        let mut batch = WriteBatch::new();
        for n in self.next..self.next + rows {
            batch.put(&fresh_key(n), &n.to_le_bytes());
        }
        self.next += rows;
        self.lsn = self.lsn.next();
        self.store.apply(&batch, self.lsn).unwrap();
        self.store.publish(self.lsn);
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let mut batch = WriteBatch::new();
        batch.put(key, value);
        self.lsn = self.lsn.next();
        self.store.apply(&batch, self.lsn).unwrap();
        self.store.publish(self.lsn);
    }

    fn block_reads_of(&self, run: impl FnOnce(&LsmStore)) -> u64 {
        let before = self.store.stats().block_reads;
        run(&self.store);
        self.store.stats().block_reads - before
    }
}

#[test]
fn whatever_flushes_merges_and_reopens_do_the_sum_by_parts_is_that_of_a_scan() {
    for seed in 0..8 {
        let mut dice = Dice::new(seed);
        let mut once = Once::new(seed);
        let mut held = Vec::new();
        for _ in 0..120 {
            match dice.below(12) {
                0 => _ = once.store.flush().unwrap(),
                1 => once.store.compact().unwrap(),
                2 => held.push(once.store.snapshot()),
                3 => {
                    held.clear();
                    let Once { store, env, sim, next, .. } = once;
                    store.flush().unwrap();
                    store.close();
                    let store = open(&env, &dir(), options()).unwrap();
                    let lsn = store.published_lsn();
                    once = Once { store, env, sim, next, lsn };
                }
                4 => {
                    let rows: Vec<_> = {
                        let mut keys: Vec<Vec<u8>> = (once.next..once.next + 40).map(fresh_key).collect();
                        keys.sort();
                        let lsn = once.lsn.next();
                        keys.into_iter().map(|key| Ok(Row { key, lsn, value: Some(vec![4]) })).collect()
                    };
                    once.next += 40;
                    once.lsn = once.lsn.next();
                    once.store
                        .ingest(&mut RowIter::new(rows.into_iter()), once.lsn, Versions::Newest)
                        .unwrap();
                }
                _ => once.write(1 + dice.below(60)),
            }
            once.sim.tasks.settle(dice.below(200) as usize);
            if dice.below(4) == 0 {
                check(&once.store);
            }
            if let Some(old) = held.get(dice.below(4) as usize) {
                assert_eq!(by_parts(old), Some(by_scan(old)), "of an old state");
            }
        }
        check(&once.store);
    }
}

#[test]
fn a_second_sum_reads_no_block_and_neither_does_one_after_a_merge_that_dropped_nothing() {
    let mut once = Once::new(21);
    for _ in 0..60 {
        once.write(40);
        once.sim.tasks.settle(500);
    }
    once.store.flush().unwrap();
    once.sim.tasks.settle(100_000);
    once.write(10);
    assert!(once.store.stats().sst_file_count > 2);
    assert!(once.block_reads_of(check) > 10, "the first one reads");
    let snapshot = once.store.snapshot();
    let sum = by_scan(&snapshot);
    let read = once.block_reads_of(|store| assert_eq!(by_parts(&store.snapshot()), Some(sum)));
    assert_eq!(read, 0, "the second one");
    let before: Vec<u64> = once
        .sim
        .fs
        .paths()
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "sst"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
        .collect();
    drop(snapshot);
    // Sums of what is there are known, but for the memtable that the merge flushes first.
    once.store.flush().unwrap();
    once.store.snapshot().row_sum(&hash).unwrap();
    once.store.compact_range(&KeyRange::all(), true, &|_| {}).unwrap();
    assert!(before.iter().all(|file| !once.sim.fs.paths().contains(&dir().join(format!("{file:06}.sst")))));
    let read = once.block_reads_of(|store| assert_eq!(by_parts(&store.snapshot()), Some(sum)));
    assert_eq!(read, 0, "after a merge of everything");
    // New rows: their table alone.
    once.write(30);
    once.store.flush().unwrap();
    let all = by_scan(&once.store.snapshot());
    let read = once.block_reads_of(|store| assert_eq!(by_parts(&store.snapshot()), Some(all)));
    assert!((1..20).contains(&read), "{read} blocks of one new table, and false positives of its keys");
}

#[test]
fn a_key_that_is_written_twice_or_removed_leaves_no_sum_by_parts() {
    // Between the two versions of the key.
    let separations: [fn(&mut Once); 5] = [
        |_| {},
        |once| _ = once.store.flush().unwrap(),
        |once| {
            once.store.flush().unwrap();
            once.store.compact().unwrap();
        },
        |once| check(&once.store),
        |once| {
            once.store.flush().unwrap();
            check(&once.store);
        },
    ];
    for (at, separation) in separations.iter().enumerate() {
        for flushed in [false, true] {
            let mut once = Once::calm(30);
            once.write(50);
            once.put(b"claim/twice/x", b"same");
            once.write(50);
            separation(&mut once);
            once.write(20);
            once.put(b"claim/twice/x", b"same");
            if flushed {
                once.store.flush().unwrap();
            }
            let snapshot = once.store.snapshot();
            // A flush of both at once leaves one: then it is right again.
            let merged = flushed && matches!(at, 0 | 3);
            let expected = merged.then(|| by_scan(&snapshot));
            assert_eq!(by_parts(&snapshot), expected, "separation {at}, flushed: {flushed}");
            // Merged into one row, whatever was known before.
            once.store.compact().unwrap();
            check(&once.store);
        }
    }
    let mut once = Once::calm(31);
    once.write(50);
    once.store.flush().unwrap();
    check(&once.store);
    let mut batch = WriteBatch::new();
    batch.delete(&fresh_key(7));
    once.lsn = once.lsn.next();
    once.store.apply(&batch, once.lsn).unwrap();
    once.store.publish(once.lsn);
    assert_eq!(by_parts(&once.store.snapshot()), None, "a removal");
    once.store.compact().unwrap();
    check(&once.store);
}
