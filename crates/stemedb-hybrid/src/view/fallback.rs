//! Looking after the fallback view: filled when it is needed, followed while it is there, dropped when it is not.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use stemedb_env::{Budget, Job, Step};
use stemedb_index::Admit;
use stemedb_wal::Journal;

use super::{Backoff, FailureClass, Filled, Filler, View, ViewStore, catch_up};
use crate::{
    Error, EventKind, FallbackMode, HybridOptions, Layout, RebuildProgress, RedbStore, Result, ViewHealth,
    repair::put_content_aside, shared::Shared,
};

/// How often the end of the journal is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);
/// Looks at the end of the journal between two that make the view durable.
const LOOKS_PER_FLUSH: u32 = 20;
/// A fallback view on demand is dropped when the primary has been healthy for so long.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// When nothing but a change of circumstances could help.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));

/// Where the fallback view lies.
pub(crate) fn fallback_dir(layout: &Layout, options: &HybridOptions) -> PathBuf {
    options.fallback_dir.clone().unwrap_or_else(|| layout.fallback())
}

/// The job that looks after the fallback view.
pub(crate) struct FallbackKeeper<P: ViewStore, F: ViewStore, D: Admit> {
    shared: Arc<Shared<P, F, D>>,
    dir: PathBuf,
    filler: Option<Filler<F>>,
    /// What is left of an earlier life has been looked at.
    is_tidy: bool,
    healthy_since: Option<Duration>,
    looks: u32,
    backoff: Backoff,
}

impl<P: ViewStore, F: ViewStore, D: Admit> FallbackKeeper<P, F, D> {
    pub fn new(shared: Arc<Shared<P, F, D>>) -> FallbackKeeper<P, F, D> {
        let dir = fallback_dir(&shared.layout, &shared.options);
        FallbackKeeper {
            shared,
            dir,
            filler: None,
            is_tidy: false,
            healthy_since: None,
            looks: 0,
            backoff: BACKOFF,
        }
    }

    fn quarantine(&self) -> PathBuf {
        match self.shared.options.fallback_dir {
            // It may be on another disk.
            Some(_) => self.dir.join("quarantine"),
            None => self.shared.layout.quarantine(),
        }
    }

    /// The view in the folder, or a new one.
    fn prepare(&mut self) -> Result<View<F>> {
        let Shared { env, database, options, journal, .. } = &*self.shared;
        let end = journal.durable_lsn();
        if F::is_in(env, &self.dir)? {
            let damage = match F::open(env, &self.dir, *database, options) {
                Ok(store) if store.published_lsn() <= end => return Ok(behind(store, end)),
                Ok(_) => "it has come further than the journal: it is not of this database's past".to_owned(),
                // Nothing is wrong with it, and nobody needs it.
                Err(stemedb_lsm::Error::Folder { problem, .. }) if problem == RedbStore::OTHER_DERIVATION => {
                    remove_folder(&self.shared, &self.dir)?;
                    let text = "the fallback view was derived by another version; it is filled again";
                    self.shared.inform(EventKind::Rebuild, Some(self.dir.clone()), text.to_owned());
                    return Ok(behind(F::create(env, &self.dir, *database, options)?, end));
                }
                // The disk does not answer, or has no room: the file may be whole.
                Err(error @ stemedb_lsm::Error::Env(_)) if !is_gone(&error) => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            let text = format!("the fallback view cannot be used and is filled again: {damage}");
            self.shared.warn(EventKind::Damage, Some(self.dir.clone()), text);
            put_content_aside(env, &self.dir, &self.quarantine(), &damage, &F::owns)?;
        }
        self.shared.inform(
            EventKind::Rebuild,
            Some(self.dir.clone()),
            format!("the fallback view ({}) is filled from the journal, up to entry {end}", F::KIND),
        );
        Ok(behind(F::create(env, &self.dir, *database, options)?, end))
    }

    /// Takes it further; the pause before the next step.
    fn follow(&mut self, view: &Arc<View<F>>, budget: Budget) -> Result<Step> {
        let Shared { journal, views, derive, halt, .. } = &*self.shared;
        let Some(filling) = views.filling.try_lock() else { return Ok(Step::After(FOLLOW_EVERY)) };
        let filler = self.filler.get_or_insert_with(|| Filler::in_steps(&view.store));
        let filled = filler.step(journal, &**derive, &views.announcer, &view.store, budget.bytes)?;
        let was_behind = view.health().progress().is_some();
        if filled == Filled::More {
            if was_behind {
                views.note("fallback", view, ViewHealth::Rebuilding { progress: filler.progress() });
            }
            return Ok(Step::Again);
        }
        drop(filling);
        if !views.primary().is_writable() {
            let Some(turn) = views.try_turn() else { return Ok(Step::After(FOLLOW_EVERY)) };
            let Some(_filling) = views.filling.try_lock() else { return Ok(Step::After(FOLLOW_EVERY)) };
            // Nobody but who has the turn makes it writable.
            if !views.primary().is_writable() {
                catch_up(&**journal, &**derive, &views.announcer, &view.store, journal.durable_lsn())?;
                views.show_in_fallback(&turn, view);
            }
        }
        views.note("fallback", view, ViewHealth::Healthy);
        halt.try_end_in_job();
        self.looks += 1;
        if view.store.flushed_lsn() < view.store.published_lsn()
            && (was_behind || self.looks.is_multiple_of(LOOKS_PER_FLUSH))
        {
            view.store.flush()?;
        }
        self.backoff = BACKOFF;
        Ok(Step::After(FOLLOW_EVERY))
    }

    /// Gives the view up after a failure; the pause before the next try.
    fn give_up(&mut self, view: Option<Arc<View<F>>>, error: &Error) -> Step {
        let class = FailureClass::of_engine(error);
        let cause = error.to_string();
        self.filler = None;
        if let Some(view) = &view {
            let views = &self.shared.views;
            views.note("fallback", view, ViewHealth::Failed { cause: cause.clone() });
        } else {
            let text = format!("the fallback view cannot be made: {cause}");
            self.shared.fail(EventKind::Health, Some(self.dir.clone()), text);
        }
        if matches!(error, Error::JournalGap { .. } | Error::Index(_) | Error::Journal(_)) {
            // The view shows what it has; more of it cannot be had from this journal.
            return Step::After(LOOK_AGAIN);
        }
        self.shared.views.set_fallback(None);
        // What is left of it goes when nobody needs it any more: on a full disk that may be much.
        self.is_tidy = false;
        // Never two stores on one file: while somebody still holds this one, its file must have lost its name.
        let is_held = view.is_some_and(|view| Arc::try_unwrap(view).is_err());
        if is_held
            && class != FailureClass::Corruption
            && let Err(error) = remove_folder(&self.shared, &self.dir)
        {
            tracing::warn!(%error, "the failed fallback view cannot be removed");
            return Step::After(LOOK_AGAIN);
        }
        if class == FailureClass::Corruption {
            let aside = put_content_aside(&self.shared.env, &self.dir, &self.quarantine(), &cause, &F::owns);
            if let Err(error) = aside {
                tracing::warn!(%error, "the damaged fallback view stays where it is");
                return Step::After(LOOK_AGAIN);
            }
        }
        Step::After(self.backoff.failed())
    }

    /// The primary is healthy: how long until this view is not kept any more. `None` if that is now.
    fn kept_for(&mut self) -> Option<Duration> {
        let now = self.shared.env.clock.monotonic();
        let since = *self.healthy_since.get_or_insert(now);
        let left = KEPT_FOR.saturating_sub(now.saturating_sub(since));
        (!left.is_zero()).then_some(left)
    }

    /// Removes what an earlier life has left, but not in a hurry: whoever opens the database for a short while with other options
    /// must not cost the next one a fallback view.
    fn tidy(&mut self) -> Step {
        let is_there = || matches!(self.shared.env.fs.metadata(&self.dir), Ok(Some(_)));
        if self.is_tidy || !is_there() {
            self.is_tidy = true;
            return Step::Idle;
        }
        match self.kept_for() {
            Some(left) => Step::After(left),
            None => {
                self.is_tidy = true;
                self.remove()
            }
        }
    }

    /// Removes the view and its files.
    fn remove(&mut self) -> Step {
        self.filler = None;
        self.shared.views.set_fallback(None);
        match remove_folder(&self.shared, &self.dir) {
            Ok(false) => {}
            Ok(true) => self.shared.inform(
                EventKind::Health,
                Some(self.dir.clone()),
                "the fallback view is not needed any more; it is removed".to_owned(),
            ),
            Err(error) => tracing::warn!(%error, "the fallback view is not needed, and cannot be removed"),
        }
        Step::Idle
    }
}

fn is_gone(error: &stemedb_lsm::Error) -> bool {
    FailureClass::of(error) == FailureClass::Gone
}

fn behind<F: ViewStore>(store: F, end: stemedb_env::Lsn) -> View<F> {
    let progress = RebuildProgress { done: store.published_lsn(), end };
    View::behind(store, progress)
}

/// Removes the view's files, and its folder unless that is the owner's choice. True if there was something.
fn remove_folder<P: ViewStore, F: ViewStore, D: Admit>(
    shared: &Shared<P, F, D>,
    dir: &Path,
) -> stemedb_env::Result<bool> {
    let fs = &shared.env.fs;
    if fs.metadata(dir)?.is_none() {
        return Ok(false);
    }
    let mut is_empty = true;
    let mut removed = false;
    let is_ours = shared.options.fallback_dir.is_none();
    for entry in fs.list(dir)? {
        if entry.metadata.is_dir || !(is_ours || F::owns(&entry.name)) {
            is_empty = false;
        } else {
            fs.remove(&dir.join(&entry.name))?;
            removed = true;
        }
    }
    fs.sync_dir(dir)?;
    if is_empty && is_ours {
        fs.remove_dir(dir)?;
        fs.sync_dir(shared.layout.dir())?;
        removed = true;
    }
    Ok(removed)
}

impl<P: ViewStore, F: ViewStore, D: Admit> Job for FallbackKeeper<P, F, D> {
    fn step(&mut self, budget: Budget) -> Step {
        // Over a damaged journal that an operator wants to look at, this view may be all that has the entries behind the damage,
        // and it is ahead of what the journal shows: it stays as it is.
        if self.shared.is_closing() || !self.shared.heals_journal {
            return Step::Done;
        }
        let in_trouble = self.shared.views.primary_is_in_trouble();
        let mode = self.shared.options.fallback;
        let is_wanted = match mode {
            FallbackMode::Standby => true,
            FallbackMode::OnDemand => in_trouble,
            FallbackMode::Off => false,
        };
        if in_trouble {
            self.healthy_since = None;
        }
        let Some(view) = self.shared.views.fallback() else {
            if !is_wanted {
                return self.tidy();
            }
            self.is_tidy = true;
            return match self.prepare() {
                Ok(view) => {
                    let view = Arc::new(view);
                    self.filler = None;
                    self.shared.views.set_fallback(Some(view));
                    Step::Again
                }
                Err(error) => self.give_up(None, &error),
            };
        };
        if !is_wanted {
            // Still whole, and not far behind; it need not follow any more.
            return match self.kept_for() {
                Some(left) => Step::After(left),
                None => self.remove(),
            };
        }
        match self.follow(&view, budget) {
            Ok(step) => step,
            Err(error) => self.give_up(Some(view), &error),
        }
    }
}
