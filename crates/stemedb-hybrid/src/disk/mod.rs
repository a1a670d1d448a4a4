//! The disk: full, slow, stuck. See `docs/design/disk.md`.
//!
//! ```text
//! look      a job reads how much is free ─▶ level ─▶ gate (one flag that the first commit stage asks)
//!                                            ├─▶ scarce: the journal gives its spare files back
//!                                            └─▶ full: memtables are sealed; again room: what had failed is tried again
//! watchdog  a job that never touches the disk ─▶ refuses what waited too long, reports stuck syncs and a pipeline that stands still
//! ```

mod gate;
mod lines;
mod look;
mod reserve;
mod watchdog;

use std::{path::PathBuf, time::Duration};

pub(crate) use gate::Gate;
pub use gate::SpaceHealth;
pub use lines::{Line, SpaceLevel, SpaceLines};
pub(crate) use look::Look;
pub use watchdog::{Stall, StallKind};
pub(crate) use watchdog::{StallCounters, Watchdog, Watched, stuck};

/// How the disk is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Where room is low, scarce, and at its end.
    pub lines: SpaceLines,
    /// Room that is held in a file for the moment when others have filled the disk, once the database is large enough for it
    /// to matter. 0 = none.
    pub reserve_bytes: u64,
    /// Other folders of the database that may lie on file systems of their own.
    pub more_places: Vec<PathBuf>,
    /// A sync that has not returned for so long is reported.
    pub stuck_after: Duration,
    /// So long may the commit pipeline stand still while somebody waits for it. Zero: for ever.
    pub deadlock_after: Duration,
}

impl Default for DiskOptions {
    fn default() -> DiskOptions {
        DiskOptions {
            lines: SpaceLines::default(),
            reserve_bytes: 64 << 20,
            more_places: Vec::new(),
            stuck_after: Duration::from_secs(1),
            deadlock_after: Duration::from_secs(30),
        }
    }
}
