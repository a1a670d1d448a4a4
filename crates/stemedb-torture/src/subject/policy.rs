//! What the journal promises about coming back after a failure. The one place to tighten when it promises more.

use std::time::Duration;

/// How full service returns once the faults have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It may stay read-only until it is opened again.
    AfterReopen,
    /// Its own background jobs bring it back within this time.
    ByItself {
        /// Simulated time from the end of the faults to the first accepted append.
        within: Duration,
    },
}

/// Today's promise (I11: within two seconds of the disk answering again).
pub const RESUME: Resume = Resume::ByItself { within: Duration::from_secs(2) };

/// No single allocation while reading damaged files may be larger. The journal reads in pieces of 1 MiB; a length that
/// comes from damaged bytes must be checked before it is allocated.
pub const LARGEST_ALLOCATION_BYTES: usize = 8 << 20;
