//! What a queue counts.

use crate::histogram::{Histogram, HistogramSnapshot};

/// Counters of a [`crate::CommitQueue`].
#[derive(Clone, Debug, Default)]
pub struct CommitStats {
    /// Groups that went through.
    pub groups: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were refused because the queue was full or too old.
    pub overloaded: u64,
    /// Requests that were refused because they had waited too long.
    pub timed_out: u64,
    /// Requests in the largest group.
    pub largest_group: u64,
    /// Cost of the requests that have not been answered yet.
    pub queued_bytes: u64,
    /// Times that a leader waited for stragglers.
    pub gathered: u64,
    /// Requests per group.
    pub group_requests: HistogramSnapshot,
    /// Groups that were waiting when a group was taken, itself included: 1 means that nothing was held up.
    pub depth: HistogramSnapshot,
    /// Microseconds from a group's first request to the start of its write. Empty without a clock.
    pub wait_us: HistogramSnapshot,
    /// Microseconds that leaders waited for stragglers.
    pub gather_us: HistogramSnapshot,
}

#[derive(Debug, Default)]
pub(super) struct Histograms {
    pub group_requests: Histogram,
    pub depth: Histogram,
    pub wait_us: Histogram,
    pub gather_us: Histogram,
}
