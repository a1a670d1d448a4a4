//! Errors of the operating-system door. Each names the operation and the path.

use std::{fmt, io, path::PathBuf};

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Which operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IoOp {
    /// Opening or creating a file.
    Open,
    /// A positioned read.
    Read,
    /// A positioned write.
    Write,
    /// Making file data durable.
    SyncData,
    /// Making directory entries durable.
    SyncDir,
    /// Changing a file's length or reserving space.
    SetLen,
    /// Renaming.
    Rename,
    /// Removing a file.
    Remove,
    /// Hard-linking.
    Link,
    /// Listing a directory.
    List,
    /// Creating a directory.
    CreateDir,
    /// Reading metadata of a file or file system.
    Metadata,
    /// Taking a lock.
    Lock,
    /// Starting a background job.
    Spawn,
}

impl fmt::Display for IoOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IoOp::Open => "open",
            IoOp::Read => "read",
            IoOp::Write => "write",
            IoOp::SyncData => "sync",
            IoOp::SyncDir => "sync directory",
            IoOp::SetLen => "set length",
            IoOp::Rename => "rename",
            IoOp::Remove => "remove",
            IoOp::Link => "link",
            IoOp::List => "list",
            IoOp::CreateDir => "create directory",
            IoOp::Metadata => "stat",
            IoOp::Lock => "lock",
            IoOp::Spawn => "spawn",
        })
    }
}

/// What the operating system refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An I/O call failed.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// The call.
        op: IoOp,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process (or another handle of this one) holds the lock.
    #[error("{} is locked by {holder}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into it, usually `pid N`.
        holder: String,
    },
    /// A simulated file system has been switched off; nothing was done. Never happens on a real one.
    #[error("cannot {op} {}: the simulated power is off", path.display())]
    PowerOff {
        /// The call.
        op: IoOp,
        /// The file or directory.
        path: PathBuf,
    },
}

impl Error {
    /// Wraps a system error with its operation and path.
    pub fn io(op: IoOp, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { op, path: path.into(), source }
    }

    /// The kind of the wrapped system error, if there is one.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Io { source, .. } => Some(source.kind()),
            Error::Locked { .. } | Error::PowerOff { .. } => None,
        }
    }

    /// True when the file or directory does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == Some(io::ErrorKind::NotFound)
    }

    /// True when the disk (or a quota) is full.
    pub fn is_storage_full(&self) -> bool {
        matches!(self.kind(), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// The system's words as operators' alerts look for them in the log: with `{:?}` it is
    /// `Custom { kind: Other, error: "IO error: No space left on device" }`.
    pub fn logged(&self) -> io::Error {
        let words = match self {
            Error::Io { source, .. } => match (source.raw_os_error(), source.kind()) {
                (Some(code), _) => {
                    let text = source.to_string();
                    text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text).to_owned()
                }
                // A simulated disk has no number for it.
                (None, io::ErrorKind::StorageFull) => "No space left on device".to_owned(),
                (None, _) => source.to_string(),
            },
            other => other.to_string(),
        };
        io::Error::other(format!("IO error: {words}"))
    }

    /// True when a simulated file system has been switched off: the test that did it may end its workload.
    pub fn is_power_off(&self) -> bool {
        matches!(self, Error::PowerOff { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_the_words_that_alerts_look_for() {
        let logged = |source| format!("{:?}", Error::io(IoOp::Write, "/x", source).logged());
        let full = r#"Custom { kind: Other, error: "IO error: No space left on device" }"#;
        assert_eq!(logged(io::Error::from(rustix::io::Errno::NOSPC)), full);
        assert_eq!(logged(io::ErrorKind::StorageFull.into()), full);
        let broken = r#"Custom { kind: Other, error: "IO error: Input/output error" }"#;
        assert_eq!(logged(io::Error::from(rustix::io::Errno::IO)), broken);
    }
}
