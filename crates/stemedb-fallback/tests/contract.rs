//! The same histories on every store: the LSM tree, redb, and the map in memory that both are compared with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use stemedb_env::{Env, Lsn, frame::DatabaseId, fs::SimFs};
use stemedb_fallback::{RedbOptions, RedbStore};
use stemedb_lsm::{
    Direction, Error, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, MemStore, WriteBatch,
};

const DATABASE: DatabaseId = DatabaseId(*b"one of the tests");

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn dir() -> PathBuf {
    PathBuf::from("/data/view")
}

fn key(n: u64) -> Vec<u8> {
    format!("key/{:02}/{n:03}", n % 7).into_bytes()
}

fn batch(dice: &mut Dice) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for _ in 0..1 + dice.below(6) {
        match dice.below(10) {
            0..=5 => batch.put(&key(dice.below(120)), &dice.next().to_le_bytes()[..dice.below(9) as usize]),
            6..=8 => batch.delete(&key(dice.below(120))),
            _ => {
                let (start, end) = (key(dice.below(120)), key(dice.below(120)));
                batch.delete_range(&start, &end);
            }
        }
    }
    batch
}

type Row = (Vec<u8>, Lsn, Vec<u8>);

fn rows<S: KvSnapshot>(snapshot: &S, range: &KeyRange, direction: Direction) -> Vec<Row> {
    let mut iter = snapshot.scan(range, direction);
    let mut found = Vec::new();
    while iter.advance().unwrap() {
        assert_eq!(&*iter.pinned_value(), iter.value());
        found.push((iter.key().to_vec(), iter.lsn(), iter.value().to_vec()));
    }
    assert!(!iter.advance().unwrap() && iter.key().is_empty() && iter.value().is_empty());
    found
}

fn ranges(dice: &mut Dice) -> Vec<KeyRange> {
    let any = KeyRange::between(key(dice.below(120)), key(dice.below(120)));
    let prefix = KeyRange::prefix(format!("key/{:02}/", dice.below(8)));
    vec![KeyRange::all(), any, prefix, KeyRange::prefix(key(dice.below(120)))]
}

fn same<A: KvSnapshot, B: KvSnapshot>(one: &A, model: &B, dice: &mut Dice) {
    assert_eq!(one.lsn(), model.lsn());
    for range in ranges(dice) {
        for direction in [Direction::Forward, Direction::Backward] {
            assert_eq!(
                rows(one, &range, direction),
                rows(model, &range, direction),
                "{range:?} {direction:?}"
            );
        }
    }
    let keys: Vec<Vec<u8>> = (0..130).map(key).collect();
    let wanted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let found = one.multi_get(&wanted).unwrap();
    for (key, many) in wanted.iter().zip(found) {
        let (one, model) = (one.get(key).unwrap(), model.get(key).unwrap());
        assert_eq!(one.as_deref(), model.as_deref());
        assert_eq!(many.as_deref(), model.as_deref());
    }
}

/// A history with snapshots that are held, batches that are abandoned, flushes, and reopening.
fn history<S: KvStore>(seed: u64, mut store: S, reopen: &mut dyn FnMut(S) -> S) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let model = MemStore::new();
    let mut held = Vec::new();
    for _ in 0..400 {
        let next = model.published_lsn().next();
        match dice.below(20) {
            0..=12 => {
                // Several batches are published together; gaps between LSNs are allowed.
                let mut lsn = next;
                for _ in 0..1 + dice.below(3) {
                    let batch = batch(&mut dice);
                    store.apply(&batch, lsn).unwrap();
                    model.apply(&batch, lsn).unwrap();
                    lsn = Lsn(lsn.0 + 1 + dice.below(2));
                }
                assert_eq!(store.published_lsn(), model.published_lsn());
                let upto = Lsn(lsn.0 - 1);
                store.publish(upto);
                model.publish(upto);
                let again = store.apply(&WriteBatch::new(), upto);
                assert!(matches!(again, Err(Error::OutOfOrder { .. })), "{again:?}");
            }
            13 => {
                let batch = batch(&mut dice);
                store.apply(&batch, next).unwrap();
                same(&store.snapshot(), &model.snapshot(), &mut dice);
                store.abandon().unwrap();
            }
            14 => held.push((store.snapshot(), model.snapshot())),
            15 if held.len() > 3 => drop(held.remove(0)),
            16 => {
                let flushed = store.flush().unwrap();
                assert!(flushed <= store.published_lsn() && flushed == store.flushed_lsn());
            }
            17 => store.compact().unwrap(),
            18 => {
                held.clear();
                store.flush().unwrap();
                store = reopen(store);
                assert_eq!(store.published_lsn(), model.published_lsn());
            }
            _ => {
                same(&store.snapshot(), &model.snapshot(), &mut dice);
                held.iter().for_each(|(one, model)| same(one, model, &mut dice));
                let newest = model.published_lsn();
                same(&store.snapshot_at(newest).unwrap(), &model.snapshot(), &mut dice);
                assert!(matches!(store.snapshot_at(newest.next()), Err(Error::SnapshotTooNew { .. })));
                store.verify().unwrap();
            }
        }
    }
    same(&store.snapshot(), &model.snapshot(), &mut dice);
}

fn redb(env: &Env) -> RedbStore {
    RedbStore::open(env, &dir(), DATABASE, RedbOptions::default()).unwrap()
}

#[test]
fn redb_keeps_the_contract() {
    for seed in 0..12 {
        let (env, _handles) = Env::sim(seed);
        let store = RedbStore::create(&env, &dir(), DATABASE, RedbOptions::default()).unwrap();
        history(seed, store, &mut |store| {
            drop(store);
            redb(&env)
        });
    }
}

#[test]
fn the_tree_keeps_the_contract() {
    for seed in 0..12 {
        let (env, _handles) = Env::sim(seed);
        let store = LsmStore::create(env.clone(), &dir(), DATABASE, LsmOptions::tiny()).unwrap();
        history(seed, store, &mut |store| {
            store.close();
            LsmStore::open(env.clone(), &dir(), DATABASE, LsmOptions::tiny()).unwrap()
        });
    }
}

#[test]
fn the_map_keeps_its_own_contract() {
    (0..12).for_each(|seed| history(seed, MemStore::new(), &mut |store| store));
}

/// The state after a power cut is that of the last flush, or of a later publication, never anything else.
#[test]
fn a_power_cut_leaves_a_whole_publication() {
    let (env, handles) = Env::sim(3);
    handles.fs.install_dir(std::path::Path::new("/data")).unwrap();
    let store = RedbStore::create(&env, &dir(), DATABASE, RedbOptions::default()).unwrap();
    let model = MemStore::new();
    let mut dice = Dice(77);
    for lsn in (1..=60).map(Lsn) {
        let batch = batch(&mut dice);
        for view in [&store as &dyn Writes, &model] {
            view.take(&batch, lsn);
        }
        if lsn.0 % 7 == 0 {
            store.flush().unwrap();
        }
        let crashed = handles.fs.crash_losing_all();
        check_crashed(&crashed, &model, store.flushed_lsn(), lsn);
        let survived = handles.fs.process_killed();
        check_crashed(&survived, &model, store.flushed_lsn(), lsn);
    }
}

trait Writes {
    fn take(&self, batch: &WriteBatch, lsn: Lsn);
}

impl<S: KvStore> Writes for S {
    fn take(&self, batch: &WriteBatch, lsn: Lsn) {
        self.apply(batch, lsn).unwrap();
        self.publish(lsn);
    }
}

fn check_crashed(fs: &SimFs, model: &MemStore, flushed: Lsn, published: Lsn) {
    let env = Env::over(
        fs.clone(),
        std::sync::Arc::new(stemedb_env::clock::SimClock::new(stemedb_env::Micros(0))),
        3,
    )
    .0;
    let store = redb(&env);
    let reached = store.published_lsn();
    assert!(flushed <= reached && reached <= published, "{flushed} {reached} {published}");
    same(&store.snapshot(), &model.snapshot_at(reached).unwrap(), &mut Dice(5));
}

#[test]
fn what_is_not_this_view_is_refused() {
    let (env, handles) = Env::sim(3);
    let open = |database, options| RedbStore::open(&env, &dir(), database, options).map(drop);
    assert!(matches!(open(DATABASE, RedbOptions::default()), Err(Error::Folder { .. })));
    drop(RedbStore::create(&env, &dir(), DATABASE, RedbOptions::default()).unwrap());
    let again = RedbStore::create(&env, &dir(), DATABASE, RedbOptions::default());
    assert!(matches!(again.map(drop), Err(Error::Folder { .. })));
    let other = open(DatabaseId([9; 16]), RedbOptions::default());
    assert!(matches!(other, Err(Error::Folder { .. })), "{other:?}");
    let newer = open(DATABASE, RedbOptions { derivation_version: 2, ..RedbOptions::default() });
    assert!(matches!(newer, Err(Error::Folder { .. })), "{newer:?}");
    open(DATABASE, RedbOptions::default()).unwrap();
    let path: &Path = &dir().join(RedbStore::FILE);
    handles.fs.overwrite(path, 0, &[0; 64]).unwrap();
    let damaged = open(DATABASE, RedbOptions::default());
    assert!(damaged.is_err(), "{damaged:?}");
}
