//! Derived views: where rows live, how far each view has come, and which one answers.

mod snapshot;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
pub use snapshot::{ViewIter, ViewSnapshot};
use stemedb_env::Lsn;
use stemedb_lsm::{KvStore, Value, WriteBatch};

use crate::{Error, Result, ViewHealth};

/// Why a view has not taken an entry.
#[derive(Debug)]
pub(crate) enum Setback {
    /// It has no room for more before a flush succeeds; the same entry may be offered again.
    ForNow {
        /// Why the flush fails.
        cause: String,
        /// The disk is full.
        no_room: bool,
    },
    /// It has failed.
    ForGood(String),
}

/// One derived view and its health.
#[derive(Debug)]
pub(crate) struct View<S> {
    pub store: S,
    health: RwLock<ViewHealth>,
    /// Whether `health` says so: every read asks.
    readable: AtomicBool,
}

impl<S: KvStore> View<S> {
    pub fn new(store: S, health: ViewHealth) -> View<S> {
        let readable = AtomicBool::new(health.is_readable());
        View { store, health: RwLock::new(health), readable }
    }

    pub fn health(&self) -> ViewHealth {
        self.health.read().clone()
    }

    pub fn set_health(&self, health: ViewHealth) {
        let mut present = self.health.write();
        self.readable.store(health.is_readable(), Ordering::Release);
        *present = health;
    }

    fn is_readable(&self) -> bool {
        self.readable.load(Ordering::Acquire)
    }

    /// Applies and publishes one entry's rows, unless the view has them or has failed before. A view that cannot
    /// apply stops for good: applying the next entry would leave a hole.
    fn advance(&self, lsn: Lsn, rows: &WriteBatch) -> std::result::Result<(), Setback> {
        if let ViewHealth::Failed { cause } = &*self.health.read() {
            return Err(Setback::ForGood(cause.clone()));
        }
        if self.store.published_lsn() >= lsn {
            return Ok(());
        }
        match self.store.apply(rows, lsn) {
            Ok(()) => {
                self.store.publish(lsn);
                Ok(())
            }
            Err(stemedb_lsm::Error::Stalled { cause, storage_full }) => {
                Err(Setback::ForNow { cause, no_room: storage_full })
            }
            Err(error) => {
                let cause = error.to_string();
                tracing::error!(%lsn, error = ?error, "StorageError: Failed to write to KV store: {cause}");
                self.set_health(ViewHealth::Failed { cause: cause.clone() });
                Err(Setback::ForGood(cause))
            }
        }
    }
}

/// The primary view, the fallback view where there is one, and the routing between them.
#[derive(Debug)]
pub(crate) struct Views<P, F> {
    pub primary: View<P>,
    pub fallback: Option<View<F>>,
    fallback_reads: AtomicU64,
}

impl<P: KvStore, F: KvStore> Views<P, F> {
    pub fn new(primary: View<P>, fallback: Option<View<F>>) -> Views<P, F> {
        Views { primary, fallback, fallback_reads: AtomicU64::new(0) }
    }

    /// Takes one entry's rows into every view. OK if at least one readable view has it then, and the others have failed for
    /// good: one that only has no room for now would have a hole if the next entry came without this one.
    pub fn advance(&self, lsn: Lsn, rows: &WriteBatch) -> std::result::Result<(), Setback> {
        let primary = self.primary.advance(lsn, rows);
        let fallback = self.fallback.as_ref().map(|view| view.advance(lsn, rows));
        match (primary, fallback) {
            (Err(setback @ Setback::ForNow { .. }), _) | (_, Some(Err(setback @ Setback::ForNow { .. }))) => {
                Err(setback)
            }
            (Ok(()), _) | (Err(_), Some(Ok(()))) => Ok(()),
            (Err(setback), _) => Err(setback),
        }
    }

    /// Marks every view as unable to go on, after an entry that could not be derived.
    pub fn fail(&self, cause: &str) {
        self.primary.set_health(ViewHealth::Failed { cause: cause.to_owned() });
        if let Some(fallback) = &self.fallback {
            fallback.set_health(ViewHealth::Failed { cause: cause.to_owned() });
        }
    }

    /// A snapshot of the first readable view.
    pub fn snapshot(&self) -> Result<ViewSnapshot<P::Snapshot, F::Snapshot>> {
        if self.primary.is_readable() {
            return Ok(ViewSnapshot::Primary(self.primary.store.snapshot()));
        }
        Ok(ViewSnapshot::Fallback(self.readable_fallback()?.store.snapshot()))
    }

    /// The newest readable value of a key in the first readable view.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        Ok(match self.primary.is_readable() {
            true => self.primary.store.get(key)?,
            false => self.readable_fallback()?.store.get(key)?,
        })
    }

    fn readable_fallback(&self) -> Result<&View<F>> {
        match &self.fallback {
            Some(fallback) if fallback.is_readable() => {
                self.fallback_reads.fetch_add(1, Ordering::Relaxed);
                Ok(fallback)
            }
            _ => Err(Error::NoView { cause: self.primary.health().to_string() }),
        }
    }

    /// How far the furthest view has come.
    pub fn published(&self) -> Lsn {
        let primary = self.primary.store.published_lsn();
        self.fallback.as_ref().map_or(primary, |view| primary.max(view.store.published_lsn()))
    }

    /// The LSN up to which the journal is no longer needed to open: what the persistent view has flushed.
    pub fn flushed(&self) -> Lsn {
        self.primary.store.flushed_lsn()
    }

    pub fn fallback_reads(&self) -> u64 {
        self.fallback_reads.load(Ordering::Relaxed)
    }
}
