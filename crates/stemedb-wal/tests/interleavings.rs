//! The commit queue under every schedule that shuttle comes up with: `cargo xtask interleavings`.
//!
//! Built with `--cfg shuttle` only: then locks, gates and atomics are shuttle's, and its scheduler decides who runs at
//! each of them. A wake-up that is lost is a deadlock, and shuttle prints the schedule that leads to it.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use shuttle::{
    sync::{Arc, Condvar, Mutex},
    thread,
};
use stemedb_env::{Budget, Clock, Job, Micros, Step, TaskHandle, Tasks, tasks::TaskControl};
use stemedb_wal::{CommitOptions, CommitQueue, CommitStages, Leader};

/// Schedules per test: some milliseconds each thousand.
const RANDOM: usize = 12_000;
const PCT: usize = 12_000;

/// Numbers requests in the order of their writes, and checks that publications keep it.
#[derive(Default)]
struct Numbering {
    written: Mutex<u64>,
    published: Mutex<u64>,
}

impl CommitStages for Numbering {
    type Request = u64;
    type Reply = (u64, u64);
    type Written = Vec<(u64, u64)>;

    fn write(&self, group: Vec<u64>) -> Self::Written {
        let mut written = self.written.try_lock().expect("two writes at once");
        group
            .into_iter()
            .map(|request| {
                thread::yield_now();
                *written += 1;
                (request, *written)
            })
            .collect()
    }

    fn publish(&self, written: Self::Written) -> Vec<(u64, u64)> {
        let mut published = self.published.try_lock().expect("two publications at once");
        for (_, number) in &written {
            thread::yield_now();
            assert_eq!(*number, *published + 1, "published out of order");
            *published = *number;
        }
        written
    }
}

/// Each look at it takes ten microseconds, so that bounds by time are reached without a timer.
#[derive(Debug, Default)]
struct CountingClock(AtomicU64);

impl Clock for CountingClock {
    fn wall(&self) -> Micros {
        Micros(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.fetch_add(10, Ordering::SeqCst))
    }

    fn sleep(&self, _duration: Duration) {
        thread::yield_now();
    }
}

/// One shuttle thread per job.
#[derive(Debug, Default)]
struct ShuttleTasks;

#[derive(Default)]
struct Control {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

struct Handle(Arc<Control>);

impl TaskControl for Handle {
    fn wake(&self) {
        self.0.state.lock().unwrap().0 = true;
        self.0.changed.notify_all();
    }

    fn stop(&self) {
        self.0.state.lock().unwrap().1 = true;
        self.0.changed.notify_all();
    }
}

impl Tasks for ShuttleTasks {
    fn spawn(&self, _name: &str, mut job: Box<dyn Job>) -> stemedb_env::Result<TaskHandle> {
        let control = Arc::new(Control::default());
        let mine = Arc::clone(&control);
        thread::spawn(move || {
            loop {
                if job.step(Budget { bytes: 1 }) == Step::Done {
                    return;
                }
                let mut state = mine.state.lock().unwrap();
                while !state.0 && !state.1 {
                    state = mine.changed.wait(state).unwrap();
                }
                if state.1 {
                    return;
                }
                state.0 = false;
            }
        });
        Ok(TaskHandle::new(Box::new(Handle(control))))
    }

    fn drive(&self) -> bool {
        false
    }
}

struct Alarm(Mutex<bool>, Condvar);

impl Wake for Alarm {
    fn wake(self: std::sync::Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let alarm = std::sync::Arc::new(Alarm(Mutex::new(false), Condvar::new()));
    let waker = Waker::from(std::sync::Arc::clone(&alarm));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return out;
        }
        let mut rung = alarm.0.lock().unwrap();
        while !*rung {
            rung = alarm.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

fn queue(leader: Leader, extra_groups: u32, timed: bool) -> Arc<CommitQueue<Numbering>> {
    let options = CommitOptions { leader, extra_groups, group_requests: 2, ..CommitOptions::default() };
    let clock = timed.then(|| std::sync::Arc::new(CountingClock::default()) as std::sync::Arc<dyn Clock>);
    let tasks = std::sync::Arc::new(ShuttleTasks) as std::sync::Arc<dyn Tasks>;
    Arc::new(CommitQueue::new(Numbering::default(), options, clock, Some(tasks)))
}

fn explore(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scenario.clone(), RANDOM);
    shuttle::check_pct(scenario, PCT, 3);
}

#[test]
fn waiting_writers_are_all_answered_in_order() {
    for (leader, extra, timed) in [
        (Leader::Caller, 0, false),
        (Leader::Caller, 1, false),
        (Leader::Auto, 0, true),
        (Leader::Thread, 0, false),
    ] {
        explore(move || {
            let queue = queue(leader, extra, timed);
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || {
                        let mut last = 0;
                        for at in 0..2 {
                            let request = writer * 10 + at;
                            let (echo, number) = queue.commit(request, 1).unwrap();
                            assert_eq!(echo, request);
                            assert!(number > last, "a writer's second request came before its first");
                            last = number;
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            assert_eq!(queue.stats().requests, 6);
        });
    }
}

#[test]
fn waiting_polling_and_dropping_mix() {
    for leader in [Leader::Caller, Leader::Auto, Leader::Thread] {
        explore(move || {
            let queue = queue(leader, 0, false);
            let waiter = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    // Two tickets at once, waited for in the wrong order.
                    let (one, two) = (queue.submit(1, 1).unwrap(), queue.submit(2, 1).unwrap());
                    let (second, first) = (two.wait().unwrap(), one.wait().unwrap());
                    assert!(first.1 < second.1);
                })
            };
            let poller = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    assert_eq!(block_on(queue.submit(3, 1).unwrap()).unwrap().0, 3);
                })
            };
            drop(queue.submit(4, 1).unwrap());
            assert_eq!(queue.commit(5, 1).unwrap().0, 5);
            waiter.join().unwrap();
            poller.join().unwrap();
            while queue.stats().requests < 5 {
                // The dropped one is somebody's work, not necessarily done yet.
                thread::yield_now();
            }
        });
    }
}

#[test]
fn a_ticket_that_nobody_waits_for_does_not_keep_those_behind_it_waiting() {
    explore(|| {
        let queue = queue(Leader::Caller, 0, false);
        let commit = |at| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.commit(at, 1).unwrap())
        };
        // While one leads, a full group gathers that has nobody who would lead for it, and behind it one that has.
        let leader = commit(9);
        let unwaited: Vec<_> = (0..2).map(|at| queue.submit(at, 1).unwrap()).collect();
        let behind = [commit(2), commit(3)];
        leader.join().unwrap();
        for writer in behind {
            writer.join().unwrap();
        }
        for ticket in unwaited {
            ticket.wait().unwrap();
        }
    });
}
