//! What the journal says, in the words of the suites.

use std::{fmt, path::PathBuf};

use stemedb_wal::{Error, ReadOnlyCause};

/// What an append was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The group is durable; LSN of its first entry.
    Acknowledged(u64),
    /// Nothing of it was written, and it has no LSN.
    Refused(Refusal),
    /// Nobody knows: it may or may not survive, but only as a whole.
    Unknown(Refusal),
}

impl Answer {
    /// The contract of `append_group`: which errors are definite.
    pub(super) fn of(result: Result<stemedb_env::Lsn, Error>) -> Answer {
        match result {
            Ok(first) => Answer::Acknowledged(first.0),
            Err(error @ (Error::Indeterminate { .. } | Error::Abandoned)) => {
                Answer::Unknown(Refusal::of(error))
            }
            Err(error) => Answer::Refused(Refusal::of(error)),
        }
    }

    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::Acknowledged(_) => "acknowledged",
            Answer::Refused(_) => "refused",
            Answer::Unknown(_) => "unknown",
        }
    }
}

/// Why the journal did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Bytes that had been durable are damaged.
    Damaged {
        /// The file it names.
        file: PathBuf,
        /// The first entry that it says is affected; 0 where it cannot tell.
        first_lsn: u64,
        /// Its own words.
        text: String,
    },
    /// A file with entries is gone.
    Missing {
        /// The first entry that it says is lost.
        first_lsn: u64,
        /// Its own words.
        text: String,
    },
    /// A file of another database.
    Foreign {
        /// The file it names.
        file: PathBuf,
        /// Its own words.
        text: String,
    },
    /// There is no journal.
    Absent,
    /// The journal accepts nothing at the moment.
    ReadOnly(String),
    /// The system refused a call.
    System(String),
    /// Anything else; no suite expects it.
    Odd(String),
}

impl Refusal {
    pub(super) fn of(error: Error) -> Refusal {
        let text = error.to_string();
        match error {
            Error::Corruption { file, first_lsn, .. } => {
                Refusal::Damaged { file, first_lsn: first_lsn.0, text }
            }
            Error::MissingSegment { first_lsn, .. } => Refusal::Missing { first_lsn: first_lsn.0, text },
            Error::Foreign { file, .. } => Refusal::Foreign { file, text },
            Error::NoJournal { .. } => Refusal::Absent,
            Error::ReadOnly { cause: ReadOnlyCause::Failed(_) | ReadOnlyCause::Closed } => {
                Refusal::ReadOnly(text)
            }
            Error::Env(_) | Error::Indeterminate { .. } => Refusal::System(text),
            _ => Refusal::Odd(text),
        }
    }

    /// True when the journal says that something on the disk is not as it was.
    pub fn reports_damage(&self) -> bool {
        matches!(self, Refusal::Damaged { .. } | Refusal::Missing { .. } | Refusal::Foreign { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Damaged { text, .. } | Refusal::Missing { text, .. } | Refusal::Foreign { text, .. } => {
                f.write_str(text)
            }
            Refusal::Absent => f.write_str("there is no journal"),
            Refusal::ReadOnly(text) | Refusal::System(text) | Refusal::Odd(text) => f.write_str(text),
        }
    }
}
