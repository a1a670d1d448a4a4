//! Bringing the primary view back: probe, open again, or derive anew. See `docs/design/views.md`.

use std::{sync::Arc, time::Duration};

use stemedb_env::{Budget, Job, Lsn, Step};
use stemedb_index::Admit;
use stemedb_wal::Journal;

use super::put_aside;
use crate::{
    Error, EventKind, RebuildProgress, Result, ViewHealth,
    shared::Shared,
    upgrade::Upgrade,
    view::{Backoff, FailureClass, Filled, Filler, View, ViewStore, catch_up},
};

/// How often the folder of a healthy view is looked at, and its list of damage.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A job that finds the turn taken comes back after this.
pub(super) const TURN_LATER: Duration = Duration::from_millis(5);
/// A failed view is opened again after so many probes in vain.
const PROBES: u32 = 3;
/// When nothing but a change of circumstances could help.
pub(super) const STUCK: Duration = Duration::from_secs(60);
const PROBE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The job that looks after the primary view.
pub(crate) struct PrimaryKeeper<P: ViewStore, F: ViewStore, D: Admit> {
    pub(super) shared: Arc<Shared<P, F, D>>,
    pub(super) work: Work<P>,
    pub(super) backoff: Backoff,
    /// The view that answers has been stopped, and its folder is put aside: what lies there is not its own any more.
    pub(super) is_aside: bool,
    /// A view of this program's derivation version is to take the place of an older one's.
    pub(super) upgrade: Option<Upgrade<P>>,
    /// When the folder of the view was looked at last, while an upgrade goes on.
    pub(super) looked_at: Option<Duration>,
}

pub(super) enum Work<P: ViewStore> {
    /// It works.
    Watch,
    /// It has failed: is it better?
    Probe,
    /// Its folder is opened again.
    Reopen,
    /// What is left of its folder is put aside, and a new one is begun.
    Begin,
    /// A view is filled that will take its place, or has it already.
    Fill { view: Arc<View<P>>, filler: Box<Filler<P>> },
}

impl<P: ViewStore, F: ViewStore, D: Admit> PrimaryKeeper<P, F, D> {
    pub fn new(shared: Arc<Shared<P, F, D>>, upgrade: Option<Upgrade<P>>) -> PrimaryKeeper<P, F, D> {
        let mut keeper = PrimaryKeeper {
            shared,
            work: Work::Watch,
            backoff: PROBE_BACKOFF,
            is_aside: false,
            upgrade,
            looked_at: None,
        };
        if let Some(upgrade) = &keeper.upgrade {
            upgrade.announce(&keeper.shared);
        }
        let primary = Arc::clone(&keeper.shared.views.primary());
        let is_left = keeper.upgrade.as_ref().is_some_and(Upgrade::goes_on_alone);
        if primary.health().progress().is_some() && !is_left {
            keeper.fill(primary);
        }
        keeper
    }

    fn watch(&mut self) -> Step {
        let primary = Arc::clone(&self.shared.views.primary());
        if !primary.is_writable() {
            self.backoff = PROBE_BACKOFF;
            self.work = Work::Probe;
            return Step::Again;
        }
        if self.is_gone() {
            self.shared.fail(
                EventKind::Damage,
                Some(self.shared.layout.kv()),
                format!("Corruption: the folder of the primary view ({}) is gone", P::KIND),
            );
            self.begin();
            return Step::Again;
        }
        let is_noted = matches!(primary.health(), ViewHealth::Degraded { .. });
        if is_noted || !primary.store.damaged_parts().is_empty() {
            self.shared.call_repair();
        }
        Step::After(LOOK_EVERY)
    }

    /// True if the folder certainly does not hold the view any more.
    fn is_gone(&self) -> bool {
        matches!(P::is_in(&self.shared.env, &self.shared.layout.kv()), Ok(false))
    }

    /// Applies what the failed view lacks.
    fn probe(&mut self) -> Step {
        let shared = Arc::clone(&self.shared);
        let Shared { views, journal, derive, halt, .. } = &*shared;
        let primary = Arc::clone(&views.primary());
        let class = primary.store.trouble().map(|error| FailureClass::of(&error)).or(primary.failure());
        match class {
            _ if self.is_gone() => {
                self.begin();
                return Step::Again;
            }
            Some(FailureClass::Corruption | FailureClass::Gone) => {
                self.work = Work::Reopen;
                return Step::Again;
            }
            Some(FailureClass::Transient | FailureClass::Full) | None => {}
        }
        let Some(turn) = views.try_turn() else { return Step::After(TURN_LATER) };
        match catch_up(&**journal, &**derive, &views.announcer, &primary.store, journal.durable_lsn()) {
            Ok(()) => {
                views.serve_primary(&turn, &primary, health_of(&primary.store));
                drop(turn);
                halt.try_end_in_job();
                views.call();
                self.rest();
                Step::Again
            }
            Err(error) => {
                drop(turn);
                if is_the_journals(&error) {
                    return self.stuck(&error);
                }
                let trouble = primary.store.trouble();
                let class =
                    trouble.map_or(FailureClass::of_engine(&error), |trouble| FailureClass::of(&trouble));
                views.fail_primary_again(&primary, class, error.to_string());
                let pause = self.backoff.failed();
                if self.backoff.tries() >= PROBES && class != FailureClass::Full {
                    self.backoff = BACKOFF;
                    self.work = Work::Reopen;
                }
                Step::After(pause)
            }
        }
    }

    /// Opens the view's folder again: what a store knows only until it is opened again is forgotten, and what it has flushed stays.
    fn reopen(&mut self) -> Step {
        let shared = Arc::clone(&self.shared);
        let Shared { env, layout, database, views, .. } = &*shared;
        let old = Arc::clone(&views.primary());
        old.store.stop();
        match P::open(env, &layout.kv(), *database, &self.options()) {
            Ok(store) => {
                self.serve(&store);
                let end = self.shared.journal.durable_lsn();
                let done = store.published_lsn();
                let text = format!("the primary view is opened again, from entry {done} of {end}");
                self.shared.warn(EventKind::Rebuild, Some(layout.kv()), text);
                let view = Arc::new(View::behind(store, RebuildProgress { done, end }));
                self.fill(view);
                Step::Again
            }
            Err(error) => match FailureClass::of(&error) {
                FailureClass::Corruption | FailureClass::Gone => {
                    self.shared.fail(
                        EventKind::Damage,
                        Some(layout.kv()),
                        format!("the primary view cannot be opened again: {error}"),
                    );
                    self.begin();
                    Step::Again
                }
                FailureClass::Transient | FailureClass::Full => {
                    tracing::warn!(%error, "the primary view cannot be opened again yet");
                    Step::After(self.backoff.failed())
                }
            },
        }
    }

    pub(super) fn begin(&mut self) {
        self.backoff = BACKOFF;
        self.work = Work::Begin;
    }

    /// Puts aside what is left of the folder, and begins a new view in its place. The present one goes on meanwhile, as far as
    /// it can.
    fn begin_again(&mut self) -> Step {
        let shared = Arc::clone(&self.shared);
        let Shared { env, layout, database, options, views, journal, .. } = &*shared;
        let old = Arc::clone(&views.primary());
        if self.leave_to_upgrade(&old) {
            return Step::Again;
        }
        let (first, end) = (journal.first_lsn(), journal.durable_lsn());
        if end > Lsn::ZERO && first > Lsn(1) {
            return self.stuck(&Error::JournalGap { first, needed: Lsn(1) });
        }
        if let Some(error) = journal.damaged().into_values().next() {
            // The new view would end there, and the old one may have what the segment is healed from.
            return self.wait_for_healing(&error);
        }
        // Before it is stopped: nobody may repair, check or link its tables from then on, writable as it may be.
        views.set_rebuilding(Some(RebuildProgress { done: Lsn::ZERO, end }));
        self.is_aside = true;
        if let Some(building) = &*self.shared.building.lock() {
            building.store.stop();
        }
        // Before its names go: from then on it answers from open files alone.
        old.store.stop();
        old.store.hold_files();
        let kv = layout.kv();
        let reason = match old.health() {
            ViewHealth::Failed { cause } => format!("the view had failed: {cause}"),
            _ => "a part of its files was gone".to_owned(),
        };
        let made = put_aside(env, &kv, &layout.quarantine(), &reason)
            .map_err(stemedb_lsm::Error::from)
            .and_then(|_| P::create_instead_of(&old.store, env, &kv, *database, options));
        match made {
            Ok(store) => {
                // It is of this version.
                self.end_upgrade();
                self.shared.sidecars.serve(&store);
                let text =
                    format!("the primary view ({}) is derived from the journal, up to entry {end}", P::KIND);
                self.shared.warn(EventKind::Rebuild, Some(kv), text);
                let view = Arc::new(View::behind(store, RebuildProgress { done: Lsn::ZERO, end }));
                self.fill(view);
                Step::Again
            }
            Err(error) => {
                self.shared.fail(
                    EventKind::RepairFailed,
                    Some(kv),
                    format!("a new view cannot be begun: {error}"),
                );
                Step::After(self.backoff.failed())
            }
        }
    }

    /// A segment of the journal is damaged, and is healed before the view that it may be healed from is put aside.
    fn wait_for_healing(&mut self, error: &stemedb_wal::Error) -> Step {
        let text = format!("the primary view is not derived again before the journal is healed: {error}");
        self.shared.warn(EventKind::RepairFailed, Some(self.shared.layout.kv()), text);
        Step::After(self.backoff.failed())
    }

    fn fill(&mut self, view: Arc<View<P>>) {
        let filler = Box::new(Filler::in_rounds(&view.store));
        *self.shared.building.lock() = Some(Arc::clone(&view));
        let progress =
            RebuildProgress { done: filler.progress().done, end: self.shared.journal.durable_lsn() };
        self.shared.views.set_rebuilding(Some(progress));
        self.shared.views.call();
        self.backoff = BACKOFF;
        self.work = Work::Fill { view, filler };
    }

    /// A step of filling.
    fn filling(&mut self, budget: Budget) -> Step {
        match self.try_filling(budget) {
            Ok(step) => step,
            Err(error) if self.shared.is_closing() => {
                tracing::debug!(%error, "a rebuild is left: the next open goes on");
                Step::Done
            }
            Err(error) if is_the_journals(&error) => self.stuck(&error),
            Err(error) => {
                let kv = self.shared.layout.kv();
                self.shared.fail(EventKind::RepairFailed, Some(kv), format!("a rebuild has failed: {error}"));
                let pause = self.backoff.failed();
                match FailureClass::of_engine(&error) {
                    _ if self.is_gone() => self.work = Work::Begin,
                    FailureClass::Corruption | FailureClass::Gone => self.work = Work::Begin,
                    FailureClass::Transient | FailureClass::Full => {
                        if let Work::Fill { view, filler } = &mut self.work {
                            // What was shown stays; what was under way is begun again.
                            **filler = Filler::in_rounds(&view.store);
                        }
                        if self.backoff.tries() > PROBES {
                            self.give_way();
                        }
                    }
                }
                Step::After(pause)
            }
        }
    }

    /// What is being filled and cannot go on is opened again.
    fn give_way(&mut self) {
        let options = self.options();
        let Shared { env, layout, database, sidecars, .. } = &*self.shared;
        let is_mixed = self.upgrade.is_some();
        if let Work::Fill { view, filler } = &mut self.work {
            view.store.stop();
            match P::open(env, &layout.kv(), *database, &options) {
                Ok(store) => {
                    if !is_mixed {
                        sidecars.serve(&store);
                    }
                    let progress =
                        RebuildProgress { done: store.published_lsn(), end: filler.progress().end };
                    **filler = Filler::in_rounds(&store);
                    *view = Arc::new(View::behind(store, progress));
                    *self.shared.building.lock() = Some(Arc::clone(view));
                }
                Err(error) => {
                    tracing::warn!(%error, "the new view cannot be opened again");
                    if matches!(FailureClass::of(&error), FailureClass::Corruption | FailureClass::Gone) {
                        self.work = Work::Begin;
                    }
                }
            }
        }
    }

    fn try_filling(&mut self, budget: Budget) -> Result<Step> {
        let Work::Fill { view, filler } = &mut self.work else { return Ok(Step::Again) };
        let Shared { views, journal, derive, halt, .. } = &*self.shared;
        let filled = filler.step(journal, &**derive, &views.announcer, &view.store, budget.bytes)?;
        let end = journal.durable_lsn();
        views.set_rebuilding(Some(RebuildProgress { done: filler.progress().done, end }));
        if filled == Filled::More {
            return Ok(Step::Again);
        }
        let Some(turn) = views.try_turn() else { return Ok(Step::After(TURN_LATER)) };
        catch_up(&**journal, &**derive, &views.announcer, &view.store, journal.durable_lsn())?;
        views.serve_primary(&turn, view, health_of(&view.store));
        drop(turn);
        let text = format!("rebuild complete: the primary view shows entry {}", view.store.published_lsn());
        self.shared.inform(EventKind::Rebuild, Some(self.shared.layout.kv()), text);
        halt.try_end_in_job();
        views.call();
        self.rest();
        Ok(Step::Again)
    }

    pub(super) fn rest(&mut self) {
        *self.shared.building.lock() = None;
        self.backoff = PROBE_BACKOFF;
        self.work = Work::Watch;
        self.is_aside = false;
    }

    /// The journal cannot give what is needed: only somebody else can change that.
    fn stuck(&mut self, error: &Error) -> Step {
        let views = &self.shared.views;
        let primary = Arc::clone(&views.primary());
        // One that answers from open files alone stays in trouble: its folder is another's.
        if !(self.is_aside && primary.is_writable()) {
            views.set_rebuilding(None);
        }
        // One whose folder is gone goes on as long as it can.
        if !primary.is_writable() {
            views.fail_primary_again(&primary, FailureClass::Transient, error.to_string());
        }
        let text = format!("the primary view cannot be derived from the journal: {error}");
        self.shared.fail(EventKind::RepairFailed, Some(self.shared.layout.kv()), text);
        self.backoff = BACKOFF;
        Step::After(STUCK)
    }
}

/// True for what no view is to blame for.
pub(super) fn is_the_journals(error: &Error) -> bool {
    matches!(error, Error::JournalGap { .. } | Error::Journal(_) | Error::Index(_))
}

/// The health of a store that has everything.
pub(crate) fn health_of<S: ViewStore>(store: &S) -> ViewHealth {
    let files: Vec<u64> = store.damaged_parts().into_iter().map(|(file, _)| file).collect();
    match files.as_slice() {
        [] => ViewHealth::Healthy,
        files => ViewHealth::Degraded { cause: format!("damaged tables: {files:?}") },
    }
}

impl<P: ViewStore, F: ViewStore, D: Admit> Job for PrimaryKeeper<P, F, D> {
    fn step(&mut self, budget: Budget) -> Step {
        if self.shared.is_closing() {
            return Step::Done;
        }
        match &self.work {
            Work::Watch if self.upgrade_is_due() => self.upgrade(budget),
            Work::Watch => match self.watch() {
                // Nothing is the matter, so there is time for it.
                Step::After(_) if self.upgrade.is_some() => self.begin_upgrading(),
                step => step,
            },
            Work::Probe => self.probe(),
            Work::Reopen => self.reopen(),
            Work::Begin => self.begin_again(),
            Work::Fill { .. } => self.filling(budget),
        }
    }
}
