//! Whose journal it is, and its sizes.

use std::time::Duration;

use stemedb_env::frame::{DatabaseId, FileIdentity, LogKind, MAX_FRAME_BYTES};

/// Largest entry.
pub const MAX_ENTRY_BYTES: usize = 16 << 20;
/// Largest payload of one group, length prefixes included: a frame less room for its header and padding.
pub const MAX_GROUP_BYTES: usize = MAX_FRAME_BYTES - (64 << 10);

/// The database and timeline that every frame of a journal carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JournalIdentity {
    /// The database.
    pub database: DatabaseId,
    /// Its timeline.
    pub timeline: u32,
}

impl JournalIdentity {
    /// What the frames of one file of this journal carry. `HEAD` is file 0.
    pub(crate) fn file(&self, file: u64) -> FileIdentity {
        FileIdentity { database: self.database, timeline: self.timeline, log: LogKind::Journal, file }
    }
}

/// Sizes and habits of a [`crate::SegmentedJournal`].
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// A segment is rotated before it would grow beyond this (a single larger group gets a segment of its own).
    /// The first three segments of a journal are smaller: 1, 4 and 16 MiB at most.
    pub segment_bytes: u64,
    /// Frames are padded to a multiple of this, so that an acknowledged byte never shares a sector with a later
    /// write. A power of two from 512 to 65,536; other values are rounded into it.
    pub sector_bytes: usize,
    /// LZ4 for payloads of at least 4 KiB that shrink by at least an eighth.
    pub compress: bool,
    /// When no group has followed the last one for this long, an empty marker frame makes it provable. Zero: never.
    pub idle_marker: Duration,
    /// Bounds of the queue behind [`crate::SegmentedJournal::append`].
    pub queue: crate::CommitOptions,
    /// Where cut tails are copied; by default `quarantine` beside the journal's folder.
    pub quarantine_dir: Option<std::path::PathBuf>,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions {
            segment_bytes: 64 << 20,
            sector_bytes: 4096,
            compress: false,
            idle_marker: Duration::from_millis(5),
            queue: crate::CommitOptions::default(),
            quarantine_dir: None,
        }
    }
}

impl JournalOptions {
    /// Sizes so small that a handful of entries rotates segments. For tests.
    pub fn tiny() -> JournalOptions {
        JournalOptions { segment_bytes: 8 << 10, sector_bytes: 512, ..JournalOptions::default() }
    }

    pub(crate) fn sector_bytes(&self) -> usize {
        self.sector_bytes.clamp(512, 65_536).next_power_of_two()
    }

    /// Size at which segment `id` is rotated. The ladder keeps a small database small.
    pub(crate) fn target_bytes(&self, id: u64) -> u64 {
        let ladder = match id {
            0 | 1 => 1 << 20,
            2 => 4 << 20,
            3 => 16 << 20,
            _ => u64::MAX,
        };
        self.segment_bytes.min(ladder)
    }
}
