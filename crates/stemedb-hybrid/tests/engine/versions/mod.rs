//! Databases whose view another version of the derivation has made.

mod answers;
mod cuts;
mod faults;
mod fixture;
mod kills;
mod switch;

use std::{path::PathBuf, sync::Arc, time::Duration};

use stemedb_env::{
    Env, IoOp, Lsn, Micros, SimHandles,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_hybrid::{Error, FallbackMode, HybridOptions, LsmEngine, OpenReport, StateRoot};
use stemedb_index::{Admit, Admitted, Derive, KeyValues, ViewRow};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, Op, WriteBatch};
use stemedb_wal::{Journal, JournalReader};

use super::setup::dir;

/// Rows under `d/`; from version 2 on also one under `x/` for each, by value; from version 3 on values have a mark. `READS`: version
/// 1 may answer readers of later ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows<const V: u32, const READS: bool>;

impl<const V: u32, const READS: bool> Derive for Rows<V, READS> {
    const VERSION: u32 = V;

    fn reads_version(version: u32) -> bool {
        READS && (1..V).contains(&version)
    }

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> stemedb_index::Result<()> {
        let mut plain = WriteBatch::new();
        KeyValues.derive(lsn, entry, &mut plain)?;
        for op in plain.iter() {
            let Op::Put { key, value } = op else { panic!("these tests write rows alone") };
            let mut data = b"d/".to_vec();
            data.extend_from_slice(key);
            let mut marked = value.to_vec();
            if V > 2 {
                marked.extend_from_slice(b" (3)");
            }
            rows.put(&data, &marked);
            if V > 1 {
                let mut index = b"x/".to_vec();
                index.extend_from_slice(value);
                index.push(b'/');
                index.extend_from_slice(key);
                rows.put(&index, b"");
            }
        }
        Ok(())
    }

    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> stemedb_index::Result<Option<Vec<u8>>> {
        let plain: Vec<ViewRow> = rows
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(b"d/")?.to_vec(), value.clone())))
            .collect();
        KeyValues.invert(lsn, &plain)
    }

    fn recorded_at(&self, _lsn: Lsn, _entry: &[u8]) -> stemedb_index::Result<Option<Micros>> {
        Ok(None)
    }

    fn filtered_prefix_bytes(_key: &[u8]) -> usize {
        0
    }
}

impl<const V: u32, const READS: bool> Admit for Rows<V, READS> {
    type Request = WriteBatch;
    type Reply = Lsn;
    type InFlight = ();

    fn cost_bytes(request: &WriteBatch) -> usize {
        KeyValues::cost_bytes(request)
    }

    fn admit<S: KvSnapshot>(
        &self,
        request: WriteBatch,
        view: &S,
        (): &mut (),
        lsn: Lsn,
        now: Micros,
    ) -> stemedb_index::Result<Admitted<Lsn>> {
        KeyValues.admit(request, view, &mut (), lsn, now)
    }

    fn retire(&self, (): &mut (), _lsn: Lsn) {}

    fn abandon(&self, (): &mut (), _lsn: Lsn) {}
}

pub type One = LsmEngine<Rows<1, true>>;
pub type Two = LsmEngine<Rows<2, true>>;
/// Version 1 is nothing to its readers.
pub type TwoAlone = LsmEngine<Rows<2, false>>;
pub type Three = LsmEngine<Rows<3, true>>;

pub fn options(fallback: FallbackMode) -> HybridOptions {
    HybridOptions { fallback, ..HybridOptions::tiny() }
}

pub fn open<const V: u32, const READS: bool>(
    env: &Env,
    options: &HybridOptions,
) -> Result<(LsmEngine<Rows<V, READS>>, OpenReport), Error> {
    LsmEngine::open(env, dir(), Rows, options)
}

/// Entry `n`: two rows.
pub fn entry(n: u64) -> WriteBatch {
    let mut rows = WriteBatch::new();
    for part in 0..2 {
        rows.put(format!("key {n:05} {part}").as_bytes(), format!("value {}", n % 17).as_bytes());
    }
    rows
}

/// A database of version 1 with entries 1..=n, of which some are in tables and some are not.
pub fn grown(seed: u64, entries: u64, options: &HybridOptions) -> (One, Env, SimHandles, Arc<FaultFs>) {
    let (env, sim) = Env::sim(seed);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), seed));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    let engine = One::create(&env, dir(), Rows, options).unwrap();
    for n in 1..=entries {
        assert_eq!(engine.commit(entry(n)).unwrap(), Lsn(n));
        sim.tasks.settle(1_000);
    }
    assert!(!engine.tables().is_empty() || entries < 20);
    (engine, env, sim, faults)
}

/// From now on nothing is written into tables of the new view, until the faults are cleared: the upgrade does not get anywhere.
pub fn hold_back(faults: &FaultFs) {
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path("kv.next/10"));
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Rename).path("kv.old"));
}

/// Lets background work and time go on, for about so many seconds.
pub fn pass(sim: &SimHandles, seconds: u64) {
    for _ in 0..seconds * 5 {
        sim.tasks.settle(100_000);
        sim.clock.advance(Duration::from_millis(200));
    }
    sim.tasks.settle(100_000);
}

/// What a view shows, row by row.
pub fn scan<S: KvSnapshot>(snapshot: &S) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    let mut found = Vec::new();
    while rows.advance().unwrap() {
        found.push((rows.key().to_vec(), rows.value().to_vec()));
    }
    found
}

/// The entries whose rows a view shows, by the rows that all versions have; half an entry is none.
pub fn shown<S: KvSnapshot>(snapshot: &S) -> Vec<u64> {
    let rows = scan(snapshot);
    let numbers: Vec<u64> = rows
        .iter()
        .filter_map(|(key, _)| key.strip_prefix(b"d/key "))
        .map(|key| std::str::from_utf8(&key[..5]).unwrap().parse().unwrap())
        .collect();
    let whole = numbers.chunks(2).all(|pair| pair.len() == 2 && pair[0] == pair[1]);
    assert!(whole, "half an entry");
    numbers.into_iter().step_by(2).collect()
}

/// The root of what the derivation says, entry by entry, from the journal alone.
pub fn fresh_root<const V: u32, const READS: bool>(engine: &LsmEngine<Rows<V, READS>>) -> StateRoot {
    let mut rows = std::collections::BTreeMap::new();
    let mut batch = WriteBatch::new();
    let mut reader = engine.journal().read_from(Lsn(1)).unwrap();
    while let Some(entry) = reader.next_entry().unwrap() {
        batch.clear();
        Rows::<V, READS>.derive(entry.lsn, &entry.bytes, &mut batch).unwrap();
        for op in batch.iter() {
            let Op::Put { key, value } = op else { panic!("rows alone") };
            rows.insert(key.to_vec(), value.to_vec());
        }
    }
    let mut root = StateRoot::empty();
    rows.iter().for_each(|(key, value)| root.add(key, value));
    root
}

pub fn exists(env: &Env, name: &str) -> bool {
    env.fs.metadata(&dir().join(name)).unwrap().is_some()
}

/// Nothing of an upgrade is left, and the view is what its derivation says.
pub fn assert_upgraded<const V: u32, const READS: bool>(
    engine: &LsmEngine<Rows<V, READS>>,
    env: &Env,
    entries: u64,
) {
    let health = engine.health();
    assert_eq!(health.upgrade, None);
    assert!(health.is_ready() && health.primary.to_string() == "healthy", "{health:?}");
    assert_eq!((health.published, health.primary_published), (health.durable, health.durable));
    assert!(!exists(env, "kv.next") && !exists(env, "kv.old"));
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.derived_by().unwrap(), stemedb_hybrid::DerivedBy::one(V));
    assert_eq!(shown(&snapshot), (1..=entries).collect::<Vec<_>>());
    assert_eq!(engine.state_root().unwrap(), fresh_root(engine));
    engine.verify().unwrap();
}

/// Every file below a folder with its content.
pub fn files(env: &Env, sim: &SimHandles) -> Vec<(PathBuf, Vec<u8>)> {
    let mut folders = vec![dir().to_path_buf()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for file in env.fs.list(&folder).unwrap() {
            let path = folder.join(&file.name);
            match file.metadata.is_dir {
                true => folders.push(path),
                false => found.push((path.clone(), sim.fs.read_all(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}
