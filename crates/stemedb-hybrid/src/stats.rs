//! Counters of the engine and its parts.

use stemedb_env::Lsn;
use stemedb_wal::CommitStats;

/// A moment's counters. Plain numbers: whoever serves metrics turns them into theirs.
#[derive(Clone, Debug)]
pub struct Stats {
    /// The journal.
    pub journal: stemedb_wal::JournalStats,
    /// The primary view.
    pub lsm: stemedb_lsm::Stats,
    /// The commit queue.
    pub commit: CommitStats,
    /// Requests that had something new.
    pub entries: u64,
    /// Requests refused by the admission.
    pub refused: u64,
    /// Requests refused because the disk was (nearly) full.
    pub refused_for_room: u64,
    /// The file system with the least room; `None` before it was looked at.
    pub space: Option<crate::SpaceHealth>,
    /// Times that a write of the journal was found stuck.
    pub stuck_syncs: u64,
    /// Times that the commit pipeline was found standing still.
    pub deadlocks: u64,
    /// Reads answered by the fallback view.
    pub fallback_reads: u64,
    /// Last durable entry.
    pub durable: Lsn,
    /// Last readable entry.
    pub published: Lsn,
    /// The reading of every file.
    pub scrub: crate::ScrubStatus,
}
