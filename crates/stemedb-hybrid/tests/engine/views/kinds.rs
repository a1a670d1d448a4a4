//! The same history whatever kind of store each view is.

use std::collections::BTreeMap;

use stemedb_env::{Env, SimHandles};
use stemedb_hybrid::{FallbackMode, HybridStore, RedbStore, StateRoot, ViewStore};
use stemedb_index::KeyValues;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, LsmStore, MemStore, WriteBatch};

use super::{super::setup::dir, options, pass};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("key {n:03}").into_bytes()
}

/// A batch, and what it does to the model.
fn batch(dice: &mut Dice, model: &mut Model) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for _ in 0..1 + dice.below(5) {
        match dice.below(10) {
            0..=6 => {
                let (key, value) =
                    (key(dice.below(200)), vec![dice.below(256) as u8; dice.below(60) as usize]);
                batch.put(&key, &value);
                model.insert(key, value);
            }
            7 | 8 => {
                let key = key(dice.below(200));
                batch.delete(&key);
                model.remove(&key);
            }
            _ => {
                let (start, end) = (key(dice.below(200)), key(dice.below(200)));
                batch.delete_range(&start, &end);
                model.retain(|key, _| !(&start <= key && key < &end));
            }
        }
    }
    batch
}

fn same<P: ViewStore, F: ViewStore>(engine: &HybridStore<P, F, KeyValues>, model: &Model, what: &str) {
    let snapshot = engine.snapshot().unwrap();
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    let mut shown = Model::new();
    while rows.advance().unwrap() {
        shown.insert(rows.key().to_vec(), rows.value().to_vec());
    }
    assert_eq!(&shown, model, "{what}");
    for n in (0..200).step_by(17) {
        assert_eq!(engine.get(&key(n)).unwrap().as_deref(), model.get(&key(n)).map(Vec::as_slice), "{what}");
    }
    let mut root = StateRoot::empty();
    model.iter().for_each(|(key, value)| root.add(key, value));
    assert_eq!(engine.state_root().unwrap(), root, "{what}");
}

/// Writes, reopens, loses the primary, and compares with the model all along.
fn history<P: ViewStore, F: ViewStore>(seed: u64, mode: FallbackMode) {
    let what = format!("{} with {} {mode}, seed {seed}", P::KIND, F::KIND);
    let mut options = options(mode);
    options.replay_at_open_bytes = [0, 2_000, u64::MAX][seed as usize % 3];
    let (env, sim): (Env, SimHandles) = Env::sim(seed);
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut model = Model::new();
    let mut engine = HybridStore::<P, F, KeyValues>::create(&env, dir(), KeyValues, &options).unwrap();
    for _ in 0..6 {
        for _ in 0..dice.below(60) {
            engine.commit(batch(&mut dice, &mut model)).unwrap();
            sim.tasks.settle(dice.below(8) as usize);
        }
        same(&engine, &model, &what);
        match dice.below(4) {
            0 => drop(engine.flush().unwrap()),
            1 => engine.compact().unwrap(),
            _ => pass(&sim, 1),
        }
        same(&engine, &model, &what);
        if dice.below(2) == 0 {
            engine.close().unwrap();
            if dice.below(2) == 0 {
                let kv = dir().join("kv");
                if env.fs.metadata(&kv).unwrap().is_some() {
                    for file in env.fs.list(&kv).unwrap() {
                        sim.fs.delete(&kv.join(file.name)).unwrap();
                    }
                }
            }
            engine = HybridStore::<P, F, KeyValues>::open(&env, dir(), KeyValues, &options).unwrap().0;
            pass(&sim, 2);
            let health = engine.health();
            assert!(health.is_ready(), "{what}: {health:?}");
            same(&engine, &model, &what);
        }
    }
    engine.verify().unwrap();
}

fn all<P: ViewStore, F: ViewStore>() {
    for mode in [FallbackMode::OnDemand, FallbackMode::Standby] {
        (1..=4).for_each(|seed| history::<P, F>(seed, mode));
    }
}

#[test]
fn the_tree_with_redb() {
    all::<LsmStore, RedbStore>();
}

#[test]
fn the_tree_with_memory() {
    all::<LsmStore, MemStore>();
}

#[test]
fn redb_with_the_tree() {
    all::<RedbStore, LsmStore>();
}

#[test]
fn redb_with_memory() {
    all::<RedbStore, MemStore>();
}

#[test]
fn memory_with_redb() {
    all::<MemStore, RedbStore>();
}
