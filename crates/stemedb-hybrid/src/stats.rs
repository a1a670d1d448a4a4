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
    /// Reads answered by the fallback view.
    pub fallback_reads: u64,
    /// Last durable entry.
    pub durable: Lsn,
    /// Last readable entry.
    pub published: Lsn,
    /// The reading of every file.
    pub scrub: crate::ScrubStatus,
}
