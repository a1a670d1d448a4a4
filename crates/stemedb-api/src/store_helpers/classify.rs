//! From the engine's errors to codes.

use stemedb_hybrid::Error;

use crate::errors::Code;

/// The code of an engine's error. Exhaustive by class: what a caller must do differs between them.
pub(crate) fn code_of(error: &Error) -> Code {
    match error {
        Error::NotADatabase { .. } => Code::NotADatabase,
        Error::AlreadyExists { .. } => Code::AlreadyExists,
        Error::InUse { .. } => Code::InUse,
        Error::BadIdentity { .. }
        | Error::BadSidecar { .. }
        | Error::JournalGap { .. }
        | Error::ViewAhead { .. } => Code::Corruption,
        Error::Overloaded { .. } => Code::Overloaded,
        Error::StorageFull { .. } | Error::NoRoom { .. } => Code::StorageFull,
        Error::LockTimeout { .. } => Code::LockTimeout,
        // Durable, but the reply cannot promise that a read shows it: as unknown as a failed sync, and as safe to repeat.
        Error::Indeterminate { .. } | Error::NotReadable { .. } => Code::Indeterminate,
        Error::ReadOnly { .. } => Code::ReadOnly,
        Error::NoView { .. } | Error::Upgrading(_) => Code::Unavailable,
        Error::NewerDerivation { .. } => Code::OtherDerivation,
        Error::Env(error) => code_of_env(error),
        Error::Journal(error) => code_of_journal(error),
        Error::Store(error) => code_of_store(error),
        Error::Index(error) => code_of_index(error),
        // `NoTable` is answered to operators only; the enum may grow.
        _ => Code::InternalError,
    }
}

fn code_of_env(error: &stemedb_env::Error) -> Code {
    match error {
        _ if error.is_storage_full() => Code::StorageFull,
        stemedb_env::Error::Locked { .. } => Code::InUse,
        _ => Code::IoError,
    }
}

fn code_of_journal(error: &stemedb_wal::Error) -> Code {
    use stemedb_wal::Error as Journal;
    match error {
        Journal::Corruption { .. } | Journal::MissingSegment { .. } | Journal::Foreign { .. } => {
            Code::Corruption
        }
        Journal::NoJournal { .. } => Code::NotADatabase,
        Journal::AlreadyExists { .. } => Code::AlreadyExists,
        Journal::Indeterminate { .. } | Journal::Abandoned => Code::Indeterminate,
        Journal::ReadOnly { .. } => Code::ReadOnly,
        Journal::TooLarge { .. } => Code::TooLarge,
        Journal::Overloaded { .. } => Code::Overloaded,
        Journal::TimedOut { .. } => Code::LockTimeout,
        Journal::Env(error) => code_of_env(error),
        Journal::EmptyGroup | Journal::OutOfRange { .. } => Code::InternalError,
    }
}

fn code_of_store(error: &stemedb_lsm::Error) -> Code {
    use stemedb_lsm::Error as Store;
    match error {
        Store::Env(error) => code_of_env(error),
        Store::Corruption { .. } | Store::RepairMismatch { .. } => Code::Corruption,
        Store::Stalled { storage_full: true, .. } => Code::StorageFull,
        Store::ReadOnly { .. } | Store::Stalled { .. } => Code::ReadOnly,
        Store::TooLarge { .. } => Code::TooLarge,
        Store::OtherDerivation { .. } => Code::OtherDerivation,
        Store::SnapshotTooOld { .. } | Store::SnapshotTooNew { .. } => Code::Unavailable,
        _ => Code::InternalError,
    }
}

fn code_of_index(error: &stemedb_index::Error) -> Code {
    use stemedb_index::Error as Index;
    match error {
        Index::Store(error) => code_of_store(error),
        Index::BadEntry { .. } | Index::BadKey { .. } | Index::BadValue { .. } | Index::LookAhead { .. } => {
            Code::Corruption
        }
        Index::UnknownClaim { .. } => Code::UnknownClaim,
        Index::TooLarge { .. } => Code::TooLarge,
        Index::NotReached { .. } => Code::LsnNotReached,
        Index::ForeignMark => Code::InvalidParameter,
        Index::NotDerivedYet { .. } => Code::Unavailable,
        _ => Code::InternalError,
    }
}

/// What the system said, where an engine's error comes from it.
#[cfg(feature = "server")]
pub(super) fn system_error(error: &Error) -> Option<std::io::Error> {
    use stemedb_wal::{Error as Journal, ReadOnlyCause};
    let of_journal = |error: &stemedb_wal::Error| match error {
        Journal::Env(cause)
        | Journal::Indeterminate { cause, .. }
        | Journal::ReadOnly { cause: ReadOnlyCause::Failed(cause) } => Some(cause.logged()),
        _ => None,
    };
    match error {
        Error::Env(cause)
        | Error::Store(stemedb_lsm::Error::Env(cause))
        | Error::Index(stemedb_index::Error::Store(stemedb_lsm::Error::Env(cause))) => Some(cause.logged()),
        Error::StorageFull { source } | Error::Indeterminate { source } | Error::Journal(source) => {
            of_journal(source)
        }
        // The gate that refuses keeps what closed it in words: whoever looks at the newest lines alone finds them, too.
        Error::ReadOnly { cause } if cause.contains("Input/output error") => {
            Some(std::io::Error::other("IO error: Input/output error"))
        }
        Error::NoRoom { .. } => Some(std::io::Error::other("IO error: No space left on device")),
        _ => None,
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn every_write_that_a_dying_disk_keeps_away_is_logged_with_the_systems_words() {
        let refused = |cause: &str| system_error(&Error::ReadOnly { cause: cause.to_owned() });
        let found = refused(
            "an earlier write failed: cannot sync wal/live.000001.wal: Input/output error (os error 5)",
        );
        let words = format!("{:?}", found.unwrap());
        assert_eq!(words, "Custom { kind: Other, error: \"IO error: Input/output error\" }");
        assert!(refused("the view is 12 entries behind").is_none());
    }
}
