//! Views that come and go: which one answers, and how a lost one comes back by itself.

mod copies;
mod cuts;
mod kinds;
mod lost;
mod modes;
#[cfg(feature = "planted")]
mod planted;
mod tables;

use std::{path::PathBuf, sync::Arc, time::Duration};

use stemedb_env::{Env, SimHandles, fs::FaultFs};
use stemedb_hybrid::{ClaimEngine, EventKind, FallbackMode, HybridOptions};
use stemedb_index::Claims;

use super::setup::{dir, submission};

fn options(fallback: FallbackMode) -> HybridOptions {
    HybridOptions { fallback, ..HybridOptions::tiny() }
}

/// Nothing is replayed before the open returns.
fn at_once(fallback: FallbackMode) -> HybridOptions {
    HybridOptions { replay_at_open_bytes: 0, ..options(fallback) }
}

fn kv() -> PathBuf {
    dir().join("kv")
}

/// An engine with tables on several levels: claims 0..n*2, two an entry.
fn grown(seed: u64, entries: u64, options: &HybridOptions) -> (ClaimEngine, Env, SimHandles, Arc<FaultFs>) {
    let (env, sim) = Env::sim(seed);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), seed));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    let engine = ClaimEngine::create(&env, dir(), Claims, options).unwrap();
    for n in 0..entries {
        engine.commit(submission([n * 2, n * 2 + 1])).unwrap();
        sim.tasks.settle(1_000);
    }
    (engine, env, sim, faults)
}

/// Lets background work and time go on, for about so many seconds.
fn pass(sim: &SimHandles, seconds: u64) {
    for _ in 0..seconds * 5 {
        sim.tasks.settle(100_000);
        sim.clock.advance(Duration::from_millis(200));
    }
    sim.tasks.settle(100_000);
}

/// Removes the folder of the primary view, as an operator with `rm -r` does.
fn remove_kv(env: &Env, sim: &SimHandles) {
    for file in env.fs.list(&kv()).unwrap() {
        sim.fs.delete(&kv().join(file.name)).unwrap();
    }
    env.fs.remove_dir(&kv()).unwrap();
    sim.fs.settle();
}

fn kinds(engine: &ClaimEngine) -> Vec<EventKind> {
    engine.events().after(0).into_iter().map(|event| event.kind).collect()
}

fn assert_healthy(engine: &ClaimEngine) {
    let health = engine.health();
    assert!(health.is_ready() && health.primary.to_string() == "healthy", "{health:?}");
    assert_eq!((health.published, health.primary_published), (health.durable, health.durable));
}
