//! Removed ranges where it matters how they lie: behind filters and bounds, in tables of their own, below snapshots, cut by
//! merges, and rebuilt. Random histories are told by `model.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use stemedb_env::{Env, fs::SimFs};
use stemedb_lsm::{
    Compression, Direction, Error, KeyRange, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn, MemStore,
    TableRepair, WriteBatch,
};
use support::{Journal, create, dir, key, open, options, rows};

struct Tree {
    fs: SimFs,
    env: Env,
    store: LsmStore,
    journal: Journal,
}

impl Tree {
    fn new(options: LsmOptions) -> Tree {
        let (mut env, _handles) = Env::sim(5);
        let fs = SimFs::new();
        env.fs = std::sync::Arc::new(fs.clone());
        let store = create(&env, &dir(), options);
        Tree { fs, env, store, journal: Journal::default() }
    }

    fn write(&mut self, fill: impl FnOnce(&mut WriteBatch)) -> Lsn {
        let mut batch = WriteBatch::new();
        fill(&mut batch);
        let lsn = self.journal.next_lsn();
        self.store.apply(&batch, lsn).unwrap();
        self.store.publish(lsn);
        self.journal.batches.push((lsn, batch));
        lsn
    }

    fn fill(&mut self, keys: std::ops::Range<u64>) -> Lsn {
        self.write(|batch| keys.for_each(|n| batch.put(&key(n), format!("value {n}").as_bytes())))
    }

    fn model(&self) -> MemStore {
        self.journal.model(Lsn::MAX)
    }

    /// Everything in every way, as the reference implementation shows it.
    fn compare(&self, snapshot: &impl KvSnapshot) {
        let model = self.model().snapshot_at(snapshot.lsn()).unwrap();
        let keys: Vec<Vec<u8>> = (0..140).map(key).collect();
        let borrowed: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        assert_eq!(snapshot.multi_get(&borrowed).unwrap(), model.multi_get(&borrowed).unwrap());
        for key in &borrowed {
            assert_eq!(
                snapshot.get(key).unwrap(),
                model.get(key).unwrap(),
                "{}",
                String::from_utf8_lossy(key)
            );
            if snapshot.lsn() == self.store.published_lsn() {
                assert_eq!(self.store.get(key).unwrap(), model.get(key).unwrap());
            }
        }
        let subject = KeyRange::prefix(&key(3)[..18]);
        for range in [KeyRange::all(), subject, KeyRange::between(key(5), key(7))] {
            for direction in [Direction::Forward, Direction::Backward] {
                let shown = rows(&model, &range, direction).unwrap();
                assert_eq!(rows(snapshot, &range, direction).unwrap(), shown, "{range:?}");
            }
        }
    }
}

/// Large enough that nothing is merged before it is asked for.
fn calm() -> LsmOptions {
    LsmOptions { memtable_bytes: 1 << 20, l0_trigger: 50, compression: Compression::None, ..options() }
}

#[test]
fn a_range_hides_what_lies_below_wherever_both_lie() {
    for flushes in 0..8u32 {
        let mut tree = Tree::new(calm());
        let before = tree.fill(0..100);
        let old = tree.store.snapshot();
        if flushes & 1 != 0 {
            tree.store.compact().unwrap();
        }
        // A source that has nothing but the range: no row, no filter, no key says so.
        let lsn = tree.write(|batch| batch.delete_range(&key(20), &key(80)));
        if flushes & 2 != 0 {
            tree.store.flush().unwrap();
        }
        tree.compare(&tree.store.snapshot());
        tree.compare(&old);
        tree.write(|batch| {
            batch.put(&key(30), b"again");
            batch.put(&key(25), b"and gone");
            batch.delete_range(&key(0), &key(26));
            batch.put(&key(21), b"and again");
        });
        if flushes & 4 != 0 {
            tree.store.flush().unwrap();
        }
        tree.compare(&tree.store.snapshot());
        tree.compare(&old);
        for lsn in [before, lsn] {
            match tree.store.snapshot_at(lsn) {
                Ok(snapshot) => tree.compare(&snapshot),
                Err(error) => assert!(matches!(error, Error::SnapshotTooOld { .. }) && flushes != 0),
            }
        }
        tree.store.verify().unwrap();
        tree.store.compact().unwrap();
        tree.compare(&tree.store.snapshot());
        tree.compare(&old);
        let tables = tree.store.tables();
        assert!(tables.iter().all(|table| table.range_removals == 0), "nothing lies below the last run");
        let left = rows(&tree.store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap().len() as u64;
        assert_eq!(tables.iter().map(|table| table.rows).sum::<u64>(), left, "what is hidden is gone");
    }
}

#[test]
fn a_tree_of_which_everything_was_removed_is_empty() {
    let mut tree = Tree::new(calm());
    tree.fill(0..100);
    tree.store.flush().unwrap();
    tree.write(|batch| batch.delete_range(b"", &[0xFF]));
    tree.store.flush().unwrap();
    assert_eq!(tree.store.stats().sst_file_count, 2);
    tree.store.compact().unwrap();
    assert_eq!(tree.store.stats().sst_file_count, 0);
    tree.compare(&tree.store.snapshot());
}

#[test]
fn a_scan_does_not_read_tables_that_are_hidden_as_a_whole() {
    let mut tree = Tree::new(LsmOptions { block_cache_bytes: 0, ..calm() });
    for n in 0..4 {
        tree.fill(n * 30..n * 30 + 30);
        tree.store.flush().unwrap();
    }
    let reads = |tree: &Tree, direction| {
        let before = tree.store.stats().block_reads;
        let rows = rows(&tree.store.snapshot(), &KeyRange::all(), direction).unwrap().len();
        (rows, tree.store.stats().block_reads - before)
    };
    reads(&tree, Direction::Forward);
    let (all, whole) = reads(&tree, Direction::Forward);
    assert!(all == 120 && whole > 8, "{all} rows, {whole} blocks");
    tree.write(|batch| batch.delete_range(b"", &[0xFF]));
    for direction in [Direction::Forward, Direction::Backward] {
        assert_eq!(reads(&tree, direction), (0, 0));
    }
    tree.store.flush().unwrap();
    reads(&tree, Direction::Forward);
    assert_eq!(reads(&tree, Direction::Backward), (0, 0));
    tree.compare(&tree.store.snapshot());
}

#[test]
fn large_batches_and_replays_remove_ranges_too() {
    let mut tree = Tree::new(options());
    tree.fill(0..100);
    for round in 0..30 {
        tree.write(|batch| {
            // Half a memtable and more: a sorted run of its own.
            (0..60).for_each(|n| batch.put(&key(n * 2 + round % 2), &[b'v'; 40]));
            batch.delete_range(&key(round), &key(round + 40));
            batch.put(&key(round + 3), b"behind it");
        });
        tree.compare(&tree.store.snapshot());
    }
    let model = tree.journal.clone();
    let Tree { fs, env, store, .. } = tree;
    store.close();
    let (mut env, old) = (env, fs);
    env.fs = std::sync::Arc::new(old.process_killed());
    let store = open(&env, &dir(), options()).unwrap();
    model.replay_at_once(&store, store.flushed_lsn()).unwrap();
    let tree = Tree { fs: old, env, store, journal: model };
    tree.compare(&tree.store.snapshot());
    tree.store.compact().unwrap();
    tree.compare(&tree.store.snapshot());
}

#[test]
fn what_was_abandoned_removes_nothing() {
    let mut tree = Tree::new(calm());
    let published = tree.fill(0..100);
    let mut batch = WriteBatch::new();
    batch.delete_range(b"", &[0xFF]);
    tree.store.apply(&batch, published.next()).unwrap();
    tree.compare(&tree.store.snapshot());
    tree.store.flush().unwrap();
    tree.compare(&tree.store.snapshot());
    tree.store.abandon().unwrap();
    tree.fill(100..110);
    tree.compare(&tree.store.snapshot());
    tree.store.compact().unwrap();
    tree.compare(&tree.store.snapshot());
}

#[test]
fn a_border_that_is_too_long_is_refused() {
    let tree = Tree::new(calm());
    let mut batch = WriteBatch::new();
    batch.delete_range(b"a", &[b'b'; stemedb_lsm::kv::MAX_KEY_BYTES + 1]);
    assert!(matches!(tree.store.apply(&batch, Lsn(1)), Err(Error::TooLarge { what: "key", .. })));
}

#[test]
fn tables_with_removed_ranges_are_rebuilt_and_proven() {
    // With a merge on request, and as the tree merges by itself.
    for (seed, merged) in [(0, true), (1, false), (2, true), (3, false)] {
        let mut tree = Tree::new(if merged { calm() } else { options() });
        for round in 0..12u64 {
            let from = (round * 37 + seed * 11) % 90;
            tree.write(|batch| {
                (0..30).for_each(|n| batch.put(&key((round * 30 + n * 7 + seed) % 120), &[b'v'; 30]));
                batch.delete_range(&key(from), &key(from + 25));
            });
            if merged {
                tree.store.flush().unwrap();
            }
            if merged && round == 4 {
                tree.store.compact().unwrap();
            }
        }
        tree.store.flush().unwrap();
        let tables = tree.store.tables();
        assert!(tables.iter().any(|table| table.range_removals > 0) || !merged, "{tables:?}");
        tree.store.close();
        let (mut healed, mut refused) = (0, 0);
        for table in &tables {
            let broken = tree.fs.process_killed();
            broken.delete(&dir().join(Path::new(&format!("{:06}.sst", table.file)))).unwrap();
            tree.env.fs = std::sync::Arc::new(broken);
            let store = open(&tree.env, &dir(), options()).unwrap();
            let repair = |upto: Lsn| {
                let writes = tree.journal.rows(&table.smallest, &table.largest, table.min_lsn..=upto);
                store.repair_table(table.file, &mut writes.into_iter().map(Ok))
            };
            let repaired = repair(table.max_lsn).or_else(|_| repair(table.max_lsn.max(table.horizon)));
            match repaired {
                Ok(()) => {
                    healed += 1;
                    let again = store.tables();
                    let new = again.iter().find(|other| !tables.iter().any(|old| old.file == other.file));
                    assert_eq!(
                        new.map(|new| (
                            new.digest,
                            new.rows,
                            new.range_removals,
                            &new.smallest,
                            &new.largest
                        )),
                        Some((
                            table.digest,
                            table.rows,
                            table.range_removals,
                            &table.smallest,
                            &table.largest
                        ))
                    );
                    store.verify().unwrap();
                    let model = tree.journal.model(Lsn::MAX);
                    let all = KeyRange::all();
                    assert_eq!(
                        rows(&store.snapshot(), &all, Direction::Forward).unwrap(),
                        rows(&model.snapshot(), &all, Direction::Forward).unwrap()
                    );
                }
                Err(Error::RepairMismatch { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(healed > 0 && (refused == 0 || !merged), "{healed} healed, {refused} refused");
    }
}
