//! Every entry is announced before any read can show it, and so caches over the engine are never stale.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stemedb_env::{
    Env, IoOp, Lsn, SimHandles,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_hybrid::{ClaimEngine, Error, FallbackMode, HybridOptions};
use stemedb_index::{AppliedRows, ClaimCache, ClaimReader, Claims};
use stemedb_lsm::{KvSnapshot, WriteBatch};

use super::setup::{claim, dir, submission};

/// Looks at the engine at every announcement.
#[derive(Default)]
struct Witness {
    engine: OnceLock<Weak<ClaimEngine>>,
    began: AtomicU64,
    /// Entries announced, each once, in order.
    announced: Mutex<Vec<u64>>,
    repeated: AtomicU64,
}

impl AppliedRows for Witness {
    fn begins_at(&self, lsn: Lsn) {
        assert_eq!(self.began.swap(lsn.0 + 1, Ordering::Relaxed), 0, "an engine begins once");
    }

    fn about_to_show(&self, lsn: Lsn, rows: &WriteBatch) {
        assert!(!rows.is_empty());
        let mut announced = self.announced.lock();
        let last = announced.last().copied().unwrap_or(self.began.load(Ordering::Relaxed) - 1);
        if lsn.0 <= last {
            self.repeated.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert_eq!(lsn.0, last + 1, "one after the other");
        let Some(engine) = self.engine.get().and_then(Weak::upgrade) else { return };
        assert!(engine.published_lsn() < lsn, "{lsn} was acknowledged before it was announced");
        if let Ok(snapshot) = engine.snapshot() {
            assert!(snapshot.lsn() < lsn, "{lsn} could be read before it was announced");
        }
        announced.push(lsn.0);
    }
}

struct Watched {
    engine: Arc<ClaimEngine>,
    witness: Arc<Witness>,
    cache: Arc<ClaimCache>,
}

fn observed(options: &HybridOptions) -> (HybridOptions, Arc<Witness>, Arc<ClaimCache>) {
    let (witness, cache) = (Arc::new(Witness::default()), Arc::new(ClaimCache::new(1 << 20, 3)));
    let mut options = options.clone();
    options.observers.add(Arc::<Witness>::clone(&witness));
    options.observers.add(Arc::<ClaimCache>::clone(&cache));
    (options, witness, cache)
}

impl Watched {
    fn over(engine: ClaimEngine, witness: Arc<Witness>, cache: Arc<ClaimCache>) -> Watched {
        let engine = Arc::new(engine);
        witness.engine.set(Arc::downgrade(&engine)).unwrap();
        Watched { engine, witness, cache }
    }

    fn open(env: &Env, options: &HybridOptions) -> Watched {
        let (options, witness, cache) = observed(options);
        let (engine, _) = ClaimEngine::open(env, dir(), Claims, &options).unwrap();
        Watched::over(engine, witness, cache)
    }

    /// What the caches say is what the rows say, for every question. False if nothing answers at present.
    fn is_exact(&self) -> bool {
        let Ok(snapshot) = self.engine.snapshot() else { return false };
        let reader = ClaimReader::new(snapshot).with_cache(Some(Arc::clone(&self.cache)));
        for n in 0..7 {
            let subject = format!("cas:{n}");
            let ask = || {
                let fresh = reader.candidates(&subject, "melting_point_K", None)?;
                Ok::<_, stemedb_index::Error>((reader.question(&subject, "melting_point_K", None)?, fresh))
            };
            // A table whose file was not open when the folder went.
            let Ok((cached, fresh)) = ask() else { return false };
            assert_eq!(**cached, *fresh, "{subject} as of {}", reader.lsn());
        }
        true
    }

    fn announced_up_to_the_end(&self) {
        let last = self.witness.announced.lock().last().copied();
        let last = last.unwrap_or(self.witness.began.load(Ordering::Relaxed) - 1);
        assert_eq!(last, self.engine.published_lsn().0);
    }
}

fn machine(seed: u64) -> (Env, SimHandles, Arc<FaultFs>) {
    let (env, sim) = Env::sim(seed);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), seed));
    (Env { fs: Arc::clone(&faults) as _, ..env }, sim, faults)
}

fn options(fallback: FallbackMode) -> HybridOptions {
    HybridOptions { fallback, ..HybridOptions::tiny() }
}

fn created(env: &Env, fallback: FallbackMode) -> Watched {
    let (options, witness, cache) = observed(&options(fallback));
    let engine = ClaimEngine::create(env, dir(), Claims, &options).unwrap();
    Watched::over(engine, witness, cache)
}

fn pass(sim: &SimHandles, seconds: u64) {
    for _ in 0..seconds * 5 {
        sim.tasks.settle(100_000);
        sim.clock.advance(Duration::from_millis(200));
    }
    sim.tasks.settle(100_000);
}

fn remove_kv(env: &Env, sim: &SimHandles) {
    let kv = dir().join("kv");
    for file in env.fs.list(&kv).unwrap() {
        sim.fs.delete(&kv.join(file.name)).unwrap();
    }
    env.fs.remove_dir(&kv).unwrap();
    sim.fs.settle();
}

#[test]
fn commits_are_announced_once_each_and_in_order_and_what_was_there_at_open_is_not() {
    let (env, sim, _) = machine(1);
    let watched = created(&env, FallbackMode::Standby);
    for n in 0..60 {
        watched.engine.commit(submission([n, n + 100])).unwrap();
        sim.tasks.settle(20);
        assert!(watched.is_exact());
    }
    watched.announced_up_to_the_end();
    assert_eq!(*watched.witness.announced.lock(), (1..=60).collect::<Vec<_>>());
    assert!(watched.cache.stats().candidates.hits > 100, "{:?}", watched.cache.stats());
    let Watched { engine, .. } = watched;
    Arc::into_inner(engine).unwrap().close().unwrap();

    let again = Watched::open(&env, &options(FallbackMode::Standby));
    assert_eq!(again.witness.began.load(Ordering::Relaxed), 61, "begins at 60");
    assert!(again.is_exact());
    again.engine.commit(submission([1_000])).unwrap();
    assert!(again.is_exact());
    assert_eq!(*again.witness.announced.lock(), [61]);
}

#[test]
fn entries_replayed_behind_the_open_are_below_the_floor() {
    let (env, sim, _) = machine(2);
    let watched = created(&env, FallbackMode::Off);
    for n in 0..300 {
        watched.engine.commit(submission([n])).unwrap();
        sim.tasks.settle(20);
    }
    drop(watched);
    remove_kv(&env, &sim);
    let at_once = HybridOptions { replay_at_open_bytes: 0, ..options(FallbackMode::Off) };
    let again = Watched::open(&env, &at_once);
    assert_eq!(again.witness.began.load(Ordering::Relaxed), 301);
    assert!(!again.is_exact(), "nothing answers yet");
    pass(&sim, 1);
    assert!(again.is_exact());
    assert!(again.witness.announced.lock().is_empty());
    again.engine.commit(submission([2_000])).unwrap();
    again.announced_up_to_the_end();
    assert!(again.is_exact());
}

/// The primary's folder cannot be written, or goes, again and again while commits go on: the fallback view takes over, falls behind, is caught up, and the
/// primary is derived again; entries wait and are shown later.
#[test]
fn whichever_view_shows_an_entry_first_it_was_announced_before() {
    let mut hidden = 0;
    for (seed, mode) in [
        (3, FallbackMode::Off),
        (4, FallbackMode::OnDemand),
        (5, FallbackMode::Standby),
        (6, FallbackMode::OnDemand),
        (7, FallbackMode::Standby),
    ] {
        let (env, sim, faults) = machine(seed);
        let watched = created(&env, mode);
        for round in 0..4 {
            for n in 0..200_u64 {
                let claims = submission([round * 1_000 + n]);
                match watched.engine.commit(claims) {
                    Ok(_) | Err(Error::ReadOnly { .. } | Error::NoView { .. }) => {}
                    Err(Error::NotReadable { .. }) => {
                        hidden += 1;
                        pass(&sim, 1);
                    }
                    Err(error) => panic!("{mode}: {error:?}"),
                }
                if n == 50 {
                    watched.engine.flush().unwrap();
                    match round % 2 {
                        0 => faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path("/kv/")),
                        _ => remove_kv(&env, &sim),
                    };
                }
                if n % 3 == seed % 3 {
                    sim.tasks.settle(n as usize % 40);
                }
                if n % 25 == 0 {
                    sim.clock.advance(Duration::from_millis(300));
                }
                let _ = watched.is_exact();
            }
            faults.clear();
            pass(&sim, 60);
            assert!(watched.is_exact());
            watched.announced_up_to_the_end();
        }
        let by_fallback = watched.engine.stats().fallback_reads;
        assert!(mode == FallbackMode::Off || by_fallback > 0, "the fallback never answered: {mode}");
        assert!(watched.engine.health().is_ready());
        assert!(!claim_is_missing(&watched));
    }
    assert!(hidden > 0, "no entry was shown later than it was durable");
}

/// Every claim that was acknowledged is there; a spot check, the rest is for other tests.
fn claim_is_missing(watched: &Watched) -> bool {
    let stemedb_core::Command::Assert(first) = claim(0) else { return true };
    let reader = ClaimReader::new(watched.engine.snapshot().unwrap());
    reader.claim(first.id()).unwrap().is_none()
}
