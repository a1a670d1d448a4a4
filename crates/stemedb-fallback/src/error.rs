//! redb's errors as those of every key-value store.

use std::{io::ErrorKind, path::Path};

use redb::StorageError;
use stemedb_env::{Error as EnvError, IoOp};
use stemedb_lsm::{CorruptionKind, Error};

/// What a failure of redb means.
pub(crate) fn classify(path: &Path, error: redb::Error) -> Error {
    let corrupt = |kind, what: &dyn std::fmt::Display| {
        tracing::error!(file = %path.display(), "StorageError: Corruption: {what}");
        Error::Corruption { kind, file: path.to_path_buf(), offset: 0 }
    };
    match error {
        redb::Error::Corrupted(what) => corrupt(CorruptionKind::BlockChecksum, &what),
        // What redb says of a file that is none of its own, and the system of one that is too short.
        redb::Error::Io(source)
            if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            corrupt(CorruptionKind::BlockFormat, &source)
        }
        // Of another version of redb.
        redb::Error::UpgradeRequired(version) => {
            corrupt(CorruptionKind::BlockFormat, &format!("file format {version}"))
        }
        redb::Error::Io(source) => system(path, source),
        // Nothing is known about the file after a failed write: the store must be opened again, or derived anew.
        other => Error::ReadOnly { cause: other.to_string() },
    }
}

pub(crate) fn storage(path: &Path, error: StorageError) -> Error {
    classify(path, error.into())
}

/// The error that our own file gave to redb comes back as it was.
fn system(path: &Path, source: std::io::Error) -> Error {
    match source.downcast::<EnvError>() {
        Ok(error) => Error::Env(error),
        Err(source) => Error::Env(EnvError::io(IoOp::Read, path, source)),
    }
}
