//! Sizes and habits of the engine.

use stemedb_lsm::LsmOptions;
use stemedb_wal::{CommitOptions, JournalOptions};

use crate::DiskOptions;

/// Options of a [`crate::HybridStore`] over the LSM tree.
#[derive(Clone, Debug, Default)]
pub struct HybridOptions {
    /// The journal. Not compressed by default: with large batches LZ4 costs more than the disk that it saves (sorted loads
    /// were 1.4 times as fast without), and released segments are packed with zstd anyway, which likes plain bytes better.
    pub journal: JournalOptions,
    /// The primary view. Its prefix filter and derivation version are set by the engine.
    pub lsm: LsmOptions,
    /// Bounds of the commit queue.
    pub commit: CommitOptions,
    /// How room on the disk and the progress of commits are watched.
    pub disk: DiskOptions,
}

impl HybridOptions {
    /// Sizes so small that a handful of requests rotates segments, flushes and compacts. For tests.
    pub fn tiny() -> HybridOptions {
        HybridOptions {
            journal: JournalOptions { compress: true, ..JournalOptions::tiny() },
            lsm: LsmOptions::tiny(),
            commit: CommitOptions::default(),
            disk: DiskOptions::default(),
        }
    }
}
