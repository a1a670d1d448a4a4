//! Group commit: many writers, one sync.
//!
//! A writer joins the newest group of the queue and gets a [`Ticket`]. Whoever needs a reply and finds nobody *leading*
//! leads: takes the group at the front, writes it, passes the lead on to somebody who waits for the next group, then
//! publishes and wakes its own group:
//!
//! ```text
//! group 1   write ████████  publish ███  wake all
//! group 2   fills ▒▒▒▒▒▒▒▒  write ████████  publish ███  wake all
//! group 3                   fills ▒▒▒▒▒▒▒▒  write ████████ …
//! ```
//!
//! - **Order.** The leader takes the *publish* lock before it passes the lead on, so groups are published in the order
//!   in which they were written, and the next group's sync overlaps this one's publication.
//! - **A lone writer** goes straight through: no timer, no other thread, two uncontended locks. That is also how a
//!   single-threaded simulation runs the same code.
//! - **Many writers** are led by a background job: it goes from one group to the next without a wake-up, and no writer
//!   is kept from submitting. A few are not, because waking a thread costs a good part of a sync.
//! - **Stragglers.** Writers that were woken together come back together. A leader that knows of more writers than have
//!   arrived waits for them, but only a fraction of what the sync itself takes, and never when there is only one.
//! - **Waking.** One [`stemedb_env::sync::Gate`] per group: one system call wakes everybody, and nobody takes a lock
//!   again but the one around its own reply.
//! - **Overload.** What would wait too long is refused when it comes, and what has waited too long is refused before it is
//!   written ([`CommitOptions::lock_timeout`]): a group is either expired or taken, under one lock, so a refusal is definite.
//! - **Tickets** can be waited for by a thread or polled as a [`Future`] without a runtime of ours. A polled ticket has
//!   no thread that could lead, so a background job does, when nobody else does.

mod group;
mod options;
mod overdue;
mod progress;
mod queue;
mod stats;
mod ticket;

pub use options::{CommitOptions, Leader};
pub use progress::{CommitProgress, CommitStage, QueueWatch};
pub use queue::CommitQueue;
pub use stats::CommitStats;
pub use ticket::Ticket;

/// The two stages that a group goes through.
pub trait CommitStages: Send + Sync + 'static {
    /// What a writer submits.
    type Request: Send + 'static;
    /// What it is answered.
    type Reply: Send + 'static;
    /// What the first stage hands to the second.
    type Written;

    /// Makes a group durable. Serial, in queue order.
    fn write(&self, group: Vec<Self::Request>) -> Self::Written;

    /// Makes it visible, and gives one reply per request, in their order. Serial, in the same order as the writes;
    /// may overlap the next group's [`CommitStages::write`].
    fn publish(&self, written: Self::Written) -> Vec<Self::Reply>;
}

/// Why a request got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full, or what is in it has waited too long; the request was never taken in.
    #[error(
        "the commit queue is full: {queued_bytes} of {limit_bytes} bytes, the oldest request waits for {oldest_ms} ms"
    )]
    Overloaded {
        /// Cost of the requests that have not been answered yet.
        queued_bytes: u64,
        /// The bound.
        limit_bytes: u64,
        /// How long the oldest of them has been waiting; 0 without a clock.
        oldest_ms: u64,
    },
    /// Nobody has begun to write the request within [`CommitOptions::lock_timeout`]; nothing was applied.
    #[error("Failed to acquire write lock within timeout: the commit was queued for {waited_ms} ms")]
    TimedOut {
        /// How long the first request of its group has been waiting.
        waited_ms: u64,
    },
    /// A stage panicked, with this request's group or with one before it. Whether it was written is not known. The
    /// queue takes no more requests.
    #[error("a commit stage panicked")]
    Abandoned,
}
