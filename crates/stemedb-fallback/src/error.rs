//! redb's errors as those of every key-value store.

use std::path::Path;

use redb::StorageError;
use stemedb_env::{Error as EnvError, IoOp};
use stemedb_lsm::{CorruptionKind, Error};

/// What a failure of redb means.
pub(crate) fn classify(path: &Path, error: redb::Error) -> Error {
    match error {
        redb::Error::Corrupted(what) => {
            tracing::error!(file = %path.display(), "Corruption: {what}");
            Error::Corruption { kind: CorruptionKind::BlockChecksum, file: path.to_path_buf(), offset: 0 }
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
