//! Errors of the engine: the classes that callers must tell apart.

use std::path::PathBuf;

use stemedb_env::Lsn;
use stemedb_lsm::DerivedBy;

use crate::UpgradeHealth;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the engine refused or could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder holds no database. An emptied or unmounted disk must never look like a new one.
    #[error("{} holds no database", dir.display())]
    NotADatabase {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds a database, or something else, already.
    #[error("{} is not empty: {found}", dir.display())]
    AlreadyExists {
        /// The folder.
        dir: PathBuf,
        /// A name found in it.
        found: String,
    },
    /// Another process has the database open.
    #[error("{} is in use by {holder}", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// What the other wrote into the lock file.
        holder: String,
    },
    /// Both copies of the identity are damaged, or they name different databases.
    #[error("the identity of {} cannot be read: {problem}", dir.display())]
    BadIdentity {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The journal starts later than the views need it to.
    #[error("the journal starts at LSN {first}, the views need it from {needed}")]
    JournalGap {
        /// First LSN still in the journal.
        first: Lsn,
        /// First LSN needed.
        needed: Lsn,
    },
    /// A view claims to have come further than the journal: one of them is not of this database's past.
    #[error("a view has reached LSN {view}, the journal only {journal}")]
    ViewAhead {
        /// How far the view says it has come.
        view: Lsn,
        /// The last entry of the journal.
        journal: Lsn,
    },
    /// The commit queue is full. Nothing was applied; try again later.
    #[error("the commit queue is full ({queued_bytes} bytes waiting)")]
    Overloaded {
        /// Bytes waiting.
        queued_bytes: u64,
    },
    /// The disk is full, or so nearly that what is left is kept for background work. Refused before an LSN was given: nothing
    /// was applied.
    #[error("no space left: {cause}")]
    NoRoom {
        /// How much is free, or what found the disk full.
        cause: String,
    },
    /// The request was not admitted in time: it waited behind others, or behind a disk that does not answer. Nothing was
    /// applied; try again later.
    #[error("Failed to acquire write lock within timeout: the commit was queued for {waited_ms} ms")]
    LockTimeout {
        /// How long it has been waiting.
        waited_ms: u64,
    },
    /// The disk is full. Nothing was applied.
    #[error("no space left: {source}")]
    StorageFull {
        /// What the disk said.
        source: stemedb_wal::Error,
    },
    /// Writing or syncing failed, or a commit stage panicked: the request may or may not survive a crash. Repeating it
    /// is safe.
    #[error("the outcome is not known: {source}")]
    Indeterminate {
        /// What failed.
        source: stemedb_wal::Error,
    },
    /// The disk refuses writes (until it does not any more), or a view could not take an entry (until the database is
    /// opened again).
    #[error("the database is read-only: {cause}")]
    ReadOnly {
        /// The earlier failure.
        cause: String,
    },
    /// The request is durable, but no view can show it. It will be readable after a repair or restart.
    #[error("entry {lsn} is durable but not readable: {cause}")]
    NotReadable {
        /// The entry.
        lsn: Lsn,
        /// Why the view failed.
        cause: String,
    },
    /// No view is fit to answer.
    #[error("no view can answer: {cause}")]
    NoView {
        /// Why the primary view is out.
        cause: String,
    },
    /// The view was derived by a newer version than this program knows. Nothing was changed.
    #[error("the view in {} was derived by {found}; this program knows versions up to {known}", dir.display())]
    NewerDerivation {
        /// The view's folder.
        dir: PathBuf,
        /// What its rows were derived by.
        found: DerivedBy,
        /// The newest version that this program derives.
        known: u32,
    },
    /// Not before the view is of one version: it is being derived again.
    #[error("not before the upgrade of the primary view has ended: {0}")]
    Upgrading(Box<UpgradeHealth>),
    /// No such table.
    #[error("no table {file} in the primary view")]
    NoTable {
        /// Its number.
        file: u64,
    },
    /// A sidecar is not what was written. Nothing is lost with it: it is removed and made again from the journal.
    #[error("the sidecar {} is of no use and is made again: {problem}", file.display())]
    BadSidecar {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A background job could not be started, or a file could not be used.
    #[error(transparent)]
    Env(#[from] stemedb_env::Error),
    /// The journal refused.
    #[error(transparent)]
    Journal(stemedb_wal::Error),
    /// The view refused.
    #[error(transparent)]
    Store(#[from] stemedb_lsm::Error),
    /// The request was refused, or a row or entry could not be read.
    #[error(transparent)]
    Index(stemedb_index::Error),
}

impl From<stemedb_index::Error> for Error {
    fn from(error: stemedb_index::Error) -> Error {
        match error {
            stemedb_index::Error::Store(error) => Error::Store(error),
            other => Error::Index(other),
        }
    }
}

impl From<stemedb_wal::Error> for Error {
    fn from(error: stemedb_wal::Error) -> Error {
        Error::Journal(error)
    }
}
