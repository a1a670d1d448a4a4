//! Every block of every table damaged, and every file in every way: with somebody attached who remembers all writes, every
//! answer is that of the reference implementation, at every LSN that can be asked for, and repairs bring back what was there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use stemedb_env::{
    Env,
    clock::{Micros, SimClock},
    fs::SimFs,
};
use stemedb_lsm::{
    Compression, Direction, Error, KeyRange, KvSnapshot, KvStore, LsmOptions, LsmSnapshot, LsmStore, Lsn,
    MemStore, TableInfo, TableRepair, WriteBatch,
};
use support::{
    Dice, Journal, create,
    damage::{Harm, layout},
    dir, key, open, options, rows,
    source::Remembering,
};

fn machine(fs: &SimFs, seed: u64) -> Env {
    Env::over(fs.clone(), Arc::new(SimClock::new(Micros(0))), seed).0
}

fn path(file: u64) -> PathBuf {
    dir().join(format!("{file:06}.sst"))
}

/// A few dozen keys with many versions, or many with few: what a random history writes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    keys: u64,
    batches: u64,
    deletes: u64,
    ranges: bool,
}

fn batch(dice: &mut Dice, shape: Shape) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for _ in 0..dice.below(8) {
        let key = key(dice.below(shape.keys));
        if shape.ranges && dice.below(25) == 0 {
            let end = match dice.below(3) {
                0 => [&key[..], &[0]].concat(),
                _ => support::key(dice.below(shape.keys)),
            };
            batch.delete_range(&key, &end);
        } else if dice.below(10) < shape.deletes {
            batch.delete(&key);
        } else {
            batch.put(&key, &vec![b'a' + dice.below(20) as u8; dice.below(40) as usize]);
        }
    }
    batch
}

fn opts(seed: u64) -> LsmOptions {
    LsmOptions {
        compression: [Compression::Zstd(-1), Compression::None, Compression::Lz4][seed as usize % 3],
        // Without room, with little, and with enough: blocks are healed again, or stay beside sound ones.
        block_cache_bytes: [0, 2 << 10, 1 << 20][seed as usize / 3 % 3],
        l0_trigger: [2, 4][seed as usize % 2],
        ..options()
    }
}

struct History {
    fs: SimFs,
    journal: Journal,
    model: MemStore,
    /// With the states that they were taken in.
    snapshots: Vec<LsmSnapshot>,
    store: Option<LsmStore>,
    source: Arc<Remembering>,
}

impl History {
    fn new(seed: u64, shape: Shape) -> History {
        let fs = SimFs::new();
        let store = create(&machine(&fs, seed), &dir(), opts(seed));
        let source = Arc::new(Remembering::default());
        source.attach(&store);
        let mut history = History {
            fs,
            journal: Journal::default(),
            model: MemStore::new(),
            snapshots: Vec::new(),
            store: None,
            source,
        };
        let mut dice = Dice::new(seed + 1);
        for n in 0..shape.batches {
            let lsn = history.journal.next_lsn();
            let batch = batch(&mut dice, shape);
            store.apply(&batch, lsn).unwrap();
            store.publish(lsn);
            history.model.apply(&batch, lsn).unwrap();
            history.model.publish(lsn);
            history.source.remember(lsn, &batch);
            history.journal.batches.push((lsn, batch));
            match dice.below(60) {
                0..2 => _ = store.flush().unwrap(),
                2 if n > shape.batches / 2 => store.compact().unwrap(),
                3..5 => history.snapshots.push(store.snapshot()),
                _ => {}
            }
        }
        let keep = history.snapshots.len().saturating_sub(3);
        history.snapshots.drain(..keep);
        assert_eq!(history.source.counts(), (0, 0, 0), "nobody asks as long as nothing is damaged");
        history.store = Some(store);
        history
    }

    fn store(&self) -> &LsmStore {
        self.store.as_ref().unwrap()
    }
}

/// Everything in every way, as of one LSN.
fn compare(snapshot: &LsmSnapshot, model: &MemStore, keys: u64, what: &dyn std::fmt::Debug) {
    let model = model.snapshot_at(snapshot.lsn()).unwrap();
    let at = snapshot.lsn();
    let all: Vec<Vec<u8>> = (0..keys + 3).map(key).collect();
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let expected = model.multi_get(&all).unwrap();
    assert_eq!(snapshot.multi_get(&all).unwrap(), expected, "multi_get as of {at}: {what:?}");
    for (key, expected) in all.iter().zip(expected) {
        let name = String::from_utf8_lossy(key);
        assert_eq!(snapshot.get(key).unwrap(), expected, "{name} as of {at}: {what:?}");
    }
    let part = KeyRange::between(key(keys / 3), key(keys / 2 + 1));
    for range in [KeyRange::all(), KeyRange::prefix(&key(3)[..18]), part] {
        for direction in [Direction::Forward, Direction::Backward] {
            let expected = rows(&model, &range, direction).unwrap();
            let found = rows(snapshot, &range, direction).unwrap();
            assert_eq!(found, expected, "{range:?} {direction:?} as of {at}: {what:?}");
        }
    }
}

/// The newest state and some earlier ones, as far as they can be had.
fn compare_all(store: &LsmStore, model: &MemStore, keys: u64, what: &dyn std::fmt::Debug) -> u64 {
    compare(&store.snapshot(), model, keys, what);
    let newest = store.published_lsn().0;
    let mut earlier = 0;
    for lsn in (0..newest).rev().take(6) {
        match store.snapshot_at(Lsn(lsn)) {
            Ok(snapshot) => {
                earlier += 1;
                compare(&snapshot, model, keys, what);
            }
            Err(Error::SnapshotTooOld { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    earlier
}

const SHAPES: [Shape; 4] = [
    Shape { keys: 40, batches: 260, deletes: 3, ranges: true },
    Shape { keys: 12, batches: 160, deletes: 2, ranges: true },
    Shape { keys: 300, batches: 260, deletes: 2, ranges: true },
    Shape { keys: 60, batches: 220, deletes: 5, ranges: false },
];

/// Whole ones; a merge may have been cut short.
fn tables(fs: &SimFs) -> Vec<PathBuf> {
    let is_whole = |path: &PathBuf| fs.read_all(path).is_ok_and(|bytes| bytes.ends_with(b"\0TSSMETS"));
    fs.paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|is| is == "sst"))
        .filter(is_whole)
        .collect()
}

#[test]
fn blocks_that_rot_under_an_open_tree_are_healed_for_every_snapshot() {
    let (mut blocks, mut healed, mut earlier) = (0, 0, 0);
    for seed in 0..12 {
        let shape = SHAPES[seed as usize % SHAPES.len()];
        let history = History::new(seed, shape);
        let store = history.store();
        for path in tables(&history.fs) {
            let Ok(bytes) = history.fs.read_all(&path) else { continue };
            for at in layout(&bytes).blocks {
                blocks += 1;
                // Under the tables of old snapshots, too.
                history.fs.corrupt(&path, at.start as u64 + 5, 1).unwrap();
                let what = (seed, &path, at.start);
                earlier += compare_all(store, &history.model, shape.keys, &what);
                for snapshot in &history.snapshots {
                    compare(snapshot, &history.model, shape.keys, &what);
                }
                history.fs.corrupt(&path, at.start as u64 + 5, 1).unwrap();
            }
        }
        healed += store.stats().healed_blocks;
        assert_eq!(store.stats().failed_healings, 0);
    }
    println!("{blocks} blocks damaged, {healed} times healed, {earlier} earlier snapshots");
    assert!(blocks > 200 && healed > blocks && earlier > 100, "{blocks} {healed} {earlier}");
}

/// Repairs a table, first without the writes, then with them. True if that was needed.
fn repair(store: &LsmStore, journal: &Journal, table: &TableInfo) -> Result<bool, Error> {
    let mut asked = false;
    let mut give = |upto: Lsn| {
        asked = false;
        let writes = journal.rows(&table.smallest, &table.largest, table.min_lsn..=upto);
        let mut writes = writes.into_iter().inspect(|_| asked = true).map(Ok);
        store.repair_table(table.file, &mut writes)
    };
    match give(table.max_lsn) {
        Err(Error::RepairMismatch { .. }) => give(table.horizon.max(table.max_lsn))?,
        repaired => repaired?,
    }
    Ok(asked)
}

#[test]
fn every_harm_to_every_table_is_healed_and_repaired() {
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut count = |what| *outcomes.entry(what).or_default() += 1;
    for seed in 20..28 {
        let shape = SHAPES[seed as usize % SHAPES.len()];
        let mut history = History::new(seed, shape);
        history.snapshots.clear();
        let live: Vec<TableInfo> = history.store().tables();
        history.store.take().unwrap().close();
        let foreign = history.fs.read_all(&path(live[0].file)).unwrap();
        for table in &live {
            let path = path(table.file);
            for harm in Harm::all(&layout(&history.fs.read_all(&path).unwrap())) {
                let what = (seed, harm, table);
                let fs = history.fs.process_killed();
                let other = if table.file == live[0].file { &b"nothing"[..] } else { &foreign[..] };
                harm.does(&fs, &path, other);
                let store = open(&machine(&fs, seed), &dir(), opts(seed)).unwrap();
                let source = Remembering::of(&history.journal);
                source.attach(&store);
                // As of the flushed LSN, which the horizon of a table may be ahead of.
                let flushed = store.flushed_lsn();
                compare(&store.snapshot(), &history.model, shape.keys, &what);
                for (lsn, batch) in history.journal.batches.iter().filter(|(lsn, _)| *lsn > flushed) {
                    store.apply(batch, *lsn).unwrap();
                    store.publish(*lsn);
                    if lsn.0 % 5 == 0 && store.tables().iter().any(|live| live.file == table.file) {
                        compare(&store.snapshot(), &history.model, shape.keys, &what);
                    }
                }
                compare_all(&store, &history.model, shape.keys, &what);
                count("healed");
                let stats = store.stats();
                assert_eq!(stats.failed_healings, 0, "{what:?}");
                if !store.tables().iter().any(|live| live.file == table.file) {
                    // A merge has taken it before anybody knew.
                    count("merged away");
                    continue;
                }
                let found = store.verify();
                assert!(matches!(found, Err(Error::Corruption { .. })), "{what:?}: a check must say so");
                assert_eq!(store.damaged().len(), 1, "{what:?}");
                assert_eq!(store.damaged()[0].0, table.file);
                let refused = store.compact();
                assert!(matches!(refused, Err(Error::Corruption { .. })), "{what:?}: {refused:?}");
                match repair(&store, &history.journal, table) {
                    Ok(true) => count("repaired with all writes"),
                    Ok(false) => count("repaired from what was left"),
                    Err(Error::RepairMismatch { .. }) => {
                        count("refused");
                        compare_all(&store, &history.model, shape.keys, &what);
                        continue;
                    }
                    Err(error) => panic!("{what:?}: {error}"),
                }
                assert!(store.damaged().is_empty());
                let asked = source.counts();
                compare_all(&store, &history.model, shape.keys, &what);
                store.verify().unwrap();
                store.compact().unwrap();
                compare_all(&store, &history.model, shape.keys, &what);
                assert_eq!(source.counts(), asked, "{what:?}: nothing is left to heal");
            }
        }
    }
    println!("{outcomes:?}");
    let of = |what: &str| outcomes.get(what).copied().unwrap_or(0);
    assert!(of("healed") > 300, "{outcomes:?}");
    assert!(of("repaired from what was left") > of("healed") / 2, "{outcomes:?}");
    assert!(of("refused") < of("healed") / 10, "{outcomes:?}");
}

#[test]
fn several_damaged_tables_at_once_are_healed_together() {
    for seed in 40..46 {
        let shape = SHAPES[seed as usize % SHAPES.len()];
        let mut history = History::new(seed, shape);
        history.snapshots.clear();
        history.store.take().unwrap().close();
        for harm in [Harm::Missing, Harm::Many(1), Harm::Many(2), Harm::Index, Harm::Empty] {
            let fs = history.fs.process_killed();
            tables(&fs).iter().for_each(|path| harm.does(&fs, path, b""));
            let store = open(&machine(&fs, seed), &dir(), opts(seed)).unwrap();
            Remembering::of(&history.journal).attach(&store);
            compare_all(&store, &history.model, shape.keys, &(seed, harm));
            history.journal.replay(&store, store.flushed_lsn()).unwrap();
            compare_all(&store, &history.model, shape.keys, &(seed, harm));
            assert_eq!(store.stats().failed_healings, 0);
        }
    }
}
