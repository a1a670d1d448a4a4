//! Errors of the tree. Display texts of corruption are names that operators' alerts match literally.

use std::{fmt, path::PathBuf};

use stemedb_env::Lsn;

use crate::DerivedBy;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of damage was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CorruptionKind {
    /// A block's checksum does not match its content and place.
    BlockChecksum,
    /// The first or last bytes of a table are not those of a table of this database with this number.
    SstHeader,
    /// A block's checksum is right and its content is impossible.
    BlockFormat,
    /// A table is shorter or longer than the manifest says, or its digest differs.
    TableMismatch,
    /// A table that the manifest names does not exist.
    TableMissing,
    /// The manifest is damaged below what had been durable.
    Manifest,
    /// The manifest is sound and older than tables that were made later: somebody put an earlier copy back.
    ManifestStale,
    /// The system cannot read it.
    Unreadable,
}

impl fmt::Display for CorruptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CorruptionKind::BlockChecksum => "block checksum mismatch",
            CorruptionKind::SstHeader => "invalid SST file header",
            CorruptionKind::BlockFormat => "invalid block content",
            CorruptionKind::TableMismatch => "SST file differs from the manifest",
            CorruptionKind::TableMissing => "SST file is missing",
            CorruptionKind::Manifest => "invalid manifest record",
            CorruptionKind::ManifestStale => "manifest older than the tables",
            CorruptionKind::Unreadable => "bytes that the system cannot read",
        })
    }
}

/// What a folder without `CURRENT` is said to be.
pub(crate) const NO_TREE: &str = "holds no tree";

/// What the store refused or could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system failed.
    #[error(transparent)]
    Env(#[from] stemedb_env::Error),
    /// Bytes on disk are not what was written.
    #[error("Corruption: {kind} in {} at offset {offset}", file.display())]
    Corruption {
        /// What is wrong.
        kind: CorruptionKind,
        /// Where.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
    },
    /// The versions that a snapshot at this LSN needs are gone.
    #[error("a snapshot at LSN {wanted} is too old: versions before {oldest} have been merged")]
    SnapshotTooOld {
        /// What was asked for.
        wanted: Lsn,
        /// The oldest that can be served.
        oldest: Lsn,
    },
    /// A snapshot of the future.
    #[error("LSN {wanted} is not visible yet (newest is {newest})")]
    SnapshotTooNew {
        /// What was asked for.
        wanted: Lsn,
        /// The newest visible.
        newest: Lsn,
    },
    /// A key or value beyond the limits.
    #[error("{what} of {bytes} bytes exceeds the limit of {limit_bytes}")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The memory budget is too small to work with.
    #[error("a memory budget of {budget_bytes} bytes is too small: {needed_bytes} are needed")]
    MemoryBudget {
        /// What was given.
        budget_bytes: u64,
        /// The least that will do with the other options.
        needed_bytes: u64,
    },
    /// A batch arrived out of order.
    #[error("batch {lsn} cannot be applied: {applied} is applied already")]
    OutOfOrder {
        /// The batch.
        lsn: Lsn,
        /// The newest applied.
        applied: Lsn,
    },
    /// Rows of an ingest that do not come in table order: keys ascending, and of each key LSNs descending.
    #[error("row {row} of an ingest is out of order: keys must ascend, and the LSNs of one key descend")]
    Unsorted {
        /// Counted from 0.
        row: u64,
    },
    /// A batch with removed ranges was given to a loader, which takes rows.
    #[error(
        "the batch at LSN {lsn} removes ranges of keys: a bulk load takes rows alone, apply the batch instead"
    )]
    RangesInLoad {
        /// Of the batch.
        lsn: Lsn,
    },
    /// A row of an ingest that is older than what is there, or newer than the ingest says.
    #[error("a row at LSN {lsn} does not belong into an ingest of what is after {after}, up to {upto}")]
    OutsideIngest {
        /// Of the row.
        lsn: Lsn,
        /// The newest published before.
        after: Lsn,
        /// What the ingest said.
        upto: Lsn,
    },
    /// Somebody else writes: one ingest at a time, and no batches meanwhile.
    #[error("an ingest up to LSN {upto} is under way: nothing else can be written until it ends")]
    Ingesting {
        /// How far that ingest goes.
        upto: Lsn,
    },
    /// Batches that are neither published nor abandoned stand before an ingest.
    #[error(
        "batches up to {applied} are applied and those up to {published} published: publish or abandon the others first"
    )]
    Unpublished {
        /// The newest applied.
        applied: Lsn,
        /// The newest published.
        published: Lsn,
    },
    /// There is no memory for more rows before a flush has succeeded, and flushes fail. Nothing was applied; the flush is
    /// tried again in the background, so the same batch may be applied later. Reads go on.
    #[error("rows wait for a flush that fails: {cause}")]
    Stalled {
        /// What the flush said.
        cause: String,
        /// The disk is full.
        storage_full: bool,
    },
    /// A background job failed earlier; writes are refused until reopened. Reads go on.
    #[error("the tree is read-only since a background job failed: {cause}")]
    ReadOnly {
        /// What the job said.
        cause: String,
    },
    /// A folder that already holds (or does not hold) a tree.
    #[error("{} {problem}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// `already holds a tree`, `holds no tree`, `is not empty` or `is not a folder`.
        problem: &'static str,
    },
    /// The rows of a tree were derived by another version than its owner's. Nothing has been changed.
    #[error("the rows in {} were derived by {found}, not by {wanted}", dir.display())]
    OtherDerivation {
        /// The folder.
        dir: PathBuf,
        /// What the rows were derived by.
        found: DerivedBy,
        /// What the owner derives by.
        wanted: DerivedBy,
    },
    /// Rebuilt rows do not have the digest that the manifest recorded for the table.
    #[error("table {file} could not be rebuilt: {found} rows found, {expected} expected, digests {}", if *digests_match { "match" } else { "differ" })]
    RepairMismatch {
        /// The table's number.
        file: u64,
        /// Rows in the manifest.
        expected: u64,
        /// Rows offered by the journal.
        found: u64,
        /// Whether the digest matched.
        digests_match: bool,
    },
}

/// True if the disk could not read what is there: as good as damaged.
pub(crate) fn is_unreadable(error: &stemedb_env::Error) -> bool {
    const EIO: i32 = 5;
    matches!(error, stemedb_env::Error::Io { source, .. } if source.raw_os_error() == Some(EIO))
}

impl Error {
    /// True if [`crate::LsmStore::open`] found the list of tables lost, damaged or out of date: what
    /// [`crate::LsmStore::recover`] is for. A folder that does not exist or holds nothing of a tree says the same, and
    /// there the recovery fails too.
    pub fn is_lost_manifest(&self) -> bool {
        match self {
            Error::Corruption { kind, .. } => {
                matches!(kind, CorruptionKind::Manifest | CorruptionKind::ManifestStale)
            }
            Error::Folder { problem, .. } => *problem == NO_TREE,
            _ => false,
        }
    }

    /// The same error again, for callers that must go on failing. Of a system error its kind is kept.
    pub(crate) fn again(&self) -> Error {
        match self {
            Error::Env(stemedb_env::Error::Io { op, path, source }) => {
                let source = source
                    .raw_os_error()
                    .map_or_else(|| source.kind().into(), std::io::Error::from_raw_os_error);
                Error::Env(stemedb_env::Error::Io { op: *op, path: path.clone(), source })
            }
            Error::Env(other) => Error::ReadOnly { cause: other.to_string() },
            Error::Corruption { kind, file, offset } => {
                Error::Corruption { kind: *kind, file: file.clone(), offset: *offset }
            }
            Error::SnapshotTooOld { wanted, oldest } => {
                Error::SnapshotTooOld { wanted: *wanted, oldest: *oldest }
            }
            Error::SnapshotTooNew { wanted, newest } => {
                Error::SnapshotTooNew { wanted: *wanted, newest: *newest }
            }
            Error::TooLarge { what, bytes, limit_bytes } => {
                Error::TooLarge { what, bytes: *bytes, limit_bytes: *limit_bytes }
            }
            Error::MemoryBudget { budget_bytes, needed_bytes } => {
                Error::MemoryBudget { budget_bytes: *budget_bytes, needed_bytes: *needed_bytes }
            }
            Error::OutOfOrder { lsn, applied } => Error::OutOfOrder { lsn: *lsn, applied: *applied },
            Error::Unsorted { row } => Error::Unsorted { row: *row },
            Error::RangesInLoad { lsn } => Error::RangesInLoad { lsn: *lsn },
            Error::OutsideIngest { lsn, after, upto } => {
                Error::OutsideIngest { lsn: *lsn, after: *after, upto: *upto }
            }
            Error::Ingesting { upto } => Error::Ingesting { upto: *upto },
            Error::Unpublished { applied, published } => {
                Error::Unpublished { applied: *applied, published: *published }
            }
            Error::Stalled { cause, storage_full } => {
                Error::Stalled { cause: cause.clone(), storage_full: *storage_full }
            }
            Error::ReadOnly { cause } => Error::ReadOnly { cause: cause.clone() },
            Error::Folder { dir, problem } => Error::Folder { dir: dir.clone(), problem },
            Error::OtherDerivation { dir, found, wanted } => {
                Error::OtherDerivation { dir: dir.clone(), found: *found, wanted: *wanted }
            }
            Error::RepairMismatch { file, expected, found, digests_match } => Error::RepairMismatch {
                file: *file,
                expected: *expected,
                found: *found,
                digests_match: *digests_match,
            },
        }
    }
}
