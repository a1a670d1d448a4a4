//! Requests that have waited too long, and those that would.
//!
//! A group leaves the queue either to be written or because it is overdue, under the queue's lock: a refusal is definite, also
//! while the group before it is stuck in a sync. Nobody who waits looks at a clock for that: the leader looks when it takes a
//! group, and whoever watches over the queue calls [`CommitQueue::expire_overdue`] now and then.

use std::time::Duration;

use super::{
    CommitQueue, CommitStages, SubmitError,
    queue::{Queue, Shared, Waiting},
};

impl<S: CommitStages> Queue<S> {
    /// Takes out the groups at the front that have waited longer than `timeout`.
    pub(super) fn take_overdue(&mut self, now: Duration, timeout: Duration) -> Vec<Waiting<S>> {
        let mut overdue = Vec::new();
        if timeout.is_zero() {
            return overdue;
        }
        while self.waiting.front().is_some_and(|front| now.saturating_sub(front.since) > timeout) {
            let Some(group) = self.waiting.pop_front() else { break };
            let requests = group.requests.len() as u64;
            self.queued_bytes = self.queued_bytes.saturating_sub(group.cost_bytes);
            self.unanswered = self.unanswered.saturating_sub(requests);
            self.timed_out += requests;
            overdue.push(group);
        }
        overdue
    }
}

impl<S: CommitStages> Shared<S> {
    /// Whether a request that joined now would foreseeably be overdue before it is written.
    pub(super) fn would_be_late(&self, queue: &Queue<S>) -> bool {
        let ahead = queue.waiting.len() as u64;
        if ahead == 0 || self.options.lock_timeout.is_zero() {
            return false;
        }
        Duration::from_micros(ahead.saturating_mul(self.usual_write_us())) > self.options.lock_timeout
    }

    /// Answers groups that have been taken out. Without any lock.
    pub(super) fn refuse_overdue(&self, overdue: Vec<Waiting<S>>, now: Duration) {
        for waiting in overdue {
            let waited = now.saturating_sub(waiting.since);
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            tracing::error!(
                requests = waiting.requests.len(),
                waited_ms,
                "StorageError: Failed to acquire write lock within timeout: commits are refused that were queued for too long"
            );
            waiting.group.finish(Err(SubmitError::TimedOut { waited_ms }));
        }
    }
}

impl<S: CommitStages> CommitQueue<S> {
    /// Refuses what has been waiting for longer than [`super::CommitOptions::lock_timeout`], also while a stage is stuck. Returns
    /// how many requests that were. Cost: the queue's lock.
    pub fn expire_overdue(&self) -> u64 {
        let shared = self.shared();
        let now = shared.now();
        let overdue = shared.queue.lock().take_overdue(now, shared.options.lock_timeout);
        let requests = overdue.iter().map(|waiting| waiting.requests.len() as u64).sum();
        shared.refuse_overdue(overdue, now);
        requests
    }
}
