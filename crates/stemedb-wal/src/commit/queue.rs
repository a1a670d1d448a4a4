//! The queue: who joins, who leads, in which order.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use stemedb_env::{
    Budget, Clock, Job, Step, TaskHandle, Tasks,
    sync::{
        Gate, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    CommitOptions, CommitStages, CommitStats, Leader, SubmitError, Ticket, group::Group, stats::Histograms,
};

/// From so many active writers on the background job leads.
const MANY_WRITERS: usize = 16;

/// Leader/follower group commit over two stages. See the module's head.
pub struct CommitQueue<S: CommitStages> {
    shared: Arc<Shared<S>>,
}

impl<S: CommitStages> fmt::Debug for CommitQueue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitQueue").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// Where the writers of one group of these stages wait.
type GroupOf<S> = Arc<Group<<S as CommitStages>::Reply>>;

/// What the queue's handles, its tickets and its job share.
pub(super) struct Shared<S: CommitStages> {
    stages: S,
    pub(super) options: CommitOptions,
    pub(super) queue: Mutex<Queue<S>>,
    /// Held from the end of a group's write to the end of its publication.
    publish: Mutex<()>,
    /// Opened when a writer arrives that a leader is waiting for.
    arrival: Gate,
    /// Smoothed duration of a write, microseconds.
    write_us: AtomicU64,
    /// Of the last write alone.
    last_write_us: AtomicU64,
    clock: Option<Arc<dyn Clock>>,
    tasks: Option<Arc<dyn Tasks>>,
    /// Leads for tickets that are polled; started when one first needs it.
    job: Mutex<Option<Arc<TaskHandle>>>,
    histograms: Histograms,
}

pub(super) struct Queue<S: CommitStages> {
    pub(super) waiting: VecDeque<Waiting<S>>,
    /// Somebody writes, or is about to.
    leading: bool,
    /// How many requests a waiting leader hopes for in the front group. 0: none waits.
    hoped_for: usize,
    /// Writers that were active when the last group was answered: its own and those that waited behind it.
    active_writers: usize,
    /// When that was.
    answered_at: Duration,
    /// Cost of everything that has not been answered: waiting or in a stage.
    pub(super) queued_bytes: u64,
    /// Requests that have not been answered.
    pub(super) unanswered: u64,
    /// When the group that is being written got its first request.
    pub(super) in_write_since: Option<Duration>,
    /// When its write began.
    pub(super) write_began: Option<Duration>,
    /// When the publication under way began.
    pub(super) publish_began: Option<Duration>,
    /// Ends of anything: a group was taken, written or published.
    pub(super) steps: u64,
    /// When the last one was, or the first request came after a rest.
    pub(super) stepped_at: Duration,
    /// A stage panicked: its state is unknown, so nothing may pass through it any more.
    broken: bool,
    groups: u64,
    requests: u64,
    overloaded: u64,
    pub(super) timed_out: u64,
    largest_group: u64,
    gathered: u64,
}

pub(super) struct Waiting<S: CommitStages> {
    pub(super) group: Arc<Group<S::Reply>>,
    pub(super) requests: Vec<S::Request>,
    pub(super) cost_bytes: u64,
    /// When its first request came.
    pub(super) since: Duration,
}

impl<S: CommitStages> CommitQueue<S> {
    /// A queue in front of `stages`. Without a clock there is no bound by age and no waiting for stragglers; without
    /// tasks a polled ticket leads itself, inside the poll.
    pub fn new(
        stages: S,
        options: CommitOptions,
        clock: Option<Arc<dyn Clock>>,
        tasks: Option<Arc<dyn Tasks>>,
    ) -> CommitQueue<S> {
        let queue = Queue {
            waiting: VecDeque::new(),
            leading: false,
            hoped_for: 0,
            active_writers: 0,
            answered_at: Duration::ZERO,
            queued_bytes: 0,
            unanswered: 0,
            in_write_since: None,
            write_began: None,
            publish_began: None,
            steps: 0,
            stepped_at: Duration::ZERO,
            broken: false,
            groups: 0,
            requests: 0,
            overloaded: 0,
            timed_out: 0,
            largest_group: 0,
            gathered: 0,
        };
        let shared = Shared {
            stages,
            options,
            queue: Mutex::new(queue),
            publish: Mutex::new(()),
            arrival: Gate::new(),
            write_us: AtomicU64::new(0),
            last_write_us: AtomicU64::new(0),
            clock,
            tasks,
            job: Mutex::new(None),
            histograms: Histograms::default(),
        };
        CommitQueue { shared: Arc::new(shared) }
    }

    pub(super) fn of(shared: Arc<Shared<S>>) -> CommitQueue<S> {
        CommitQueue { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<S>> {
        &self.shared
    }

    /// The stages.
    pub fn stages(&self) -> &S {
        &self.shared.stages
    }

    /// Counters so far.
    pub fn stats(&self) -> CommitStats {
        let queue = self.shared.queue.lock();
        let histograms = &self.shared.histograms;
        CommitStats {
            groups: queue.groups,
            requests: queue.requests,
            overloaded: queue.overloaded,
            timed_out: queue.timed_out,
            largest_group: queue.largest_group,
            queued_bytes: queue.queued_bytes,
            gathered: queue.gathered,
            group_requests: histograms.group_requests.snapshot(),
            depth: histograms.depth.snapshot(),
            wait_us: histograms.wait_us.snapshot(),
            gather_us: histograms.gather_us.snapshot(),
        }
    }

    /// Puts a request in the queue. Somebody who waits for a reply writes it, or the background job when its ticket
    /// is polled or dropped.
    ///
    /// `cost_bytes` is what the request counts against the bounds. Errors: [`SubmitError::Overloaded`] before the
    /// request was taken in, [`SubmitError::Abandoned`] after a panic. [`SubmitError::TimedOut`] is told by the ticket.
    pub fn submit(&self, request: S::Request, cost_bytes: u64) -> Result<Ticket<S>, SubmitError> {
        let (group, member) = self.shared.join(request, cost_bytes)?;
        Ok(Ticket::new(Arc::clone(&self.shared), group, member))
    }

    /// Puts a request in the queue and waits for its reply. Errors as [`CommitQueue::submit`].
    pub fn commit(&self, request: S::Request, cost_bytes: u64) -> Result<S::Reply, SubmitError> {
        self.submit(request, cost_bytes)?.wait()
    }
}

impl<S: CommitStages> Shared<S> {
    pub(super) fn now(&self) -> Duration {
        self.clock.as_ref().map_or(Duration::ZERO, |clock| clock.monotonic())
    }

    /// Adds the request to the newest group, or to a new one.
    fn join(&self, request: S::Request, cost_bytes: u64) -> Result<(GroupOf<S>, usize), SubmitError> {
        let now = self.now();
        let mut queue = self.queue.lock();
        if queue.broken {
            return Err(SubmitError::Abandoned);
        }
        let queued_bytes = queue.queued_bytes.saturating_add(cost_bytes);
        let oldest = queue.oldest().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let too_many = queue.queued_bytes > 0 && queued_bytes > self.options.queue_bytes;
        if too_many || oldest > self.options.oldest_allowed() || self.would_be_late(&queue) {
            queue.overloaded += 1;
            return Err(SubmitError::Overloaded {
                queued_bytes: queue.queued_bytes,
                limit_bytes: self.options.queue_bytes,
                oldest_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
            });
        }
        queue.queued_bytes = queued_bytes;
        if queue.unanswered == 0 {
            queue.stepped_at = now;
        }
        queue.unanswered += 1;
        if let Some(last) = queue.waiting.back_mut() {
            let cost = last.cost_bytes.saturating_add(cost_bytes);
            let is_open = now.saturating_sub(last.since) <= self.options.group_open_for();
            if cost <= self.options.group_bytes
                && last.requests.len() < self.options.group_requests
                && is_open
            {
                last.cost_bytes = cost;
                last.requests.push(request);
                let seat = (Arc::clone(&last.group), last.requests.len() - 1);
                self.tell_gatherer(&queue);
                return Ok(seat);
            }
        }
        let group = Group::new();
        let requests = vec![request];
        queue.waiting.push_back(Waiting { group: Arc::clone(&group), requests, cost_bytes, since: now });
        self.tell_gatherer(&queue);
        Ok((group, 0))
    }

    fn tell_gatherer(&self, queue: &Queue<S>) {
        if queue.hoped_for > 0 && queue.has_arrived(queue.hoped_for) {
            self.arrival.open();
        }
    }

    /// Takes the lead if it is free, and keeps it until `own` is answered (and for a few groups more, if so
    /// configured). False if somebody else leads.
    pub fn lead_until(self: &Arc<Self>, own: &Arc<Group<S::Reply>>) -> bool {
        if self.options.leader == Leader::Thread && self.tasks.is_some() {
            self.need_leader();
            return false;
        }
        if !self.take_lead() {
            return false;
        }
        let mut more = None;
        while self.run_front(&mut |group| {
            // It may have been refused meanwhile, and then never comes.
            if Arc::ptr_eq(group, own) || (more.is_none() && own.is_finished()) {
                more = Some(self.options.extra_groups);
                return self.options.extra_groups > 0;
            }
            match &mut more {
                None => true,
                Some(left) => {
                    *left -= 1;
                    *left > 0
                }
            }
        }) {}
        true
    }

    /// Sees to it that somebody leads: for requests whose ticket no thread waits for.
    pub fn need_leader(self: &Arc<Self>) {
        let idle = {
            let queue = self.queue.lock();
            !queue.leading && !queue.waiting.is_empty()
        };
        if idle {
            self.wake_job();
        }
    }

    fn wake_job(self: &Arc<Self>) {
        match self.job() {
            Some(job) => job.wake(),
            None => self.lead_all(),
        }
    }

    /// The background job, started by whoever needs it first; `None` without tasks, or if it cannot be started.
    fn job(self: &Arc<Self>) -> Option<Arc<TaskHandle>> {
        let mut slot = self.job.lock();
        if slot.is_none() {
            let job = LeadJob { shared: Arc::downgrade(self) };
            let handle = self.tasks.as_ref()?.spawn("journal-commit", Box::new(job)).ok()?;
            *slot = Some(Arc::new(handle));
        }
        slot.clone()
    }

    /// Writes whatever waits, if nobody else does.
    fn lead_all(self: &Arc<Self>) {
        if self.take_lead() {
            while self.run_front(&mut |_| true) {}
        }
    }

    fn take_lead(&self) -> bool {
        let mut queue = self.queue.lock();
        let free = !queue.leading && !queue.waiting.is_empty();
        queue.leading |= free;
        free
    }

    /// Writes and publishes the group at the front. The caller leads; it goes on leading if this returns true, which
    /// it does if `stay` says so of the group and more are waiting.
    fn run_front(self: &Arc<Self>, stay: &mut dyn FnMut(&GroupOf<S>) -> bool) -> bool {
        self.gather();
        let started = self.now();
        let (taken, overdue) = {
            let mut queue = self.queue.lock();
            let overdue = queue.take_overdue(started, self.options.lock_timeout);
            let depth = queue.waiting.len() as u64;
            let taken = queue.waiting.pop_front();
            match &taken {
                Some(taken) => {
                    queue.in_write_since = Some(taken.since);
                    queue.write_began = Some(started);
                    queue.step(started);
                }
                None => queue.leading = false,
            }
            self.histograms.depth.add(depth);
            (taken, overdue)
        };
        self.refuse_overdue(overdue, started);
        let Some(Waiting { group, requests, cost_bytes, since }) = taken else { return false };
        let count = requests.len();
        if self.clock.is_some() {
            self.histograms.wait_us.add(micros(started.saturating_sub(since)));
        }
        let guard = AbandonOnPanic { shared: self, group: Arc::clone(&group), armed: true };
        let written = self.stages.write(requests);
        let written_at = self.now();
        self.smooth_write(micros(written_at.saturating_sub(started)));
        let publish = self.publish.lock();
        // Rebound, so that an unwinding `publish` stage marks the queue broken before the lock is free again.
        let mut guard = guard;
        let stays = stay(&group);
        let (leads, many, asked) = {
            let mut queue = self.queue.lock();
            queue.in_write_since = None;
            queue.write_began = None;
            queue.step(written_at);
            if queue.broken {
                // The group before this one was never published: this one must not overtake it.
                return false;
            }
            queue.publish_began = Some(written_at);
            queue.leading = stays && !queue.waiting.is_empty();
            let behind: usize = queue.waiting.iter().map(|waiting| waiting.requests.len()).sum();
            let many = self.options.leader == Leader::Auto
                && self.tasks.is_some()
                && !queue.leading
                && behind > 0
                && count + behind >= MANY_WRITERS;
            let asked: Vec<_> = if queue.leading {
                Vec::new()
            } else {
                queue.waiting.iter().map(|waiting| Arc::clone(&waiting.group)).collect()
            };
            (queue.leading, many, asked)
        };
        if many {
            self.wake_job();
        } else {
            self.pass_on(&asked);
        }
        let replies = self.stages.publish(written);
        assert_eq!(replies.len(), count, "a stage must give one reply per request");
        drop(publish);
        guard.armed = false;
        self.histograms.group_requests.add(count as u64);
        {
            let mut queue = self.queue.lock();
            if queue.publish_began == Some(written_at) {
                // Otherwise the next publication has begun in between.
                queue.publish_began = None;
            }
            queue.unanswered = queue.unanswered.saturating_sub(count as u64);
            queue.queued_bytes = queue.queued_bytes.saturating_sub(cost_bytes);
            queue.groups += 1;
            queue.requests += count as u64;
            queue.largest_group = queue.largest_group.max(count as u64);
            let behind: usize = queue.waiting.iter().map(|waiting| waiting.requests.len()).sum();
            queue.active_writers = count + behind;
            let answered_at = self.now();
            queue.answered_at = answered_at;
            queue.step(answered_at);
        }
        group.finish(Ok(replies));
        leads
    }

    /// Asks somebody to lead, oldest group first. Whoever is about to sleep instead will notice and lead by itself.
    fn pass_on(self: &Arc<Self>, waiting: &[Arc<Group<S::Reply>>]) {
        for group in waiting {
            if group.ask_to_lead() {
                return;
            }
        }
        if waiting.iter().any(|group| group.needs_job()) {
            self.wake_job();
        }
    }

    fn smooth_write(&self, took_us: u64) {
        self.last_write_us.store(took_us, Ordering::Relaxed);
        let old = self.write_us.load(Ordering::Relaxed);
        let new = if old == 0 { took_us } else { (old.saturating_mul(7).saturating_add(took_us)) / 8 };
        self.write_us.store(new, Ordering::Relaxed);
    }

    /// How long a write takes, at the least: what was slow once may be quick again.
    pub(super) fn usual_write_us(&self) -> u64 {
        self.write_us.load(Ordering::Relaxed).min(self.last_write_us.load(Ordering::Relaxed))
    }

    /// Waits a little for writers that are known to be on their way.
    ///
    /// Writers that were woken together come back together, but not at once; a leader that does not wait splits them
    /// into two halves that take turns, so that each sync carries half of what it could.
    fn gather(&self) {
        let limit = self.options.gather.min(Duration::from_micros(self.write_us.load(Ordering::Relaxed) / 2));
        if limit.is_zero() || self.clock.is_none() {
            return;
        }
        let start = self.now();
        let mut seen = {
            let mut queue = self.queue.lock();
            let recent = start.saturating_sub(queue.answered_at) < limit * 4;
            if !recent || queue.has_arrived(queue.active_writers) {
                return;
            }
            queue.hoped_for = queue.active_writers;
            queue.gathered += 1;
            self.arrival.now()
        };
        loop {
            let left = limit.saturating_sub(self.now().saturating_sub(start));
            let woken = !left.is_zero() && self.arrival.wait_for(seen, left);
            let mut queue = self.queue.lock();
            if !woken || queue.has_arrived(queue.hoped_for) {
                queue.hoped_for = 0;
                break;
            }
            seen = self.arrival.now();
        }
        self.histograms.gather_us.add(micros(self.now().saturating_sub(start)));
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl<S: CommitStages> Queue<S> {
    /// True if the front group has that many requests, or is closed.
    fn has_arrived(&self, requests: usize) -> bool {
        let front = self.waiting.front().map_or(0, |front| front.requests.len());
        front >= requests || self.waiting.len() > 1
    }

    fn step(&mut self, now: Duration) {
        self.steps += 1;
        self.stepped_at = self.stepped_at.max(now);
    }

    /// When the oldest unanswered request came.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.in_write_since.or_else(|| self.waiting.front().map(|front| front.since))
    }
}

/// Leads for tickets that no thread waits for.
struct LeadJob<S: CommitStages> {
    shared: Weak<Shared<S>>,
}

impl<S: CommitStages> Job for LeadJob<S> {
    fn step(&mut self, _budget: Budget) -> Step {
        let Some(shared) = self.shared.upgrade() else { return Step::Done };
        // The lead is not kept between steps: whoever waits in between must be able to take it.
        shared.lead_all();
        Step::Idle
    }
}

/// Sets everybody free when a stage unwinds (or an earlier one did).
struct AbandonOnPanic<'a, S: CommitStages> {
    shared: &'a Shared<S>,
    group: Arc<Group<S::Reply>>,
    armed: bool,
}

impl<S: CommitStages> Drop for AbandonOnPanic<'_, S> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let waiting = {
            let mut queue = self.shared.queue.lock();
            queue.broken = true;
            queue.leading = false;
            (queue.unanswered, queue.write_began, queue.publish_began) = (0, None, None);
            std::mem::take(&mut queue.waiting)
        };
        self.group.finish(Err(SubmitError::Abandoned));
        waiting.iter().for_each(|waiting| waiting.group.finish(Err(SubmitError::Abandoned)));
    }
}
