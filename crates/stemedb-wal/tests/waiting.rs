//! Waiting for an entry: tickets as futures and by threads, followers, ranges, bounds by age.
// Threads are what is tested.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use stemedb_env::{
    Env, Fs, IoOp, Lsn,
    frame::DatabaseId,
    fs::{
        FaultFs, RealFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_wal::{
    CommitOptions, Error, Journal, JournalIdentity, JournalOptions, JournalReader, Leader, SegmentedJournal,
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };

fn journal(dir: &Path, options: JournalOptions) -> SegmentedJournal {
    SegmentedJournal::create(&Env::real(), &dir.join("wal"), IDENTITY, options).unwrap()
}

/// The smallest executor: polls on this thread, sleeps until woken.
struct Alarm {
    rung: Mutex<bool>,
    bell: Condvar,
    rings: AtomicU64,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() = true;
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.bell.notify_one();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> (T, u64) {
    let alarm = Arc::new(Alarm { rung: Mutex::new(false), bell: Condvar::new(), rings: AtomicU64::new(0) });
    let waker = Waker::from(Arc::clone(&alarm));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (out, alarm.rings.load(Ordering::SeqCst));
        }
        let mut rung = alarm.rung.lock().unwrap();
        while !*rung {
            rung = alarm.bell.wait(rung).unwrap();
        }
        *rung = false;
    }
}

#[test]
fn a_polled_ticket_is_woken_when_its_entry_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path(), JournalOptions::tiny());
    for lsn in 1..=50 {
        let ticket = journal.submit(format!("entry {lsn}")).unwrap();
        assert_eq!(block_on(ticket).0.unwrap(), Lsn(lsn));
        assert_eq!(journal.durable_lsn(), Lsn(lsn));
    }
}

#[test]
fn many_tickets_of_one_thread_share_syncs_and_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions { segment_bytes: 64 << 20, ..JournalOptions::default() };
    let journal = journal(folder.path(), options);
    let tickets: Vec<_> = (1..=64).map(|at| journal.submit(format!("entry {at}")).unwrap()).collect();
    for (ticket, lsn) in tickets.into_iter().zip(1..) {
        assert_eq!(ticket.wait().unwrap(), Lsn(lsn));
    }
    let stats = journal.stats();
    assert_eq!((stats.groups, stats.syncs, stats.entries), (1, 1, 64));
}

#[test]
fn an_entry_whose_ticket_was_dropped_is_journaled_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path(), JournalOptions::tiny());
    drop(journal.submit("one").unwrap());
    assert_eq!(journal.wait_durable(Lsn::ZERO, Duration::from_secs(60)), Lsn(1));
    drop(journal.submit("two").unwrap());
    assert_eq!(journal.append("three").unwrap(), Lsn(3));
}

#[test]
fn threads_futures_and_dropped_tickets_mix_under_every_kind_of_leader() {
    for leader in [Leader::Auto, Leader::Caller, Leader::Thread] {
        let folder = tempfile::tempdir().unwrap();
        let queue = CommitOptions { leader, extra_groups: 1, ..CommitOptions::default() };
        let journal = journal(folder.path(), JournalOptions { queue, ..JournalOptions::tiny() });
        let given = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for writer in 0..6 {
                let (journal, given) = (&journal, &given);
                scope.spawn(move || {
                    for at in 0..40 {
                        let text = format!("{writer}/{at}");
                        let lsn = match (writer + at) % 3 {
                            0 => journal.append(text.clone()).unwrap(),
                            1 => block_on(journal.submit(text.clone()).unwrap()).0.unwrap(),
                            _ => {
                                let seen = journal.durable_lsn();
                                drop(journal.submit(text).unwrap());
                                journal.wait_durable(seen, Duration::from_secs(60));
                                continue;
                            }
                        };
                        given.lock().unwrap().push((lsn, text));
                    }
                });
            }
        });
        journal.append("last").unwrap();
        let mut given = given.into_inner().unwrap();
        given.sort();
        let mut reader = journal.read_from(Lsn(1)).unwrap();
        let (mut all, mut expected) = (0, given.iter().peekable());
        while let Some(read) = reader.next_entry().unwrap() {
            all += 1;
            if expected.peek().is_some_and(|(lsn, _)| *lsn == read.lsn) {
                let (_, text) = expected.next().unwrap();
                assert_eq!(read.bytes, text.as_bytes());
            }
        }
        assert_eq!((all, expected.next()), (6 * 40 + 1, None), "{leader:?}");
    }
}

#[test]
fn a_follower_is_woken_by_each_group_and_a_range_ends_where_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path(), JournalOptions::tiny());
    thread::scope(|scope| {
        let journal = &journal;
        scope.spawn(move || {
            for at in 1..=200 {
                journal.append(format!("entry {at}")).unwrap();
            }
        });
        let mut reader = journal.read_from(Lsn(1)).unwrap();
        let mut seen = Lsn::ZERO;
        while seen < Lsn(200) {
            assert!(journal.wait_durable(seen, Duration::from_secs(60)) > seen);
            while let Some(read) = reader.next_entry().unwrap() {
                seen = seen.next();
                assert_eq!((read.lsn, &read.bytes[..]), (seen, format!("entry {seen}").as_bytes()));
            }
        }
    });
    assert_eq!(journal.wait_durable(Lsn(200), Duration::from_millis(1)), Lsn(200));
    let mut range = journal.read_from(Lsn(40)).unwrap().up_to(Lsn(60));
    let read: Vec<u64> =
        std::iter::from_fn(|| range.next_entry().unwrap()).map(|entry| entry.lsn.0).collect();
    assert_eq!(read, (40..=60).collect::<Vec<_>>());
    assert_eq!(range.next_entry().unwrap(), None);
}

#[test]
fn a_disk_that_does_not_answer_is_reported_and_the_queue_refuses_what_would_wait_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let real = Env::real();
    let slow = Arc::new(FaultFs::with_clock(Arc::new(RealFs::new()), Arc::clone(&real.clock), 1));
    let env = Env { fs: Arc::clone(&slow) as Arc<dyn Fs>, ..real };
    let queue = CommitOptions { queue_age: Duration::from_millis(60), ..CommitOptions::default() };
    let options =
        JournalOptions { queue, stuck_after: Duration::from_millis(20), ..JournalOptions::default() };
    let journal = SegmentedJournal::create(&env, &folder.path().join("wal"), IDENTITY, options).unwrap();
    journal.append("before").unwrap();
    let stuck = Duration::from_millis(700);
    slow.add(FaultRule::new(Fault::Latency(stuck)).on(IoOp::SyncData).path("live.").times(1));
    thread::scope(|scope| {
        let journal = &journal;
        let waiting = scope.spawn(move || journal.append("stuck").unwrap());
        let refused = loop {
            // A reading of the gauge is what an operator sees.
            if journal.stats().writing_for_us > 100_000 {
                break journal.append("too late");
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(
            matches!(refused, Err(Error::Overloaded { oldest_ms, .. }) if oldest_ms >= 60),
            "{refused:?}"
        );
        // What was taken in is not given up.
        assert_eq!(waiting.join().unwrap(), Lsn(2));
    });
    assert_eq!(journal.stats().writing_for_us, 0);
    assert_eq!(journal.append("after").unwrap(), Lsn(3));
}

#[test]
fn a_lone_writer_never_waits_for_stragglers() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path(), JournalOptions::default());
    for _ in 0..200 {
        journal.append("alone").unwrap();
    }
    let stats = journal.stats();
    assert_eq!((stats.groups, stats.queue.gathered), (200, 0));
}
