//! Bit rot: the right answer or an error that names the place, never a wrong or missing row.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use stemedb_env::{
    Env,
    clock::{Micros, SimClock},
    fs::SimFs,
};
use stemedb_lsm::{
    CorruptionKind, DerivedWrite, Direction, Error, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions,
    LsmStore, Lsn, TableRepair, WriteBatch,
};
use support::{Journal, create, dir, key, open, options, rows};

fn machine(fs: SimFs) -> Env {
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 3).0
}

fn write(store: &LsmStore, journal: &mut Journal, batch: WriteBatch) {
    let lsn = journal.next_lsn();
    store.apply(&batch, lsn).unwrap();
    store.publish(lsn);
    journal.batches.push((lsn, batch));
}

/// A tree with a compressed table at the bottom, plain ones above, overwritten and removed keys.
fn small_tree() -> (SimFs, Journal) {
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let wide =
        LsmOptions { target_table_bytes: 64 << 10, memtable_bytes: 64 << 10, l0_trigger: 4, ..options() };
    let store = create(&env, &dir(), wide.clone());
    let mut journal = Journal::default();
    for round in 0..3u64 {
        let mut batch = WriteBatch::new();
        for n in (0..30).filter(|n| round == 0 || n % 5 == round) {
            if (n + round) % 7 == 3 {
                batch.delete(&key(n));
            } else {
                batch.put(&key(n), format!("value {round} {}", "na".repeat(20)).as_bytes());
            }
        }
        write(&store, &mut journal, batch);
        match round {
            0 => store.compact().unwrap(),
            _ => drop(store.flush().unwrap()),
        }
    }
    store.close();
    // A fresh manifest: a snapshot, one edit, one mark.
    let store = open(&env, &dir(), wide).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(&key(99), b"last");
    write(&store, &mut journal, batch);
    store.flush().unwrap();
    assert_eq!(
        store.stats().levels.iter().map(|level| level.files).collect::<Vec<_>>(),
        [3, 0, 0, 0, 0, 0, 1]
    );
    store.close();
    (fs, journal)
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn expected(journal: &Journal) -> Rows {
    let model = journal.model(Lsn::MAX.prev());
    let found = rows(&model.snapshot(), &KeyRange::all(), Direction::Forward).unwrap();
    found.into_iter().map(|(key, _, value)| (key, value)).collect()
}

/// An error must be corruption in `file`.
fn names(error: &Error, file: &Path) {
    match error {
        Error::Corruption { file: named, .. } => assert_eq!(named, file, "{error}"),
        other => panic!("{other}"),
    }
}

/// Reads everything in every way. Returns how many reads failed.
fn read_everything(store: &LsmStore, expected: &Rows, file: &Path) -> u64 {
    let snapshot = store.snapshot();
    let mut failed = 0;
    for n in 0..110 {
        match snapshot.get(&key(n)) {
            Ok(value) => assert_eq!(value.as_deref(), expected.get(&key(n)).map(Vec::as_slice), "{n}"),
            Err(error) => {
                failed += 1;
                names(&error, file);
            }
        }
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let mut iter = snapshot.scan(&KeyRange::all(), direction);
        let mut left: Vec<(&Vec<u8>, &Vec<u8>)> = expected.iter().collect();
        if direction == Direction::Forward {
            left.reverse();
        }
        loop {
            match iter.advance() {
                Ok(true) => {
                    let (key, value) = left.pop().unwrap();
                    assert_eq!((iter.key(), iter.value()), (&key[..], &value[..]));
                }
                Ok(false) => {
                    assert!(left.is_empty(), "a scan ended early");
                    break;
                }
                Err(error) => {
                    failed += 1;
                    names(&error, file);
                    assert!(iter.advance().is_err(), "an iterator that failed goes on failing");
                    break;
                }
            }
        }
    }
    failed
}

#[test]
fn every_flipped_byte_of_every_file_gives_the_right_answer_or_a_named_error() {
    let (fs, journal) = small_tree();
    let expected = expected(&journal);
    let (mut flipped, mut failed_reads, mut refused_opens, mut harmless) = (0u64, 0, 0, 0);
    for path in fs.paths() {
        for offset in 0..fs.read_all(&path).unwrap().len() as u64 {
            flipped += 1;
            let rotten = fs.process_killed();
            rotten.corrupt(&path, offset, 1 << (offset % 8)).unwrap();
            let is_table = path.extension().is_some();
            let store = match open(&machine(rotten), &dir(), options()) {
                Ok(store) => store,
                Err(error) => {
                    assert!(!is_table, "{error}");
                    names(&error, &path);
                    refused_opens += 1;
                    continue;
                }
            };
            assert_eq!(store.flushed_lsn(), journal.next_lsn().prev(), "{} {offset}", path.display());
            let failed = read_everything(&store, &expected, &path);
            failed_reads += failed;
            if is_table {
                let found = store.verify().expect_err("every byte of a table is covered");
                names(&found, &path);
                assert_eq!(store.damaged().len(), 1);
            } else {
                assert_eq!(failed, 0);
                harmless += 1;
                store.verify().unwrap();
            }
        }
    }
    println!(
        "{flipped} bytes: {failed_reads} reads failed, {refused_opens} opens refused, {harmless} harmless"
    );
    assert!(flipped > 5_000 && failed_reads > 1_000 && refused_opens > 500);
    // Only the newest mark of the manifest may rot unnoticed: nothing is behind it.
    assert!(harmless <= 512, "{harmless}");
}

#[test]
fn every_truncation_of_a_table_is_noticed_at_open() {
    let (fs, journal) = small_tree();
    let expected = expected(&journal);
    for path in fs.paths().into_iter().filter(|path| path.extension().is_some()) {
        for len in (0..fs.read_all(&path).unwrap().len() as u64).step_by(97) {
            let cut = fs.process_killed();
            cut.truncate(&path, len).unwrap();
            let store = open(&machine(cut), &dir(), options()).unwrap();
            assert!(
                matches!(store.damaged()[..], [(_, damage)] if damage.kind == CorruptionKind::TableMismatch)
            );
            assert!(read_everything(&store, &expected, &path) > 0);
        }
    }
}

#[test]
fn swapped_tables_and_blocks_do_not_verify() {
    let (fs, journal) = small_tree();
    let expected = expected(&journal);
    let tables: Vec<_> = fs.paths().into_iter().filter(|path| path.extension().is_some()).collect();
    // The content of one table under the name of another, cut or padded to its length.
    let mut other = fs.read_all(&tables[0]).unwrap();
    other.resize(fs.read_all(&tables[1]).unwrap().len(), 0);
    let swapped = fs.process_killed();
    swapped.install(&tables[1], &other).unwrap();
    let store = open(&machine(swapped), &dir(), options()).unwrap();
    assert!(read_everything(&store, &expected, &tables[1]) > 0);
    // Another database's folder is refused as a whole.
    let foreign =
        LsmStore::open(machine(fs.clone()), &dir(), stemedb_env::frame::DatabaseId([1; 16]), options());
    assert!(matches!(foreign, Err(Error::Corruption { kind: CorruptionKind::Manifest, .. })));
}

#[test]
fn an_unreadable_filter_never_hides_a_row_and_costs_block_reads() {
    let (fs, journal) = small_tree();
    let expected = expected(&journal);
    let absent_reads = |fs: SimFs| {
        let store = open(&machine(fs), &dir(), LsmOptions { block_cache_bytes: 0, ..options() }).unwrap();
        let snapshot = store.snapshot();
        assert!(snapshot.get(&key(1)).is_ok());
        let before = store.stats().block_reads;
        for n in 0..400 {
            let absent = [key(n % 30), b"/absent".to_vec()].concat();
            assert_eq!(snapshot.get(&absent).unwrap(), None);
        }
        store.stats().block_reads - before
    };
    let healthy = absent_reads(fs.process_killed());
    // About 1 % of absent keys per table in range may pass, and four tables are loaded at most.
    assert!(healthy <= 4 * 400 / 50 + 12, "{healthy} block reads for 400 absent keys");
    // Rot in every filter: found by looking for bytes whose flip leaves all reads right and verify failing.
    let rotten = fs.process_killed();
    for path in fs.paths().into_iter().filter(|path| path.extension().is_some()) {
        let bytes = fs.read_all(&path).unwrap();
        // The footer's first handle is that of the key filter.
        let footer = bytes.len() - 104;
        let filter = u64::from_le_bytes(bytes[footer..footer + 8].try_into().unwrap());
        rotten.corrupt(&path, filter + 10, 1).unwrap();
    }
    let store = open(&machine(rotten.clone()), &dir(), options()).unwrap();
    assert_eq!(read_everything(&store, &expected, Path::new("")), 0);
    assert_eq!(store.damaged().len(), 4, "each is reported");
    drop(store);
    let blind = absent_reads(rotten);
    assert!(blind > 400, "{blind} block reads without filters: the count must see them");
}

/// Heals `file` with rows from a full replay and checks the result.
fn heal(store: &LsmStore, journal: &Journal, file: u64) -> Result<(), Error> {
    let table = store.tables().into_iter().find(|table| table.file == file).unwrap();
    let repair = |upto: Lsn| {
        let writes = journal.rows(&table.smallest, &table.largest, table.min_lsn..=upto);
        store.repair_table(file, &mut writes.into_iter().map(Ok))
    };
    let before: Vec<u64> = store.tables().iter().map(|table| table.file).collect();
    // As the owner of the journal does it: first what is cheap.
    match repair(table.max_lsn) {
        Err(Error::RepairMismatch { .. }) if table.horizon > table.max_lsn => repair(table.horizon)?,
        repaired => repaired?,
    }
    let after = store.tables();
    let mut new = after.iter().filter(|table| !before.contains(&table.file));
    let healed = new.next().unwrap();
    assert_eq!((healed.digest, healed.rows, healed.level), (table.digest, table.rows, table.level));
    assert_eq!((&healed.smallest, &healed.largest), (&table.smallest, &table.largest));
    assert!(new.next().is_none() && after.iter().all(|table| table.file != file));
    Ok(())
}

#[test]
fn a_deleted_or_rotten_table_is_rebuilt_and_the_old_one_kept() {
    let (fs, journal) = small_tree();
    let expected = expected(&journal);
    for path in fs.paths().into_iter().filter(|path| path.extension().is_some()) {
        for deleted in [true, false] {
            let broken = fs.process_killed();
            if deleted {
                broken.delete(&path).unwrap();
            } else {
                broken.corrupt(&path, 100, 4).unwrap();
            }
            let store = open(&machine(broken.clone()), &dir(), options()).unwrap();
            assert!(read_everything(&store, &expected, &path) > 0);
            let file = store.damaged()[0].0;
            if deleted {
                assert_eq!(store.damaged()[0].1.kind, CorruptionKind::TableMissing);
            }
            let old_snapshot = store.snapshot();
            heal(&store, &journal, file).unwrap();
            assert!(store.damaged().is_empty());
            assert_eq!(read_everything(&store, &expected, &path), 0);
            store.verify().unwrap();
            drop(old_snapshot);
            let name = path.file_name().unwrap();
            let kept = broken.read_all(&Path::new("/data/quarantine").join(name));
            assert_eq!(kept.is_ok(), !deleted, "evidence is kept");
            store.close();
            let store = open(&machine(broken.process_killed()), &dir(), options()).unwrap();
            assert!(store.damaged().is_empty());
            assert_eq!(read_everything(&store, &expected, &path), 0);
            store.verify().unwrap();
        }
    }
}

#[test]
fn wrong_rows_are_refused_and_change_nothing() {
    let (fs, journal) = small_tree();
    let path = fs.paths().into_iter().find(|path| path.extension().is_some()).unwrap();
    fs.delete(&path).unwrap();
    let store = open(&machine(fs.clone()), &dir(), options()).unwrap();
    let file = store.damaged()[0].0;
    let table = store.tables().into_iter().find(|table| table.file == file).unwrap();
    let right = journal.rows(&table.smallest, &table.largest, table.min_lsn..=table.max_lsn);
    let row = |write: &DerivedWrite| match write {
        DerivedWrite::Row(row) => row.clone(),
        DerivedWrite::Range(_) => panic!("no range was removed"),
    };
    let spoil: [fn(&mut Vec<stemedb_lsm::Row>); 4] = [
        |rows| drop(rows.remove(0)),
        |rows| rows[0].value = Some(b"forged".to_vec()),
        |rows| rows[0].key.push(b'x'),
        |rows| rows[0].lsn = Lsn(2),
    ];
    for spoil in spoil {
        let mut rows: Vec<_> = right.iter().map(row).collect();
        spoil(&mut rows);
        let refused = store.repair_table(file, &mut rows.into_iter().map(|row| Ok(row.into())));
        assert!(matches!(refused, Err(Error::RepairMismatch { .. })), "{refused:?}");
        assert_eq!(store.damaged().len(), 1);
        assert_eq!(store.tables().len(), 4);
    }
    heal(&store, &journal, file).unwrap();
}

#[test]
fn write_once_keys_heal_in_every_table_of_a_deep_tree() {
    let fs = SimFs::new();
    let env = machine(fs.clone());
    let store = create(&env, &dir(), options());
    let mut journal = Journal::default();
    for round in 0..300u64 {
        let mut batch = WriteBatch::new();
        for n in 0..8 {
            // Each key once, in an order that is not that of the LSNs.
            batch.put(&key((round * 8 + n) * 389 % 2411), format!("{round} {n}").as_bytes());
        }
        write(&store, &mut journal, batch);
    }
    store.flush().unwrap();
    let levels = store.stats().levels;
    assert!(levels[1..].iter().filter(|level| level.files > 0).count() >= 2, "{levels:?}");
    let tables = store.tables();
    store.close();
    let model = expected(&journal);
    assert!(tables.len() > 7, "{}", tables.len());
    for table in tables {
        let path = dir().join(format!("{:06}.sst", table.file));
        let broken = fs.process_killed();
        if table.file % 2 == 0 {
            broken.delete(&path).unwrap();
        } else {
            broken.corrupt(&path, table.bytes / 2, 1).unwrap();
        }
        let store = open(&machine(broken), &dir(), options()).unwrap();
        heal(&store, &journal, table.file).unwrap();
        assert_eq!(read_everything(&store, &model, &path), 0);
        store.verify().unwrap();
    }
}

#[test]
fn compaction_leaves_damaged_tables_alone_and_goes_on_around_them() {
    let (fs, mut journal) = small_tree();
    let path = fs.paths().into_iter().rfind(|path| path.extension().is_some()).unwrap();
    fs.corrupt(&path, 80, 1).unwrap();
    let store = open(&machine(fs.clone()), &dir(), options()).unwrap();
    let refused = store.compact();
    assert!(matches!(refused, Err(Error::Corruption { .. })), "{refused:?}");
    for round in 0..40 {
        let mut batch = WriteBatch::new();
        (0..10).for_each(|n| batch.put(&key(200 + n), &[round; 30]));
        write(&store, &mut journal, batch);
    }
    store.flush().unwrap();
    let file = store.damaged()[0].0;
    assert!(store.tables().iter().any(|table| table.file == file), "it is still there");
    heal(&store, &journal, file).unwrap();
    store.compact().unwrap();
    assert_eq!(read_everything(&store, &expected(&journal), &path), 0);
    assert!(store.verify().unwrap() > 0);
}

#[test]
fn histories_with_overwrites_and_removals_heal_or_are_refused_but_never_heal_wrongly() {
    let (mut healed, mut refused) = (0, 0);
    for seed in 0..6 {
        let fs = SimFs::new();
        let env = machine(fs.clone());
        let store = create(&env, &dir(), options());
        let mut journal = Journal::default();
        let mut dice = support::Dice::new(seed + 1);
        for _ in 0..150 {
            let mut batch = WriteBatch::new();
            for _ in 0..6 {
                let key = key(dice.below(700));
                // Mostly first writes, some overwrites, few removals.
                if dice.below(12) == 0 { batch.delete(&key) } else { batch.put(&key, &[7; 20]) }
            }
            write(&store, &mut journal, batch);
        }
        store.flush().unwrap();
        let tables = store.tables();
        store.close();
        let model = expected(&journal);
        for table in tables {
            let path = dir().join(format!("{:06}.sst", table.file));
            let broken = fs.process_killed();
            broken.delete(&path).unwrap();
            let store = open(&machine(broken), &dir(), options()).unwrap();
            match heal(&store, &journal, table.file) {
                Ok(()) => {
                    healed += 1;
                    assert_eq!(read_everything(&store, &model, &path), 0);
                    store.verify().unwrap();
                }
                Err(Error::RepairMismatch { .. }) => {
                    refused += 1;
                    assert_eq!(store.damaged().len(), 1);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    println!("{healed} tables healed, {refused} refused");
    assert!(healed > refused, "{healed} healed, {refused} refused");
}
