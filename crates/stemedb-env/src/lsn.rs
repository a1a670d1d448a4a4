//! The log sequence number: the one coordinate of the product.

use std::fmt;

/// Position of one atomic journal entry. Dense, from 1, never reused; [`Lsn::ZERO`] means "before the first".
///
/// It is at once the journal position, the version of every key that the entry derives, the read-your-writes
/// token, the as-of coordinate and the change-feed cursor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first entry.
    pub const ZERO: Lsn = Lsn(0);
    /// After every entry that can exist.
    pub const MAX: Lsn = Lsn(u64::MAX);

    /// The position after this one. Saturates at [`Lsn::MAX`].
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0.saturating_add(1))
    }

    /// The position before this one. Saturates at [`Lsn::ZERO`].
    #[must_use]
    pub fn prev(self) -> Lsn {
        Lsn(self.0.saturating_sub(1))
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({})", self.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
