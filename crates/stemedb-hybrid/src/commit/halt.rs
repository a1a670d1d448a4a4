//! While writes are refused, and how that ends.
//!
//! A group whose journal write failed, and could not be written elsewhere either, was answered "not known". Its LSNs are
//! given, its entries are in flight, and the journal writes it first when the disk answers again. So nothing may be
//! admitted before its fate is known; then it is published like any other group, and writes go on.
//!
//! The same for a group that is durable while the primary view has no room for it, because flushes find the disk full: its
//! entries wait here, in order, and so does the group that was written behind it.
//!
//! An entry that is durable, and that no view could take, halts writes too: the next ones could not be compared with it. It
//! stays in flight until some view has it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_env::{Budget, Job, Lsn, Step};
use stemedb_index::Admit;
use stemedb_lsm::WriteBatch;
use stemedb_wal::Journal;

use crate::{
    Error, Result,
    view::{Setback, Turn, ViewStore, Views, catch_up},
};

/// Shared by the commit stages and the jobs that end a halt.
pub(crate) struct Halt<J, P, F, D: Admit> {
    pub journal: Arc<J>,
    pub views: Arc<Views<P, F>>,
    pub derive: Arc<D>,
    /// What was admitted and is not in the views yet.
    pub in_flight: Mutex<D::InFlight>,
    state: Mutex<Option<State>>,
    /// Held by whoever tries to end a halt.
    ending: Mutex<()>,
    /// Whether there is a state, readable without waiting for whoever ends it.
    halted: AtomicBool,
}

#[derive(Default)]
struct State {
    cause: String,
    /// The cause is a full disk.
    no_room: bool,
    /// Entries that have an LSN and that no view shows, in order: their fate is not known, or a view has no room for them.
    pending: VecDeque<(Lsn, Vec<u8>)>,
    /// Durable up to here; no view shows it yet.
    hidden: Option<Lsn>,
    /// An entry cannot be derived: no view would ever take it. Or the operator has said so.
    for_good: bool,
}

/// Why writes are refused while there is a halt.
pub(crate) struct HaltCause {
    pub cause: String,
    pub no_room: bool,
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
            ending: Mutex::new(()),
            halted: AtomicBool::new(false),
        }
    }

    /// Why writes are refused.
    pub fn cause(&self) -> Option<HaltCause> {
        if !self.is_halted() {
            return None;
        }
        let state = self.state.lock();
        state.as_ref().map(|state| HaltCause { cause: state.cause.clone(), no_room: state.no_room })
    }

    /// Cost: a load.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    fn halt(&self, add: impl FnOnce(&mut State)) {
        let mut slot = self.state.lock();
        add(slot.get_or_insert_default());
        self.halted.store(true, Ordering::Release);
    }

    /// Refuses writes until the fate of these entries is known. To be called before their writers are answered:
    /// otherwise a quick repetition could find itself in flight and be told that it was recorded.
    pub fn until_known(
        &self,
        cause: String,
        no_room: bool,
        entries: impl IntoIterator<Item = (Lsn, Vec<u8>)>,
    ) {
        self.halt(|state| {
            state.begin(cause, no_room);
            // Behind what waits already: they were written later.
            state.pending.extend(entries);
        });
    }

    /// Keeps a durable entry until a view has room for it, and refuses writes until then. The group behind it, which may
    /// have met a failure of its own, comes after it.
    pub fn until_there_is_room(&self, cause: String, lsn: Lsn, entry: Vec<u8>) {
        self.halt(|state| {
            state.begin(cause, true);
            let at = state.pending.iter().take_while(|(before, _)| *before < lsn).count();
            state.pending.insert(at, (lsn, entry));
        });
    }

    /// Refuses writes until some view shows everything up to `lsn`; for good if the reason is that an entry cannot be derived.
    pub fn until_shown(&self, error: &Error, lsn: Lsn) {
        self.halt(|state| state.hide(error, lsn));
    }

    /// Refuses writes until the database is opened again.
    pub fn for_good(&self, cause: String) {
        self.halt(|state| (state.cause, state.for_good) = (cause, true));
    }

    /// Why an entry before this one waits for its view, if one does: this one must wait behind it.
    pub fn waits_before(&self, lsn: Lsn) -> Option<String> {
        if !self.is_halted() {
            return None;
        }
        let state = self.state.lock();
        let state = state.as_ref()?;
        let first = state.pending.front()?;
        (first.0 < lsn).then(|| state.cause.clone())
    }

    /// Ends the halt if everything that waits is durable and in a view. True if writes are accepted.
    ///
    /// A view may take its time over an entry, so the state is not locked meanwhile: whoever asks for it is answered.
    pub fn try_end(&self) -> bool {
        self.end(|| Some(self.views.turn()))
    }

    /// As [`Halt::try_end`], for jobs: whoever has the turn may be waiting for jobs.
    pub fn try_end_in_job(&self) -> bool {
        self.end(|| self.views.try_turn())
    }

    fn end<'a>(&'a self, turn: impl Fn() -> Option<Turn<'a>>) -> bool {
        if !self.is_halted() {
            return true;
        }
        // Somebody else is at it.
        let Some(_one) = self.ending.try_lock() else { return false };
        loop {
            let (lsn, entry) = {
                let mut slot = self.state.lock();
                let Some(state) = slot.as_ref() else { return true };
                // What is hidden stands in the journal: whichever view comes so far takes it from there.
                if state.for_good || state.hidden.is_some_and(|lsn| self.views.published() < lsn) {
                    return false;
                }
                match state.pending.front() {
                    Some((lsn, entry)) => (*lsn, entry.clone()),
                    None => {
                        if let Some(last) = state.hidden {
                            self.derive.retire(&mut self.in_flight.lock(), last);
                        }
                        *slot = None;
                        self.halted.store(false, Ordering::Release);
                        tracing::info!("writes are accepted again");
                        return true;
                    }
                }
            };
            if lsn > self.journal.durable_lsn() || self.views.published() < lsn.prev() || self.is_stuck() {
                return false;
            }
            {
                let Some(turn) = turn() else { return false };
                match self.apply(&turn, lsn, &entry) {
                    Ok(()) => {}
                    Err(Setback::ForNow { .. }) => return false,
                    Err(Setback::Failed(error)) => {
                        self.halt(|state| state.hide(&error, lsn));
                        return false;
                    }
                }
            }
            self.derive.retire(&mut self.in_flight.lock(), lsn);
            if let Some(state) = self.state.lock().as_mut()
                && state.pending.front().is_some_and(|(first, _)| *first == lsn)
            {
                state.pending.pop_front();
            }
        }
    }

    /// While flushes find the disk full the primary view has no room, and asking it would only make a flush fail again.
    fn is_stuck(&self) -> bool {
        let primary = self.views.primary();
        primary.is_writable() && primary.store.pressure().is_some_and(|it| it.is_out_of_room())
    }

    /// Derives the rows of a durable entry and shows them in the primary view, or else in the fallback view, unless some view
    /// shows them already.
    pub fn apply(&self, turn: &Turn<'_>, lsn: Lsn, entry: &[u8]) -> std::result::Result<(), Setback> {
        if self.views.published() >= lsn {
            return Ok(());
        }
        let mut rows = WriteBatch::new();
        if let Err(error) = self.derive.derive(lsn, entry, &mut rows) {
            tracing::error!(%lsn, error = ?error, "StorageError: Index update failed: {error}");
            return Err(Setback::Failed(error.into()));
        }
        let refused = match self.views.advance(turn, lsn, &rows) {
            Ok(()) => return Ok(()),
            Err(Setback::ForNow { cause }) => return Err(Setback::ForNow { cause }),
            Err(Setback::Failed(error)) => error,
        };
        match self.apply_to_fallback(turn, lsn, &rows) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                tracing::error!(%lsn, error = ?error, "StorageError: Failed to write to the fallback view: {error}");
                Err(Setback::Failed(refused))
            }
            None => Err(Setback::Failed(refused)),
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
            _ => catch_up(&*self.journal, &*self.derive, &self.views.announcer, &fallback.store, lsn.prev()),
        };
        Some(before.and_then(|()| Ok(self.views.advance_fallback(turn, &fallback, lsn, rows)?)))
    }
}

impl State {
    /// Says why, unless something has been said before.
    fn begin(&mut self, cause: String, no_room: bool) {
        if self.cause.is_empty() {
            (self.cause, self.no_room) = (cause, no_room);
        }
    }

    fn hide(&mut self, error: &Error, lsn: Lsn) {
        (self.cause, self.no_room) = (error.to_string(), false);
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
