//! Sizes and habits of the engine.

use stemedb_lsm::LsmOptions;
use stemedb_wal::{CommitOptions, JournalOptions};

/// Options of a [`crate::HybridStore`] over the LSM tree.
#[derive(Clone, Debug)]
pub struct HybridOptions {
    /// The journal.
    pub journal: JournalOptions,
    /// The primary view. Its prefix filter and derivation version are set by the engine.
    pub lsm: LsmOptions,
    /// Bounds of the commit queue.
    pub commit: CommitOptions,
}

impl Default for HybridOptions {
    fn default() -> HybridOptions {
        HybridOptions {
            journal: JournalOptions { compress: true, ..JournalOptions::default() },
            lsm: LsmOptions::default(),
            commit: CommitOptions::default(),
        }
    }
}

impl HybridOptions {
    /// Sizes so small that a handful of requests rotates segments, flushes and compacts. For tests.
    pub fn tiny() -> HybridOptions {
        HybridOptions {
            journal: JournalOptions { compress: true, ..JournalOptions::tiny() },
            lsm: LsmOptions::tiny(),
            commit: CommitOptions::default(),
        }
    }
}
