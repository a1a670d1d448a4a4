//! What an open found, and what a journal counts.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use stemedb_env::Lsn;

use crate::{
    CommitStats,
    histogram::{Histogram, HistogramSnapshot},
};

/// Entries from `first` to `last`; `last` is `None` when nothing tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsnRange {
    /// First LSN.
    pub first: Lsn,
    /// Last LSN.
    pub last: Option<Lsn>,
}

/// A tail that was cut because nothing proves that it had ever been durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment; it is left as it is.
    pub file: PathBuf,
    /// Where the journal ends in it.
    pub offset: u64,
    /// How many bytes follow there.
    pub bytes: u64,
    /// Their copy. `None` if the journal was opened for reading only.
    pub quarantined: Option<PathBuf>,
}

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Oldest LSN from which everything is readable: the repair floor.
    pub first_lsn: Lsn,
    /// Last LSN recovered. Every acknowledged LSN is at or below it.
    pub last_lsn: Lsn,
    /// Last LSN that was proven to be durable; what is above was adopted.
    pub proven_lsn: Lsn,
    /// Whole entries that were written again, because nothing proves that they were durable.
    pub adopted_entries: u64,
    /// The tail that was cut, if one was.
    pub cut: Option<Cut>,
    /// Entries whose segments are gone. They are below the repair floor and all views had flushed them (or the
    /// journal was opened for reading only).
    pub missing: Vec<LsnRange>,
    /// False if `HEAD` was absent or unreadable. Harmless alone; a new one is written with the next segment.
    pub head_found: bool,
    /// Segments in the folder.
    pub segments: u64,
    /// Frames read to find the end.
    pub frames_read: u64,
}

/// Under which name a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// `live.*`, being written.
    Active,
    /// `live.*`, complete, not yet released.
    Sealed,
    /// `segment.*`: all views have flushed it. May be archived.
    Released,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub id: u64,
    /// Its file.
    pub path: PathBuf,
    /// Its state.
    pub state: SegmentState,
    /// First LSN that it may hold.
    pub first_lsn: Lsn,
    /// Last LSN in it; below `first_lsn` if it has no entries; `None` if its successor is missing.
    pub last_lsn: Option<Lsn>,
}

/// What [`crate::SegmentedJournal::verify`] read.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Entries that were read.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Everything that is wrong, in order. Empty means that every entry from the first segment on is readable.
    pub damage: Vec<crate::Error>,
}

/// Counters of a journal since it was opened.
#[derive(Clone, Debug, Default)]
pub struct JournalStats {
    /// Groups appended.
    pub groups: u64,
    /// Entries appended.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Groups whose payload was stored compressed.
    pub compressed_groups: u64,
    /// Bytes written to segments, headers and padding included.
    pub file_bytes: u64,
    /// Writes to active segments.
    pub writes: u64,
    /// Syncs of active segments.
    pub syncs: u64,
    /// Marker frames.
    pub markers: u64,
    /// Rotations.
    pub rotations: u64,
    /// Entries per group.
    pub group_entries: HistogramSnapshot,
    /// Microseconds per write.
    pub write_us: HistogramSnapshot,
    /// Microseconds per sync.
    pub sync_us: HistogramSnapshot,
    /// The queue behind `append`.
    pub queue: CommitStats,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    groups: AtomicU64,
    entries: AtomicU64,
    entry_bytes: AtomicU64,
    compressed_groups: AtomicU64,
    file_bytes: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    markers: AtomicU64,
    rotations: AtomicU64,
    group_entries: Histogram,
    write_us: Histogram,
    sync_us: Histogram,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Counters {
    pub fn groups(&self) -> u64 {
        self.groups.load(Ordering::Acquire)
    }

    pub fn group(&self, entries: usize, bytes: usize, compressed: bool) {
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.entry_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.compressed_groups.fetch_add(u64::from(compressed), Ordering::Relaxed);
        self.group_entries.add(entries as u64);
        self.groups.fetch_add(1, Ordering::Release);
    }

    pub fn wrote(&self, bytes: usize, took: Duration) {
        self.file_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.write_us.add(micros(took));
    }

    pub fn synced(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us.add(micros(took));
    }

    pub fn built(&self, bytes: usize) {
        self.file_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn marked(&self) {
        self.markers.fetch_add(1, Ordering::Relaxed);
    }

    pub fn rotated(&self) {
        self.rotations.fetch_add(1, Ordering::Relaxed);
    }

    pub fn snapshot(&self, queue: CommitStats) -> JournalStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JournalStats {
            groups: get(&self.groups),
            entries: get(&self.entries),
            entry_bytes: get(&self.entry_bytes),
            compressed_groups: get(&self.compressed_groups),
            file_bytes: get(&self.file_bytes),
            writes: get(&self.writes),
            syncs: get(&self.syncs),
            markers: get(&self.markers),
            rotations: get(&self.rotations),
            group_entries: self.group_entries.snapshot(),
            write_us: self.write_us.snapshot(),
            sync_us: self.sync_us.snapshot(),
            queue,
        }
    }
}
