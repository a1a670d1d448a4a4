//! Healing where a count or a single answer decides: what is asked for, when nobody answers, what a device refuses, many
//! readers at once, merges, and what an observer of new tables is told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    path::PathBuf,
    sync::{Arc, Barrier, atomic::Ordering},
};

use stemedb_env::{
    Env, IoOp, OpenMode,
    clock::{Micros, SimClock},
    fs::{
        FaultFs, SimFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_lsm::{
    BulkOptions, Compression, CorruptionKind, DerivedWrite, Direction, Error, KeyRange, KvIter, KvSnapshot,
    KvStore, LsmOptions, LsmStore, Lsn, Row, RowIter, TableRepair, Versions, WriteBatch,
};
use support::{
    Journal, create,
    damage::{Harm, layout},
    dir, key, open, options, rows,
    source::Remembering,
};

fn machine(fs: &SimFs) -> Env {
    Env::over(fs.clone(), Arc::new(SimClock::new(Micros(0))), 3).0
}

fn path(file: u64) -> PathBuf {
    dir().join(format!("{file:06}.sst"))
}

fn calm() -> LsmOptions {
    LsmOptions {
        memtable_bytes: 1 << 20,
        target_table_bytes: 1 << 20,
        l0_trigger: 50,
        block_cache_bytes: 8 << 20,
        ..options()
    }
}

fn write(store: &LsmStore, journal: &mut Journal, fill: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    let lsn = journal.next_lsn();
    store.apply(&batch, lsn).unwrap();
    store.publish(lsn);
    journal.batches.push((lsn, batch));
}

const KEYS: u64 = 3000;

fn value(n: u64) -> Vec<u8> {
    format!("value {n} of a claim").into_bytes()
}

/// One table of many blocks, each key written once, by 30 batches.
fn big() -> (SimFs, Journal, u64) {
    big_of(calm(), value)
}

fn big_of(options: LsmOptions, value: impl Fn(u64) -> Vec<u8>) -> (SimFs, Journal, u64) {
    let fs = SimFs::new();
    let store = create(&machine(&fs), &dir(), options);
    let mut journal = Journal::default();
    for round in 0..30 {
        write(&store, &mut journal, |batch| {
            (0..KEYS).filter(|n| n * 7919 % 30 == round).for_each(|n| batch.put(&key(n), &value(n)));
        });
    }
    store.compact().unwrap();
    let tables = store.tables();
    assert_eq!(tables.len(), 1);
    store.close();
    (fs, journal, tables[0].file)
}

fn never() -> impl Iterator<Item = stemedb_lsm::Result<stemedb_lsm::DerivedWrite>> {
    std::iter::from_fn(|| panic!("nobody needs all writes of the table"))
}

#[test]
fn one_bad_block_of_a_large_table_costs_the_rows_of_one_block() {
    let (fs, journal, file) = big();
    let blocks = layout(&fs.read_all(&path(file)).unwrap()).blocks;
    assert!(blocks.len() > 50, "{}", blocks.len());
    Harm::Block(20).does(&fs, &path(file), b"");
    let store = open(&machine(&fs), &dir(), calm()).unwrap();
    let source = Remembering::of(&journal);
    source.attach(&store);
    let snapshot = store.snapshot();
    (0..KEYS).for_each(|n| assert_eq!(snapshot.get(&key(n)).unwrap().as_deref(), Some(&value(n)[..])));
    let (asked, given, cuts) = source.counts();
    let a_block = 3 * KEYS / blocks.len() as u64;
    assert!(asked == 1 && given > 0 && given <= a_block && cuts == 0, "{asked} {given} {cuts}, {a_block}");
    assert_eq!(store.stats().healed_blocks, 1, "it stays in the cache");
    assert_eq!(rows(&snapshot, &KeyRange::all(), Direction::Forward).unwrap().len() as u64, KEYS);
    assert_eq!(source.counts().0, 1);
    let table = store.tables()[0].clone();
    store.repair_table(file, &mut never()).unwrap();
    let (asked, given_now, cuts) = source.counts();
    assert!(asked == 2 && given_now == 2 * given && cuts == 0, "{asked} {given_now} {cuts}");
    let repaired = store.tables()[0].clone();
    assert_eq!((repaired.digest, repaired.rows, repaired.level), (table.digest, table.rows, table.level));
    assert_ne!(repaired.file, file);
    assert!(store.damaged().is_empty());
    assert_eq!(store.verify().unwrap(), KEYS);
    drop(snapshot);
    store.compact().unwrap();
    assert_eq!(rows(&store.snapshot(), &KeyRange::all(), Direction::Backward).unwrap().len() as u64, KEYS);
    assert_eq!(source.counts().0, 2);
}

/// A table that was compressed, repaired by a tree that compresses nothing: what could be read is as large as before.
#[test]
fn blocks_that_can_be_read_are_not_encoded_again() {
    let (fs, journal, file) = big_of(LsmOptions { compression: Compression::Lz4, ..calm() }, value);
    let old = fs.read_all(&path(file)).unwrap();
    let blocks = layout(&old).blocks.len();
    Harm::Block(blocks / 2).does(&fs, &path(file), b"");
    let store = open(&machine(&fs), &dir(), LsmOptions { compression: Compression::None, ..calm() }).unwrap();
    Remembering::of(&journal).attach(&store);
    store.repair_table(file, &mut never()).unwrap();
    let new = fs.read_all(&path(store.tables()[0].file)).unwrap();
    // One block was compressed and is not any more, perhaps as two.
    let room = 3 * old.len() / blocks;
    assert!(new.len() <= old.len() + room, "{} bytes were {}, {blocks} blocks", new.len(), old.len());
    assert!(layout(&new).blocks.len() <= blocks + 1);
    assert_eq!(store.verify().unwrap(), KEYS);
}

#[test]
fn where_every_row_is_still_there_nobody_is_asked() {
    let index = [Harm::Index, Harm::IndexAndHeader, Harm::Footer, Harm::Cut];
    for harm in [Harm::Filters, Harm::Properties, Harm::Header].into_iter().chain(index) {
        let (fs, journal, file) = big();
        harm.does(&fs, &path(file), b"");
        let store = open(&machine(&fs), &dir(), calm()).unwrap();
        let source = Remembering::of(&journal);
        source.attach(&store);
        assert!(store.verify().is_err());
        assert_eq!(rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap().len() as u64, KEYS);
        store.repair_table(file, &mut never()).unwrap();
        assert_eq!(source.counts(), (0, 0, 0), "{harm:?}");
        assert_eq!(store.verify().unwrap(), KEYS);
    }
}

/// A file of the same name, size and identity from another history, without its index: each block that is found in it verifies, none is
/// lost, and nothing but the sum of the rows tells that they are not this table's.
#[test]
fn blocks_that_verify_and_are_not_what_the_table_had_are_not_believed() {
    let plain = || LsmOptions { compression: Compression::None, ..calm() };
    let (fs, journal, file) = big_of(plain(), value);
    let (others, _, other_file) = big_of(plain(), |n| value(n).to_ascii_uppercase());
    let foreign = others.read_all(&path(other_file)).unwrap();
    assert_eq!((other_file, foreign.len()), (file, fs.read_all(&path(file)).unwrap().len()));
    fs.install(&path(file), &foreign).unwrap();
    Harm::Index.does(&fs, &path(file), b"");
    let store = open(&machine(&fs), &dir(), calm()).unwrap();
    let source = Remembering::of(&journal);
    source.attach(&store);
    let snapshot = store.snapshot();
    (0..KEYS).for_each(|n| assert_eq!(snapshot.get(&key(n)).unwrap().as_deref(), Some(&value(n)[..])));
    assert!(source.counts().0 > 0, "all of it is derived");
}

#[test]
fn a_lookup_in_a_table_without_file_asks_for_a_part_of_it() {
    let (fs, journal, file) = big();
    Harm::Missing.does(&fs, &path(file), b"");
    let store = open(&machine(&fs), &dir(), calm()).unwrap();
    let source = Remembering::of(&journal);
    source.attach(&store);
    assert_eq!(store.get(&key(77)).unwrap().as_deref(), Some(&value(77)[..]));
    let (asked, given, cuts) = source.counts();
    assert!(asked == 1 && given < 50 && cuts == 1, "{asked} {given} {cuts}");
    assert_eq!(store.get(&[&key(77)[..], b"/absent"].concat()).unwrap(), None);
    store.repair_table(file, &mut never()).unwrap();
    assert_eq!(store.verify().unwrap(), KEYS);
}

#[test]
fn who_holds_a_table_that_was_repaired_meanwhile_is_told_from_its_successor() {
    for harm in [Harm::Missing, Harm::IndexAndBlocks(3, 2), Harm::Many(2)] {
        let (fs, journal, file) = big();
        harm.does(&fs, &path(file), b"");
        let store = open(&machine(&fs), &dir(), calm()).unwrap();
        let source = Remembering::of(&journal);
        source.attach(&store);
        let held = store.snapshot();
        assert_eq!(held.get(&key(77)).unwrap().as_deref(), Some(&value(77)[..]));
        let all = journal.batches.iter().flat_map(|(lsn, batch)| DerivedWrite::of_batch(batch, *lsn));
        store.repair_table(file, &mut all.map(Ok)).unwrap();
        let asked = source.counts();
        for direction in [Direction::Forward, Direction::Backward] {
            assert_eq!(rows(&held, &KeyRange::all(), direction).unwrap().len() as u64, KEYS, "{harm:?}");
        }
        assert_eq!(source.counts(), asked, "{harm:?}");
    }
}

#[test]
fn a_source_that_fails_gives_the_error_of_the_damaged_place_and_never_an_absent_row() {
    for harm in [Harm::Block(3), Harm::Missing, Harm::IndexAndBlocks(3, 1)] {
        let (fs, journal, file) = big();
        harm.does(&fs, &path(file), b"");
        let store = open(&machine(&fs), &dir(), calm()).unwrap();
        let source = Remembering::of(&journal);
        source.attach(&store);
        source.fails.store(true, Ordering::Relaxed);
        let snapshot = store.snapshot();
        let named = |error: &Error| match error {
            Error::Corruption { file: named, .. } => *named == path(file),
            _ => false,
        };
        let mut failed = 0;
        for n in 0..KEYS {
            match snapshot.get(&key(n)) {
                Ok(found) => assert_eq!(found.as_deref(), Some(&value(n)[..])),
                Err(error) => {
                    failed += 1;
                    assert!(named(&error), "{error}");
                }
            }
        }
        assert!(failed > 0, "{harm:?}");
        let keys: Vec<Vec<u8>> = (0..KEYS).map(key).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        assert!(named(&snapshot.multi_get(&keys).unwrap_err()));
        for direction in [Direction::Forward, Direction::Backward] {
            assert!(named(&rows(&snapshot, &KeyRange::all(), direction).unwrap_err()));
        }
        assert!(store.stats().failed_healings > 0);
        assert_eq!(store.stats().healed_blocks, 0);
        source.fails.store(false, Ordering::Relaxed);
        let found = snapshot.multi_get(&keys).unwrap();
        assert!(found.iter().zip(0..KEYS).all(|(found, n)| found.as_deref() == Some(&value(n)[..])));
        assert_eq!(rows(&snapshot, &KeyRange::all(), Direction::Backward).unwrap().len() as u64, KEYS);
    }
}

#[test]
fn a_source_that_knows_nothing_of_a_block_is_not_believed() {
    let (fs, _, file) = big();
    Harm::Block(0).does(&fs, &path(file), b"");
    let store = open(&machine(&fs), &dir(), calm()).unwrap();
    let source = Remembering::of(&Journal::default());
    source.attach(&store);
    let first = store.tables()[0].smallest.clone();
    assert!(matches!(store.get(&first), Err(Error::Corruption { .. })));
    assert_eq!((source.counts().0, store.stats().failed_healings), (1, 1));
}

#[test]
fn a_table_of_another_derivation_is_not_healed() {
    let (fs, journal, file) = big();
    Harm::Block(0).does(&fs, &path(file), b"");
    let other = open(&machine(&fs), &dir(), LsmOptions { derivation_version: 7, ..calm() });
    assert!(matches!(other, Err(Error::OtherDerivation { .. })), "{other:?}");
    let mixed = LsmOptions { mixed_with: Some(7), ..calm() };
    let store = open(&machine(&fs), &dir(), mixed).unwrap();
    let source = Remembering::of(&journal);
    source.attach(&store);
    let first = store.tables()[0].smallest.clone();
    assert!(matches!(store.get(&first), Err(Error::Corruption { .. })));
    assert_eq!(source.counts(), (0, 0, 0));
}

#[test]
fn a_source_that_reads_the_damaged_store_gets_the_error() {
    let (fs, journal, file) = big();
    Harm::Block(0).does(&fs, &path(file), b"");
    let store = Arc::new(open(&machine(&fs), &dir(), calm()).unwrap());
    let source = Remembering::of(&journal);
    source.attach(&store);
    let first = store.tables()[0].smallest.clone();
    *source.store.lock().unwrap() = Some((Arc::clone(&store), first.clone()));
    assert!(store.get(&first).unwrap().is_some());
    *source.store.lock().unwrap() = None;
}

#[test]
fn without_anybody_attached_damage_is_an_error_as_ever_and_the_second_to_attach_is_told_so() {
    let (fs, journal, file) = big();
    Harm::Block(0).does(&fs, &path(file), b"");
    let store = open(&machine(&fs), &dir(), calm()).unwrap();
    let first = store.tables()[0].smallest.clone();
    assert!(matches!(store.get(&first), Err(Error::Corruption { .. })));
    let (healed, failed) = (store.stats().healed_blocks, store.stats().failed_healings);
    assert_eq!((healed, failed), (0, 0));
    // Later than the damage was found.
    let source = Remembering::of(&journal);
    source.attach(&store);
    assert!(store.get(&first).unwrap().is_some());
    assert!(!Remembering::of(&Journal::default()).try_attach(&store));
    assert!(store.get(&first).unwrap().is_some());
}

#[test]
fn what_a_device_refuses_once_is_read_again_and_what_it_refuses_twice_is_healed() {
    let (fs, journal, file) = big();
    let mut env = machine(&fs);
    let faults = FaultFs::new(Arc::clone(&env.fs), 1);
    env.fs = Arc::new(faults.clone());
    let name = format!("{file:06}.sst");
    let options = LsmOptions { block_cache_bytes: 0, ..calm() };
    let fail = |after: u64, times: u64| {
        faults.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path(name.clone()).after(after).times(times));
    };
    // Unattached: the system's error, and no damage.
    let store = open(&env, &dir(), options.clone()).unwrap();
    store.get(&key(5)).unwrap();
    fail(0, 2);
    assert!(matches!(store.get(&key(5)), Err(Error::Env(_))));
    assert!(store.damaged().is_empty());
    faults.clear();
    let source = Remembering::of(&journal);
    source.attach(&store);
    fail(0, 1);
    assert_eq!(store.get(&key(5)).unwrap().as_deref(), Some(&value(5)[..]));
    assert!(store.damaged().is_empty() && source.counts().0 == 0, "once is never");
    faults.clear();
    fail(0, u64::MAX);
    for n in 0..50 {
        assert_eq!(store.get(&key(n)).unwrap().as_deref(), Some(&value(n)[..]));
    }
    assert!(matches!(store.damaged()[..], [(_, damage)] if damage.kind == CorruptionKind::Unreadable));
    assert_eq!(rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap().len() as u64, KEYS);
    store.repair_table(file, &mut never()).unwrap();
    faults.clear();
    assert!(store.damaged().is_empty());
    assert_eq!(store.verify().unwrap(), KEYS);
    drop(store);
    // Already the opening of the file, its header, its index.
    for op in [IoOp::Open, IoOp::Read] {
        let (fs, journal, file) = big();
        let mut env = machine(&fs);
        let faults = FaultFs::new(Arc::clone(&env.fs), 1);
        env.fs = Arc::new(faults.clone());
        let store = open(&env, &dir(), options.clone()).unwrap();
        faults.add(FaultRule::new(Fault::Eio).on(op).path(format!("{file:06}.sst")));
        Remembering::of(&journal).attach(&store);
        assert_eq!(store.get(&key(5)).unwrap().as_deref(), Some(&value(5)[..]));
        assert_eq!(store.damaged().len(), 1);
    }
}

#[test]
fn readers_of_one_bad_block_ask_once() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::real();
    let dir = folder.path().join("kv");
    let store = create(&env, &dir, calm());
    let mut journal = Journal::default();
    write(&store, &mut journal, |batch| (0..KEYS).for_each(|n| batch.put(&key(n), &value(n))));
    store.compact().unwrap();
    let table = store.tables()[0].clone();
    store.close();
    let path = dir.join(format!("{:06}.sst", table.file));
    let bytes = {
        let file = env.fs.open(&path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; table.bytes as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    let at = layout(&bytes).blocks[0].start + 3;
    let file = env.fs.open(&path, OpenMode::ReadWrite).unwrap();
    file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
    let store = open(&env, &dir, calm()).unwrap();
    let source = Remembering::of(&journal);
    source.attach(&store);
    const READERS: usize = 8;
    let start = Barrier::new(READERS);
    #[allow(clippy::disallowed_methods)]
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                start.wait();
                assert!(store.get(&table.smallest).unwrap().is_some());
            });
        }
    });
    assert_eq!((source.counts().0, store.stats().healed_blocks), (1, 1));
}

#[test]
fn a_merge_takes_no_healed_rows_before_the_repair() {
    for harm in [Harm::Block(2), Harm::Missing] {
        let (fs, mut journal, file) = big();
        harm.does(&fs, &path(file), b"");
        let store = open(&machine(&fs), &dir(), calm()).unwrap();
        let source = Remembering::of(&journal);
        source.attach(&store);
        write(&store, &mut journal, |batch| batch.put(&key(KEYS + 1), b"newer"));
        let (lsn, batch) = journal.batches.last().unwrap();
        source.remember(*lsn, batch);
        // Nobody has noticed a single block by now; the merge finds it itself.
        let refused = store.compact();
        assert!(matches!(refused, Err(Error::Corruption { .. })), "{refused:?}");
        assert_eq!(source.counts().0, 0, "a merge does not ask for rows");
        // Healed and cached, it is refused all the same.
        assert_eq!(
            rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap().len() as u64,
            KEYS + 1
        );
        assert!(store.stats().healed_blocks > 0);
        assert!(matches!(store.compact(), Err(Error::Corruption { .. })));
        assert!(store.tables().iter().any(|table| table.file == file));
        store.repair_table(file, &mut never()).unwrap();
        store.compact().unwrap();
        assert_eq!(store.tables().len(), 1);
        assert_eq!(store.verify().unwrap(), KEYS + 1);
    }
}

/// The case that needs more than the rows' own LSNs: what was removed stands in no table any more.
#[test]
fn what_was_removed_and_forgotten_does_not_come_back() {
    for compression in [Compression::None, Compression::Zstd(-1)] {
        let fs = SimFs::new();
        let options = LsmOptions { compression, ..calm() };
        let store = create(&machine(&fs), &dir(), options.clone());
        let mut journal = Journal::default();
        write(&store, &mut journal, |batch| (0..200).for_each(|n| batch.put(&key(n), &value(n))));
        write(&store, &mut journal, |batch| (0..200).step_by(9).for_each(|n| batch.put(&key(n), b"newer")));
        write(&store, &mut journal, |batch| {
            (0..200).step_by(7).for_each(|n| batch.delete(&key(n)));
            batch.delete_range(&key(20), &[&key(20)[..], &[0]].concat());
            batch.delete_range(&key(33), &[&key(33)[..], &[0]].concat());
        });
        store.compact().unwrap();
        let table = store.tables()[0].clone();
        assert!(table.max_lsn == Lsn(2) && table.horizon == Lsn(3), "{table:?}");
        store.close();
        for harm in [Harm::Many(1), Harm::Missing] {
            let fs = fs.process_killed();
            harm.does(&fs, &path(table.file), b"");
            let store = open(&machine(&fs), &dir(), options.clone()).unwrap();
            Remembering::of(&journal).attach(&store);
            let model = journal.model(Lsn(3)).snapshot();
            let keys: Vec<Vec<u8>> = (0..200).map(key).collect();
            for key in &keys {
                let name = String::from_utf8_lossy(key);
                assert_eq!(store.get(key).unwrap(), model.get(key).unwrap(), "{name}");
            }
            for direction in [Direction::Forward, Direction::Backward] {
                let expected = rows(&model, &KeyRange::all(), direction).unwrap();
                assert_eq!(rows(&store.snapshot(), &KeyRange::all(), direction).unwrap(), expected);
            }
            store.repair_table(table.file, &mut never()).unwrap();
            assert_eq!(store.verify().unwrap(), table.rows);
        }
    }
}

/// Versions of one key over several blocks, each damaged beside sound ones.
#[test]
fn a_key_whose_versions_fill_several_blocks_is_healed_at_every_lsn() {
    let fs = SimFs::new();
    let store = create(&machine(&fs), &dir(), LsmOptions { compression: Compression::None, ..calm() });
    let mut journal = Journal::default();
    let source = Arc::new(Remembering::default());
    source.attach(&store);
    for n in 1..=200u64 {
        write(&store, &mut journal, |batch| {
            if n % 11 == 0 {
                batch.delete(b"m")
            } else {
                batch.put(b"m", &value(n))
            }
            if n % 40 == 0 {
                batch.delete_range(b"l", b"n");
                batch.put(b"n", &value(n));
            }
            if n < 40 {
                batch.put(&[b'a', n as u8], &value(n));
            }
        });
        let (lsn, batch) = journal.batches.last().unwrap();
        source.remember(*lsn, batch);
    }
    // The same again behind the rows above, so that all versions of an ingest stay.
    let after = store.published_lsn().0;
    let mut ingested: Vec<Row> = (1..=150u64)
        .rev()
        .map(|n| Row { key: b"m".to_vec(), lsn: Lsn(after + n), value: (n % 9 != 0).then(|| value(n)) })
        .collect();
    ingested.insert(0, Row { key: b"a".to_vec(), lsn: Lsn(after + 5), value: Some(value(5)) });
    ingested.push(Row { key: b"z".to_vec(), lsn: Lsn(after + 7), value: Some(value(7)) });
    for n in 1..=150u64 {
        let mut batch = WriteBatch::new();
        for row in ingested.iter().filter(|row| row.lsn.0 == after + n) {
            match &row.value {
                Some(value) => batch.put(&row.key, value),
                None => batch.delete(&row.key),
            }
        }
        source.remember(Lsn(after + n), &batch);
        journal.batches.push((Lsn(after + n), batch));
    }
    let rows_of = ingested.into_iter().map(Ok);
    store.ingest(&mut RowIter::new(rows_of), Lsn(after + 150), Versions::All).unwrap();
    let model = journal.model(Lsn::MAX);
    let mut healed = 0;
    for table in store.tables() {
        let blocks = layout(&fs.read_all(&path(table.file)).unwrap()).blocks;
        for at in 0..blocks.len() {
            let fs = fs.process_killed();
            Harm::Block(at).does(&fs, &path(table.file), b"");
            let store =
                open(&machine(&fs), &dir(), LsmOptions { compression: Compression::None, ..calm() }).unwrap();
            Remembering::of(&journal).attach(&store);
            let mut earlier = 0;
            for lsn in 1..=after + 150 {
                let Ok(snapshot) = store.snapshot_at(Lsn(lsn)) else { continue };
                earlier += 1;
                let model = model.snapshot_at(Lsn(lsn)).unwrap();
                for key in [&b"m"[..], b"n", b"a", b"z"] {
                    assert_eq!(snapshot.get(key).unwrap(), model.get(key).unwrap(), "{key:?} as of {lsn}");
                }
                for direction in [Direction::Forward, Direction::Backward] {
                    let expected = rows(&model, &KeyRange::all(), direction).unwrap();
                    let found = rows(&snapshot, &KeyRange::all(), direction).unwrap();
                    assert_eq!(found, expected, "block {at} of {table:?}, {direction:?} as of {lsn}");
                }
            }
            assert!(earlier >= 1);
            healed += store.stats().healed_blocks;
            if store.damaged().is_empty() {
                continue;
            }
            store.repair_table(table.file, &mut never()).unwrap();
            store.verify().unwrap();
        }
    }
    assert!(healed > 10, "{healed}");
}

/// Scans of tables with one version of each key compare no keys. What is derived for a block has every version that was written.
#[test]
fn a_scan_shows_one_version_of_keys_of_which_the_table_had_one() {
    let fs = SimFs::new();
    let store = create(&machine(&fs), &dir(), LsmOptions { block_cache_bytes: 0, ..calm() });
    let mut journal = Journal::default();
    for n in 1..=3u64 {
        let mut batch = WriteBatch::new();
        (0..200).filter(|key| n == 1 || key % n == 0).for_each(|k| batch.put(&key(k), &value(k + n)));
        journal.batches.push((Lsn(n), batch));
    }
    Remembering::of(&journal).attach(&store);
    let mut loader = store.bulk_loader(BulkOptions { versions: Versions::Newest, ..BulkOptions::default() });
    journal.batches.iter().for_each(|(lsn, batch)| loader.add_batch(batch, *lsn).unwrap());
    loader.finish(Lsn(3)).unwrap();
    let table = store.tables()[0].clone();
    assert_eq!((store.tables().len(), table.rows), (1, 200));
    let model = journal.model(Lsn(3)).snapshot();
    Harm::Many(2).does(&fs, &path(table.file), b"");
    for direction in [Direction::Forward, Direction::Backward] {
        let expected = rows(&model, &KeyRange::all(), direction).unwrap();
        assert_eq!(rows(&store.snapshot(), &KeyRange::all(), direction).unwrap(), expected);
    }
    assert!(store.stats().healed_blocks > 0);
    for k in 0..200 {
        assert_eq!(store.get(&key(k)).unwrap(), model.get(&key(k)).unwrap());
    }
    store.repair_table(table.file, &mut never()).unwrap();
    assert_eq!(store.verify().unwrap(), 200);
}

#[test]
fn an_observer_is_told_every_table_of_new_rows_once_and_lsns_without_a_gap() {
    let fs = SimFs::new();
    let small = LsmOptions { target_table_bytes: 1 << 10, ..options() };
    let store = create(&machine(&fs), &dir(), small);
    let source = Arc::new(Remembering::default());
    source.attach(&store);
    let mut journal = Journal::default();
    for n in 0..400u64 {
        write(&store, &mut journal, |batch| {
            (0..4).for_each(|m| batch.put(&key(n * 4 + m), &value(n)));
            if n % 50 == 7 {
                batch.delete_range(&key(0), &key(3));
            }
        });
    }
    // LSNs without a row.
    store.flush().unwrap();
    write(&store, &mut journal, |_| {});
    store.flush().unwrap();
    store.compact().unwrap();
    let told = source.told.lock().unwrap().clone();
    assert!(told.len() > 3 && told.len() as u64 == source.begun.load(Ordering::Relaxed), "{}", told.len());
    assert!(told.last().unwrap().rows.is_empty(), "nothing was left of the last batch");
    assert!(told.iter().any(|told| !told.ranges.is_empty()));
    let after = store.published_lsn();
    // Several tables, one observed.
    let before = store.tables().len();
    let rows: Vec<Row> = {
        let mut rows: Vec<Row> = (0..800u64)
            .map(|n| Row {
                key: [b"x", &key(n)[..]].concat(),
                lsn: Lsn(after.0 + 1 + n % 9),
                value: Some(value(n)),
            })
            .collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    };
    let upto = Lsn(after.0 + 20);
    let ingested =
        store.ingest(&mut RowIter::new(rows.clone().into_iter().map(Ok)), upto, Versions::All).unwrap();
    assert!(ingested.tables > 2 && store.tables().len() >= before + 2);
    let told = source.told.lock().unwrap().clone();
    let last = told.last().unwrap();
    assert_eq!(last.lsns, after.next()..=upto);
    assert_eq!(last.rows, rows.iter().map(|row| (row.key.clone(), row.lsn)).collect::<Vec<_>>());
    // One that fails is begun and never ends.
    let mut bad = rows;
    bad.iter_mut().for_each(|row| row.lsn = upto.next());
    bad.swap(0, 700);
    assert!(store.ingest(&mut RowIter::new(bad.into_iter().map(Ok)), upto.next(), Versions::All).is_err());
    assert_eq!(source.told.lock().unwrap().len(), told.len());
    assert_eq!(source.begun.load(Ordering::Relaxed), told.len() as u64 + 1);
    let mut loader = store.bulk_loader(BulkOptions { buffer_bytes: 4 << 10, versions: Versions::Newest });
    for n in 0..500u64 {
        loader
            .add(&[b"y", &key(n * 77 % 500)[..]].concat(), Lsn(upto.0 + 1 + n % 3), Some(b"loaded"))
            .unwrap();
    }
    let end = Lsn(upto.0 + 3);
    loader.finish(end).unwrap();
    let told = source.told.lock().unwrap().clone();
    assert_eq!(
        (told.last().unwrap().lsns.clone(), told.last().unwrap().rows.len()),
        (upto.next()..=end, 500)
    );
    // All of it, each LSN once.
    let mut next = Lsn(1);
    for told in &told {
        assert_eq!(*told.lsns.start(), next);
        next = told.lsns.end().next();
        assert!(told.rows.iter().all(|(_, lsn)| told.lsns.contains(lsn)));
        assert!(told.ranges.iter().all(|(_, _, lsn)| told.lsns.contains(lsn)));
    }
    assert_eq!(next, end.next());
    // What is shown was told, at its LSN.
    let mut iter = store.snapshot().scan(&KeyRange::all(), Direction::Forward);
    let all: std::collections::BTreeSet<(Vec<u8>, Lsn)> =
        told.iter().flat_map(|told| told.rows.iter().cloned()).collect();
    while iter.advance().unwrap() {
        assert!(all.contains(&(iter.key().to_vec(), iter.lsn())));
    }
    assert_eq!(source.counts(), (0, 0, 0));
}
