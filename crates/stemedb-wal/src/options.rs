//! Whose journal it is, and its sizes.

use std::{path::PathBuf, time::Duration};

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

/// How the file of the next segment is made ready before it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prepare {
    /// Not at all: files grow as they are written. Each commit then changes the file's length, which costs about half
    /// of its speed.
    Off,
    /// Room is reserved; the file system marks it as written when it is.
    Allocate,
    /// Zeros are written, so that a commit overwrites blocks that exist and changes nothing but data.
    Write,
    /// [`Prepare::Write`] while groups are small (a commit is all about its sync), [`Prepare::Allocate`] while they are
    /// large (then the second write of every byte would cost more than it saves).
    #[default]
    Auto,
}

/// What becomes of segments that every view has flushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// They stay, compressed, until they are archived: history and repair need them.
    #[default]
    Keep,
    /// Their files are used again. The journal then is as long as what the views have not flushed, and no longer.
    Recycle,
}

/// Sizes and habits of a [`crate::SegmentedJournal`].
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// A segment is rotated before it would grow beyond this (a single larger group gets a segment of its own).
    /// The first three segments of a journal are smaller: 1, 4 and 16 MiB at most.
    pub segment_bytes: u64,
    /// Frames are padded to a multiple of this, so that an acknowledged byte never shares a sector with a later
    /// write. A power of two from 512 to 65,536; other values are rounded into it. Below 4,096 commits go through the
    /// page cache.
    pub sector_bytes: usize,
    /// LZ4 for payloads of at least 4 KiB that shrink by at least an eighth.
    pub compress: bool,
    /// When no group has followed the last one for this long, an empty marker frame makes it provable. Zero: never.
    pub idle_marker: Duration,
    /// How the next segment's file is made ready.
    pub prepare: Prepare,
    /// What becomes of released segments.
    pub retention: Retention,
    /// Level of zstd for released segments, which are then `segment.NNNNNN.wal.zst`. `None` leaves them as they are.
    pub pack_level: Option<i32>,
    /// Other folders where released segments may have been moved to. They are only read.
    pub archive_dirs: Vec<PathBuf>,
    /// After a failed write or sync the group is written again, to a new segment, this many times at most before its
    /// writers are told that its fate is not known.
    pub rewrites: u32,
    /// How often a journal that gave up tries to go on.
    pub resume_every: Duration,
    /// A write or sync that has not returned for so long is reported.
    pub stuck_after: Duration,
    /// Bounds of the queue behind [`crate::SegmentedJournal::append`]; without a bound on the time in it, unless one is set.
    pub queue: crate::CommitOptions,
    /// Where cut tails are copied; by default `quarantine` beside the journal's folder.
    pub quarantine_dir: Option<PathBuf>,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions {
            segment_bytes: 64 << 20,
            sector_bytes: 4096,
            compress: false,
            idle_marker: Duration::from_millis(5),
            prepare: Prepare::Auto,
            retention: Retention::Keep,
            pack_level: Some(3),
            archive_dirs: Vec::new(),
            rewrites: 3,
            resume_every: Duration::from_millis(250),
            stuck_after: Duration::from_secs(5),
            queue: crate::CommitOptions { lock_timeout: Duration::ZERO, ..crate::CommitOptions::default() },
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
