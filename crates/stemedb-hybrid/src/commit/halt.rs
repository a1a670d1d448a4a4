//! While writes are refused, and how that ends.
//!
//! A group whose journal write failed, and could not be written elsewhere either, was answered "not known". Its LSNs are
//! given, its entries are in flight, and the journal writes it first when the disk answers again. So nothing may be
//! admitted before its fate is known; then it is published like any other group, and writes go on.
//!
//! An entry that is durable, and that no view could take, halts writes too: the next ones could not be compared with it. It
//! stays in flight until some view has it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use stemedb_env::{Budget, Job, Lsn, Step};
use stemedb_index::Admit;
use stemedb_lsm::WriteBatch;
use stemedb_wal::Journal;

use crate::{
    Error, Result,
    view::{Turn, ViewStore, Views, catch_up},
};

/// Shared by the commit stages and the jobs that end a halt.
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

#[derive(Default)]
struct State {
    cause: String,
    /// The group whose fate is not known.
    pending: Vec<(Lsn, Vec<u8>)>,
    /// Durable up to here; no view shows it yet.
    hidden: Option<Lsn>,
    /// An entry cannot be derived: no view would ever take it.
    for_good: bool,
}

/// How long the publish stage waits for the job that follows the journal.
const FILLING_WAIT: std::time::Duration = std::time::Duration::from_millis(50);
/// The fallback view takes an entry in the publish stage if it is no more entries behind.
const CATCH_UP_ENTRIES: u64 = 4096;

impl<J: Journal, P: ViewStore, F: ViewStore, D: Admit> Halt<J, P, F, D> {
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

    fn halt(&self, add: impl FnOnce(&mut State)) {
        let mut slot = self.state.lock();
        add(slot.get_or_insert_default());
        self.halted.store(true, Ordering::Release);
    }

    /// Refuses writes until the fate of these entries is known. To be called before their writers are answered:
    /// otherwise a quick repetition could find itself in flight and be told that it was recorded.
    pub fn until_known(&self, cause: String, mut pending: Vec<(Lsn, Vec<u8>)>) {
        self.halt(|state| {
            state.cause = cause;
            state.pending.append(&mut pending);
        });
    }

    /// Refuses writes until some view shows everything up to `lsn`; for good if the reason is that an entry cannot be derived.
    pub fn until_shown(&self, error: &Error, lsn: Lsn) {
        self.halt(|state| state.hide(error, lsn));
    }

    /// Ends the halt if the journal has gone on and everything is in a view. True if writes are accepted.
    pub fn try_end(&self) -> bool {
        !self.halted.load(Ordering::Acquire) || self.end(self.state.lock())
    }

    /// As [`Halt::try_end`], for jobs: whoever is ending it may be waiting for jobs.
    pub fn try_end_in_job(&self) -> bool {
        if !self.halted.load(Ordering::Acquire) {
            return true;
        }
        self.state.try_lock().is_some_and(|slot| self.end(slot))
    }

    fn end(&self, mut slot: MutexGuard<'_, Option<State>>) -> bool {
        let Some(state) = slot.as_mut() else { return true };
        if state.for_good || state.hidden.is_some_and(|lsn| self.views.published() < lsn) {
            return false;
        }
        let mut last = state.hidden;
        if let (Some((first, _)), Some((newest, _))) = (state.pending.first(), state.pending.last()) {
            if self.journal.durable_lsn() < *newest || self.views.published() < first.prev() {
                return false;
            }
            last = Some(*newest);
            let turn = self.views.turn();
            for (lsn, entry) in std::mem::take(&mut state.pending) {
                if let Err(error) = self.apply(&turn, lsn, &entry) {
                    // What is durable stands in the journal: whichever view comes so far takes it from there.
                    let newest = last.unwrap_or(lsn);
                    state.hide(&error, newest);
                    return false;
                }
            }
        }
        if let Some(last) = last {
            self.derive.retire(&mut self.in_flight.lock(), last);
        }
        *slot = None;
        self.halted.store(false, Ordering::Release);
        tracing::info!("writes are accepted again");
        true
    }

    /// Derives the rows of a durable entry and shows them in the primary view, or else in the fallback view.
    pub fn apply(&self, turn: &Turn<'_>, lsn: Lsn, entry: &[u8]) -> Result<()> {
        let mut rows = WriteBatch::new();
        if let Err(error) = self.derive.derive(lsn, entry, &mut rows) {
            tracing::error!(%lsn, error = ?error, "StorageError: Index update failed: {error}");
            return Err(error.into());
        }
        let refused = match self.views.advance(turn, lsn, &rows) {
            Ok(()) => return Ok(()),
            Err(cause) => Error::NotReadable { lsn, cause },
        };
        match self.apply_to_fallback(turn, lsn, &rows) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                tracing::error!(%lsn, error = ?error, "StorageError: Failed to write to the fallback view: {error}");
                Err(refused)
            }
            None => Err(refused),
        }
    }

    /// `None` if there is no fallback view that could take it now.
    fn apply_to_fallback(&self, turn: &Turn<'_>, lsn: Lsn, rows: &WriteBatch) -> Option<Result<()>> {
        let fallback = self.views.fallback()?;
        let _filling = self.views.filling.try_lock_for(FILLING_WAIT)?;
        let behind = lsn.0.saturating_sub(fallback.store.published_lsn().0);
        if behind > CATCH_UP_ENTRIES {
            return None;
        }
        let before = match behind {
            0 | 1 => Ok(()),
            _ => catch_up(&*self.journal, &*self.derive, &fallback.store, lsn.prev()),
        };
        Some(before.and_then(|()| Ok(self.views.advance_fallback(turn, &fallback, lsn, rows)?)))
    }
}

impl State {
    fn hide(&mut self, error: &Error, lsn: Lsn) {
        self.cause = error.to_string();
        self.hidden = self.hidden.max(Some(lsn));
        self.for_good |= !matches!(error, Error::NotReadable { .. });
    }
}

/// How often a halt is looked at.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// Ends halts when nobody writes. Sleeps while there is none.
pub(crate) struct EndHalt<J, P, F, D: Admit> {
    pub halt: Arc<Halt<J, P, F, D>>,
}

impl<J: Journal, P: ViewStore, F: ViewStore, D: Admit> Job for EndHalt<J, P, F, D> {
    fn step(&mut self, _budget: Budget) -> Step {
        let state = self.halt.state.try_lock();
        let for_good = state.is_some_and(|state| state.as_ref().is_some_and(|state| state.for_good));
        if for_good || self.halt.try_end_in_job() { Step::Idle } else { Step::After(LOOK_EVERY) }
    }
}
