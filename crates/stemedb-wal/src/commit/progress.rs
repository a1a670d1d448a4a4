//! How far the queue has come: for whoever watches over it.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{CommitQueue, CommitStages, queue::Shared};

/// Where the group at the front is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitStage {
    /// Nothing is under way.
    Idle,
    /// Requests wait and nobody has begun to write them.
    Queued,
    /// A group is being written, or waits to be published.
    Writing,
    /// A group is being published, and none is being written.
    Publishing,
}

impl fmt::Display for CommitStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommitStage::Idle => "idle",
            CommitStage::Queued => "queued",
            CommitStage::Writing => "writing",
            CommitStage::Publishing => "publishing",
        })
    }
}

/// A moment of a [`CommitQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitProgress {
    /// Counts what has ended: groups taken, written, published.
    pub steps: u64,
    /// How long `steps` has stood still although there are requests without an answer. A refusal is not progress.
    pub stalled_for: Duration,
    /// Where the front is.
    pub stage: CommitStage,
    /// How long the write under way has taken so far.
    pub writing_for: Option<Duration>,
    /// How long the publication under way has taken so far.
    pub publishing_for: Option<Duration>,
    /// Groups that nobody has begun to write.
    pub waiting_groups: u64,
    /// Requests without an answer, in a stage or waiting.
    pub unanswered: u64,
    /// What they cost.
    pub queued_bytes: u64,
    /// How long the oldest of those that are not written yet has been waiting.
    pub oldest: Option<Duration>,
}

/// A handle for whoever watches over a queue without keeping it alive.
pub struct QueueWatch<S: CommitStages> {
    shared: Weak<Shared<S>>,
}

impl<S: CommitStages> fmt::Debug for QueueWatch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueWatch").finish_non_exhaustive()
    }
}

impl<S: CommitStages> QueueWatch<S> {
    /// The queue, while somebody else keeps it.
    pub fn queue(&self) -> Option<CommitQueue<S>> {
        self.shared.upgrade().map(CommitQueue::of)
    }
}

impl<S: CommitStages> CommitQueue<S> {
    /// For a watchdog.
    pub fn watch(&self) -> QueueWatch<S> {
        QueueWatch { shared: Arc::downgrade(self.shared()) }
    }

    /// Where the queue is. Cost: its lock. All times are zero without a clock.
    pub fn progress(&self) -> CommitProgress {
        let shared = self.shared();
        let now = shared.now();
        let queue = shared.queue.lock();
        let stage = match (queue.write_began, queue.publish_began) {
            (Some(_), _) => CommitStage::Writing,
            (None, Some(_)) => CommitStage::Publishing,
            (None, None) if queue.waiting.is_empty() => CommitStage::Idle,
            (None, None) => CommitStage::Queued,
        };
        let since = |began: Option<Duration>| began.map(|began| now.saturating_sub(began));
        CommitProgress {
            steps: queue.steps,
            stalled_for: match queue.unanswered {
                0 => Duration::ZERO,
                _ => now.saturating_sub(queue.stepped_at),
            },
            stage,
            writing_for: since(queue.write_began),
            publishing_for: since(queue.publish_began),
            waiting_groups: queue.waiting.len() as u64,
            unanswered: queue.unanswered,
            queued_bytes: queue.queued_bytes,
            oldest: since(queue.oldest()),
        }
    }
}
