//! Building the new view and putting it into its place, step by step. One job does it: the one that looks after the primary view.

use std::{sync::Arc, time::Duration};

use stemedb_env::{Budget, Lsn};
use stemedb_index::Admit;
use stemedb_wal::Journal;

use super::{UpgradeHealth, begun, folders};
use crate::{
    Error, EventKind, HybridOptions, RebuildProgress, Result,
    repair::health_of,
    shared::Shared,
    view::{FailureClass, Filled, Filler, Turn, View, ViewStore, catch_up},
};

/// The longest rest between two steps while the old view takes entries.
const MOST_REST: Duration = Duration::from_millis(50);
/// The first rounds of filling are as large as so many memtables.
const ROUND_MEMTABLES: u64 = 4;

/// What a step has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more, after a rest.
    More(Duration),
    /// Whoever publishes has the turn.
    NotMyTurn,
    /// The new view has taken the place of the old one.
    Done,
}

/// An upgrade under way.
pub(crate) struct Upgrade<P: ViewStore> {
    pub health: UpgradeHealth,
    view: Option<Building<P>>,
    /// There is no way back: both views are stopped, and folders may have been renamed.
    pub is_switching: bool,
    /// The old view is lost. What it still answers comes from open files.
    pub is_alone: bool,
    /// Nothing is built before the next open: the old view goes on as it is.
    pub is_held: bool,
    /// The newest of the old view's tables whose files are held open.
    newest_held: Option<u64>,
}

struct Building<P: ViewStore> {
    view: Arc<View<P>>,
    filler: Box<Filler<P>>,
}

impl<P: ViewStore> Building<P> {
    fn new(store: P, end: Lsn, options: &HybridOptions) -> Building<P> {
        let round_bytes = ROUND_MEMTABLES.saturating_mul(options.lsm.memtable_bytes as u64);
        let filler = Box::new(Filler::in_bounded_rounds(&store, round_bytes));
        let progress = RebuildProgress { done: store.published_lsn(), end };
        Building { view: Arc::new(View::behind(store, progress)), filler }
    }
}

impl<P: ViewStore> Upgrade<P> {
    /// With the view that an earlier life has begun, if there is one.
    pub fn new(
        health: UpgradeHealth,
        begun: Option<P>,
        is_held: bool,
        options: &HybridOptions,
    ) -> Upgrade<P> {
        let view = begun.map(|store| Building::new(store, health.progress.end, options));
        Upgrade { health, view, is_switching: false, is_alone: false, is_held, newest_held: None }
    }

    /// What the new view has flushed; `None` if it is yet to be begun.
    pub fn flushed(&self) -> Option<Lsn> {
        self.view.as_ref().map(|building| building.view.store.flushed_lsn())
    }

    /// The new view, as far as it has come.
    pub fn store(&self) -> Option<&P> {
        self.view.as_ref().map(|building| &building.view.store)
    }

    /// True if it goes on whatever becomes of the old view.
    pub fn goes_on_alone(&self) -> bool {
        !self.is_held && (!self.health.readable || self.is_switching || self.is_alone)
    }

    /// Tells the views and whoever closes the engine about it.
    pub fn announce<F: ViewStore, D: Admit>(&self, shared: &Shared<P, F, D>) {
        let views = &shared.views;
        views.set_upgrade(Some(self.health.clone()));
        views.set_building_flushed((!self.is_held).then(|| self.flushed().unwrap_or(Lsn::ZERO)));
        *shared.building.lock() = self.view.as_ref().map(|building| Arc::clone(&building.view));
        if self.goes_on_alone() {
            views.set_rebuilding(Some(self.health.progress));
        }
    }

    /// Builds, or puts into place. About `budget` of entries.
    pub fn step<F: ViewStore, D: Admit>(&mut self, shared: &Shared<P, F, D>, budget: Budget) -> Result<Step> {
        let clock = &shared.env.clock;
        let began = clock.monotonic();
        if self.health.readable && !self.is_switching {
            self.hold(&shared.views.primary().store);
        }
        if !self.is_switching && self.fill(shared, budget)? == Filled::More {
            let worked = clock.monotonic().saturating_sub(began);
            let rest = if self.goes_on_alone() { Duration::ZERO } else { worked.min(MOST_REST) };
            return Ok(Step::More(rest));
        }
        let Some(turn) = shared.views.try_turn() else { return Ok(Step::NotMyTurn) };
        self.switch(shared, &turn)?;
        drop(turn);
        self.end(shared);
        Ok(Step::Done)
    }

    /// Opens the files of the old view's tables, so that whoever has a snapshot reads on when their folder is gone: also of tables
    /// that are merged away before. Indexes are read for it, so it is done before the turn is taken.
    fn hold(&mut self, old: &P) {
        let newest = old.parts().iter().map(|table| table.file).max();
        if newest > self.newest_held {
            old.hold_files();
            self.newest_held = newest;
        }
    }

    fn fill<F: ViewStore, D: Admit>(&mut self, shared: &Shared<P, F, D>, budget: Budget) -> Result<Filled> {
        let Shared { journal, derive, .. } = shared;
        let building = match &mut self.view {
            Some(building) => building,
            none => none.insert(begin(shared)?),
        };
        let store = &building.view.store;
        let filled =
            building.filler.step(journal, &**derive, &shared.views.announcer, store, budget.bytes)?;
        if filled == Filled::Near {
            // Without the turn, so that little is left for it.
            store.flush()?;
        }
        let done = building.filler.progress().done;
        let is_first = self.health.stuck.take().is_some();
        self.health.progress = RebuildProgress { done, end: journal.durable_lsn() };
        if is_first {
            tracing::info!("the upgrade of the primary view goes on");
        }
        self.announce(shared);
        Ok(filled)
    }

    /// Puts the new view into the place of the old one. Nothing is published meanwhile; reads go on.
    fn switch<F: ViewStore, D: Admit>(&mut self, shared: &Shared<P, F, D>, turn: &Turn<'_>) -> Result<()> {
        let Shared { env, layout, database, options, journal, derive, views, sidecars, .. } = shared;
        let old = Arc::clone(&views.primary());
        if !self.is_switching {
            if let Some(Building { view, .. }) = &self.view {
                catch_up(&**journal, &**derive, &views.announcer, &view.store, journal.durable_lsn())?;
                view.store.flush()?;
                view.store.stop();
            }
            // Nobody may write by the old names any more, and reads go on without them.
            old.store.stop();
            if self.health.readable {
                old.store.hold_files();
            }
            self.is_switching = true;
            *shared.building.lock() = None;
            self.view = None;
        }
        let placed = folders::switch(&*env.fs, layout)
            .and_then(|()| Ok(P::open(env, &layout.kv(), *database, options)?))
            .and_then(|store| {
                sidecars.serve(&store);
                catch_up(&**journal, &**derive, &views.announcer, &store, journal.durable_lsn())?;
                Ok(store)
            });
        match placed {
            Ok(store) => {
                let progress = RebuildProgress { done: store.published_lsn(), end: journal.durable_lsn() };
                let health = health_of(&store);
                views.serve_primary(turn, &Arc::new(View::behind(store, progress)), health);
                // After the other: whoever finds no upgrade finds the new view.
                views.set_upgrade(None);
                views.set_building_flushed(None);
                Ok(())
            }
            Err(error) => {
                // It answers until something is acknowledged that it lacks, but it takes nothing any more.
                let class = FailureClass::of_engine(&error);
                views.set_rebuilding(Some(self.health.progress));
                views.fail_primary_again(&old, class, error.to_string());
                Err(error)
            }
        }
    }

    /// What is left to do when the new view answers.
    fn end<F: ViewStore, D: Admit>(&self, shared: &Shared<P, F, D>) {
        let Shared { env, layout, views, halt, .. } = shared;
        let reached = views.primary().store.published_lsn();
        let text = format!(
            "upgrade complete: the primary view is of version {} and shows entry {reached}",
            self.health.to
        );
        shared.inform(EventKind::Rebuild, Some(layout.kv()), text);
        if let Err(error) = folders::remove(&*env.fs, layout, &layout.kv_old()) {
            tracing::warn!(%error, "the old view cannot be removed: the next open tries again");
        }
        halt.try_end_in_job();
        views.call();
    }

    /// A step has failed: what was shown of the new view stays on disk, and the next step opens it again.
    pub fn step_back(&mut self) {
        if let Some(Building { view, .. }) = self.view.take() {
            view.store.stop();
        }
    }
}

/// The view to be filled: the one that is there, or a new one.
fn begin<P: ViewStore, F: ViewStore, D: Admit>(shared: &Shared<P, F, D>) -> Result<Building<P>> {
    let Shared { env, layout, database, options, journal, views, sidecars, .. } = shared;
    let (first, end) = (journal.first_lsn(), journal.durable_lsn());
    let store = match begun::<P>(env, layout, *database, options, end)? {
        Some(store) => store,
        None if end > Lsn::ZERO && first > Lsn(1) => {
            return Err(Error::JournalGap { first, needed: Lsn(1) });
        }
        None => P::create_instead_of(&views.primary().store, env, &layout.kv_next(), *database, options)?,
    };
    sidecars.serve(&store);
    Ok(Building::new(store, end, options))
}
