//! Sorted rows straight into tables, and unsorted ones through the loader: against a model, against writers, and through power
//! cuts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use stemedb_env::{
    Env,
    clock::{Micros, SimClock},
    fs::{SimFs, sim::CrashOptions},
};
use stemedb_lsm::{
    BulkOptions, Direction, Error, Ingested, KeyRange, KvSnapshot, KvStore, LsmOptions, LsmSnapshot,
    LsmStore, Lsn, MemStore, Result, Row, RowIter, TableRepair, Versions, WriteBatch, kv::MAX_KEY_BYTES,
};
use support::{Dice, Found, Journal, create, dir, key, open, options, rows};

fn machine(fs: SimFs) -> Env {
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 7).0
}

fn all<S: KvSnapshot>(snapshot: &S) -> Vec<Found> {
    rows(snapshot, &KeyRange::all(), Direction::Forward).unwrap()
}

/// Writes of `keys` keys from `first` on, up to three versions each, in table order.
fn sorted_rows(dice: &mut Dice, keys: impl Iterator<Item = u64>, after: Lsn, upto: Lsn) -> Vec<Row> {
    let mut rows = BTreeMap::new();
    for n in keys {
        for _ in 0..1 + dice.below(3) {
            let lsn = Lsn(after.0 + 1 + dice.below(upto.0 - after.0));
            let value = (dice.below(5) > 0).then(|| vec![dice.below(250) as u8; dice.below(60) as usize]);
            rows.insert((key(n), std::cmp::Reverse(lsn)), value);
        }
    }
    rows.into_iter().map(|((key, lsn), value)| Row { key, lsn: lsn.0, value }).collect()
}

fn ingest(store: &LsmStore, rows: &[Row], lsn: Lsn, versions: Versions) -> Result<Ingested> {
    store.ingest(&mut RowIter::new(rows.iter().cloned().map(Ok)), lsn, versions)
}

/// The batches that the rows would have been.
fn batches(rows: &[Row], after: Lsn, upto: Lsn) -> Vec<(Lsn, WriteBatch)> {
    (after.0 + 1..=upto.0)
        .map(Lsn)
        .map(|lsn| {
            let mut batch = WriteBatch::new();
            for row in rows.iter().filter(|row| row.lsn == lsn) {
                match &row.value {
                    Some(value) => batch.put(&row.key, value),
                    None => batch.delete(&row.key),
                }
            }
            (lsn, batch)
        })
        .collect()
}

/// A tree and its model.
struct Pair {
    env: Env,
    options: LsmOptions,
    store: Option<LsmStore>,
    model: MemStore,
    journal: Journal,
    snapshots: Vec<LsmSnapshot>,
    last: Lsn,
    done: BTreeMap<&'static str, u64>,
}

impl Pair {
    fn new(seed: u64, options: LsmOptions) -> Pair {
        let env = Env::sim(seed).0;
        let store = Some(create(&env, &dir(), options.clone()));
        Pair {
            env,
            options,
            store,
            model: MemStore::new(),
            journal: Journal::default(),
            snapshots: Vec::new(),
            last: Lsn::ZERO,
            done: BTreeMap::new(),
        }
    }

    fn store(&self) -> &LsmStore {
        self.store.as_ref().unwrap()
    }

    fn note(&mut self, batches: Vec<(Lsn, WriteBatch)>) {
        for (lsn, batch) in batches {
            self.model.apply(&batch, lsn).unwrap();
            self.model.publish(lsn);
            self.journal.batches.push((lsn, batch));
            self.last = lsn;
        }
    }

    fn rows(&self, dice: &mut Dice, upto: Lsn) -> Vec<Row> {
        let most = if dice.below(4) == 0 { 400 } else { 30 };
        let (first, many) = (dice.below(900), 1 + dice.below(most));
        let step = 1 + dice.below(4);
        let keys = (0..many).map(|n| first + n * step);
        sorted_rows(dice, keys, self.last, upto)
    }

    fn ingest(&mut self, dice: &mut Dice) {
        let upto = Lsn(self.last.0 + 1 + dice.below(4));
        let rows = self.rows(dice, upto);
        let versions = if dice.below(2) == 0 { Versions::All } else { Versions::Newest };
        let before = self.store().stats().flush_bytes;
        let done = ingest(self.store(), &rows, upto, versions).unwrap();
        assert_eq!(done.rows, rows.len() as u64);
        assert!(versions == Versions::Newest || done.kept == done.rows);
        assert!(self.store().stats().flush_bytes - before >= done.bytes);
        self.note(batches(&rows, self.last, upto));
        assert_eq!((self.store().published_lsn(), self.store().flushed_lsn()), (upto, upto));
    }

    fn load(&mut self, dice: &mut Dice) {
        let upto = Lsn(self.last.0 + 1 + dice.below(4));
        let mut rows = self.rows(dice, upto);
        let versions = if dice.below(2) == 0 { Versions::All } else { Versions::Newest };
        let buffer_bytes = [300, 3_000, 1 << 20][dice.below(3) as usize];
        let mut loader = self.store().bulk_loader(BulkOptions { buffer_bytes, versions });
        // Shuffled; some rows come twice, and the later one counts.
        for at in (1..rows.len()).rev() {
            rows.swap(at, dice.below(at as u64 + 1) as usize);
        }
        for row in &rows {
            if dice.below(10) == 0 {
                loader.add(&row.key, row.lsn, Some(b"replaced")).unwrap();
            }
        }
        for row in &rows {
            loader.add(&row.key, row.lsn, row.value.as_deref()).unwrap();
        }
        let spilled = loader.spilled_bytes() > 0;
        loader.finish(upto).unwrap();
        *self.done.entry("spilled").or_default() += u64::from(spilled);
        self.note(batches(&rows, self.last, upto));
    }

    fn apply(&mut self, dice: &mut Dice) {
        let upto = self.last.next();
        let rows = self.rows(dice, upto);
        let batches = batches(&rows, self.last, upto);
        self.store().apply(&batches[0].1, upto).unwrap();
        self.store().publish(upto);
        self.note(batches);
    }

    fn compare(&self, snapshot: &LsmSnapshot, dice: &mut Dice) {
        let model = self.model.snapshot_at(snapshot.lsn()).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            let found = rows(snapshot, &KeyRange::all(), direction).unwrap();
            assert_eq!(found, rows(&model, &KeyRange::all(), direction).unwrap(), "at {}", snapshot.lsn());
        }
        for _ in 0..20 {
            let key = key(dice.below(1_500));
            assert_eq!(snapshot.get(&key).unwrap(), model.get(&key).unwrap());
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        let what = match dice.below(100) {
            0..30 => {
                self.apply(dice);
                "apply"
            }
            30..45 => {
                self.ingest(dice);
                "ingest"
            }
            45..60 => {
                self.load(dice);
                "load"
            }
            60..65 => {
                self.store().flush().unwrap();
                "flush"
            }
            65..68 => {
                self.store().compact().unwrap();
                "compact"
            }
            68..75 => {
                (0..dice.below(30)).for_each(|_| _ = self.env.tasks.drive());
                "drive"
            }
            75..80 => {
                self.snapshots.push(self.store().snapshot());
                "snapshot"
            }
            80..88 => {
                if let Some(snapshot) = self.snapshots.pop() {
                    self.compare(&snapshot, dice);
                }
                "old"
            }
            88..92 => {
                let wanted = Lsn(self.last.0.saturating_sub(dice.below(4)));
                match self.store().snapshot_at(wanted) {
                    Ok(snapshot) => {
                        self.compare(&snapshot, dice);
                        "past"
                    }
                    Err(Error::SnapshotTooOld { .. }) => "too old",
                    Err(other) => panic!("{other}"),
                }
            }
            92..95 => {
                self.snapshots.clear();
                self.store.take().unwrap().close();
                let store = open(&self.env, &dir(), self.options.clone()).unwrap();
                assert!(store.damaged().is_empty());
                assert_eq!(all(&store.snapshot()), all(&self.journal.model(store.flushed_lsn()).snapshot()));
                self.journal.replay_at_once(&store, store.flushed_lsn()).unwrap();
                self.store = Some(store);
                "reopen"
            }
            _ => {
                self.store().verify().unwrap();
                let snapshot = self.store().snapshot();
                self.compare(&snapshot, dice);
                "check"
            }
        };
        *self.done.entry(what).or_default() += 1;
    }
}

#[test]
fn a_tree_with_ingests_equals_its_model() {
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..40 {
        let auto = seed % 4 != 3;
        let options = LsmOptions { enable_auto_compaction: auto, ..options() };
        let mut pair = Pair::new(seed, options);
        let mut dice = Dice::new(seed + 1);
        for _ in 0..150 {
            pair.step(&mut dice);
        }
        let snapshot = pair.store().snapshot();
        pair.compare(&snapshot, &mut dice);
        pair.done.into_iter().for_each(|(what, times)| *done.entry(what).or_default() += times);
    }
    println!("{done:?}");
    for what in ["ingest", "load", "spilled", "reopen", "old", "past", "too old", "compact"] {
        assert!(done.get(what).is_some_and(|times| *times >= 30), "{what}: {done:?}");
    }
}

#[test]
fn rows_that_meet_nothing_go_to_the_bottom_and_are_written_once() {
    let (env, _) = Env::sim(1);
    let store = create(&env, &dir(), options());
    let mut dice = Dice::new(1);
    let first = sorted_rows(&mut dice, 0..900, Lsn::ZERO, Lsn(3));
    let done = ingest(&store, &first, Lsn(3), Versions::All).unwrap();
    assert!(done.tables > 2, "{done:?}");
    assert!(store.tables().iter().all(|table| table.level == 6), "{:?}", store.tables());
    let stats = store.stats();
    assert_eq!((stats.compaction_bytes, stats.flush_bytes), (0, done.bytes));
    // What overlaps lies above, and what is beside it at the bottom as well.
    let low = sorted_rows(&mut dice, (0..900).step_by(3), Lsn(3), Lsn(4));
    ingest(&store, &low, Lsn(4), Versions::All).unwrap();
    let levels: Vec<u32> =
        store.tables().iter().filter(|table| table.min_lsn > Lsn(3)).map(|t| t.level).collect();
    assert!(levels.iter().filter(|level| **level == 5).count() * 2 > levels.len(), "{levels:?}");
    assert!(levels.iter().all(|level| *level >= 5), "{levels:?}");
    // A memtable is flushed first and then stands in the way.
    let mut batch = WriteBatch::new();
    batch.put(&key(0), b"in a memtable");
    store.apply(&batch, Lsn(5)).unwrap();
    store.publish(Lsn(5));
    let row = Row { key: key(0), lsn: Lsn(6), value: Some(b"newest".to_vec()) };
    ingest(&store, &[row], Lsn(6), Versions::Newest).unwrap();
    assert_eq!(store.get(&key(0)).unwrap().as_deref(), Some(&b"newest"[..]));
    let level = store.tables().iter().find(|table| table.max_lsn == Lsn(6)).map(|table| table.level);
    assert_eq!(level, Some(0));
    store.compact().unwrap();
    assert_eq!(store.get(&key(0)).unwrap().as_deref(), Some(&b"newest"[..]));
}

#[test]
fn what_does_not_belong_is_refused_and_leaves_nothing() {
    let (env, handles) = Env::sim(1);
    let store = create(&env, &dir(), options());
    let _ = handles;
    let mut batch = WriteBatch::new();
    batch.put(b"a", b"1");
    store.apply(&batch, Lsn(1)).unwrap();
    let row = |key: &[u8], lsn: u64| Row { key: key.to_vec(), lsn: Lsn(lsn), value: Some(b"x".to_vec()) };
    let refused = ingest(&store, &[row(b"a", 2)], Lsn(2), Versions::All);
    assert!(matches!(refused, Err(Error::Unpublished { applied: Lsn(1), published: Lsn(0) })), "{refused:?}");
    store.publish(Lsn(1));
    let names = || {
        let mut names: Vec<String> =
            env.fs.list(&dir()).unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    };
    store.flush().unwrap();
    let before = names();
    let many = |last: Row| -> Vec<Row> { (0..500).map(|n| row(&key(n * 97), 2)).chain([last]).collect() };
    let mut sorted = many(row(b"zz", 2));
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    type Check = fn(&Error) -> bool;
    let cases: Vec<(Vec<Row>, u64, Check)> = vec![
        (vec![row(b"a", 1)], 1, |error| matches!(error, Error::OutOfOrder { .. })),
        (vec![row(b"b", 2), row(b"a", 2)], 2, |error| matches!(error, Error::Unsorted { row: 1 })),
        (vec![row(b"a", 2), row(b"a", 3)], 3, |error| matches!(error, Error::Unsorted { row: 1 })),
        (vec![row(b"a", 2), row(b"a", 2)], 2, |error| matches!(error, Error::Unsorted { row: 1 })),
        (vec![row(b"a", 1)], 2, |error| matches!(error, Error::OutsideIngest { lsn: Lsn(1), .. })),
        (vec![row(b"a", 3)], 2, |error| matches!(error, Error::OutsideIngest { lsn: Lsn(3), .. })),
        (vec![row(&[0; MAX_KEY_BYTES + 1], 2)], 2, |error| matches!(error, Error::TooLarge { .. })),
        ([sorted, vec![row(b"a", 2)]].concat(), 2, |error| matches!(error, Error::Unsorted { row: 501 })),
    ];
    for (rows, lsn, is_right) in cases {
        let error = ingest(&store, &rows, Lsn(lsn), Versions::All).unwrap_err();
        assert!(is_right(&error), "{error}");
        assert_eq!((store.published_lsn(), names()), (Lsn(1), before.clone()), "{error}");
    }
    // An error of the rows themselves.
    let broken = [Ok(row(b"a", 2)), Err(Error::Unsorted { row: 77 })];
    let error = store.ingest(&mut RowIter::new(broken.into_iter()), Lsn(2), Versions::All).unwrap_err();
    assert!(matches!(error, Error::Unsorted { row: 77 }));
    // Loaders leave nothing either, dropped or refused.
    let load = || {
        let mut loader = store.bulk_loader(BulkOptions { buffer_bytes: 1_000, versions: Versions::All });
        (0..200).for_each(|n| loader.add(&key(n), Lsn(2), Some(&[7; 30])).unwrap());
        assert!(loader.spilled_bytes() > 4_000 && names().iter().any(|name| name.ends_with(".spill")));
        loader
    };
    drop(load());
    assert!(matches!(load().finish(Lsn(1)), Err(Error::OutOfOrder { .. })));
    assert_eq!(names(), before);
    assert_eq!(all(&store.snapshot()).len(), 1);
    assert_eq!(load().finish(Lsn(2)).unwrap().kept, 200);
    assert!(!names().iter().any(|name| name.ends_with(".spill")));
}

#[test]
fn nobody_else_writes_while_rows_are_ingested_and_readers_do_not_notice() {
    let (env, _) = Env::sim(1);
    let store = create(&env, &dir(), options());
    let mut batch = WriteBatch::new();
    batch.put(&key(1), b"before");
    store.apply(&batch, Lsn(1)).unwrap();
    store.publish(Lsn(1));
    let held = store.snapshot();
    let mut seen = 0;
    let rows = sorted_rows(&mut Dice::new(3), 0..200, Lsn(1), Lsn(9));
    let watched = rows.iter().cloned().inspect(|_| {
        seen += 1;
        // While rows pass: writers are refused, readers see what was, merges and flushes go on.
        let refused = [store.apply(&batch, Lsn(2)), ingest(&store, &[], Lsn(3), Versions::All).map(drop)];
        for refused in refused {
            assert!(matches!(refused, Err(Error::Ingesting { upto: Lsn(9) })), "{refused:?}");
        }
        let mut replay = store.begin_replay();
        replay.apply(&batch, Lsn(2)).unwrap();
        assert!(matches!(replay.finish(), Err(Error::Ingesting { .. })));
        assert_eq!(store.get(&key(1)).unwrap().as_deref(), Some(&b"before"[..]));
        assert_eq!((store.published_lsn(), store.flush().unwrap()), (Lsn(1), Lsn(1)));
        if seen % 50 == 0 {
            store.compact().unwrap();
        }
    });
    store.ingest(&mut RowIter::new(watched.map(Ok)), Lsn(9), Versions::All).unwrap();
    assert!(seen >= 200);
    assert_eq!(all(&held).len(), 1);
    let journal =
        Journal { batches: [vec![(Lsn(1), batch.clone())], batches(&rows, Lsn(1), Lsn(9))].concat() };
    for lsn in 1..=9 {
        let snapshot = store.snapshot_at(Lsn(lsn)).unwrap();
        assert_eq!(all(&snapshot), all(&journal.model(Lsn(lsn)).snapshot()), "at {lsn}");
    }
    store.apply(&batch, Lsn(10)).unwrap();
    // An ingest of nothing moves the LSNs.
    store.publish(Lsn(10));
    assert_eq!(ingest(&store, &[], Lsn(20), Versions::Newest).unwrap(), Ingested::default());
    assert_eq!((store.published_lsn(), store.flushed_lsn()), (Lsn(20), Lsn(20)));
}

#[test]
fn a_loader_holds_few_runs_and_merges_the_others() {
    let (env, _) = Env::sim(1);
    let store = create(&env, &dir(), options());
    let mut dice = Dice::new(5);
    let mut loader = store.bulk_loader(BulkOptions { buffer_bytes: 2_000, versions: Versions::Newest });
    let mut model = BTreeMap::new();
    for _ in 0..8_000 {
        let (n, lsn) = (dice.below(900), Lsn(1 + dice.below(50)));
        let value = (dice.below(6) > 0).then(|| vec![dice.below(200) as u8; dice.below(30) as usize]);
        loader.add(&key(n), lsn, value.as_deref()).unwrap();
        let newest = model.entry(key(n)).or_insert((lsn, value.clone()));
        if newest.0 <= lsn {
            *newest = (lsn, value);
        }
    }
    let spills = env.fs.list(&dir()).unwrap().iter().filter(|entry| entry.name.ends_with(".spill")).count();
    assert!((2..12).contains(&spills), "{spills} runs at once");
    let done = loader.finish(Lsn(50)).unwrap();
    let live: Vec<Found> =
        model.into_iter().filter_map(|(key, (lsn, value))| Some((key, lsn, value?))).collect();
    assert_eq!(done.kept, live.len() as u64, "one row per key, no removals");
    assert_eq!(all(&store.snapshot()), live);
    assert!(matches!(store.snapshot_at(Lsn(49)), Err(Error::SnapshotTooOld { oldest: Lsn(50), .. })));
}

#[test]
fn a_power_cut_anywhere_leaves_all_or_nothing_and_no_stray_files() {
    for (seed, through_loader, versions) in [
        (1, false, Versions::All),
        (2, false, Versions::Newest),
        (3, true, Versions::All),
        (4, true, Versions::Newest),
    ] {
        let fs = SimFs::new();
        let store = create(&machine(fs.clone()), &dir(), options());
        let mut dice = Dice::new(seed);
        let first = sorted_rows(&mut dice, 0..60, Lsn::ZERO, Lsn(4));
        let mut journal = Journal { batches: batches(&first, Lsn::ZERO, Lsn(4)) };
        journal.replay(&store, Lsn::ZERO).unwrap();
        store.compact().unwrap();
        let old = batches(&sorted_rows(&mut dice, 30..50, Lsn(4), Lsn(5)), Lsn(4), Lsn(5));
        journal.batches.extend(old);
        journal.replay(&store, Lsn(4)).unwrap();
        let new = sorted_rows(&mut dice, 20..160, Lsn(5), Lsn(9));
        fs.note(4);
        fs.record(true);
        if through_loader {
            let mut loader = store.bulk_loader(BulkOptions { buffer_bytes: 3_000, versions });
            new.iter().rev().for_each(|row| loader.add(&row.key, row.lsn, row.value.as_deref()).unwrap());
            assert!(loader.spilled_bytes() > 0);
            loader.finish(Lsn(9)).unwrap();
        } else {
            ingest(&store, &new, Lsn(9), versions).unwrap();
        }
        fs.note(9);
        store.compact().unwrap();
        drop(store);
        fs.record(false);
        let mut whole = journal.clone();
        whole.batches.extend(batches(&new, Lsn(5), Lsn(9)));
        let mut outcomes = BTreeMap::new();
        let mut checked = 0;
        for point in fs.take_crash_points() {
            for state in point.fs.crash_states(&CrashOptions {
                exhaustive_units: 7,
                samples: 12,
                seed: point.mutations,
            }) {
                checked += 1;
                let env = machine(state.fs);
                let store = open(&env, &dir(), options()).unwrap();
                let flushed = store.flushed_lsn();
                *outcomes.entry(flushed).or_insert(0) += 1;
                assert!(
                    flushed.0 >= point.note && [4, 5, 9].contains(&flushed.0),
                    "{flushed}, {}",
                    point.note
                );
                assert_eq!(all(&store.snapshot()), all(&whole.model(flushed).snapshot()));
                assert!(store.damaged().is_empty());
                let live: Vec<String> =
                    store.tables().iter().map(|table| format!("{:06}.sst", table.file)).collect();
                let stray: Vec<String> =
                    env.fs.list(&dir()).unwrap().into_iter().map(|entry| entry.name).collect();
                let stray: Vec<&String> = stray
                    .iter()
                    .filter(|name| {
                        !live.contains(name) && *name != "CURRENT" && !name.starts_with("MANIFEST-")
                    })
                    .collect();
                assert!(stray.is_empty(), "{stray:?}");
                // Its LSNs can be used again.
                journal.replay_at_once(&store, flushed).unwrap_or_default();
                if flushed < Lsn(9) {
                    ingest(&store, &new, Lsn(9), versions).unwrap();
                }
                if checked % 8 == 0 {
                    store.compact().unwrap();
                    store.verify().unwrap();
                }
                assert_eq!(all(&store.snapshot()), all(&whole.model(Lsn(9)).snapshot()));
            }
        }
        assert!(checked >= 100, "{checked} outcomes");
        assert!(outcomes.len() >= 2, "{outcomes:?}");
    }
}

#[test]
fn a_failure_anywhere_leaves_nothing_behind_or_says_that_it_does_not_know() {
    // The n-th sync of each path fails; then the same LSNs mean something else, and a power cut follows.
    let (mut failed, mut in_doubt) = (0, 0);
    for skip in 0..40 {
        let fs = SimFs::new();
        let store = create(&machine(fs.clone()), &dir(), options());
        let mut dice = Dice::new(7);
        let old = batches(&sorted_rows(&mut dice, 0..40, Lsn::ZERO, Lsn(2)), Lsn::ZERO, Lsn(2));
        let mut journal = Journal { batches: old };
        journal.replay(&store, Lsn::ZERO).unwrap();
        store.flush().unwrap();
        let new = sorted_rows(&mut dice, 10..120, Lsn(2), Lsn(5));
        let mut paths = fs.paths();
        paths.push(dir());
        let Some(path) = paths.get(skip) else { break };
        fs.fail_next_sync(path).unwrap();
        match ingest(&store, &new, Lsn(5), Versions::All) {
            Ok(_) => continue,
            Err(error) => assert!(matches!(error, Error::Env(_)), "{error}"),
        }
        failed += 1;
        assert_eq!((store.published_lsn(), store.flushed_lsn()), (Lsn(2), Lsn(2)));
        let mut other = WriteBatch::new();
        other.put(&key(11), b"another meaning of the same LSN");
        match store.apply(&other, Lsn(3)) {
            Ok(()) => {
                store.publish(Lsn(3));
                journal.batches.push((Lsn(3), other));
            }
            Err(Error::ReadOnly { .. }) => in_doubt += 1,
            Err(error) => panic!("{error}"),
        }
        drop(store);
        for fs in [fs.crash_losing_all(), fs.crash_keeping_all()] {
            let store = open(&machine(fs), &dir(), options()).unwrap();
            let flushed = store.flushed_lsn();
            if flushed == Lsn(5) {
                assert!(in_doubt > 0, "rows of an ingest that was said to have failed");
                continue;
            }
            journal.replay(&store, flushed).unwrap();
            let last = store.published_lsn();
            assert_eq!(all(&store.snapshot()), all(&journal.model(last).snapshot()));
        }
    }
    println!("{failed} ingests failed, {in_doubt} in doubt");
    assert!(failed >= 2, "{failed}");
}

#[test]
fn a_tree_that_was_stopped_leaves_its_folder_alone() {
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let store = create(&env, &dir(), options());
    let mut dice = Dice::new(5);
    let rows = sorted_rows(&mut dice, 0..40, Lsn(0), Lsn(9));
    ingest(&store, &rows, Lsn(9), Versions::All).unwrap();
    store.stop();
    let files = || {
        let paths = fs.paths().into_iter().filter(|path| path.starts_with(dir()));
        paths.map(|path| (fs.read_all(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = files();
    let more = sorted_rows(&mut dice, 50..90, Lsn(9), Lsn(20));
    let refused = ingest(&store, &more, Lsn(20), Versions::All).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    let file = store.tables()[0].file;
    let refused = store.repair_table(file, &mut std::iter::empty()).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    assert!(matches!(store.renew_manifest("a test"), Err(Error::ReadOnly { .. })));
    assert!(files() == before);
    // Reads go on.
    let found = all(&store.snapshot());
    assert!(!found.is_empty());
    assert_eq!(all(&open(&machine(fs.crash_keeping_all()), &dir(), options()).unwrap().snapshot()), found);
}
