//! A new tree from a damaged one: everything outside of what is damaged, exactly.
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
    fs::SimFs,
};
use stemedb_lsm::{
    Compression, CorruptionKind, Direction, Error, KeyRange, KvStore, LsmOptions, LsmStore, Lsn, ManifestUse,
    SalvageOptions, SalvageReport, TableRepair, WriteBatch, salvage,
};
use support::{DATABASE, Dice, Journal, create, dir, key, open, options, rows};

fn machine(fs: SimFs) -> Env {
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 3).0
}

fn into() -> PathBuf {
    PathBuf::from("/data/salvaged")
}

fn wide(compression: Compression) -> LsmOptions {
    LsmOptions {
        target_table_bytes: 4 << 10,
        memtable_bytes: 64 << 10,
        l0_trigger: 4,
        compression,
        enable_auto_compaction: false,
        ..options()
    }
}

/// A tree with tables at the bottom and in level 0, overwritten and removed keys. No removal is dropped: nothing can come back.
fn small_tree(compression: Compression) -> (SimFs, Journal) {
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let store = create(&env, &dir(), wide(compression));
    let mut journal = Journal::default();
    let mut dice = Dice::new(5);
    for round in 0..3u64 {
        let mut batch = WriteBatch::new();
        for n in (0..500).filter(|n| round == 0 || n % 5 == round) {
            if round > 0 && (n + round) % 7 == 3 {
                batch.delete(&key(n));
            } else {
                let random: String =
                    (0..dice.below(60)).map(|_| char::from(b'a' + dice.below(26) as u8)).collect();
                batch.put(&key(n), format!("value {round} {random}").as_bytes());
            }
        }
        if round == 1 {
            // Hides rows of the table at the bottom, and is itself in part overwritten later.
            batch.delete_range(&key(200), &key(240));
        }
        let lsn = journal.next_lsn();
        store.apply(&batch, lsn).unwrap();
        store.publish(lsn);
        journal.batches.push((lsn, batch));
        match round {
            0 => store.compact().unwrap(),
            _ => drop(store.flush().unwrap()),
        }
    }
    let levels: BTreeSet<u32> = store.tables().iter().map(|table| table.level).collect();
    assert_eq!(levels.into_iter().collect::<Vec<_>>(), [0, 6]);
    assert!(store.tables().len() > 3);
    store.close();
    (fs, journal)
}

type Rows = BTreeMap<Vec<u8>, (Lsn, Vec<u8>)>;

fn rows_of(store: &LsmStore) -> Rows {
    let found = rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
    found.into_iter().map(|(key, lsn, value)| (key, (lsn, value))).collect()
}

fn expected(journal: &Journal, upto: u64) -> Rows {
    let found = rows(&journal.model(Lsn(upto)).snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
    found.into_iter().map(|(key, lsn, value)| (key, (lsn, value))).collect()
}

/// Salvages, opens what came of it, and compares: exact outside of the losses, inside at most an older version.
fn check(fs: &SimFs, journal: &Journal, options: &SalvageOptions, what: &str) -> SalvageReport {
    let env = machine(fs.clone());
    let before: Vec<(PathBuf, Vec<u8>)> =
        fs.paths().into_iter().map(|path| (path.clone(), fs.read_all(&path).unwrap())).collect();
    let report =
        salvage(&env, &dir(), &into(), DATABASE, options).unwrap_or_else(|error| panic!("{what}: {error}"));
    for (path, bytes) in before {
        assert_eq!(fs.read_all(&path).unwrap(), bytes, "{what}: {} was changed", path.display());
    }
    // Durable, without a flush.
    let env = machine(fs.crash_losing_all());
    let store = open(&env, &into(), options.lsm.clone()).unwrap();
    store.verify().unwrap();
    assert_eq!(store.flushed_lsn(), report.upto, "{what}");
    let found = rows_of(&store);
    assert_eq!(found.len() as u64, report.written.kept, "{what}");
    let versions: Vec<Rows> = (0..=3).map(|lsn| expected(journal, lsn)).collect();
    let newest = versions.last().unwrap();
    let is_lost = |key: &[u8]| {
        report.lost.iter().any(|loss| {
            loss.from.as_deref().is_none_or(|from| from <= key)
                && loss.upto.as_deref().is_none_or(|upto| key <= upto)
        })
    };
    for n in 0..510 {
        let key = key(n);
        let (found, wanted) = (found.get(&key), newest.get(&key));
        if found != wanted {
            assert!(is_lost(&key), "{what}: {} is {found:?}, not {wanted:?}", String::from_utf8_lossy(&key));
            assert!(
                found.is_none() || versions.iter().any(|rows| rows.get(&key) == found),
                "{what}: a row that never was"
            );
            assert!(report.may_hold_old_rows());
        }
    }
    assert_eq!(report.lost.is_empty(), report.lost_bytes() == 0);
    report
}

fn simple() -> SalvageOptions {
    SalvageOptions { lsm: wide(Compression::Lz4), quarantine: false, buffer_bytes: 20_000 }
}

fn tables(fs: &SimFs) -> Vec<(PathBuf, usize)> {
    let is_table = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sst");
    let paths = fs.paths().into_iter().filter(|path| path.parent() == Some(&dir()) && is_table(path));
    paths.map(|path| (path.clone(), fs.read_all(&path).unwrap().len())).collect()
}

fn named(fs: &SimFs, start: &str) -> PathBuf {
    let starts = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(start);
    fs.paths().into_iter().find(|path| starts(path)).unwrap()
}

#[test]
fn a_sound_tree_comes_back_whole_with_and_without_its_manifest() {
    let (fs, journal) = small_tree(Compression::Lz4);
    let all = expected(&journal, 3).len() as u64;
    let whole = check(&fs.process_killed(), &journal, &simple(), "sound");
    assert_eq!((whole.manifest, whole.upto, whole.written.kept), (ManifestUse::Current, Lsn(3), all));
    assert!(whole.lost.is_empty() && !whole.may_hold_old_rows());
    assert_eq!(whole.tables_read, tables(&fs).len() as u64);

    let lost = fs.process_killed();
    lost.delete(&dir().join("CURRENT")).unwrap();
    assert_eq!(check(&lost, &journal, &simple(), "no CURRENT").manifest, ManifestUse::Newest);
    let rotten = fs.process_killed();
    rotten.corrupt(&dir().join("CURRENT"), 3, 1).unwrap();
    assert_eq!(check(&rotten, &journal, &simple(), "rotten CURRENT").manifest, ManifestUse::Newest);

    let manifest = named(&fs, "MANIFEST");
    for damage in [
        &(|fs: &SimFs| fs.delete(&manifest).unwrap()) as &dyn Fn(&SimFs),
        &|fs| fs.corrupt(&manifest, 100, 1).unwrap(),
        &|fs| fs.truncate(&manifest, 64).unwrap(),
    ] {
        let without = fs.process_killed();
        damage(&without);
        let report = check(&without, &journal, &simple(), "no manifest");
        assert_eq!((report.manifest, report.written.kept), (ManifestUse::Lost, all));
        assert!(report.lost.is_empty() && report.may_hold_old_rows());
    }
}

#[test]
fn every_place_of_every_table_flipped_costs_at_most_its_block() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd(3)] {
        let (fs, journal) = small_tree(compression);
        let (mut blocks_lost, mut searched, mut nothing_lost) = (0, 0, 0);
        for (path, bytes) in tables(&fs) {
            for offset in (0..bytes).step_by(if compression == Compression::Lz4 { 41 } else { 301 }) {
                let rotten = fs.process_killed();
                rotten.corrupt(&path, offset as u64, 0x10).unwrap();
                let what = format!("{compression:?} {} at {offset}", path.display());
                let report = check(&rotten, &journal, &simple(), &what);
                assert!(report.lost.len() <= 1, "{what}: {:?}", report.lost);
                for loss in &report.lost {
                    assert_eq!(loss.file, path);
                    let span = loss.offset..loss.offset + loss.bytes;
                    assert!(span.contains(&(offset as u64)), "{what}: {loss:?}");
                    assert!(loss.bytes < 1_500, "{what}: more than a block: {loss:?}");
                }
                blocks_lost += report.lost.len();
                searched += report.tables_searched;
                nothing_lost += u64::from(report.lost.is_empty());
            }
        }
        assert!(
            blocks_lost > 20 && searched > 2 && nothing_lost > 10,
            "{blocks_lost} {searched} {nothing_lost}"
        );
    }
}

#[test]
fn blocks_are_found_without_an_index_and_beside_damage() {
    for compression in [Compression::None, Compression::Lz4] {
        let (fs, journal) = small_tree(compression);
        for (path, bytes) in tables(&fs) {
            // The end is gone: footer, index, filters, and at last rows.
            for kept in [bytes - 1, bytes - 104, bytes * 3 / 4, bytes / 2, 60, 0] {
                let cut = fs.process_killed();
                cut.truncate(&path, kept as u64).unwrap();
                let report = check_cut(&cut, &journal, &path, kept, bytes);
                assert_eq!(report.tables_searched, 1);
            }
            // The header, the footer and a block at once.
            let rotten = fs.process_killed();
            for offset in [5, 600.min(bytes - 110), bytes - 3] {
                rotten.corrupt(&path, offset as u64, 0xFF).unwrap();
            }
            let report = check(&rotten, &journal, &simple(), "three places");
            assert_eq!(report.tables_searched, 1);
            assert!(
                report.lost.iter().filter(|loss| loss.offset < 700).all(|loss| loss.bytes < 1_500),
                "{report:?}"
            );
            // A hole of zeros, and one of noise.
            for noise in [false, true] {
                let mut dice = Dice::new(9);
                let holed = fs.process_killed();
                let (from, upto) = (bytes / 4, bytes / 2);
                let hole: Vec<u8> = (from..upto).map(|_| if noise { dice.next() as u8 } else { 0 }).collect();
                holed.overwrite(&path, from as u64, &hole).unwrap();
                holed.corrupt(&path, bytes as u64 - 3, 1).unwrap();
                let report = check(&holed, &journal, &simple(), "a hole");
                assert!(!report.lost.is_empty());
                assert!(report.rows_read > 500, "{report:?}");
            }
        }
    }
}

/// A cut file loses its end: with the manifest its greatest key is known.
fn check_cut(fs: &SimFs, journal: &Journal, path: &Path, kept: usize, bytes: usize) -> SalvageReport {
    let env = machine(fs.clone());
    let report = salvage(&env, &dir(), &into(), DATABASE, &simple()).unwrap();
    let store = open(&env, &into(), simple().lsm).unwrap();
    let found = rows_of(&store);
    let newest = expected(journal, 3);
    let reads = |key: &[u8]| found.get(key) == newest.get(key);
    let wrong = (0..500).filter(|n| !reads(&key(*n))).count();
    if kept >= bytes - 104 {
        assert_eq!((wrong, report.lost_bytes()), (0, 0), "{} cut at {kept}", path.display());
    }
    assert!(wrong <= 330, "{} cut at {kept}: {wrong} keys", path.display());
    report
}

#[test]
fn a_missing_table_is_reported_with_its_keys_and_one_in_quarantine_can_be_read() {
    let (fs, journal) = small_tree(Compression::Lz4);
    for (path, bytes) in tables(&fs) {
        let gone = fs.process_killed();
        gone.delete(&path).unwrap();
        let report = check(&gone, &journal, &simple(), "a missing table");
        let [loss] = &report.lost[..] else { panic!("{:?}", report.lost) };
        assert_eq!((&loss.file, loss.bytes, loss.kind), (&path, bytes as u64, CorruptionKind::TableMissing));
        assert!(loss.from.is_some() && loss.upto.is_some());
    }
    // Its copy in quarantine, under a name that was taken.
    let (path, _) = tables(&fs).remove(0);
    let aside = fs.process_killed();
    let home = PathBuf::from("/data/quarantine");
    aside.install_dir(&home).unwrap();
    let name = format!("{}.1", path.file_name().unwrap().to_str().unwrap());
    aside.install(&home.join(name), &fs.read_all(&path).unwrap()).unwrap();
    aside.delete(&path).unwrap();
    aside.delete(&dir().join("CURRENT")).unwrap();
    aside.delete(&named(&aside, "MANIFEST")).unwrap();
    let report = check(
        &aside.process_killed(),
        &journal,
        &SalvageOptions { quarantine: true, ..simple() },
        "quarantine",
    );
    assert_eq!((report.quarantined_read, report.written.kept), (1, expected(&journal, 3).len() as u64));
    let env = machine(aside);
    let without = salvage(&env, &dir(), &into(), DATABASE, &simple()).unwrap();
    assert!(without.written.kept < report.written.kept);
}

/// Half of a flush must not hide from a replay what the other half had.
#[test]
fn without_a_manifest_nothing_newer_than_the_newest_whole_table_is_written() {
    let (fs, journal) = small_tree(Compression::Lz4);
    let cut = fs.process_killed();
    for path in cut.paths().into_iter().filter(|path| path.parent() == Some(&dir())) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "CURRENT" || name.starts_with("MANIFEST-") {
            cut.delete(&path).unwrap();
        }
    }
    // The table flushed last, at LSN 3, lost its end.
    let (newest, bytes) = tables(&cut).into_iter().max().unwrap();
    cut.truncate(&newest, bytes as u64 - 1).unwrap();
    let env = machine(cut);
    let report = salvage(&env, &dir(), &into(), DATABASE, &simple()).unwrap();
    assert_eq!((report.manifest, report.upto), (ManifestUse::Lost, Lsn(2)));
    assert!(report.left_out > 10 && report.may_hold_old_rows(), "{report:?}");
    assert_eq!(rows_of(&open(&env, &into(), simple().lsm).unwrap()), expected(&journal, 2));
}

#[test]
fn tables_that_were_replaced_count_only_without_a_manifest() {
    // The old tables stay behind because a snapshot reads them when the power goes.
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let store = create(&env, &dir(), wide(Compression::Lz4));
    let write = |lsn: u64, n: u64, value: Option<&[u8]>| {
        let mut batch = WriteBatch::new();
        match value {
            Some(value) => batch.put(&key(n), value),
            None => batch.delete(&key(n)),
        }
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
    };
    (0..20).for_each(|n| write(1 + n, n, Some(b"old")));
    store.flush().unwrap();
    (0..10).for_each(|n| write(21 + n, n, if n < 5 { None } else { Some(b"new") }));
    let held = store.snapshot();
    store.flush().unwrap();
    let before = store.snapshot();
    store.compact().unwrap();
    let disk = fs.process_killed();
    drop((held, before, store));
    let salvaged = |disk: SimFs| {
        let report = salvage(&machine(disk.clone()), &dir(), &into(), DATABASE, &simple()).unwrap();
        (report, rows_of(&open(&machine(disk), &into(), simple().lsm).unwrap()))
    };
    assert!(tables(&disk).len() > 2, "{:?}", tables(&disk));
    let (report, rows) = salvaged(disk.process_killed());
    assert_eq!((report.may_hold_old_rows(), rows.len()), (false, 15));
    disk.delete(&named(&disk, "MANIFEST")).unwrap();
    let (report, rows) = salvaged(disk);
    assert!(report.may_hold_old_rows());
    // The tables of before still hold the removals: nothing comes back here. Of replaced rows the newest wins.
    assert_eq!(rows.len(), 15);
    assert!((5..10).all(|n| rows[&key(n)].1 == b"new"));
}

#[test]
fn what_cannot_be_salvaged_is_refused() {
    let (fs, _) = small_tree(Compression::None);
    let env = machine(fs.clone());
    let nowhere = salvage(&env, Path::new("/data/nothing"), &into(), DATABASE, &simple());
    assert!(matches!(nowhere, Err(Error::Folder { .. })), "{nowhere:?}");
    let itself = salvage(&env, &dir(), &dir(), DATABASE, &simple());
    assert!(matches!(itself, Err(Error::Folder { .. })), "{itself:?}");
    // An empty folder gives an empty tree.
    fs.install_dir(Path::new("/data/empty")).unwrap();
    let empty = salvage(&env, Path::new("/data/empty"), &into(), DATABASE, &simple()).unwrap();
    assert_eq!((empty.manifest, empty.upto, empty.rows_read), (ManifestUse::Lost, Lsn::ZERO, 0));
    assert!(rows_of(&open(&env, &into(), simple().lsm).unwrap()).is_empty());
}
