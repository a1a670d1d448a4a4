//! Random operations on the tree and on its reference implementation, compared step by step.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use stemedb_env::Env;
use stemedb_lsm::{
    Direction, Error, KeyRange, KvSnapshot, KvStore, LsmSnapshot, LsmStore, Lsn, MemStore, TableRepair,
    WriteBatch,
};
use support::{Dice, Journal, create, dir, key, open, options, rows};

struct Pair {
    env: Env,
    dir: std::path::PathBuf,
    store: Option<LsmStore>,
    model: MemStore,
    journal: Journal,
    snapshots: Vec<LsmSnapshot>,
    operations: u64,
    reopened: u64,
    deepest: usize,
    too_old: u64,
    keys: u64,
    ranges: bool,
    removed: u64,
    tables_with_ranges: u64,
}

impl Pair {
    fn new(env: Env, dir: &Path, keys: u64) -> Pair {
        let store = Some(create(&env, dir, options()));
        Pair {
            env,
            dir: dir.to_path_buf(),
            store,
            model: MemStore::new(),
            journal: Journal::default(),
            snapshots: Vec::new(),
            operations: 0,
            reopened: 0,
            deepest: 0,
            too_old: 0,
            keys,
            ranges: false,
            removed: 0,
            tables_with_ranges: 0,
        }
    }

    fn store(&self) -> &LsmStore {
        self.store.as_ref().unwrap()
    }

    fn batch(&mut self, dice: &mut Dice) -> WriteBatch {
        let mut batch = WriteBatch::new();
        let size = if dice.below(200) == 0 { 200 } else { dice.below(8) };
        for _ in 0..size {
            self.operations += 1;
            let key = key(dice.below(self.keys));
            if self.ranges && dice.below(40) == 0 {
                // Sometimes empty, the wrong way round, a single key, or nearly everything.
                let end = match dice.below(4) {
                    0 => [&key[..], &[0]].concat(),
                    1 => b"claim/z".to_vec(),
                    _ => support::key(dice.below(self.keys)),
                };
                self.removed += 1;
                batch.delete_range(&key, &end);
            } else if dice.below(5) == 0 {
                batch.delete(&key);
            } else {
                let long = if dice.below(100) == 0 { 700 } else { 40 };
                let value = vec![b'a' + (dice.below(20) as u8); dice.below(long) as usize];
                batch.put(&key, &value);
            }
        }
        batch
    }

    fn write(&mut self, dice: &mut Dice) {
        // Several batches in flight, as a commit pipeline has them; then published one by one or forgotten.
        let in_flight = 1 + dice.below(3);
        let first = self.journal.next_lsn();
        let batches: Vec<(Lsn, WriteBatch)> =
            (0..in_flight).map(|n| (Lsn(first.0 + n), self.batch(dice))).collect();
        for (lsn, batch) in &batches {
            self.store().apply(batch, *lsn).unwrap();
            if dice.below(40) == 0 {
                self.store().flush().unwrap();
            }
        }
        let stale = self.store().apply(&batches[0].1, batches[0].0);
        assert!(matches!(stale, Err(Error::OutOfOrder { .. })));
        let kept = if dice.below(10) == 0 { dice.below(in_flight + 1) } else { in_flight };
        for (lsn, batch) in batches.into_iter().take(kept as usize) {
            self.model.apply(&batch, lsn).unwrap();
            self.store().publish(lsn);
            self.model.publish(lsn);
            self.journal.batches.push((lsn, batch));
        }
        if kept < in_flight {
            self.store().abandon().unwrap();
        }
    }

    fn range(&self, dice: &mut Dice) -> KeyRange {
        let mut ends = [key(dice.below(self.keys)), key(dice.below(self.keys))];
        match dice.below(6) {
            0 => KeyRange::all(),
            1 => KeyRange { start: ends[0].clone(), end: None, prefix_bytes: 0 },
            2 | 3 => KeyRange::prefix(format!("claim/subject-{:03}/", dice.below(120))),
            4 => {
                KeyRange::prefix(format!("claim/subject-{:03}/predicate/0{}", dice.below(97), dice.below(3)))
            }
            _ => {
                if dice.below(10) > 0 {
                    ends.sort();
                }
                let [start, end] = ends;
                KeyRange::between(start, end)
            }
        }
    }

    fn compare(&mut self, snapshot: &LsmSnapshot, dice: &mut Dice) {
        let model = self.model.snapshot_at(snapshot.lsn()).unwrap();
        for _ in 0..4 {
            self.operations += 1;
            let key = key(dice.below(self.keys + 20));
            assert_eq!(snapshot.get(&key).unwrap(), model.get(&key).unwrap());
        }
        let several: Vec<Vec<u8>> = (0..dice.below(30)).map(|_| key(dice.below(self.keys + 20))).collect();
        let several: Vec<&[u8]> = several.iter().map(Vec::as_slice).collect();
        self.operations += several.len() as u64;
        assert_eq!(snapshot.multi_get(&several).unwrap(), model.multi_get(&several).unwrap());
        if snapshot.lsn() == self.store().published_lsn() {
            let key = key(dice.below(self.keys + 20));
            assert_eq!(self.store().get(&key).unwrap(), model.get(&key).unwrap());
        }
        let range = self.range(dice);
        self.operations += 2;
        let forward = rows(snapshot, &range, Direction::Forward).unwrap();
        assert_eq!(
            forward,
            rows(&model, &range, Direction::Forward).unwrap(),
            "{range:?} at {}",
            snapshot.lsn()
        );
        let mut backward = rows(snapshot, &range, Direction::Backward).unwrap();
        backward.reverse();
        assert_eq!(forward, backward, "{range:?}");
    }

    fn reopen(&mut self) {
        self.reopened += 1;
        self.snapshots.clear();
        let before = self.store().flushed_lsn();
        self.store.take().unwrap().close();
        let store = open(&self.env, &self.dir, options()).unwrap();
        let flushed = store.flushed_lsn();
        assert!(flushed >= before, "what is flushed stays flushed");
        assert!(store.damaged().is_empty());
        let old = rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
        let model = self.model.snapshot_at(flushed).unwrap();
        assert_eq!(old, rows(&model, &KeyRange::all(), Direction::Forward).unwrap());
        match self.reopened % 2 {
            0 => self.journal.replay(&store, flushed).unwrap(),
            _ => self.journal.replay_at_once(&store, flushed).unwrap(),
        }
        self.store = Some(store);
    }

    fn step(&mut self, dice: &mut Dice) {
        self.operations += 1;
        match dice.below(1000) {
            0..600 => self.write(dice),
            600..850 => {
                let snapshot = self.store().snapshot();
                self.compare(&snapshot, dice);
            }
            850..900 => {
                let snapshot = self.store().snapshot();
                self.snapshots.push(snapshot);
                if self.snapshots.len() > 3 {
                    let gone = dice.below(4) as usize;
                    self.snapshots.remove(gone);
                }
            }
            900..950 => {
                if let Some(snapshot) = self.snapshots.first().cloned() {
                    self.compare(&snapshot, dice);
                }
            }
            950..975 => {
                let wanted = Lsn(dice.below(self.journal.next_lsn().0 + 1));
                match self.store().snapshot_at(wanted) {
                    Ok(snapshot) => self.compare(&snapshot, dice),
                    Err(Error::SnapshotTooOld { oldest, .. }) => {
                        self.too_old += 1;
                        assert!(wanted < oldest);
                        assert!(oldest <= self.store().published_lsn());
                    }
                    Err(Error::SnapshotTooNew { newest, .. }) => assert!(wanted > newest),
                    Err(other) => panic!("{other}"),
                }
            }
            975..990 => {
                let flushed = self.store().flush().unwrap();
                assert_eq!(flushed, self.store().published_lsn());
            }
            990..993 => {
                self.store().compact().unwrap();
                assert_eq!(self.store().stats().levels[0].files, 0);
            }
            993..996 => {
                self.store().verify().unwrap();
            }
            _ => self.reopen(),
        }
        self.tables_with_ranges +=
            self.store().tables().iter().filter(|table| table.range_removals > 0).count() as u64;
        let levels = self.store().stats().levels;
        self.deepest = self.deepest.max(levels[1..].iter().filter(|level| level.files > 0).count());
    }

    fn finish(&mut self) {
        let last = self.store().snapshot();
        let model = self.model.snapshot();
        for direction in [Direction::Forward, Direction::Backward] {
            let range = KeyRange::all();
            assert_eq!(rows(&last, &range, direction).unwrap(), rows(&model, &range, direction).unwrap());
        }
    }
}

#[test]
fn the_tree_equals_its_model_under_a_simulated_scheduler() {
    let (mut operations, mut reopened, mut deepest, mut too_old) = (0, 0, 0, 0);
    for seed in 0..24 {
        let (env, _handles) = Env::sim(seed);
        let mut dice = Dice::new(seed + 1);
        let mut pair = Pair::new(env, &dir(), [60, 900, 4_000][seed as usize % 3]);
        for _ in 0..1_500 {
            pair.step(&mut dice);
        }
        pair.finish();
        operations += pair.operations;
        reopened += pair.reopened;
        deepest = deepest.max(pair.deepest);
        too_old += pair.too_old;
    }
    assert!(operations >= 200_000, "{operations} operations");
    assert!(reopened >= 50, "{reopened} times reopened");
    assert!(too_old >= 20, "{too_old} snapshots refused");
    assert!(deepest >= 3, "{deepest} levels below level 0 held tables at once");
}

#[test]
fn the_tree_equals_its_model_when_ranges_are_removed() {
    let (mut removed, mut reopened, mut deepest, mut too_old, mut tables) = (0, 0, 0, 0, 0);
    for seed in 200..224 {
        let (env, _handles) = Env::sim(seed);
        let mut dice = Dice::new(seed + 1);
        let mut pair = Pair::new(env, &dir(), [60, 900, 4_000][seed as usize % 3]);
        pair.ranges = true;
        for _ in 0..1_200 {
            pair.step(&mut dice);
        }
        pair.finish();
        removed += pair.removed;
        reopened += pair.reopened;
        deepest = deepest.max(pair.deepest);
        too_old += pair.too_old;
        tables += pair.tables_with_ranges;
    }
    assert!(removed >= 2_000, "{removed} ranges removed");
    assert!(reopened >= 40 && too_old >= 20, "{reopened} times reopened, {too_old} snapshots refused");
    assert!(tables >= 10_000, "{tables} tables with removed ranges were seen");
    assert!(deepest >= 2, "{deepest} levels below level 0 held tables at once");
}

#[test]
fn the_tree_equals_its_model_with_real_threads_and_files() {
    let mut deepest = 0;
    for seed in 100..104 {
        let folder = tempfile::tempdir().unwrap();
        let mut dice = Dice::new(seed);
        let mut pair = Pair::new(Env::real(), &folder.path().join("kv"), 3_000);
        pair.ranges = seed % 2 == 0;
        for _ in 0..700 {
            pair.step(&mut dice);
        }
        pair.finish();
        deepest = deepest.max(pair.deepest);
    }
    assert!(deepest >= 2, "{deepest} levels below level 0 held tables at once");
}
