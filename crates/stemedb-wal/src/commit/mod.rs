//! Group commit: many writers, one sync.
//!
//! Writers join the newest group of the queue; the first writer of a group is its leader. Whoever holds the *write*
//! lock takes the group at the front and writes it; then it takes the *publish* lock **before** it lets go of the
//! write lock. So groups are published in the order in which they were written, and the next group can be written
//! (its sync waits for the disk) while this one is published:
//!
//! ```text
//! group 1   write ████████  publish ███  wake
//! group 2   fills ▒▒▒▒▒▒▒▒  write ████████  publish ███  wake
//! group 3                   fills ▒▒▒▒▒▒▒▒  write ████████ …
//! ```
//!
//! A lone writer goes straight through: no timer, no other thread, one uncontended lock per stage. That is also how
//! a single-threaded simulation runs the same code.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};
use stemedb_env::Clock;

use crate::histogram::{Histogram, HistogramSnapshot};

/// The two stages that a group goes through.
pub trait CommitStages: Send + Sync {
    /// What a writer submits.
    type Request: Send;
    /// What it is answered.
    type Reply: Send;
    /// What the first stage hands to the second.
    type Written;

    /// Makes a group durable. Serial, in queue order.
    fn write(&self, group: Vec<Self::Request>) -> Self::Written;

    /// Makes it visible, and gives one reply per request, in their order. Serial, in the same order as the writes;
    /// may overlap the next group's [`CommitStages::write`].
    fn publish(&self, written: Self::Written) -> Vec<Self::Reply>;
}

/// Bounds of a [`CommitQueue`].
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// Requests that have not been answered yet may cost this much together. A single larger one is accepted when
    /// nothing else is in the queue.
    pub queue_bytes: u64,
    /// A group is closed when it costs this much...
    pub group_bytes: u64,
    /// ...or has this many requests.
    pub group_requests: usize,
}

impl Default for CommitOptions {
    fn default() -> CommitOptions {
        CommitOptions { queue_bytes: 64 << 20, group_bytes: 1 << 20, group_requests: 4096 }
    }
}

/// Why a request got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; the request was never taken in.
    #[error("the commit queue is full: {queued_bytes} of {limit_bytes} bytes")]
    Overloaded {
        /// Cost of the requests that have not been answered yet.
        queued_bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
    /// A stage panicked, with this request's group or with one before it. Whether it was written is not known. The
    /// queue takes no more requests.
    #[error("a commit stage panicked")]
    Abandoned,
}

/// Counters of a [`CommitQueue`].
#[derive(Clone, Debug, Default)]
pub struct CommitStats {
    /// Groups that went through.
    pub groups: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were refused because the queue was full.
    pub overloaded: u64,
    /// Requests in the largest group.
    pub largest_group: u64,
    /// Cost of the requests that have not been answered yet.
    pub queued_bytes: u64,
    /// Requests per group.
    pub group_requests: HistogramSnapshot,
    /// Groups that were waiting when a group was taken, itself included: 1 means that nothing was held up.
    pub depth: HistogramSnapshot,
    /// Microseconds from a group's first request to the start of its write. Empty without a clock.
    pub wait_us: HistogramSnapshot,
}

/// Leader/follower group commit over two stages. See the module's head.
pub struct CommitQueue<S: CommitStages> {
    stages: S,
    options: CommitOptions,
    queue: Mutex<Queue<S>>,
    write: Mutex<()>,
    publish: Mutex<()>,
    group_requests: Histogram,
    depth: Histogram,
    wait_us: Histogram,
    clock: Option<Arc<dyn Clock>>,
}

impl<S: CommitStages> fmt::Debug for CommitQueue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitQueue").field("options", &self.options).finish_non_exhaustive()
    }
}

struct Queue<S: CommitStages> {
    waiting: VecDeque<Waiting<S>>,
    /// Cost of everything that has not been answered: waiting or in a stage.
    queued_bytes: u64,
    /// A stage panicked: its state is unknown, so nothing may pass through it any more.
    broken: bool,
    groups: u64,
    requests: u64,
    overloaded: u64,
    largest_group: u64,
}

struct Waiting<S: CommitStages> {
    group: Arc<Group<S::Reply>>,
    requests: Vec<S::Request>,
    cost_bytes: u64,
    since: Duration,
}

/// Where the writers of one group wait. Only they are woken when it is done.
struct Group<R> {
    outcome: Mutex<Outcome<R>>,
    done: Condvar,
}

/// A request's place in a group.
struct Seat<R> {
    group: Arc<Group<R>>,
    member: usize,
}

enum Outcome<R> {
    Pending,
    /// One reply per member; each takes its own.
    Replied(Vec<Option<R>>),
    Abandoned,
}

impl<R> Group<R> {
    fn new() -> Arc<Group<R>> {
        Arc::new(Group { outcome: Mutex::new(Outcome::Pending), done: Condvar::new() })
    }

    fn finish(&self, outcome: Outcome<R>) {
        *self.outcome.lock() = outcome;
        self.done.notify_all();
    }

    fn take(outcome: &mut MutexGuard<'_, Outcome<R>>, member: usize) -> Option<Result<R, SubmitError>> {
        match &mut **outcome {
            Outcome::Pending => None,
            Outcome::Replied(replies) => {
                Some(replies.get_mut(member).and_then(|reply| reply.take()).ok_or(SubmitError::Abandoned))
            }
            Outcome::Abandoned => Some(Err(SubmitError::Abandoned)),
        }
    }

    fn wait(&self, member: usize) -> Result<R, SubmitError> {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(reply) = Self::take(&mut outcome, member) {
                return reply;
            }
            self.done.wait(&mut outcome);
        }
    }
}

impl<S: CommitStages> CommitQueue<S> {
    /// A queue in front of `stages`.
    pub fn new(stages: S, options: CommitOptions) -> CommitQueue<S> {
        CommitQueue {
            stages,
            options,
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                queued_bytes: 0,
                broken: false,
                groups: 0,
                requests: 0,
                overloaded: 0,
                largest_group: 0,
            }),
            write: Mutex::new(()),
            publish: Mutex::new(()),
            group_requests: Histogram::default(),
            depth: Histogram::default(),
            wait_us: Histogram::default(),
            clock: None,
        }
    }

    /// Measures how long groups wait. Costs two looks at the clock per group.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> CommitQueue<S> {
        self.clock = Some(clock);
        self
    }

    fn now(&self) -> Duration {
        self.clock.as_ref().map_or(Duration::ZERO, |clock| clock.monotonic())
    }

    /// The stages.
    pub fn stages(&self) -> &S {
        &self.stages
    }

    /// Counters so far.
    pub fn stats(&self) -> CommitStats {
        let queue = self.queue.lock();
        CommitStats {
            groups: queue.groups,
            requests: queue.requests,
            overloaded: queue.overloaded,
            largest_group: queue.largest_group,
            queued_bytes: queue.queued_bytes,
            group_requests: self.group_requests.snapshot(),
            depth: self.depth.snapshot(),
            wait_us: self.wait_us.snapshot(),
        }
    }

    /// Puts a request in the queue and waits for its reply, doing the work of its group if it is the first of it.
    ///
    /// `cost_bytes` is what the request counts against the bounds. Errors: [`SubmitError::Overloaded`] before the
    /// request was taken in, [`SubmitError::Abandoned`] after a panic.
    pub fn submit(&self, request: S::Request, cost_bytes: u64) -> Result<S::Reply, SubmitError> {
        let Seat { group, member } = self.join(request, cost_bytes)?;
        if member == 0 {
            self.lead(&group);
        }
        group.wait(member)
    }

    /// Adds the request to the newest group, or to a new one.
    fn join(&self, request: S::Request, cost_bytes: u64) -> Result<Seat<S::Reply>, SubmitError> {
        let mut queue = self.queue.lock();
        if queue.broken {
            return Err(SubmitError::Abandoned);
        }
        let queued_bytes = queue.queued_bytes.saturating_add(cost_bytes);
        if queue.queued_bytes > 0 && queued_bytes > self.options.queue_bytes {
            queue.overloaded += 1;
            return Err(SubmitError::Overloaded {
                queued_bytes: queue.queued_bytes,
                limit_bytes: self.options.queue_bytes,
            });
        }
        queue.queued_bytes = queued_bytes;
        if let Some(last) = queue.waiting.back_mut() {
            let cost = last.cost_bytes.saturating_add(cost_bytes);
            if cost <= self.options.group_bytes && last.requests.len() < self.options.group_requests {
                last.cost_bytes = cost;
                last.requests.push(request);
                return Ok(Seat { group: Arc::clone(&last.group), member: last.requests.len() - 1 });
            }
        }
        let group = Group::new();
        let since = self.now();
        let requests = vec![request];
        queue.waiting.push_back(Waiting { group: Arc::clone(&group), requests, cost_bytes, since });
        Ok(Seat { group, member: 0 })
    }

    /// Takes groups from the front until `own` has been taken, by this thread or by another.
    ///
    /// Locks are not first come, first served: the leader of a later group may get the write lock first. It then
    /// does the earlier group's work, so the order of the queue holds and no group is ever without a worker.
    fn lead(&self, own: &Arc<Group<S::Reply>>) {
        loop {
            let write = self.write.lock();
            let taken = {
                let mut queue = self.queue.lock();
                if !queue.waiting.iter().any(|waiting| Arc::ptr_eq(&waiting.group, own)) {
                    return;
                }
                self.depth.add(queue.waiting.len() as u64);
                queue.waiting.pop_front()
            };
            let Some(taken) = taken else { return };
            let last = Arc::ptr_eq(&taken.group, own);
            self.run(taken, write);
            if last {
                return;
            }
        }
    }

    fn run(&self, taken: Waiting<S>, write: MutexGuard<'_, ()>) {
        let Waiting { group, requests, cost_bytes, since } = taken;
        if self.clock.is_some() {
            let waited = self.now().saturating_sub(since);
            self.wait_us.add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        }
        let count = requests.len();
        let guard = AbandonOnPanic { queue: self, group: Arc::clone(&group), armed: true };
        let written = self.stages.write(requests);
        let publish = self.publish.lock();
        // Rebound, so that an unwinding `publish` stage marks the queue broken before the lock is free again.
        let mut guard = guard;
        drop(write);
        if self.queue.lock().broken {
            // The group before this one was never published: this one must not overtake it.
            return;
        }
        let replies = self.stages.publish(written);
        assert_eq!(replies.len(), count, "a stage must give one reply per request");
        drop(publish);
        guard.armed = false;
        self.group_requests.add(count as u64);
        {
            let mut queue = self.queue.lock();
            queue.queued_bytes = queue.queued_bytes.saturating_sub(cost_bytes);
            queue.groups += 1;
            queue.requests += count as u64;
            queue.largest_group = queue.largest_group.max(count as u64);
        }
        group.finish(Outcome::Replied(replies.into_iter().map(Some).collect()));
    }
}

/// Sets everybody free when a stage unwinds (or an earlier one did).
struct AbandonOnPanic<'a, S: CommitStages> {
    queue: &'a CommitQueue<S>,
    group: Arc<Group<S::Reply>>,
    armed: bool,
}

impl<S: CommitStages> Drop for AbandonOnPanic<'_, S> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let waiting = {
            let mut queue = self.queue.queue.lock();
            queue.broken = true;
            std::mem::take(&mut queue.waiting)
        };
        self.group.finish(Outcome::Abandoned);
        waiting.iter().for_each(|waiting| waiting.group.finish(Outcome::Abandoned));
    }
}
