//! What a journal can refuse, and why.

use std::{path::PathBuf, sync::Arc};

use stemedb_env::{Lsn, frame::FrameError};

use crate::JournalIdentity;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A journal's refusal. Cheap to clone, because one failure answers every writer of a group.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Bytes that had been durable are damaged. Never answered by a shorter journal.
    #[error("{} is damaged at offset {offset}: {damage}; entries from LSN {first_lsn} on are affected", file.display())]
    Corruption {
        /// The damaged file.
        file: PathBuf,
        /// Where the damage starts.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
        /// First entry that cannot be read; [`Lsn::ZERO`] when the file's header, which would tell it, is damaged.
        first_lsn: Lsn,
        /// Last entry of the damaged file, where another file still tells it.
        last_lsn: Option<Lsn>,
    },
    /// A segment is gone that holds entries which no view has flushed, or that a reader needs.
    #[error("journal segment {segment} in {} is missing: entries from LSN {first_lsn} on are lost", dir.display())]
    MissingSegment {
        /// The journal's folder.
        dir: PathBuf,
        /// Number of the first missing segment.
        segment: u64,
        /// First missing entry.
        first_lsn: Lsn,
        /// Last missing entry, if a later segment or `HEAD` tells it.
        last_lsn: Option<Lsn>,
    },
    /// A file of another database or timeline.
    #[error("{} belongs to database {}, timeline {}, not to {}, timeline {}", file.display(), found.database,
        found.timeline, expected.database, expected.timeline)]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: JournalIdentity,
        /// Whose it should be.
        expected: JournalIdentity,
    },
    /// There is no journal in this folder.
    #[error("there is no journal in {}", dir.display())]
    NoJournal {
        /// The folder.
        dir: PathBuf,
    },
    /// A journal may be created only in a folder without one.
    #[error("there is a journal in {} already", dir.display())]
    AlreadyExists {
        /// The folder.
        dir: PathBuf,
    },
    /// A write or sync failed, and so did the attempts to write the group elsewhere: a crash now may leave these
    /// entries or not. They keep their LSNs and are the first to be written when the disk answers again; until then
    /// the journal accepts nothing.
    #[error("it is not known whether entries {first_lsn} to {last_lsn} are durable: {cause}")]
    Indeterminate {
        /// First entry of the group.
        first_lsn: Lsn,
        /// Last entry of the group.
        last_lsn: Lsn,
        /// The failure.
        cause: Arc<stemedb_env::Error>,
    },
    /// The journal accepts no entries. Nothing was written.
    #[error("the journal is read-only: {cause}")]
    ReadOnly {
        /// Why.
        cause: ReadOnlyCause,
    },
    /// An entry or a group is larger than the format allows. Nothing was written.
    #[error("{bytes} bytes are more than the {limit_bytes} that one {what} may have")]
    TooLarge {
        /// `entry` or `group`.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// A group without entries has no LSN to answer with.
    #[error("a group must have at least one entry")]
    EmptyGroup,
    /// An LSN that is not in the journal: released and removed, or not yet given.
    #[error("LSN {lsn} is outside the journal, which holds {first_lsn} to {durable_lsn}")]
    OutOfRange {
        /// The LSN asked for.
        lsn: Lsn,
        /// Oldest readable entry.
        first_lsn: Lsn,
        /// Newest durable entry.
        durable_lsn: Lsn,
    },
    /// The commit queue is full. No LSN was given; try again later.
    #[error(
        "the commit queue is full: {queued_bytes} of {limit_bytes} bytes, the oldest entry waits for {oldest_ms} ms"
    )]
    Overloaded {
        /// Bytes in the queue.
        queued_bytes: u64,
        /// Its bound.
        limit_bytes: u64,
        /// How long the oldest entry has been waiting.
        oldest_ms: u64,
    },
    /// Nobody has begun to write the entry within the time allowed. No LSN was given; try again later.
    #[error("Failed to acquire write lock within timeout: the commit was queued for {waited_ms} ms")]
    TimedOut {
        /// How long it has been waiting.
        waited_ms: u64,
    },
    /// A commit stage panicked while this entry was in its group or behind it. The outcome is not known.
    #[error("the commit was abandoned after a panic in a commit stage")]
    Abandoned,
    /// The system refused an operation. If it was an append, nothing was written for it.
    #[error(transparent)]
    Env(Arc<stemedb_env::Error>),
}

impl From<stemedb_env::Error> for Error {
    fn from(error: stemedb_env::Error) -> Error {
        Error::Env(Arc::new(error))
    }
}

/// Why a journal accepts no entries.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadOnlyCause {
    /// Writes and syncs fail; the journal goes on by itself when they do not any more.
    #[error("an earlier write failed: {0}")]
    Failed(Arc<stemedb_env::Error>),
    /// It was closed.
    #[error("it was closed")]
    Closed,
    /// It was opened for reading only.
    #[error("it was opened for reading only")]
    OpenedReadOnly,
}

/// What is wrong with bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// They are not a frame of this file at this place.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frame does not follow the one before it: one is missing, repeated or re-ordered.
    #[error("the hash chain is broken")]
    BrokenChain,
    /// The frame's first LSN is not the next one.
    #[error("LSN {found} stands where {expected} should")]
    LsnGap {
        /// The next LSN.
        expected: Lsn,
        /// The frame's first LSN.
        found: Lsn,
    },
    /// The frame verifies, but its payload is not what its kind requires.
    #[error("the payload of the frame has the wrong shape")]
    Payload,
    /// The file ends, or frames stop, before a position that is known to have been durable.
    #[error("bytes up to offset {durable_bytes} had been durable")]
    EndsEarly {
        /// The durable length.
        durable_bytes: u64,
    },
    /// The compressed form of a segment cannot be unpacked.
    #[error("the compressed segment cannot be unpacked")]
    Packed,
    /// The file is not there.
    #[error("the file is missing")]
    Missing,
    /// The system cannot read the bytes.
    #[error("the system cannot read it")]
    Unreadable,
    /// Views have flushed entries that the journal does not have.
    #[error("the views have flushed up to LSN {flushed}")]
    BehindViews {
        /// What the views have flushed.
        flushed: Lsn,
    },
}
