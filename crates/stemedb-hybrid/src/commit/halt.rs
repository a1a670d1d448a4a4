//! Why writes are refused, and how that ends.
//!
//! A group whose journal write failed, and could not be written elsewhere either, was answered "not known". Its LSNs are
//! given, its entries are in flight, and the journal writes it first when the disk answers again. So nothing may be
//! admitted before its fate is known; then it is published like any other group, and writes go on.
//!
//! The same for a group that is durable while the view has no room for it, because flushes fail: its entries wait here, in
//! order, and so does the group that was written behind it.

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
use stemedb_lsm::{KvStore, WriteBatch};
use stemedb_wal::Journal;

use crate::view::{Setback, Views};

/// Shared by the commit stages and the job that ends a halt.
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

struct State {
    cause: String,
    /// The cause is a full disk.
    no_room: bool,
    /// Entries that have an LSN and are not in the views, in order: their fate is not known, or a view has no room for them.
    pending: VecDeque<(Lsn, Vec<u8>)>,
    /// A view could not take an entry: only an open helps.
    for_good: bool,
}

/// Why writes are refused while there is a halt.
pub(crate) struct HaltCause {
    pub cause: String,
    pub no_room: bool,
}

impl<J: Journal, P: KvStore, F: KvStore, D: Admit> Halt<J, P, F, D> {
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

    /// Refuses writes until the fate of these entries is known. To be called before their writers are answered:
    /// otherwise a quick repetition could find itself in flight and be told that it was recorded.
    pub fn until_known(
        &self,
        cause: String,
        no_room: bool,
        entries: impl IntoIterator<Item = (Lsn, Vec<u8>)>,
    ) {
        let mut slot = self.state.lock();
        let state =
            slot.get_or_insert_with(|| State { cause, no_room, pending: VecDeque::new(), for_good: false });
        // Behind what waits already: they were written later.
        state.pending.extend(entries);
        self.halted.store(true, Ordering::Release);
    }

    /// Keeps a durable entry until a view has room for it, and refuses writes until then. The group behind it, which may
    /// have met a failure of its own, comes after it.
    pub fn until_there_is_room(&self, cause: String, no_room: bool, lsn: Lsn, entry: Vec<u8>) {
        let mut slot = self.state.lock();
        let state =
            slot.get_or_insert_with(|| State { cause, no_room, pending: VecDeque::new(), for_good: false });
        let at = state.pending.iter().take_while(|(before, _)| *before < lsn).count();
        state.pending.insert(at, (lsn, entry));
        self.halted.store(true, Ordering::Release);
    }

    /// True if an entry before this one waits for its view: this one must wait behind it.
    pub fn waits_before(&self, lsn: Lsn) -> Option<String> {
        if !self.is_halted() {
            return None;
        }
        let state = self.state.lock();
        let state = state.as_ref()?;
        let first = state.pending.front()?;
        (first.0 < lsn).then(|| state.cause.clone())
    }

    /// Refuses writes until the database is opened again.
    pub fn for_good(&self, cause: String) {
        let state = State { cause, no_room: false, pending: VecDeque::new(), for_good: true };
        *self.state.lock() = Some(state);
        self.halted.store(true, Ordering::Release);
    }

    /// Ends the halt if everything that waits is durable and in the views. True if writes are accepted.
    ///
    /// A view may take its time over an entry, so the state is not locked meanwhile: whoever asks for it is answered.
    pub fn try_end(&self) -> bool {
        if !self.is_halted() {
            return true;
        }
        // Somebody else is at it.
        let Some(_one) = self.ending.try_lock() else { return false };
        loop {
            let (lsn, entry) = {
                let mut slot = self.state.lock();
                match slot.as_ref() {
                    None => return true,
                    Some(state) if state.for_good => return false,
                    Some(state) => match state.pending.front() {
                        Some((lsn, entry)) => (*lsn, entry.clone()),
                        None => {
                            *slot = None;
                            self.halted.store(false, Ordering::Release);
                            tracing::info!("writes are accepted again");
                            return true;
                        }
                    },
                }
            };
            // While a flush fails a view has no room, and asking it would only make the flush fail again.
            let is_stuck = || self.views.primary.store.pressure().is_some_and(|it| it.flush_fails());
            if lsn > self.journal.durable_lsn() || self.views.published() < lsn.prev() || is_stuck() {
                return false;
            }
            match self.apply(lsn, &entry) {
                Ok(()) => {}
                Err(Setback::ForNow { .. }) => return false,
                Err(Setback::ForGood(cause)) => {
                    self.for_good(cause);
                    return false;
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

    /// Derives the rows of a durable entry and shows them.
    pub fn apply(&self, lsn: Lsn, entry: &[u8]) -> Result<(), Setback> {
        let mut rows = WriteBatch::new();
        match self.derive.derive(lsn, entry, &mut rows) {
            Ok(()) => self.views.advance(lsn, &rows),
            Err(error) => {
                let cause = error.to_string();
                tracing::error!(%lsn, error = ?error, "StorageError: Index update failed: {cause}");
                self.views.fail(&cause);
                Err(Setback::ForGood(cause))
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
