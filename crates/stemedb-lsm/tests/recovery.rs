//! A lost manifest: the list of tables is made again, and after a replay from the flushed LSN everything equals the model.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{
    Env,
    clock::{Micros, SimClock},
    frame::DatabaseId,
    fs::{SimFs, sim::CrashOptions},
};
use stemedb_lsm::{
    CorruptionKind, Direction, Error, KeyRange, KvSnapshot, KvStore, LsmStore, Lsn, RecoveredManifest,
    RecoveryBasis, Row, RowIter, TableRepair, Versions, WriteBatch,
};
use support::{DATABASE, Dice, Found, Journal, create, dir, key, open, options, rows};

fn machine(fs: SimFs) -> Env {
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 7).0
}

fn recover(env: &Env) -> stemedb_lsm::Result<(LsmStore, RecoveredManifest)> {
    LsmStore::recover(env.clone(), &dir(), DATABASE, options())
}

fn all<S: KvSnapshot>(snapshot: &S) -> Vec<Found> {
    rows(snapshot, &KeyRange::all(), Direction::Forward).unwrap()
}

fn expected(journal: &Journal, upto: Lsn) -> Vec<Found> {
    all(&journal.model(upto).snapshot())
}

fn last(journal: &Journal) -> Lsn {
    journal.next_lsn().prev()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// What lies in the tree's folder and begins or ends so.
fn named(fs: &SimFs, part: &str) -> Vec<PathBuf> {
    let here = fs.paths().into_iter().filter(|path| path.parent() == Some(&*dir()));
    here.filter(|path| name(path).contains(part)).collect()
}

fn manifest(fs: &SimFs) -> PathBuf {
    let found = named(fs, "MANIFEST-");
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Every file of the folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(fs: &SimFs, part: &str) -> Files {
    named(fs, part).into_iter().map(|path| (path.clone(), fs.read_all(&path).unwrap())).collect()
}

/// A tree with a history.
struct World {
    fs: SimFs,
    env: Env,
    store: Option<LsmStore>,
    journal: Journal,
    dice: Dice,
    keys: u64,
    /// Writes of a large batch.
    largest: u64,
    /// Every table that has ever been seen.
    tables: Files,
    /// `CURRENT` and the manifest, as they were after each step.
    manifests: Vec<Files>,
}

impl World {
    fn new(seed: u64, keys: u64) -> World {
        let fs = SimFs::new();
        let env = machine(fs.clone());
        let store = Some(create(&env, &dir(), options()));
        let dice = Dice::new(seed);
        World {
            fs,
            env,
            store,
            journal: Journal::default(),
            dice,
            keys,
            largest: 30,
            tables: Files::new(),
            manifests: Vec::new(),
        }
    }

    fn store(&self) -> &LsmStore {
        self.store.as_ref().unwrap()
    }

    fn batch(&mut self, with_ranges: bool) -> WriteBatch {
        let mut batch = WriteBatch::new();
        let size = if self.dice.below(4) == 0 { self.largest } else { 1 + self.dice.below(6) };
        for _ in 0..size {
            let n = self.dice.below(self.keys);
            match self.dice.below(12) {
                0..3 => batch.delete(&key(n)),
                3 if with_ranges => {
                    let (one, other) = (key(n), key(self.dice.below(self.keys)));
                    if one != other {
                        batch.delete_range(&one.clone().min(other.clone()), &one.max(other));
                    }
                }
                _ => batch.put(&key(n), &vec![self.dice.below(250) as u8; 20 + self.dice.below(60) as usize]),
            }
        }
        // No flush of it is without a table.
        batch.put(&key(self.dice.below(self.keys)), b"at least this");
        batch
    }

    fn write(&mut self) {
        let lsn = self.journal.next_lsn();
        let batch = self.batch(true);
        self.journal.batches.push((lsn, batch.clone()));
        self.store().apply(&batch, lsn).unwrap();
        self.store().publish(lsn);
    }

    fn ingest(&mut self) {
        let count = 1 + self.dice.below(4);
        let after = last(&self.journal);
        let mut sorted = BTreeMap::new();
        for n in 1..=count {
            let lsn = Lsn(after.0 + n);
            let batch = self.batch(false);
            for op in batch.iter() {
                sorted.insert((op.key().to_vec(), std::cmp::Reverse(lsn)), op.value().map(<[u8]>::to_vec));
            }
            self.journal.batches.push((lsn, batch));
        }
        let versions = if self.dice.below(2) == 0 { Versions::All } else { Versions::Newest };
        let rows =
            sorted.into_iter().map(|((key, std::cmp::Reverse(lsn)), value)| Ok(Row { key, lsn, value }));
        self.store().ingest(&mut RowIter::new(rows), Lsn(after.0 + count), versions).unwrap();
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..13 => self.write(),
            13..16 => drop(self.store().flush().unwrap()),
            16 => self.store().compact().unwrap(),
            17 => self.ingest(),
            18 => {
                let (one, other) = (key(self.dice.below(self.keys)), key(self.dice.below(self.keys)));
                let (start, end) = (one.clone().min(other.clone()), Some(one.max(other)));
                let range = KeyRange { start, end, prefix_bytes: 0 };
                self.store().compact_range(&range, false, &|_| {}).unwrap();
            }
            _ => {
                self.store.take().unwrap().close();
                let store = open(&self.env, &dir(), options()).unwrap();
                self.journal.replay(&store, store.flushed_lsn()).unwrap();
                self.store = Some(store);
            }
        }
        // Background work gets a turn, so that a step may end in the middle of it.
        (0..self.dice.below(12)).for_each(|_| _ = self.env.tasks.drive());
        self.tables.extend(files(&self.fs, ".sst"));
        self.manifests
            .push([files(&self.fs, "CURRENT"), files(&self.fs, "MANIFEST-")].into_iter().flatten().collect());
    }

    fn flushed(&self) -> Lsn {
        self.store().flushed_lsn()
    }
}

/// What a recovery must come to.
struct Wanted<'a> {
    journal: &'a Journal,
    /// At least this must be in the tables.
    flushed: Lsn,
    /// Looks also at snapshots, and at the tree after a compaction and another opening.
    deep: bool,
}

/// Replays into a tree that was recovered or opened, and compares. Returns how many earlier snapshots were exact.
fn compare(env: &Env, store: LsmStore, wanted: &Wanted<'_>, what: &dyn std::fmt::Debug) -> u64 {
    let Wanted { journal, flushed: least, deep } = *wanted;
    let flushed = store.flushed_lsn();
    assert!(flushed >= least, "{what:?}: flushed {flushed}, was {least}");
    assert!(store.damaged().is_empty(), "{what:?}: {:?}", store.damaged());
    assert_eq!(all(&store.snapshot()), expected(journal, flushed), "{what:?}: state at {flushed}");
    journal.replay_at_once(&store, flushed).unwrap();
    let end = last(journal);
    assert_eq!(all(&store.snapshot()), expected(journal, end), "{what:?}: after the replay");
    if !deep {
        return 0;
    }
    let mut exact = 0;
    for lsn in (0..=end.0).map(Lsn) {
        match store.snapshot_at(lsn) {
            Ok(snapshot) => {
                assert_eq!(all(&snapshot), expected(journal, lsn), "{what:?}: a snapshot at {lsn}");
                exact += 1;
            }
            Err(Error::SnapshotTooOld { .. }) => {}
            Err(other) => panic!("{what:?}: {other}"),
        }
    }
    store.verify().unwrap();
    store.compact().unwrap();
    assert_eq!(all(&store.snapshot()), expected(journal, end), "{what:?}: after a compaction");
    store.close();
    let again = open(env, &dir(), options()).unwrap();
    assert_eq!((again.flushed_lsn(), again.damaged().len()), (end, 0));
    again.verify().unwrap();
    assert_eq!(all(&again.snapshot()), expected(journal, end), "{what:?}: after another opening");
    exact
}

/// Recovers what is there, unless it opens. Nothing may be missing.
fn check(fs: SimFs, wanted: &Wanted<'_>, what: &dyn std::fmt::Debug) -> (Option<RecoveredManifest>, u64) {
    let env = machine(fs);
    let (store, report) = match open(&env, &dir(), options()) {
        Ok(store) => (store, None),
        Err(error) => {
            assert!(error.is_lost_manifest(), "{what:?}: {error}");
            let planned = LsmStore::plan_recovery(&env, &dir(), DATABASE, options()).unwrap();
            let (store, report) = recover(&env).unwrap();
            assert_eq!(report, planned, "{what:?}");
            assert_eq!(report.missing, [0; 0], "{what:?}: {report:?}");
            assert_eq!(report.flushed, store.flushed_lsn());
            (store, Some(report))
        }
    };
    let exact = compare(&env, store, wanted, what);
    (report, exact)
}

/// Takes manifest and `CURRENT` away.
fn lose(fs: &SimFs) {
    for path in named(fs, "MANIFEST-").into_iter().chain(named(fs, "CURRENT")) {
        fs.delete(&path).unwrap();
    }
}

#[test]
fn whole_tables_without_a_manifest_are_the_tree_and_nothing_flushed_is_replayed() {
    let (mut trials, mut exact, mut completed, mut levels) = (0, 0, 0, BTreeSet::new());
    for seed in 0..10 {
        // The last two become deep; those are not looked at after every step.
        let is_deep = seed >= 8;
        let (keys, steps, every) = if is_deep { (4_000, 700, 23) } else { (60 + 400 * (seed % 2), 90, 1) };
        let mut world = World::new(seed, keys);
        world.largest = if is_deep { 120 } else { world.largest };
        for step in 0..steps {
            world.step();
            if step % every > 0 {
                continue;
            }
            levels.extend(world.store().tables().iter().map(|table| table.level));
            let images = [world.fs.process_killed(), world.fs.crash_losing_all()];
            for (image, fs) in images.into_iter().enumerate() {
                // Before the first table there is nothing to go by.
                if named(&fs, ".sst").is_empty() {
                    continue;
                }
                lose(&fs);
                trials += 1;
                let deep = trials % 7 == 0;
                let wanted = Wanted { journal: &world.journal, flushed: world.flushed(), deep };
                let (report, snapshots) = check(fs, &wanted, &(seed, step, image));
                exact += snapshots;
                completed += report.map_or(0, |report| report.completed.len());
            }
        }
    }
    println!("{trials} trials, {exact} exact snapshots, {completed} changes completed, levels {levels:?}");
    assert!(trials > 1_000 && exact > 300 && completed > 100, "{trials} {exact} {completed}");
    assert!(levels.len() > 2, "{levels:?}");
}

#[test]
fn tables_that_were_replaced_are_not_taken_beside_what_replaced_them() {
    let (mut trials, mut replaced, mut completed) = (0, 0, 0);
    for seed in 100..108 {
        let mut world = World::new(seed, 50);
        for step in 0..70 {
            world.step();
            if world.tables.is_empty() {
                continue;
            }
            let fs = world.fs.process_killed();
            lose(&fs);
            // All that there ever was, or a part.
            let part = 1 + world.dice.below(4);
            for (path, bytes) in &world.tables {
                if world.dice.below(part) == 0 && !named(&fs, name(path)).contains(path) {
                    fs.install(path, bytes).unwrap();
                    replaced += 1;
                }
            }
            trials += 1;
            let deep = trials % 9 == 0;
            let wanted = Wanted { journal: &world.journal, flushed: world.flushed(), deep };
            let (report, _) = check(fs, &wanted, &(seed, step));
            completed += report.map_or(0, |report| report.completed.len());
        }
    }
    println!("{trials} trials, {replaced} replaced tables put back, {completed} changes completed");
    assert!(trials > 400 && replaced > 2_000 && completed > 20, "{trials} {replaced} {completed}");
}

#[test]
fn an_older_manifest_is_recognised_or_harmless() {
    let (mut opened, mut recognised) = (0, 0);
    for seed in 200..206 {
        let mut world = World::new(seed, 60);
        (0..60).for_each(|_| world.step());
        let copies = std::mem::take(&mut world.manifests);
        for (step, copy) in copies.iter().enumerate() {
            for (image, keep_new) in [false, true].into_iter().enumerate() {
                let fs = world.fs.process_killed();
                if !keep_new {
                    lose(&fs);
                }
                for (path, bytes) in copy {
                    fs.install(path, bytes).unwrap();
                }
                let wanted = Wanted { journal: &world.journal, flushed: Lsn::ZERO, deep: step % 10 == 0 };
                match check(fs, &wanted, &(seed, step, image)).0 {
                    None => opened += 1,
                    Some(report) => {
                        recognised += 1;
                        assert!(report.flushed >= world.flushed(), "{seed} {step}: {report:?}");
                    }
                }
            }
        }
    }
    println!("{opened} older copies opened, {recognised} recognised");
    assert!(opened > 20 && recognised > 300, "{opened} {recognised}");
}

/// A tree whose manifest is short: a snapshot, then a flush, a merge and a flush.
fn short() -> World {
    let mut world = World::new(3, 40);
    (0..25).for_each(|_| world.step());
    world.store.take().unwrap().close();
    let store = open(&world.env, &dir(), options()).unwrap();
    world.journal.replay(&store, store.flushed_lsn()).unwrap();
    world.store = Some(store);
    world.store().flush().unwrap();
    world.store().compact().unwrap();
    world.write();
    world.store().flush().unwrap();
    world
}

#[test]
fn every_flipped_byte_and_every_length_of_the_manifest_and_of_current_is_recovered() {
    let world = short();
    let (mut trials, mut recovered, mut from_tables) = (0u64, 0, 0);
    for path in [manifest(&world.fs), dir().join("CURRENT")] {
        let length = world.fs.read_all(&path).unwrap().len() as u64;
        for at in 0..length {
            for cut in [false, true] {
                let fs = world.fs.process_killed();
                match cut {
                    true => fs.truncate(&path, at).unwrap(),
                    false => fs.corrupt(&path, at, 1 << (at % 8)).unwrap(),
                }
                trials += 1;
                // A cut behind an edit that lost its mark is a power cut like any other: what it says is older.
                let least = if cut { Lsn::ZERO } else { world.flushed() };
                let wanted = Wanted { journal: &world.journal, flushed: least, deep: trials % 200 == 0 };
                let (report, _) = check(fs, &wanted, &(name(&path), at, cut));
                if let Some(report) = report {
                    recovered += 1;
                    from_tables += u64::from(matches!(report.basis, RecoveryBasis::Table(_)));
                    assert!(report.flushed >= world.flushed(), "{path:?} {at} {cut}: {report:?}");
                    assert!(report.newest_seen >= world.flushed());
                }
            }
        }
    }
    println!("{trials} trials, {recovered} recovered, {from_tables} from tables");
    assert!(
        trials > 3_000 && recovered * 3 > trials && from_tables > 500,
        "{trials} {recovered} {from_tables}"
    );
}

#[test]
fn whatever_is_gone_or_foreign_is_recovered_and_nothing_is_destroyed() {
    let world = short();
    let (manifest, current) = (manifest(&world.fs), dir().join("CURRENT"));
    let foreign = SimFs::new();
    let other = LsmStore::create(machine(foreign.clone()), &dir(), DatabaseId([1; 16]), options()).unwrap();
    drop(other);
    let (their_manifest, their_current) =
        (foreign.read_all(&dir().join("MANIFEST-000001")).unwrap(), foreign.read_all(&current).unwrap());
    type Harm<'a> = (&'a str, &'a dyn Fn(&SimFs));
    let harms: [Harm<'_>; 9] = [
        ("no manifest", &|fs| fs.delete(&manifest).unwrap()),
        ("no CURRENT", &|fs| fs.delete(&current).unwrap()),
        ("neither", &lose),
        ("an empty manifest", &|fs| fs.truncate(&manifest, 0).unwrap()),
        ("an empty CURRENT", &|fs| fs.truncate(&current, 0).unwrap()),
        ("a foreign manifest", &|fs| fs.install(&manifest, &their_manifest).unwrap()),
        ("a foreign CURRENT", &|fs| fs.install(&current, &their_current).unwrap()),
        ("both foreign", &|fs| {
            lose(fs);
            fs.install(&dir().join("MANIFEST-000001"), &their_manifest).unwrap();
            fs.install(&current, &their_current).unwrap();
        }),
        ("zeros", &|fs| fs.overwrite(&manifest, 0, &[0; 700]).unwrap()),
    ];
    for (what, harm) in harms {
        let fs = world.fs.process_killed();
        harm(&fs);
        let before = files(&fs, "");
        // Looking changes nothing.
        let mutations = fs.mutations();
        let env = machine(fs.clone());
        LsmStore::plan_recovery(&env, &dir(), DATABASE, options()).unwrap();
        assert_eq!((fs.mutations(), files(&fs, "")), (mutations, before.clone()), "{what}");
        let wanted = Wanted { journal: &world.journal, flushed: world.flushed(), deep: true };
        let (report, exact) = check(fs.clone(), &wanted, &what);
        let report = report.unwrap_or_else(|| panic!("{what}: it opened"));
        assert!(exact > 0 && report.flushed == world.flushed(), "{what}: {report:?}");
        // What the recovery did not take is in quarantine, byte for byte; the compaction afterwards removed tables.
        let kept: Vec<Vec<u8>> = fs
            .paths()
            .iter()
            .filter(|path| path.starts_with("/data/quarantine"))
            .map(|path| fs.read_all(path).unwrap())
            .collect();
        let taken: Vec<PathBuf> =
            report.tables.iter().map(|file| dir().join(format!("{file:06}.sst"))).collect();
        for (path, bytes) in before.iter().filter(|(path, _)| !taken.contains(path)) {
            assert!(kept.contains(bytes), "{what}: {path:?} is gone");
        }
    }
}

#[test]
fn a_folder_without_a_tree_is_not_recovered_and_one_without_evidence_is_empty() {
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let refused = recover(&env).map(drop);
    assert!(matches!(refused, Err(Error::Folder { .. })), "{refused:?}");
    fs.install_dir(&dir()).unwrap();
    assert!(recover(&env).is_err_and(|error| error.is_lost_manifest()));
    // Tables whose ends are all cut off: nothing is accepted, everything is replayed, and nothing is destroyed.
    let world = short();
    let fs = world.fs.process_killed();
    lose(&fs);
    let tables = named(&fs, ".sst");
    tables.iter().for_each(|path| fs.truncate(path, 60).unwrap());
    let wanted = Wanted { journal: &world.journal, flushed: Lsn::ZERO, deep: true };
    let report = check(fs.clone(), &wanted, &"no ends").0.unwrap();
    assert_eq!(
        (report.basis, report.flushed, report.aside.len()),
        (RecoveryBasis::Nothing, Lsn::ZERO, tables.len())
    );
    for path in tables {
        assert!(fs.read_all(&Path::new("/data/quarantine").join(name(&path))).is_ok(), "{path:?}");
    }
}

#[test]
fn a_power_cut_anywhere_in_a_recovery_is_recovered_by_another_one() {
    let mut checked = 0;
    for seed in 300..304 {
        let mut world = World::new(seed, 50);
        (0..40).for_each(|_| world.step());
        let fs = world.fs.crash_losing_all();
        match seed % 4 {
            0 => lose(&fs),
            1 => fs.delete(&manifest(&fs)).unwrap(),
            2 => fs.corrupt(&manifest(&fs), 60, 1).unwrap(),
            _ => fs.corrupt(&dir().join("CURRENT"), 3, 1).unwrap(),
        }
        // Some that were replaced are still there.
        for (path, bytes) in
            world.tables.iter().filter(|(path, _)| !named(&fs, name(path)).contains(path)).take(3)
        {
            fs.install(path, bytes).unwrap();
        }
        fs.settle();
        fs.record(true);
        drop(recover(&machine(fs.clone())).unwrap());
        for point in fs.take_crash_points() {
            for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 6, samples: 12, seed }) {
                checked += 1;
                let deep = checked % 40 == 0;
                let wanted = Wanted { journal: &world.journal, flushed: world.flushed(), deep };
                check(state.fs, &wanted, &(seed, &point.operation, &state.selection));
            }
        }
    }
    println!("{checked} disks");
    assert!(checked > 300, "{checked}");
}

#[test]
fn a_table_that_is_lost_with_the_manifest_is_listed_and_repaired() {
    let mut world = World::new(5, 4_000);
    // Every key once, so that every table can be proven.
    for round in 0..60u64 {
        let lsn = world.journal.next_lsn();
        let mut batch = WriteBatch::new();
        (0..8).for_each(|n| batch.put(&key((round * 8 + n) * 389 % 2411), format!("{round} {n}").as_bytes()));
        world.journal.batches.push((lsn, batch.clone()));
        world.store().apply(&batch, lsn).unwrap();
        world.store().publish(lsn);
    }
    let flushed = world.store().flush().unwrap();
    let tables = world.store().tables();
    world.store.take().unwrap().close();
    let (mut listed, mut replayed) = (0, 0);
    for table in &tables {
        let fs = world.fs.process_killed();
        lose(&fs);
        let path = dir().join(format!("{:06}.sst", table.file));
        match table.file % 3 {
            0 => fs.delete(&path).unwrap(),
            1 => fs.truncate(&path, 0).unwrap(),
            _ => fs.truncate(&path, table.bytes - 5).unwrap(),
        }
        let env = machine(fs.clone());
        let (store, report) = recover(&env).unwrap();
        match report.missing[..] {
            // Its record was the newest: the state before it, and the journal.
            [] => {
                replayed += 1;
                assert!(report.flushed < flushed, "{table:?}");
            }
            ref missing => {
                listed += 1;
                for file in missing.iter().copied() {
                    assert!(store.damaged().iter().any(|(damaged, _)| *damaged == file));
                    let lost = store.tables().into_iter().find(|other| other.file == file).unwrap();
                    let writes =
                        world.journal.rows(&lost.smallest, &lost.largest, lost.min_lsn..=lost.max_lsn);
                    store.repair_table(file, &mut writes.into_iter().map(Ok)).unwrap();
                }
            }
        }
        let wanted = Wanted { journal: &world.journal, flushed: Lsn::ZERO, deep: true };
        // A repaired table says nothing of its repair, and is known again by its content.
        store.close();
        let fs = fs.process_killed();
        lose(&fs);
        let repaired = !report.missing.is_empty();
        let (again, _) = check(fs, &wanted, table);
        assert_eq!(!again.unwrap().twins.is_empty(), repaired);
    }
    println!("{listed} tables listed, {replayed} replayed");
    assert!(listed > 3 && listed + replayed == tables.len());
}

#[test]
fn a_flush_whose_table_is_damaged_is_replayed_and_not_taken() {
    let mut world = World::new(9, 50);
    (0..30).for_each(|_| world.step());
    world.store().flush().unwrap();
    world.write();
    let before = world.flushed();
    let flushed = world.store().flush().unwrap();
    let newest = world.store().tables().into_iter().max_by_key(|table| (table.max_lsn, table.file)).unwrap();
    assert!(flushed > before);
    let fs = world.fs.process_killed();
    lose(&fs);
    // In its first data block: only adding it up finds that.
    fs.corrupt(&dir().join(format!("{:06}.sst", newest.file)), 60, 1).unwrap();
    let wanted = Wanted { journal: &world.journal, flushed: before, deep: true };
    let report = check(fs, &wanted, &"a damaged flush").0.unwrap();
    assert_eq!(report.flushed, before);
    assert!(report.completed.is_empty() && report.newest_seen == flushed, "{report:?}");
}

#[test]
fn an_ingest_that_failed_is_not_found_again_without_the_manifest() {
    let (mut failed, mut in_doubt) = (0, 0);
    for skip in 0..40 {
        let mut world = World::new(11, 50);
        (0..6).for_each(|_| world.write());
        world.store().flush().unwrap();
        let after = last(&world.journal);
        let mut paths = world.fs.paths();
        paths.push(dir());
        let Some(path) = paths.get(skip) else { break };
        world.fs.fail_next_sync(path).unwrap();
        let upto = Lsn(after.0 + 3);
        let new = (0..40).map(|n| Row { key: key(n), lsn: upto, value: Some(b"never".to_vec()) });
        let mut sorted: Vec<Row> = new.collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        let outcome =
            world.store().ingest(&mut RowIter::new(sorted.into_iter().map(Ok)), upto, Versions::All);
        if outcome.is_ok() {
            continue;
        }
        failed += 1;
        // The same LSNs mean something else now.
        let lsn = world.journal.next_lsn();
        let mut batch = WriteBatch::new();
        batch.put(&key(1), b"another meaning");
        let may_write = match world.store().apply(&batch, lsn) {
            Ok(()) => {
                world.store().publish(lsn);
                world.journal.batches.push((lsn, batch));
                true
            }
            Err(Error::ReadOnly { .. }) => {
                in_doubt += 1;
                false
            }
            Err(error) => panic!("{error}"),
        };
        for fs in [world.fs.crash_losing_all(), world.fs.crash_keeping_all(), world.fs.process_killed()] {
            lose(&fs);
            let env = machine(fs);
            let (store, report) = recover(&env).unwrap();
            if report.flushed == upto {
                assert!(!may_write, "rows of an ingest that was said to have failed: {path:?}");
                continue;
            }
            let wanted = Wanted { journal: &world.journal, flushed: after, deep: false };
            compare(&env, store, &wanted, path);
        }
    }
    println!("{failed} ingests failed, {in_doubt} in doubt");
    assert!(failed >= 2, "{failed}");
}

#[test]
fn a_stale_manifest_says_so() {
    let mut world = World::new(21, 60);
    (0..12).for_each(|_| world.step());
    world.store().flush().unwrap();
    let old: Files =
        [files(&world.fs, "CURRENT"), files(&world.fs, "MANIFEST-")].into_iter().flatten().collect();
    for _ in 0..3 {
        world.write();
        world.store().flush().unwrap();
    }
    world.store().compact().unwrap();
    let fs = world.fs.process_killed();
    lose(&fs);
    old.iter().for_each(|(path, bytes)| fs.install(path, bytes).unwrap());
    let refused = open(&machine(fs), &dir(), options()).map(drop);
    assert!(
        matches!(refused, Err(Error::Corruption { kind: CorruptionKind::ManifestStale, .. })),
        "{refused:?}"
    );
}
