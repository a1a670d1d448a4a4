//! What a failure of a view means, and how long to wait before the next try.

use std::{fmt, time::Duration};

use stemedb_lsm::Error;

/// The class of a failure: it decides what is tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// The system said no. It may not say so again.
    Transient,
    /// There is no room. Nothing but room helps.
    Full,
    /// Bytes on disk are not what was written, or entries would not fit together.
    Corruption,
    /// The folder or its files do not exist.
    Gone,
}

impl FailureClass {
    pub fn of(error: &Error) -> FailureClass {
        match error {
            Error::Env(error) if error.is_storage_full() => FailureClass::Full,
            Error::Env(error) if error.is_not_found() => FailureClass::Gone,
            Error::Folder { .. } => FailureClass::Gone,
            // What a store says only after something else has failed it: see `ViewStore::trouble`.
            Error::Env(_) | Error::ReadOnly { .. } | Error::Ingesting { .. } => FailureClass::Transient,
            _ => FailureClass::Corruption,
        }
    }

    pub fn of_engine(error: &crate::Error) -> FailureClass {
        match error {
            crate::Error::Store(error) => FailureClass::of(error),
            crate::Error::Env(error) if error.is_storage_full() => FailureClass::Full,
            crate::Error::Env(error) if error.is_not_found() => FailureClass::Gone,
            _ => FailureClass::Transient,
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureClass::Transient => "transient",
            FailureClass::Full => "no space left",
            FailureClass::Corruption => "corruption",
            FailureClass::Gone => "gone",
        })
    }
}

/// Pauses between tries: doubled each time, up to a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    pub const fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, tries: 0 }
    }

    /// Tries so far that failed.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Notes a try that failed; the pause before the next one.
    pub fn failed(&mut self) -> Duration {
        let pause = self.first.saturating_mul(1 << self.tries.min(16)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use stemedb_env::IoOp;
    use stemedb_lsm::CorruptionKind;

    use super::*;

    #[test]
    fn what_helps_decides_the_class() {
        let env = |kind: io::ErrorKind| Error::Env(stemedb_env::Error::io(IoOp::Write, "f", kind.into()));
        let file = || Path::new("f").to_path_buf();
        for (error, class) in [
            (env(io::ErrorKind::StorageFull), FailureClass::Full),
            (env(io::ErrorKind::NotFound), FailureClass::Gone),
            (env(io::ErrorKind::PermissionDenied), FailureClass::Transient),
            (Error::ReadOnly { cause: String::new() }, FailureClass::Transient),
            (Error::Folder { dir: file(), problem: "holds no tree" }, FailureClass::Gone),
            (
                Error::Corruption { kind: CorruptionKind::Manifest, file: file(), offset: 0 },
                FailureClass::Corruption,
            ),
        ] {
            assert_eq!(FailureClass::of(&error), class, "{error}");
            assert_eq!(FailureClass::of_engine(&crate::Error::Store(error)), class);
        }
    }

    #[test]
    fn pauses_double_up_to_their_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let pauses: Vec<u128> = (0..6).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.tries(), 6);
        (0..100).for_each(|_| _ = backoff.failed());
        assert_eq!(backoff.failed(), Duration::from_secs(1));
    }
}
