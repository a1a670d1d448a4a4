//! A disk that does not answer: what waits is refused in time, and what is stuck is named.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stemedb_env::{
    Clock, Env, IoOp, Micros,
    clock::SimClock,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_hybrid::{ClaimEngine, CommitStage, Error, EventKind, HybridOptions, StallKind};
use stemedb_index::Claims;

use super::setup::{assert_claims, dir, found, submission};

/// A clock on which latency lasts until somebody says so.
#[derive(Debug)]
struct Stuck {
    clock: Arc<SimClock>,
    arrived: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
}

impl Clock for Stuck {
    fn wall(&self) -> Micros {
        self.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, _: Duration) {
        self.arrived.lock().send(()).unwrap();
        self.release.lock().recv().unwrap();
    }
}

#[test]
fn a_stuck_sync_is_named_and_what_waits_behind_it_is_refused_until_it_returns() {
    let (env, sim) = Env::sim(1);
    let (arrived, arrivals) = channel();
    let (release, released) = channel();
    let clock =
        Stuck { clock: Arc::clone(&sim.clock), arrived: Mutex::new(arrived), release: Mutex::new(released) };
    let faults = Arc::new(FaultFs::with_clock(Arc::new(sim.fs.clone()), Arc::new(clock), 1));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::default()).unwrap();
    assert_claims(&engine, [1]);
    sim.tasks.settle(500);
    let pass = |ms: u64| {
        for _ in 0..ms / 100 {
            sim.clock.advance(Duration::from_millis(100));
            sim.tasks.settle(500);
        }
    };
    let stalls = || -> Vec<String> {
        let events = engine.events().after(0).into_iter().filter(|event| event.kind == EventKind::Stall);
        events.map(|event| event.text).collect()
    };
    pass(3000);
    assert_eq!(stalls(), [""; 0], "nothing is stuck while nobody writes");
    let latency = Fault::Latency(Duration::from_secs(60));
    faults.add(FaultRule::new(latency).on(IoOp::SyncData).path("/wal/live").times(1));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let outcome = engine.commit(submission([2]));
            ended.store(true, Ordering::SeqCst);
            outcome
        });
        arrivals.recv().unwrap();
        pass(800);
        assert_eq!(stalls(), [""; 0]);
        pass(600);
        assert_eq!(stalls().len(), 1);
        let health = engine.health();
        let stall = health.stall.clone().unwrap();
        assert_eq!(stall.kind, StallKind::Sync);
        assert!(stall.file.unwrap().to_string_lossy().contains("/wal/live."));
        assert!(stall.since >= Duration::from_secs(1) && health.is_ready());
        assert_eq!(found(&engine), [1], "reads go on");

        let second = scope.spawn(|| engine.commit(submission([3])));
        while engine.commit_progress().unanswered < 2 {
            std::thread::yield_now();
        }
        pass(4000);
        // The oldest has waited for five seconds: who comes now is told at once.
        assert!(matches!(engine.commit(submission([4])), Err(Error::Overloaded { .. })));
        pass(1500);
        let refused = second.join().unwrap().unwrap_err();
        assert!(matches!(refused, Error::LockTimeout { .. }), "{refused:?}");
        assert!(refused.to_string().starts_with("Failed to acquire write lock within timeout"));
        assert_eq!(engine.stats().commit.timed_out, 1);

        pass(22_000);
        assert!(engine.health().is_ready(), "not yet");
        pass(2000);
        let health = engine.health();
        assert_eq!(health.stall.clone().map(|stall| stall.kind), Some(StallKind::Deadlock));
        assert!(!health.is_ready());
        assert!(stalls().last().unwrap().starts_with("Deadlock detected in KV store"), "{:?}", stalls());
        let progress = engine.commit_progress();
        assert_eq!((progress.stage, progress.unanswered), (CommitStage::Writing, 1));
        assert!(progress.stalled_for >= Duration::from_secs(30));
        assert!(!ended.load(Ordering::SeqCst));

        release.send(()).unwrap();
        assert!(first.join().unwrap().is_ok());
    });
    pass(1000);
    let health = engine.health();
    assert!(health.is_ready() && health.stall.is_none(), "{health:?}");
    let said = stalls();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said.iter().any(|text| text.contains("has returned")));
    assert!(said.iter().any(|text| text.contains("makes progress again")));
    let stats = engine.stats();
    assert_eq!((stats.stuck_syncs, stats.deadlocks), (1, 1));
    assert!(assert_claims(&engine, [3, 4])[0].created, "what was refused was not applied");
    assert_eq!(found(&engine), [1, 2, 3, 4]);
}
