//! Requests that wait too long are refused for sure, and those that would are refused at once.
#![allow(clippy::unwrap_used)]
// Real threads: the point is what happens while one of them is stuck in a stage.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use stemedb_env::{Clock, Micros, clock::SimClock};
use stemedb_wal::{CommitOptions, CommitQueue, CommitStage, CommitStages, SubmitError};

/// A stage that stops at a gate and keeps what it has written.
struct Gated {
    arrived: Mutex<Sender<()>>,
    gate: Mutex<Receiver<()>>,
    written: Mutex<Vec<u64>>,
}

impl CommitStages for Gated {
    type Request = u64;
    type Reply = u64;
    type Written = Vec<u64>;

    fn write(&self, group: Vec<u64>) -> Vec<u64> {
        self.arrived.lock().unwrap().send(()).unwrap();
        self.gate.lock().unwrap().recv().unwrap();
        self.written.lock().unwrap().extend(&group);
        group
    }

    fn publish(&self, written: Vec<u64>) -> Vec<u64> {
        written
    }
}

struct World {
    queue: CommitQueue<Gated>,
    clock: Arc<SimClock>,
    arrivals: Receiver<()>,
    open: Sender<()>,
}

fn world(lock_timeout_ms: u64) -> World {
    let (arrived, arrivals) = channel();
    let (open, gate) = channel();
    let stages = Gated { arrived: Mutex::new(arrived), gate: Mutex::new(gate), written: Mutex::default() };
    let clock = Arc::new(SimClock::new(Micros(0)));
    let options = CommitOptions {
        lock_timeout: Duration::from_millis(lock_timeout_ms),
        gather: Duration::ZERO,
        ..CommitOptions::default()
    };
    let queue = CommitQueue::new(stages, options, Some(Arc::clone(&clock) as Arc<dyn Clock>), None);
    World { queue, clock, arrivals, open }
}

impl World {
    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    fn wait_for_unanswered(&self, requests: u64) {
        while self.queue.progress().unanswered < requests {
            thread::yield_now();
        }
    }
}

#[test]
fn what_waits_behind_a_stuck_write_is_refused_in_time_and_never_written() {
    let world = world(5000);
    thread::scope(|scope| {
        let first = scope.spawn(|| world.queue.commit(1, 10));
        world.arrivals.recv().unwrap();
        let second = scope.spawn(|| world.queue.commit(2, 10));
        world.wait_for_unanswered(2);
        world.pass(5000);
        assert_eq!(world.queue.expire_overdue(), 0, "it has until then");
        world.pass(1);
        assert_eq!(world.queue.expire_overdue(), 1);
        assert_eq!(second.join().unwrap(), Err(SubmitError::TimedOut { waited_ms: 5001 }));
        // The one that is being written is not touched: nobody knows what becomes of it.
        let progress = world.queue.progress();
        assert_eq!(
            (progress.unanswered, progress.queued_bytes, progress.stage),
            (1, 10, CommitStage::Writing)
        );
        // While the oldest has waited so long nobody else is taken in.
        assert!(matches!(world.queue.commit(3, 1), Err(SubmitError::Overloaded { oldest_ms: 5001, .. })));
        world.open.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Ok(1));
    });
    world.open.send(()).unwrap();
    assert_eq!(world.queue.commit(4, 1), Ok(4), "it goes on");
    assert_eq!(*world.queue.stages().written.lock().unwrap(), [1, 4]);
    let stats = world.queue.stats();
    assert_eq!((stats.timed_out, stats.overloaded, stats.requests, stats.queued_bytes), (1, 1, 2, 0));
}

#[test]
fn a_leader_does_not_write_what_is_overdue_when_its_turn_comes() {
    let world = world(1000);
    thread::scope(|scope| {
        let first = scope.spawn(|| world.queue.commit(1, 10));
        world.arrivals.recv().unwrap();
        let second = scope.spawn(|| world.queue.commit(2, 10));
        world.wait_for_unanswered(2);
        world.pass(1001);
        // Nobody has looked after the queue meanwhile.
        world.open.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Ok(1));
        assert_eq!(second.join().unwrap(), Err(SubmitError::TimedOut { waited_ms: 1001 }));
    });
    assert_eq!(*world.queue.stages().written.lock().unwrap(), [1]);
    let progress = world.queue.progress();
    assert_eq!(
        (progress.unanswered, progress.stage, progress.stalled_for),
        (0, CommitStage::Idle, Duration::ZERO)
    );
}

#[test]
fn a_group_takes_no_more_in_when_half_of_its_time_is_over() {
    let world = world(1000);
    thread::scope(|scope| {
        let first = scope.spawn(|| world.queue.commit(1, 1));
        world.arrivals.recv().unwrap();
        let early = scope.spawn(|| world.queue.commit(2, 1));
        world.wait_for_unanswered(2);
        world.pass(501);
        let late = scope.spawn(|| world.queue.commit(3, 1));
        world.wait_for_unanswered(3);
        assert_eq!(world.queue.progress().waiting_groups, 2);
        world.pass(500);
        assert_eq!(world.queue.expire_overdue(), 1, "only the early one has waited for so long");
        assert_eq!(early.join().unwrap(), Err(SubmitError::TimedOut { waited_ms: 1001 }));
        world.open.send(()).unwrap();
        world.open.send(()).unwrap();
        assert_eq!((first.join().unwrap(), late.join().unwrap()), (Ok(1), Ok(3)));
    });
}

#[test]
fn who_would_wait_too_long_is_told_at_once() {
    let world = world(5000);
    // A write takes three seconds.
    let slow = || {
        world.arrivals.recv().unwrap();
        world.pass(3000);
        world.open.send(()).unwrap();
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| world.queue.commit(1, 1));
        slow();
        assert_eq!(first.join().unwrap(), Ok(1));
        let second = scope.spawn(|| world.queue.commit(2, 1));
        world.arrivals.recv().unwrap();
        // One group waits: three seconds. Two groups wait: six, and nobody else may join them.
        let third = scope.spawn(|| world.queue.commit(3, 1));
        world.wait_for_unanswered(2);
        world.pass(2600);
        let fourth = scope.spawn(|| world.queue.commit(4, 1));
        world.wait_for_unanswered(3);
        assert!(matches!(world.queue.commit(5, 1), Err(SubmitError::Overloaded { oldest_ms: 2600, .. })));
        (0..3).for_each(|_| world.open.send(()).unwrap());
        let replies = [second, third, fourth].map(|commit| commit.join().unwrap());
        assert_eq!(replies, [Ok(2), Ok(3), Ok(4)]);
    });
    // The disk is quick again: the last write counts, not what was before.
    world.open.send(()).unwrap();
    assert_eq!(world.queue.commit(6, 1), Ok(6));
}

#[test]
fn progress_tells_a_pipeline_that_stands_still_from_one_that_rests() {
    let world = world(0);
    world.pass(100_000);
    assert_eq!(world.queue.progress().stalled_for, Duration::ZERO, "nobody waits");
    thread::scope(|scope| {
        let first = scope.spawn(|| world.queue.commit(1, 1));
        world.arrivals.recv().unwrap();
        let before = world.queue.progress();
        world.pass(7000);
        let second = scope.spawn(|| world.queue.commit(2, 1));
        world.wait_for_unanswered(2);
        world.pass(1000);
        assert_eq!(world.queue.expire_overdue(), 0, "there is no bound");
        let after = world.queue.progress();
        assert_eq!((after.steps, after.stalled_for), (before.steps, Duration::from_secs(8)));
        assert_eq!(
            (after.writing_for, after.oldest),
            (Some(Duration::from_secs(8)), Some(Duration::from_secs(8)))
        );
        world.open.send(()).unwrap();
        world.arrivals.recv().unwrap();
        assert_eq!(first.join().unwrap(), Ok(1));
        let moved = world.queue.progress();
        assert!(moved.steps > after.steps && moved.stalled_for == Duration::ZERO, "{moved:?}");
        world.open.send(()).unwrap();
        assert_eq!(second.join().unwrap(), Ok(2));
    });
}
