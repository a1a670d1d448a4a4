//! How a journal must come back when there is room again: the one place that says so.

use std::time::Duration;

/// Whether a writer may open its journal again after a failed write, when nothing else is said. It may not: the journal
/// goes on by itself.
pub const REOPEN_ALLOWED: bool = false;

/// How soon after the space was freed every thread of the writer must have had an append acknowledged.
pub const RESUME_WITHIN: Duration = Duration::from_secs(1);

/// What is allowed, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Whether the writer opens the journal again, or waits for it.
    pub allow_reopen: bool,
    /// The bound.
    pub within: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { allow_reopen: REOPEN_ALLOWED, within: RESUME_WITHIN }
    }
}
