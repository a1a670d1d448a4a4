//! Telling whoever must know of an entry before any view shows it. See `docs/design/caches.md`.

use std::sync::atomic::{AtomicU64, Ordering};

use stemedb_env::Lsn;
use stemedb_index::Observers;
use stemedb_lsm::WriteBatch;

/// The observers, and how far they have been told.
#[derive(Debug)]
pub(crate) struct Announcer {
    observers: Observers,
    upto: AtomicU64,
}

impl Announcer {
    /// Entries up to `lsn` need not be told of.
    pub fn new(observers: Observers, lsn: Lsn) -> Announcer {
        observers.begin_at(lsn);
        Announcer { observers, upto: AtomicU64::new(lsn.0) }
    }

    /// To be called before any view is given these rows, by whoever gives them. Cost without observers: a branch.
    pub fn announce(&self, lsn: Lsn, rows: &WriteBatch) {
        if !self.observers.is_empty() {
            self.announce_new(lsn, rows);
        }
    }

    fn announce_new(&self, lsn: Lsn, rows: &WriteBatch) {
        // Another view had it before, and that one's call has returned.
        if lsn.0 <= self.upto.load(Ordering::Acquire) {
            return;
        }
        self.observers.tell(lsn, rows);
        // Two views may have come to it together: both have told of it by now.
        self.upto.fetch_max(lsn.0, Ordering::Release);
    }
}
