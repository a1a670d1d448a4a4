//! Whoever must know what becomes readable before it can be read.

use std::{fmt, sync::Arc};

use stemedb_env::Lsn;
use stemedb_lsm::WriteBatch;

/// Is told of every new entry before any read can show it.
///
/// The engine calls it on the path of every commit: it must be quick, must not read the engine, and cannot refuse. What it was
/// told may turn out not to be shown yet: it is on its way, durable, and nothing else will ever have its LSN.
pub trait AppliedRows: Send + Sync {
    /// Everything up to `lsn` is readable, or will be without being told. Called once, before anything is.
    fn begins_at(&self, lsn: Lsn);

    /// An entry's rows are about to be shown. When it is told of entry `n`, a call about `n - 1` has returned. An entry may be told
    /// of more than once, also by two threads at the same time and when later ones have been told of already.
    fn about_to_show(&self, lsn: Lsn, rows: &WriteBatch);
}

/// Those who are told. An observer belongs to one engine.
#[derive(Clone, Default)]
pub struct Observers {
    all: Vec<Arc<dyn AppliedRows>>,
}

impl Observers {
    /// One more.
    pub fn add(&mut self, observer: Arc<dyn AppliedRows>) {
        self.all.push(observer);
    }

    /// True if nobody is told.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// See [`AppliedRows::begins_at`].
    pub fn begin_at(&self, lsn: Lsn) {
        self.all.iter().for_each(|one| one.begins_at(lsn));
    }

    /// See [`AppliedRows::about_to_show`].
    pub fn tell(&self, lsn: Lsn, rows: &WriteBatch) {
        self.all.iter().for_each(|one| one.about_to_show(lsn, rows));
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("count", &self.all.len()).finish()
    }
}
