//! Errors of the index.

use stemedb_core::identity::AuthorityTooLow;
use stemedb_env::{Lsn, Micros};

use crate::keys::Family;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the index could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] stemedb_lsm::Error),
    /// A journal entry's bytes are not what this build writes.
    #[error("journal entry {lsn} cannot be read: {problem}")]
    BadEntry {
        /// The entry.
        lsn: Lsn,
        /// What is wrong.
        problem: EntryProblem,
    },
    /// A key of the view is not one that the codec makes.
    #[error("a key of family {} cannot be read", family.name())]
    BadKey {
        /// Its family.
        family: Family,
    },
    /// A value of the view is not one that the codec makes.
    #[error("a value of family {} cannot be read", family.name())]
    BadValue {
        /// Its family.
        family: Family,
    },
    /// A command refers to a claim that does not exist.
    #[error("{field}: no claim {id}")]
    UnknownClaim {
        /// The command's field.
        field: &'static str,
        /// The claim's id, 64 hex digits.
        id: String,
    },
    /// Nobody behind a supersession has a class that may set the claim aside.
    #[error("claim {old}: {reason}")]
    AuthorityTooLow {
        /// The claim's id, 64 hex digits.
        old: String,
        /// Which class is needed, and which there is.
        reason: AuthorityTooLow,
    },
    /// A supersession by a claim that the old one, directly or through others, has taken the place of.
    #[error("claim {new} is itself superseded by {old}, directly or through others")]
    SupersessionCycle {
        /// The claim to be set aside.
        old: String,
        /// Its successor.
        new: String,
    },
    /// A supersession by a claim behind which more claims stand than are looked at for a cycle.
    #[error("more than {limit} claims have followed claim {new}")]
    ChainTooLong {
        /// The successor.
        new: String,
        /// How many are looked at.
        limit: usize,
    },
    /// A submission larger than one journal entry may be.
    #[error("{bytes} bytes of commands exceed the limit of {limit_bytes} for one entry")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The keys of a family are not all there in today's layout yet: the view is being derived again.
    #[error("the keys of family {} are being derived again; ask once the upgrade of the view has ended", family.name())]
    NotDerivedYet {
        /// The family.
        family: Family,
    },
    /// A row of an entry that may be used says that it was recorded after the bound of the read.
    #[error("a row of entry {lsn} was recorded at {} us, after the bound of {} us", recorded_at.0, bound.0)]
    LookAhead {
        /// The entry.
        lsn: Lsn,
        /// What the row says.
        recorded_at: Micros,
        /// The latest time that may be used.
        bound: Micros,
    },
    /// A page was to begin at a place that is not in what is listed.
    #[error("the place to go on from is not in what is listed")]
    ForeignMark,
    /// A moment that is not in this database's past.
    #[error("LSN {wanted} has not been reached (newest is {newest})")]
    NotReached {
        /// What was asked for.
        wanted: Lsn,
        /// The newest.
        newest: Lsn,
    },
}

/// What is wrong with a journal entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// It ends before its commands do.
    #[error("it ends early")]
    Truncated,
    /// Bytes follow the last command.
    #[error("bytes follow its last command")]
    TrailingBytes,
    /// A layout that this build does not know.
    #[error("its layout {0} is not known")]
    UnknownLayout(u8),
    /// A command that the claim codec refuses.
    #[error("command {ordinal} is not a canonical command")]
    BadCommand {
        /// Its number.
        ordinal: u32,
    },
}
