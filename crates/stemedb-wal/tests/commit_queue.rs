//! Group commit under threads: replies, order, bounds, panics.
// Threads are what is tested.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use proptest::prelude::*;
use stemedb_wal::{CommitOptions, CommitQueue, CommitStages, SubmitError};

/// Numbers each request in the order of writes; a reply is the request with its number.
#[derive(Default)]
struct Numbering {
    in_write: AtomicBool,
    in_publish: AtomicBool,
    written: Mutex<Vec<(u64, u64)>>,
    published: Mutex<Vec<u64>>,
    largest_bytes: AtomicU64,
}

impl CommitStages for Numbering {
    type Request = (u64, u64);
    type Reply = ((u64, u64), u64);
    type Written = Vec<((u64, u64), u64)>;

    fn write(&self, group: Vec<(u64, u64)>) -> Self::Written {
        assert!(!self.in_write.swap(true, Ordering::SeqCst), "two writes at once");
        let mut written = self.written.lock().unwrap();
        let numbered = group
            .into_iter()
            .map(|request| {
                written.push(request);
                (request, written.len() as u64)
            })
            .collect::<Vec<_>>();
        self.largest_bytes.fetch_max(numbered.len() as u64, Ordering::SeqCst);
        drop(written);
        thread::yield_now();
        self.in_write.store(false, Ordering::SeqCst);
        numbered
    }

    fn publish(&self, written: Self::Written) -> Vec<Self::Reply> {
        assert!(!self.in_publish.swap(true, Ordering::SeqCst), "two publications at once");
        self.published.lock().unwrap().extend(written.iter().map(|(_, number)| number));
        thread::yield_now();
        self.in_publish.store(false, Ordering::SeqCst);
        written
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_writer_gets_its_own_reply_and_groups_keep_their_order(
        writers in 1u64..9, each in 1u64..40, group_requests in 1usize..6, group_bytes in 1u64..50,
    ) {
        let options = CommitOptions { queue_bytes: 1 << 20, group_bytes, group_requests, ..CommitOptions::default() };
        let queue = CommitQueue::new(Numbering::default(), options, None, None);
        thread::scope(|scope| {
            for writer in 0..writers {
                let queue = &queue;
                scope.spawn(move || {
                    let mut last = 0;
                    for at in 0..each {
                        let (request, number) = queue.commit((writer, at), 1 + at % 20).unwrap();
                        assert_eq!(request, (writer, at));
                        assert!(number > last, "a writer's second entry came before its first");
                        last = number;
                    }
                });
            }
        });
        let stats = queue.stats();
        prop_assert_eq!(stats.requests, writers * each);
        prop_assert_eq!(stats.queued_bytes, 0);
        prop_assert!(stats.largest_group <= group_requests as u64);
        prop_assert!(stats.groups <= stats.requests);
        prop_assert_eq!(stats.group_requests.count(), stats.groups);
        prop_assert_eq!(stats.group_requests.sum, stats.requests);
        let published = queue.stages().published.lock().unwrap().clone();
        prop_assert_eq!(published, (1..=writers * each).collect::<Vec<_>>());
    }
}

#[test]
fn a_lone_writer_needs_nobody_and_each_request_is_a_group() {
    let queue = CommitQueue::new(Numbering::default(), CommitOptions::default(), None, None);
    for at in 0..100 {
        assert_eq!(queue.commit((0, at), 10).unwrap().1, at + 1);
    }
    let stats = queue.stats();
    assert_eq!((stats.groups, stats.requests, stats.largest_group), (100, 100, 1));
}

/// Stages that stop at a gate and say that they are there.
struct Gated {
    arrived: Mutex<Sender<&'static str>>,
    gate: Mutex<Receiver<()>>,
    publish_waits: bool,
}

impl CommitStages for Gated {
    type Request = u64;
    type Reply = u64;
    type Written = Vec<u64>;

    fn write(&self, group: Vec<u64>) -> Vec<u64> {
        self.arrived.lock().unwrap().send("write").unwrap();
        if !self.publish_waits {
            self.gate.lock().unwrap().recv().unwrap();
        }
        group
    }

    fn publish(&self, written: Vec<u64>) -> Vec<u64> {
        self.arrived.lock().unwrap().send("publish").unwrap();
        if self.publish_waits {
            self.gate.lock().unwrap().recv().unwrap();
        }
        written
    }
}

fn gated(
    publish_waits: bool,
    options: CommitOptions,
) -> (CommitQueue<Gated>, Receiver<&'static str>, Sender<()>) {
    let (arrived, arrivals) = channel();
    let (open, gate) = channel();
    let stages = Gated { arrived: Mutex::new(arrived), gate: Mutex::new(gate), publish_waits };
    (CommitQueue::new(stages, options, None, None), arrivals, open)
}

#[test]
fn the_next_group_is_written_while_this_one_is_published() {
    let (queue, arrivals, open) = gated(true, CommitOptions::default());
    thread::scope(|scope| {
        let first = scope.spawn(|| queue.commit(1, 1));
        assert_eq!((arrivals.recv().unwrap(), arrivals.recv().unwrap()), ("write", "publish"));
        // The first group stands in its publication; the second gets through its write.
        let second = scope.spawn(|| queue.commit(2, 1));
        assert_eq!(arrivals.recv().unwrap(), "write");
        open.send(()).unwrap();
        assert_eq!(arrivals.recv().unwrap(), "publish");
        open.send(()).unwrap();
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(1), Ok(2)));
    });
}

#[test]
fn writers_that_come_during_a_write_share_the_next_group() {
    let (queue, arrivals, open) = gated(false, CommitOptions::default());
    thread::scope(|scope| {
        let first = scope.spawn(|| queue.commit(0, 1));
        assert_eq!(arrivals.recv().unwrap(), "write");
        let others: Vec<_> = (1..=8)
            .map(|at| {
                scope.spawn({
                    let queue = &queue;
                    move || queue.commit(at, 1)
                })
            })
            .collect();
        while queue.stats().queued_bytes < 9 {
            thread::yield_now();
        }
        open.send(()).unwrap();
        open.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Ok(0));
        for (at, other) in others.into_iter().enumerate() {
            assert_eq!(other.join().unwrap(), Ok(at as u64 + 1));
        }
    });
    let stats = queue.stats();
    assert_eq!((stats.groups, stats.largest_group), (2, 8));
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_requests_again_when_it_has_drained() {
    let options = CommitOptions { queue_bytes: 10, ..CommitOptions::default() };
    let (queue, arrivals, open) = gated(false, options);
    thread::scope(|scope| {
        // Larger than the whole bound, but alone.
        let first = scope.spawn(|| queue.commit(1, 25));
        assert_eq!(arrivals.recv().unwrap(), "write");
        assert_eq!(
            queue.commit(2, 1),
            Err(SubmitError::Overloaded { queued_bytes: 25, limit_bytes: 10, oldest_ms: 0 })
        );
        open.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Ok(1));
    });
    open.send(()).unwrap();
    assert_eq!(queue.commit(3, 1), Ok(3));
    assert_eq!((queue.stats().overloaded, queue.stats().queued_bytes), (1, 0));
}

/// Panics in one stage at the request 13.
struct Superstitious {
    in_publish: bool,
    published: Mutex<Vec<u64>>,
    arrived: Mutex<Sender<()>>,
    gate: Mutex<Receiver<()>>,
}

impl CommitStages for Superstitious {
    type Request = u64;
    type Reply = u64;
    type Written = Vec<u64>;

    fn write(&self, group: Vec<u64>) -> Vec<u64> {
        if group.contains(&13) {
            self.arrived.lock().unwrap().send(()).unwrap();
            self.gate.lock().unwrap().recv().unwrap();
            assert!(self.in_publish, "unlucky write");
        }
        group
    }

    fn publish(&self, written: Vec<u64>) -> Vec<u64> {
        assert!(!written.contains(&13), "unlucky publication");
        self.published.lock().unwrap().extend(&written);
        written
    }
}

#[test]
fn a_panic_in_a_stage_sets_every_waiter_free_and_closes_the_queue() {
    for in_publish in [false, true] {
        let (arrived, arrivals) = channel();
        let (open, gate) = channel();
        let stages = Superstitious {
            in_publish,
            published: Mutex::default(),
            arrived: Mutex::new(arrived),
            gate: Mutex::new(gate),
        };
        let options = CommitOptions { group_requests: 2, ..CommitOptions::default() };
        let queue = CommitQueue::new(stages, options, None, None);
        assert_eq!(queue.commit(1, 1), Ok(1));
        thread::scope(|scope| {
            let leader = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| queue.commit(13, 1))).is_err());
            arrivals.recv().unwrap();
            let others: Vec<_> = (20..27)
                .map(|at| {
                    scope.spawn({
                        let queue = &queue;
                        move || queue.commit(at, 1)
                    })
                })
                .collect();
            while queue.stats().queued_bytes < 8 {
                thread::yield_now();
            }
            open.send(()).unwrap();
            assert!(leader.join().unwrap());
            for other in others {
                assert_eq!(other.join().unwrap(), Err(SubmitError::Abandoned));
            }
        });
        assert_eq!(queue.commit(30, 1), Err(SubmitError::Abandoned));
        // Nothing behind the broken group became visible.
        assert_eq!(*queue.stages().published.lock().unwrap(), vec![1]);
    }
}
