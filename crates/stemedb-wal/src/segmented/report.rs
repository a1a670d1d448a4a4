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
    /// The same by exact bytes and LSNs, for every damaged segment that has a successor.
    pub holes: Vec<super::Hole>,
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
    /// Durable writes to active segments: each is one write and one sync.
    pub syncs: u64,
    /// Those that failed.
    pub failed_syncs: u64,
    /// Marker frames.
    pub markers: u64,
    /// Rotations.
    pub rotations: u64,
    /// Segments that were started in a file which had been made ready.
    pub spares_used: u64,
    /// Those of them that had been segments before.
    pub recycled: u64,
    /// Groups (and markers) whose file was given up after a failure, and which a new segment took.
    pub rewrites: u64,
    /// Times that the journal gave up and became read-only.
    pub gave_up: u64,
    /// Times that it went on by itself.
    pub resumed: u64,
    /// Segments that were compressed; their bytes before and after.
    pub packed_segments: u64,
    /// Bytes of those before.
    pub packed_from_bytes: u64,
    /// Bytes of those after.
    pub packed_to_bytes: u64,
    /// How long the write that is under way has been waiting for the disk, in microseconds. 0 if none is.
    pub writing_for_us: u64,
    /// Why no entries are accepted, if so.
    pub read_only: Option<String>,
    /// Entries per group.
    pub group_entries: HistogramSnapshot,
    /// Microseconds per durable write: the write and its sync.
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
    syncs: AtomicU64,
    failed_syncs: AtomicU64,
    markers: AtomicU64,
    rotations: AtomicU64,
    spares_used: AtomicU64,
    recycled: AtomicU64,
    rewrites: AtomicU64,
    gave_up: AtomicU64,
    resumed: AtomicU64,
    packed_segments: AtomicU64,
    packed_from_bytes: AtomicU64,
    packed_to_bytes: AtomicU64,
    /// Monotonic start of the write that is under way, microseconds plus one; 0 if none is.
    writing_since_us: AtomicU64,
    group_entries: Histogram,
    sync_us: Histogram,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
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

    pub fn write_begins(&self, now: Duration) {
        self.writing_since_us.store(micros(now).saturating_add(1), Ordering::Release);
    }

    pub fn write_ends(&self, bytes: usize, took: Duration, ok: bool) {
        self.writing_since_us.store(0, Ordering::Release);
        self.file_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        count(&self.syncs);
        self.sync_us.add(micros(took));
        if !ok {
            count(&self.failed_syncs);
        }
    }

    /// How long the write that is under way has taken so far.
    pub fn writing_for(&self, now: Duration) -> Option<Duration> {
        let since = self.writing_since_us.load(Ordering::Acquire).checked_sub(1)?;
        Some(now.saturating_sub(Duration::from_micros(since)))
    }

    pub fn built(&self, bytes: usize) {
        self.file_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn marked(&self) {
        count(&self.markers);
    }

    pub fn rotated(&self) {
        count(&self.rotations);
    }

    pub fn spare_used(&self, recycled: bool) {
        count(&self.spares_used);
        self.recycled.fetch_add(u64::from(recycled), Ordering::Relaxed);
    }

    pub fn rewritten(&self) {
        count(&self.rewrites);
    }

    pub fn gave_up(&self) {
        count(&self.gave_up);
    }

    pub fn resumed(&self) {
        count(&self.resumed);
    }

    pub fn packed(&self, from_bytes: u64, to_bytes: u64) {
        count(&self.packed_segments);
        self.packed_from_bytes.fetch_add(from_bytes, Ordering::Relaxed);
        self.packed_to_bytes.fetch_add(to_bytes, Ordering::Relaxed);
    }

    pub fn snapshot(&self, now: Duration, read_only: Option<String>, queue: CommitStats) -> JournalStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JournalStats {
            groups: get(&self.groups),
            entries: get(&self.entries),
            entry_bytes: get(&self.entry_bytes),
            compressed_groups: get(&self.compressed_groups),
            file_bytes: get(&self.file_bytes),
            syncs: get(&self.syncs),
            failed_syncs: get(&self.failed_syncs),
            markers: get(&self.markers),
            rotations: get(&self.rotations),
            spares_used: get(&self.spares_used),
            recycled: get(&self.recycled),
            rewrites: get(&self.rewrites),
            gave_up: get(&self.gave_up),
            resumed: get(&self.resumed),
            packed_segments: get(&self.packed_segments),
            packed_from_bytes: get(&self.packed_from_bytes),
            packed_to_bytes: get(&self.packed_to_bytes),
            writing_for_us: self.writing_for(now).map_or(0, micros),
            read_only,
            group_entries: self.group_entries.snapshot(),
            sync_us: self.sync_us.snapshot(),
            queue,
        }
    }
}
