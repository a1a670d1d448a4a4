//! Why writes are refused, and how that ends.
//!
//! A group whose journal write failed, and could not be written elsewhere either, was answered "not known". Its LSNs are
//! given, its entries are in flight, and the journal writes it first when the disk answers again. So nothing may be
//! admitted before its fate is known; then it is published like any other group, and writes go on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use stemedb_env::{Budget, Job, Lsn, Step};
use stemedb_index::Admit;
use stemedb_lsm::{KvStore, WriteBatch};
use stemedb_wal::Journal;

use crate::{Error, Result, view::Views};

/// Shared by the commit stages and the job that ends a halt.
pub(crate) struct Halt<J, P, F, D: Admit> {
    pub journal: Arc<J>,
    pub views: Arc<Views<P, F>>,
    pub derive: Arc<D>,
    /// What was admitted and is not in the views yet.
    pub in_flight: Mutex<D::InFlight>,
    state: Mutex<Option<State>>,
    /// Whether there is a state, readable without waiting for whoever ends it.
    halted: AtomicBool,
}

struct State {
    cause: String,
    /// The group whose fate is not known.
    pending: Vec<(Lsn, Vec<u8>)>,
    /// A view could not take an entry: only an open helps.
    for_good: bool,
}

impl<J: Journal, P: KvStore, F: KvStore, D: Admit> Halt<J, P, F, D> {
    pub fn new(journal: Arc<J>, views: Arc<Views<P, F>>, derive: Arc<D>) -> Self {
        Halt {
            journal,
            views,
            derive,
            in_flight: Mutex::new(D::InFlight::default()),
            state: Mutex::new(None),
            halted: AtomicBool::new(false),
        }
    }

    /// Why writes are refused.
    pub fn cause(&self) -> Option<String> {
        if !self.halted.load(Ordering::Acquire) {
            return None;
        }
        self.state.lock().as_ref().map(|state| state.cause.clone())
    }

    fn set(&self, state: State) {
        *self.state.lock() = Some(state);
        self.halted.store(true, Ordering::Release);
    }

    /// Refuses writes until the fate of these entries is known. To be called before their writers are answered:
    /// otherwise a quick repetition could find itself in flight and be told that it was recorded.
    pub fn until_known(&self, cause: String, pending: Vec<(Lsn, Vec<u8>)>) {
        self.set(State { cause, pending, for_good: false });
    }

    /// Refuses writes until the database is opened again.
    pub fn for_good(&self, cause: String) {
        self.set(State { cause, pending: Vec::new(), for_good: true });
    }

    /// Ends the halt if the journal has gone on and everything before the pending group is in the views. True if
    /// writes are accepted.
    pub fn try_end(&self) -> bool {
        if !self.halted.load(Ordering::Acquire) {
            return true;
        }
        let mut slot = self.state.lock();
        let Some(state) = slot.as_mut() else { return true };
        if state.for_good {
            return false;
        }
        if let (Some((first, _)), Some((last, _))) = (state.pending.first(), state.pending.last())
            && (self.journal.durable_lsn() < *last || self.views.published() < first.prev())
        {
            return false;
        }
        for (lsn, entry) in std::mem::take(&mut state.pending) {
            if let Err(error) = self.apply(lsn, &entry) {
                state.cause = error.to_string();
                state.for_good = true;
                return false;
            }
            self.derive.retire(&mut self.in_flight.lock(), lsn);
        }
        *slot = None;
        self.halted.store(false, Ordering::Release);
        tracing::info!("writes are accepted again");
        true
    }

    /// Derives the rows of a durable entry and shows them.
    pub fn apply(&self, lsn: Lsn, entry: &[u8]) -> Result<()> {
        let mut rows = WriteBatch::new();
        match self.derive.derive(lsn, entry, &mut rows) {
            Ok(()) => self.views.advance(lsn, &rows),
            Err(error) => {
                let cause = error.to_string();
                tracing::error!(%lsn, error = ?error, "StorageError: Index update failed: {cause}");
                self.views.fail(&cause);
                Err(Error::NotReadable { lsn, cause })
            }
        }
    }
}

/// How often a halt is looked at.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// Ends halts when nobody writes. Sleeps while there is none.
pub(crate) struct EndHalt<J, P, F, D: Admit> {
    pub halt: Arc<Halt<J, P, F, D>>,
}

impl<J: Journal, P: KvStore, F: KvStore, D: Admit> Job for EndHalt<J, P, F, D> {
    fn step(&mut self, _budget: Budget) -> Step {
        let for_good = self.halt.state.lock().as_ref().is_some_and(|state| state.for_good);
        if for_good || self.halt.try_end() { Step::Idle } else { Step::After(LOOK_EVERY) }
    }
}
