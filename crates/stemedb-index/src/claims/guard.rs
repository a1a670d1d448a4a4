//! What may be known: the one place through which every row of a read passes.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use stemedb_env::{Lsn, Micros};

use crate::{Error, Result};

/// The bound of a read, and the newest of what it has used.
///
/// A reader asks the guard about every row before it uses it. So "nothing later was used" does not follow from a review of the
/// reader, but from what was counted here.
///
/// Cost of a row: two comparisons and two loads; stores only while newer rows turn up.
#[derive(Debug)]
pub struct KnownGuard {
    /// The last entry that may be used.
    upto: Lsn,
    /// The latest time at which what is used may have been recorded; the greatest there is where only the entry matters.
    recorded_by: Micros,
    latest_lsn: AtomicU64,
    latest_recorded_at: AtomicI64,
}

/// The newest of what a read has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The newest entry of which a row was used.
    pub lsn: Lsn,
    /// The latest time at which a row that was used had been recorded.
    pub recorded_at: Micros,
}

impl KnownGuard {
    pub(super) fn new(upto: Lsn) -> KnownGuard {
        KnownGuard {
            upto,
            recorded_by: Micros(i64::MAX),
            latest_lsn: AtomicU64::new(0),
            latest_recorded_at: AtomicI64::new(i64::MIN),
        }
    }

    pub(super) fn recorded_by(mut self, time: Micros) -> KnownGuard {
        self.recorded_by = time;
        self
    }

    /// The last entry that may be used.
    pub fn upto(&self) -> Lsn {
        self.upto
    }

    /// Whether a row of entry `lsn` may be used. If so it counts as used.
    ///
    /// # Errors
    /// [`Error::LookAhead`] if the row's entry may be used, but the row says that it was recorded after the bound: times never
    /// go back along the entries, so one of the two is not what was written.
    #[inline]
    pub fn admits(&self, lsn: Lsn, recorded_at: Micros) -> Result<bool> {
        if lsn > self.upto {
            return Ok(false);
        }
        if recorded_at > self.recorded_by {
            return Err(Error::LookAhead { lsn, recorded_at, bound: self.recorded_by });
        }
        self.count(lsn, recorded_at);
        Ok(true)
    }

    fn count(&self, lsn: Lsn, recorded_at: Micros) {
        if lsn.0 > self.latest_lsn.load(Relaxed) {
            self.latest_lsn.fetch_max(lsn.0, Relaxed);
        }
        if recorded_at.0 > self.latest_recorded_at.load(Relaxed) {
            self.latest_recorded_at.fetch_max(recorded_at.0, Relaxed);
        }
    }

    /// What something kept was made from counts as used when it is used.
    pub(super) fn note(&self, used: Option<Used>) {
        if let Some(Used { lsn, recorded_at }) = used {
            self.count(lsn, recorded_at);
        }
    }

    /// The newest of what was used so far; `None` if nothing was.
    pub fn used(&self) -> Option<Used> {
        match Lsn(self.latest_lsn.load(Relaxed)) {
            Lsn::ZERO => None,
            lsn => Some(Used { lsn, recorded_at: Micros(self.latest_recorded_at.load(Relaxed)) }),
        }
    }
}

/// A copy has the same bound and has used nothing.
impl Clone for KnownGuard {
    fn clone(&self) -> KnownGuard {
        KnownGuard::new(self.upto).recorded_by(self.recorded_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_behind_the_bound_are_neither_admitted_nor_counted() {
        let guard = KnownGuard::new(Lsn(5)).recorded_by(Micros(50));
        assert_eq!(guard.used(), None);
        assert!(!guard.admits(Lsn(6), Micros(60)).unwrap());
        assert_eq!(guard.used(), None);
        assert!(guard.admits(Lsn(5), Micros(50)).unwrap());
        assert!(guard.admits(Lsn(3), Micros(30)).unwrap());
        assert_eq!(guard.used(), Some(Used { lsn: Lsn(5), recorded_at: Micros(50) }));
        assert_eq!(guard.clone().used(), None);
    }

    #[test]
    fn a_row_of_a_known_entry_that_was_recorded_later_is_damage() {
        let guard = KnownGuard::new(Lsn(5)).recorded_by(Micros(50));
        let error = guard.admits(Lsn(4), Micros(51)).unwrap_err();
        assert!(matches!(
            error,
            Error::LookAhead { lsn: Lsn(4), recorded_at: Micros(51), bound: Micros(50) }
        ));
        assert_eq!(guard.used(), None);
    }
}
