//! Derived views: where rows live, how far each view has come, and which one answers. See `docs/design/views.md`.

mod announce;
mod circuit;
mod fallback;
mod fill;
mod kind;
mod snapshot;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

pub(crate) use announce::Announcer;
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
pub(crate) use circuit::{Backoff, FailureClass};
pub(crate) use fallback::{FallbackKeeper, fallback_dir};
pub(crate) use fill::{Filled, Filler, catch_up};
pub use kind::{NextBatch, TransactionFill, TreeFill, ViewStore};
use parking_lot::{Mutex, MutexGuard};
pub use snapshot::{ViewIter, ViewSnapshot};
use stemedb_env::{
    Lsn,
    planted::{Bug, planted},
};
use stemedb_index::Observers;
use stemedb_lsm::{Value, WriteBatch};

use crate::{Error, EventKind, Events, RebuildProgress, Result, UpgradeHealth, ViewHealth};

/// Why an entry is not shown.
#[derive(Debug)]
pub(crate) enum Setback {
    /// The view has no room for more before a flush succeeds, and flushes find the disk full. The same entry may be offered
    /// again; no other one may be, and no view has failed.
    ForNow {
        /// Why the flush fails.
        cause: String,
    },
    /// The view has failed, or the entry cannot be derived.
    Failed(Error),
}

/// One derived view and its health.
#[derive(Debug)]
pub(crate) struct View<S> {
    pub store: S,
    health: Mutex<ViewHealth>,
    failure: Mutex<Option<FailureClass>>,
    /// It shows everything that is published: every read asks.
    covers: AtomicBool,
    /// The publish stage gives it entries.
    writable: AtomicBool,
}

/// How often an entry is offered to a view before the view has failed.
const OFFERS: u32 = 3;

impl<S: ViewStore> View<S> {
    /// A view that is up to date.
    pub fn ready(store: S, health: ViewHealth) -> View<S> {
        View::new(store, health, true)
    }

    /// A view that has yet to catch up.
    pub fn behind(store: S, progress: RebuildProgress) -> View<S> {
        View::new(store, ViewHealth::Rebuilding { progress }, false)
    }

    fn new(store: S, health: ViewHealth, ready: bool) -> View<S> {
        View {
            store,
            health: Mutex::new(health),
            failure: Mutex::default(),
            covers: AtomicBool::new(ready),
            writable: AtomicBool::new(ready),
        }
    }

    pub fn health(&self) -> ViewHealth {
        self.health.lock().clone()
    }

    /// What it has failed with last.
    pub fn failure(&self) -> Option<FailureClass> {
        *self.failure.lock()
    }

    pub fn covers(&self) -> bool {
        self.covers.load(Ordering::Acquire)
    }

    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    /// Takes the next entry's rows and shows them, unless it has them. A view that cannot must not be given the entry after:
    /// that would leave a hole.
    fn take(&self, lsn: Lsn, rows: &WriteBatch, offers: u32) -> stemedb_lsm::Result<()> {
        let reached = self.store.published_lsn();
        if reached >= lsn {
            return Ok(());
        }
        if reached.next() != lsn {
            return Err(stemedb_lsm::Error::OutOfOrder { lsn, applied: reached });
        }
        let mut offered = 1;
        while let Err(error) = self.store.apply(rows, lsn) {
            if offered >= offers || FailureClass::of(&error) != FailureClass::Transient {
                return Err(error);
            }
            offered += 1;
        }
        self.store.publish(lsn);
        match self.store.published_lsn() >= lsn {
            true => Ok(()),
            false => Err(stemedb_lsm::Error::ReadOnly { cause: format!("entry {lsn} could not be shown") }),
        }
    }
}

/// The right to move views forward.
pub(crate) struct Turn<'a> {
    _guard: MutexGuard<'a, ()>,
}

/// The primary view, the fallback view where there is one, and the routing between them.
pub(crate) struct Views<P, F> {
    primary: ArcSwap<View<P>>,
    fallback: ArcSwapOption<View<F>>,
    /// The last entry that some view shows: what every read must show.
    published: AtomicU64,
    turn: Mutex<()>,
    /// Tells of every entry before a view is given it.
    pub announcer: Announcer,
    /// Held by whoever gives entries to the fallback view; taken after the turn, and never waited for.
    pub filling: Mutex<()>,
    /// How far the primary, or what will take its place, has been derived again.
    rebuilding: Mutex<Option<RebuildProgress>>,
    /// While a view of another version is to take the primary's place.
    upgrade: Mutex<Option<UpgradeHealth>>,
    /// The journal is needed behind this entry by the view that is being built; `u64::MAX` while there is none.
    building_flushed: AtomicU64,
    fallback_reads: AtomicU64,
    fallback_serves: AtomicBool,
    /// Segments of the journal are kept until the fallback view has them too.
    fallback_holds_journal: bool,
    events: Events,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl<P, F> fmt::Debug for Views<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").field("published", &self.published).finish_non_exhaustive()
    }
}

impl<P: ViewStore, F: ViewStore> Views<P, F> {
    /// Views of which a read must show everything up to `published`.
    pub fn new(
        primary: View<P>,
        published: Lsn,
        fallback_holds_journal: bool,
        events: Events,
        observers: Observers,
    ) -> Views<P, F> {
        let rebuilding = primary.health().progress();
        Views {
            primary: ArcSwap::from_pointee(primary),
            fallback: ArcSwapOption::empty(),
            published: AtomicU64::new(published.0),
            turn: Mutex::default(),
            announcer: Announcer::new(observers, published),
            filling: Mutex::default(),
            rebuilding: Mutex::new(rebuilding),
            upgrade: Mutex::default(),
            building_flushed: AtomicU64::new(u64::MAX),
            fallback_reads: AtomicU64::new(0),
            fallback_serves: AtomicBool::new(false),
            fallback_holds_journal,
            events,
            wake: OnceLock::new(),
        }
    }

    /// Whom to call when a view needs looking after. Set once.
    pub fn on_trouble(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let _ = self.wake.set(wake);
    }

    /// A view needs looking after.
    pub fn call(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    pub fn primary(&self) -> Guard<Arc<View<P>>> {
        self.primary.load()
    }

    pub fn fallback(&self) -> Option<Arc<View<F>>> {
        self.fallback.load_full()
    }

    pub fn set_fallback(&self, view: Option<Arc<View<F>>>) {
        self.fallback.store(view);
    }

    /// Waits for the turn.
    pub fn turn(&self) -> Turn<'_> {
        Turn { _guard: self.turn.lock() }
    }

    /// The turn, if nobody has it. For jobs: whoever has it may be waiting for jobs.
    pub fn try_turn(&self) -> Option<Turn<'_>> {
        self.turn.try_lock().map(|guard| Turn { _guard: guard })
    }

    /// The last acknowledged entry: what a read must show.
    pub fn published(&self) -> Lsn {
        Lsn(self.published.load(Ordering::Acquire))
    }

    /// Everything up to `lsn` is acknowledged from now on. Some view must have it, and every other one must have been told
    /// before that it has not.
    fn show(&self, _turn: &Turn<'_>, lsn: Lsn) {
        self.published.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Gives one entry's rows to the primary view. If that fails, the fallback view may take them: see
    /// [`Views::advance_fallback`]. A full disk is nothing that another view would be better for: the entry waits.
    pub fn advance(&self, turn: &Turn<'_>, lsn: Lsn, rows: &WriteBatch) -> std::result::Result<(), Setback> {
        let failed = |cause: String| Setback::Failed(Error::NotReadable { lsn, cause });
        let primary = self.primary();
        if !primary.is_writable() {
            return Err(failed(primary.health().to_string()));
        }
        self.announcer.announce(lsn, rows);
        match primary.take(lsn, rows, OFFERS) {
            Ok(()) => {
                self.show(turn, lsn);
                Ok(())
            }
            Err(stemedb_lsm::Error::Stalled { cause, storage_full: true }) => Err(Setback::ForNow { cause }),
            Err(error) => {
                tracing::error!(%lsn, error = ?error, "StorageError: Failed to write to KV store: {error}");
                // What its background work met says more than what a writer is told of it.
                let met = primary.store.trouble();
                let class = FailureClass::of(met.as_ref().unwrap_or(&error));
                self.fail_primary(&primary, class, error.to_string());
                Err(failed(error.to_string()))
            }
        }
    }

    /// Gives one entry's rows to the fallback view, if that has everything before it. The caller holds `filling`.
    pub fn advance_fallback(
        &self,
        turn: &Turn<'_>,
        fallback: &View<F>,
        lsn: Lsn,
        rows: &WriteBatch,
    ) -> stemedb_lsm::Result<()> {
        self.announcer.announce(lsn, rows);
        fallback.take(lsn, rows, 1)?;
        self.show_in_fallback(turn, fallback);
        Ok(())
    }

    /// Everything that the fallback view has is acknowledged from now on, although the primary may lack it.
    pub fn show_in_fallback(&self, turn: &Turn<'_>, fallback: &View<F>) {
        let reached = fallback.store.published_lsn();
        let primary = self.primary();
        if primary.store.published_lsn() < reached && !planted(Bug::StaleViewCovers) {
            // Before anything is acknowledged that it lacks.
            primary.covers.store(false, Ordering::Release);
        }
        self.show(turn, reached);
        if !primary.covers() && !self.fallback_serves.swap(true, Ordering::AcqRel) {
            self.tell(EventKind::Failover, "reads are answered by the fallback view".to_owned());
        }
    }

    /// The primary takes no more entries.
    pub fn fail_primary(&self, primary: &View<P>, class: FailureClass, cause: String) {
        self.fail_primary_again(primary, class, cause);
        self.call();
    }

    /// A try to bring the primary back has failed.
    pub fn fail_primary_again(&self, primary: &View<P>, class: FailureClass, cause: String) {
        primary.writable.store(false, Ordering::Release);
        *primary.failure.lock() = Some(class);
        self.note("primary", primary, ViewHealth::Failed { cause });
    }

    /// Puts a view that has everything up to the end of the journal into the place of the primary.
    pub fn serve_primary(&self, turn: &Turn<'_>, view: &Arc<View<P>>, health: ViewHealth) {
        *view.failure.lock() = None;
        *self.rebuilding.lock() = None;
        let reached = view.store.published_lsn();
        view.covers.store(reached >= self.published(), Ordering::Release);
        view.writable.store(true, Ordering::Release);
        if !Arc::ptr_eq(&self.primary(), view) {
            // What it replaces may lack what is acknowledged from now on.
            let old = self.primary.swap(Arc::clone(view));
            old.writable.store(false, Ordering::Release);
        }
        self.show(turn, reached);
        self.note("primary", view, health);
        if self.fallback_serves.swap(false, Ordering::AcqRel) {
            self.tell(EventKind::Failover, "reads are answered by the primary view again".to_owned());
        }
    }

    /// Sets the health of the primary as far as it is only about what its parts are like.
    pub fn note_primary(&self, health: ViewHealth) {
        let primary = self.primary();
        if primary.is_writable() {
            self.note("primary", &primary, health);
        }
    }

    /// Changes a view's health; tells about it if it is another.
    pub fn note<S: ViewStore>(&self, name: &str, view: &View<S>, health: ViewHealth) {
        let before = std::mem::replace(&mut *view.health.lock(), health.clone());
        if before == health || (before.progress().is_some() && health.progress().is_some()) {
            return;
        }
        let text = format!("{name} view: {health}");
        match &health {
            ViewHealth::Failed { .. } => tracing::error!("StorageError: {text}"),
            ViewHealth::Degraded { .. } | ViewHealth::Rebuilding { .. } => tracing::warn!("{text}"),
            ViewHealth::Healthy => tracing::info!("{text}"),
        }
        self.events.push(EventKind::Health, None, text);
    }

    fn tell(&self, kind: EventKind, text: String) {
        tracing::warn!("{text}");
        self.events.push(kind, None, text);
    }

    /// How far the primary, or what will take its place, has come.
    pub fn set_rebuilding(&self, progress: Option<RebuildProgress>) {
        *self.rebuilding.lock() = progress;
    }

    /// While a view of another version is to take the primary's place.
    pub fn upgrade(&self) -> Option<UpgradeHealth> {
        self.upgrade.lock().clone()
    }

    /// Changes what is told of the upgrade; `None` when it has ended.
    pub fn set_upgrade(&self, upgrade: Option<UpgradeHealth>) {
        *self.upgrade.lock() = upgrade;
    }

    /// The view that is being built has flushed so far; `None` if there is no such view any more.
    pub fn set_building_flushed(&self, flushed: Option<Lsn>) {
        self.building_flushed.store(flushed.map_or(u64::MAX, |lsn| lsn.0), Ordering::Release);
    }

    /// Refuses what needs a primary view of one version.
    pub fn refuse_while_upgrading(&self) -> Result<()> {
        match self.upgrade() {
            None => Ok(()),
            Some(upgrade) => Err(Error::Upgrading(Box::new(upgrade))),
        }
    }

    /// The primary cannot go on, or will not for long.
    pub fn primary_is_in_trouble(&self) -> bool {
        !self.primary().is_writable() || self.rebuilding.lock().is_some()
    }

    /// The primary's health, with the progress of what takes its place.
    pub fn primary_health(&self) -> ViewHealth {
        match *self.rebuilding.lock() {
            Some(progress) => ViewHealth::Rebuilding { progress },
            None => self.primary().health(),
        }
    }

    /// A snapshot of the first view that has everything acknowledged.
    pub fn snapshot(&self) -> Result<ViewSnapshot<P::Snapshot, F::Snapshot>> {
        let primary = self.primary();
        if primary.covers() {
            return Ok(ViewSnapshot::Primary(primary.store.snapshot()));
        }
        Ok(ViewSnapshot::Fallback(self.covering_fallback()?.store.snapshot()))
    }

    /// The newest readable value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let primary = self.primary();
        if !primary.covers() {
            return Ok(self.covering_fallback()?.store.get(key)?);
        }
        match primary.store.get(key) {
            Ok(found) => Ok(found),
            Err(error) => match self.covering_fallback() {
                Ok(fallback) => Ok(fallback.store.get(key)?),
                Err(_) => Err(error.into()),
            },
        }
    }

    /// True if some view has everything acknowledged.
    pub fn is_readable(&self) -> bool {
        self.primary().covers()
            || self.fallback().is_some_and(|view| view.store.published_lsn() >= self.published())
    }

    /// The fallback view, if it has everything acknowledged. Counts a read.
    fn covering_fallback(&self) -> Result<Arc<View<F>>> {
        // What is acknowledged comes first: what the view has only grows.
        let published = self.published();
        match self.fallback() {
            Some(view) if view.store.published_lsn() >= published || planted(Bug::FallbackBehind) => {
                self.fallback_reads.fetch_add(1, Ordering::Relaxed);
                Ok(view)
            }
            _ => Err(Error::NoView { cause: self.primary_health().to_string() }),
        }
    }

    /// The LSN up to which the journal is no longer needed to open: what every persistent view that there should be has flushed.
    pub fn flushed(&self) -> Lsn {
        let building = Lsn(self.building_flushed.load(Ordering::Acquire));
        let primary = self.primary().store.flushed_lsn().min(building);
        match self.fallback_holds_journal {
            false => primary,
            true => primary.min(self.fallback().map_or(Lsn::ZERO, |view| view.store.flushed_lsn())),
        }
    }

    pub fn fallback_reads(&self) -> u64 {
        self.fallback_reads.load(Ordering::Relaxed)
    }
}
