//! What a backup can refuse.

use std::path::PathBuf;

use stemedb_env::Lsn;

/// Shorthand for results of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a backup, a restore or an archive did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target refused or failed. Nothing counts that had not been verified before.
    #[error("cannot {op} {name} in {target}: {source}")]
    Target {
        /// What was tried.
        op: &'static str,
        /// On what.
        name: String,
        /// Where.
        target: String,
        /// What the system or the service said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something in the target is not what was written.
    #[error("{name} in {target} is damaged: {problem}")]
    Damaged {
        /// Its name.
        name: String,
        /// Where.
        target: String,
        /// What is wrong.
        problem: String,
    },
    /// Something is named by a document and is not there.
    #[error("{name} is missing in {target}")]
    Missing {
        /// Its name.
        name: String,
        /// Where.
        target: String,
    },
    /// No backup fits.
    #[error("{target} holds no backup {wanted}")]
    NoBackup {
        /// Where.
        target: String,
        /// What was looked for.
        wanted: String,
    },
    /// Entries that are needed are in no backup and in no archive.
    #[error("entries {first} to {last} are needed and in no backup or archive")]
    NotCovered {
        /// First of them.
        first: Lsn,
        /// Last of them.
        last: Lsn,
    },
    /// The folder to restore into is there already.
    #[error("{} is there already", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// A restored copy is not what the database was.
    #[error("the copy of {backup} differs: {what} is {found}, not {expected}")]
    Differs {
        /// The backup.
        backup: String,
        /// What was compared.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Two databases write what only one may: the other was there first.
    #[error("{name} in {target} is of another database or another past: {problem}")]
    Conflict {
        /// The document.
        name: String,
        /// Where.
        target: String,
        /// What contradicts.
        problem: String,
    },
    /// A copy would not fit beside the database, or would leave it no room for writes. Nothing of it was written.
    #[error("no space left: {needed} bytes are needed in {}, beside {kept} that stay free, and {available} are free", dir.display())]
    StorageFull {
        /// Where.
        dir: PathBuf,
        /// Bytes of the copy.
        needed: u64,
        /// Bytes that writes of the database need.
        kept: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// Another server is the writer now, or the archive is of another past than the database: nothing more is sent.
    #[error("this database is not the writer: {reason}")]
    Fenced {
        /// How that is known.
        reason: String,
    },
    /// What was asked for makes no sense here.
    #[error("{0}")]
    Refused(String),
    /// A file could not be used.
    #[error(transparent)]
    Env(#[from] stemedb_env::Error),
    /// The database refused.
    #[error(transparent)]
    Engine(#[from] stemedb_hybrid::Error),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] stemedb_wal::Error),
}

impl Error {
    /// True if a stored object is damaged or gone: another copy of it may help.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Damaged { .. } | Error::Missing { .. })
    }
}
