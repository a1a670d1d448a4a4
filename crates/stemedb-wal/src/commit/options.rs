//! Bounds and habits of a queue.

use std::time::Duration;

/// Who writes a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leader {
    /// A waiting caller while there are few, the background job while there are many: waking a thread costs a good part
    /// of a sync, but a caller that leads does not submit. Measured: `docs/design/journal.md`.
    #[default]
    Auto,
    /// A waiting caller; the background job only when nobody waits.
    Caller,
    /// Always the background job. For comparison.
    Thread,
}

/// Bounds of a [`crate::CommitQueue`].
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// Requests that have not been answered yet may cost this much together. A single larger one is accepted when
    /// nothing else is in the queue.
    pub queue_bytes: u64,
    /// Nothing more is taken in while the oldest unanswered request has been waiting for longer than this (a disk
    /// that does not answer). Needs a clock.
    pub queue_age: Duration,
    /// A request that nobody has begun to write for so long is refused with [`crate::SubmitError::TimedOut`], at the latest
    /// when its group would be written, or before when somebody calls [`crate::CommitQueue::expire_overdue`]. Nothing was
    /// applied then. What will foreseeably wait longer is refused at once, as overload. The requests of a group share the
    /// wait of its first one, which is at most half of this longer than theirs. Zero: no bound. Needs a clock.
    pub lock_timeout: Duration,
    /// A group is closed when it costs this much...
    pub group_bytes: u64,
    /// ...or has this many requests.
    pub group_requests: usize,
    /// A leader waits at most this long for writers that are known to be on their way, and at most half of what a
    /// write has taken lately. Zero: never.
    pub gather: Duration,
    /// Who writes a group.
    pub leader: Leader,
    /// How many groups a leader writes after its own before it passes the lead on, while others wait. More keeps the
    /// disk busier and makes the leader's own caller wait longer.
    pub extra_groups: u32,
}

impl Default for CommitOptions {
    fn default() -> CommitOptions {
        CommitOptions {
            queue_bytes: 64 << 20,
            queue_age: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            group_bytes: 1 << 20,
            group_requests: 4096,
            gather: Duration::from_micros(200),
            leader: Leader::Auto,
            extra_groups: 0,
        }
    }
}

impl CommitOptions {
    /// How old the oldest unanswered request may be while more are taken in.
    pub(super) fn oldest_allowed(&self) -> Duration {
        if self.lock_timeout.is_zero() { self.queue_age } else { self.queue_age.min(self.lock_timeout) }
    }

    /// How long a group takes more requests in: all of them are refused when its first one has waited too long.
    pub(super) fn group_open_for(&self) -> Duration {
        if self.lock_timeout.is_zero() { Duration::MAX } else { self.lock_timeout / 2 }
    }
}
