//! The engine's handle.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stemedb_env::{Budget, Env, FileLock, Job, Lsn, Step, TaskHandle};
use stemedb_fallback::RedbStore;
use stemedb_index::{Admit, Claims};
use stemedb_lsm::{CompactionProgress, DerivedBy, KeyRange, KvSnapshot, LsmStore, Value, WriteSource};
use stemedb_wal::{CommitProgress, CommitQueue, Journal, SegmentedJournal};

use crate::{
    Error, Events, FallbackHealth, FallbackMode, Health, HybridOptions, Identity, Layout, Result, StateRoot,
    Stats, ViewSnapshot,
    commit::{CommitTicket, EndHalt, Halt, Stages, Wakes, refusal},
    disk::{DiskOptions, Gate, Look, Stall, StallCounters, StallKind, Watchdog, Watched, stuck},
    repair::{HealJob, PrimaryKeeper, RepairJob},
    scrub::Scrubber,
    shared::{Keepers, Shared},
    sidecar::Sidecars,
    upgrade::Upgrade,
    view::{FallbackKeeper, View, ViewStore, Views, fallback_dir},
};

/// The engine over the LSM tree, with a fallback view over redb.
pub type LsmEngine<D> = HybridStore<LsmStore, RedbStore, D>;
/// The product: claims.
pub type ClaimEngine = LsmEngine<Claims>;

/// One journal and its derived views: a primary one, and a fallback that shares no code with it.
///
/// Opened and created by [`HybridStore::open`] and [`HybridStore::create`]; see [`LsmEngine`]. All methods may be called from any
/// thread.
pub struct HybridStore<P: ViewStore, F: ViewStore, D: Admit> {
    // Dropped first: they run on threads of their own and use the rest.
    pub(crate) scrubber: Option<Scrubber>,
    keepers: Arc<Keepers>,
    _watchdog: TaskHandle,
    releaser: Arc<Releaser>,
    stalls: Arc<StallCounters>,
    queue: CommitQueue<Stages<SegmentedJournal, P, F, D>>,
    pub(crate) journal: Arc<SegmentedJournal>,
    pub(crate) views: Arc<Views<P, F>>,
    pub(crate) derive: Arc<D>,
    pub(crate) events: Events,
    fs: Arc<dyn stemedb_env::Fs>,
    stuck_after: Duration,
    pub(crate) sidecars: Arc<Sidecars>,
    fallback_mode: FallbackMode,
    layout: Layout,
    identity: Identity,
    _lock: Box<dyn FileLock>,
}

impl<P: ViewStore, F: ViewStore, D: Admit> fmt::Debug for HybridStore<P, F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HybridStore").field("dir", &self.layout.dir()).finish_non_exhaustive()
    }
}

/// Whoever has written more than this begins a new segment when he closes. Less is read in a few milliseconds.
const CLOSED_WITHIN_BYTES: u64 = 4 << 20;

/// Everything that opening has put together.
pub(crate) struct Parts<P: ViewStore, D> {
    pub env: Env,
    pub layout: Layout,
    pub identity: Identity,
    pub lock: Box<dyn FileLock>,
    pub journal: Arc<SegmentedJournal>,
    pub primary: View<P>,
    /// Of the primary view, if an older version derived it.
    pub upgrade: Option<Upgrade<P>>,
    pub derive: Arc<D>,
    pub recorded: stemedb_env::Micros,
    /// With what the derivation decides.
    pub options: HybridOptions,
    pub events: Events,
    pub sidecars: Arc<Sidecars>,
    /// See [`Shared::heals_journal`].
    pub heals_journal: bool,
}

/// Tells the journal what the views have flushed, away from the commit path: releasing renames files.
struct Releaser {
    task: std::sync::OnceLock<TaskHandle>,
}

struct ReleaseJob<P, F> {
    journal: Arc<SegmentedJournal>,
    views: Arc<Views<P, F>>,
    released: Lsn,
}

impl<P: ViewStore, F: ViewStore> Job for ReleaseJob<P, F> {
    fn step(&mut self, _budget: Budget) -> Step {
        let flushed = self.views.flushed();
        if flushed > self.released {
            match self.journal.release(flushed) {
                Ok(()) => self.released = flushed,
                // Nothing depends on it before the next open, which tries again.
                Err(error) => {
                    tracing::warn!(error = ?error, "StorageError: segments could not be released: {error}")
                }
            }
        }
        Step::Idle
    }
}

/// Starts the jobs that look after the views.
fn keepers<P: ViewStore, F: ViewStore, D: Admit>(
    env: &Env,
    shared: &Arc<Shared<P, F, D>>,
    upgrade: Option<Upgrade<P>>,
) -> Result<Keepers> {
    let repair = env.tasks.spawn("stemedb-repair", Box::new(RepairJob::new(Arc::clone(shared))))?;
    let primary =
        env.tasks.spawn("stemedb-primary", Box::new(PrimaryKeeper::new(Arc::clone(shared), upgrade)))?;
    let fallback = env.tasks.spawn("stemedb-fallback", Box::new(FallbackKeeper::new(Arc::clone(shared))))?;
    let journal = env.tasks.spawn("stemedb-heal-journal", Box::new(HealJob::new(Arc::clone(shared))))?;
    let close = {
        let shared = Arc::clone(shared);
        Box::new(move || shared.close())
    };
    Ok(Keepers { primary, fallback, repair, journal, close })
}

/// How the disk is watched, with the fallback view's folder, which may lie on one of its own.
fn disk_options(layout: &Layout, options: &HybridOptions) -> DiskOptions {
    let mut disk = options.disk.clone();
    if options.fallback != FallbackMode::Off {
        disk.more_places.push(fallback_dir(layout, options));
    }
    disk
}

impl<P: ViewStore, F: ViewStore, D: Admit> HybridStore<P, F, D> {
    pub(crate) fn assemble(parts: Parts<P, D>) -> Result<HybridStore<P, F, D>> {
        let options = parts.options;
        // Everything durable may have been acknowledged: until some view shows it, none answers.
        let views = Arc::new(Views::new(
            parts.primary,
            parts.journal.durable_lsn(),
            options.fallback == FallbackMode::Standby,
            parts.events.clone(),
            options.observers.clone(),
        ));
        let releaser = Arc::new(Releaser { task: std::sync::OnceLock::new() });
        let job = ReleaseJob {
            journal: Arc::clone(&parts.journal),
            views: Arc::clone(&views),
            released: Lsn::ZERO,
        };
        let task = parts.env.tasks.spawn("stemedb-release", Box::new(job))?;
        // Set exactly once, here.
        let _ = releaser.task.set(task);
        let wake = {
            let releaser = Arc::downgrade(&releaser);
            let views = Arc::clone(&views);
            let seen = std::sync::atomic::AtomicU64::new(0);
            Box::new(move || {
                let flushed = views.flushed().0;
                if seen.swap(flushed, Ordering::AcqRel) != flushed
                    && let Some(releaser) = releaser.upgrade()
                    && let Some(task) = releaser.task.get()
                {
                    task.wake();
                }
            })
        };
        let halt =
            Arc::new(Halt::new(Arc::clone(&parts.journal), Arc::clone(&views), Arc::clone(&parts.derive)));
        let ender = parts.env.tasks.spawn("stemedb-resume", Box::new(EndHalt { halt: Arc::clone(&halt) }))?;
        let gate = Arc::new(Gate::default());
        let disk = disk_options(&parts.layout, &options);
        let look = Look::new(
            &parts.env,
            &parts.layout,
            disk.clone(),
            Arc::clone(&gate),
            Arc::clone(&parts.journal),
            Arc::clone(&views),
            parts.events.clone(),
        );
        let look = parts.env.tasks.spawn("stemedb-disk", Box::new(look))?;
        let shared = Shared::new(
            parts.env.clone(),
            parts.layout.clone(),
            parts.identity.database,
            options.clone(),
            &halt,
            parts.events.clone(),
            Arc::clone(&parts.sidecars),
        );
        let shared = Arc::new(shared.healing_journal(parts.heals_journal));
        let keepers = Arc::new(keepers(&parts.env, &shared, parts.upgrade)?);
        let _ = shared.keepers.set(Arc::downgrade(&keepers));
        views.on_trouble({
            let keepers = Arc::downgrade(&keepers);
            Box::new(move || {
                if let Some(keepers) = keepers.upgrade() {
                    keepers.wake();
                }
            })
        });
        parts.journal.on_damage({
            let keepers = Arc::downgrade(&keepers);
            move |_| {
                if let Some(keepers) = keepers.upgrade() {
                    keepers.journal.wake();
                }
            }
        });
        let wakes = Wakes {
            after_publish: wake,
            after_halt: Box::new(move || ender.wake()),
            after_full: Box::new(move || look.wake()),
        };
        let clock = Arc::clone(&parts.env.clock);
        let stages = Stages::new(Arc::clone(&halt), gate, Arc::clone(&clock), parts.recorded, wakes)
            .following(options.follows);
        let lock_timeout = options.commit.lock_timeout;
        let queue = CommitQueue::new(stages, options.commit, Some(clock), Some(Arc::clone(&parts.env.tasks)));
        let stalls = Arc::new(StallCounters::default());
        let watched = Watched {
            queue: queue.watch(),
            journal: Arc::clone(&parts.journal),
            events: parts.events.clone(),
            clock: Arc::clone(&parts.env.clock),
            counters: Arc::clone(&stalls),
            in_flight_is_held: Box::new(move || halt.in_flight.try_lock().is_none()),
        };
        let stuck_after = disk.stuck_after;
        let watchdog = Watchdog::new(watched, disk, lock_timeout);
        let _watchdog = parts.env.tasks.spawn("stemedb-watchdog", Box::new(watchdog))?;
        Ok(HybridStore {
            scrubber: None,
            keepers,
            _watchdog,
            releaser,
            stalls,
            stuck_after,
            fallback_mode: options.fallback,
            queue,
            journal: parts.journal,
            views,
            derive: parts.derive,
            events: parts.events,
            fs: Arc::clone(&parts.env.fs),
            sidecars: parts.sidecars,
            layout: parts.layout,
            identity: parts.identity,
            _lock: parts.lock,
        })
    }

    /// Refuses writes until the database is opened again; reads go on.
    pub fn refuse_writes(&self, cause: String) {
        self.queue.stages().halt.for_good(cause);
    }

    /// True while entries come from elsewhere: see [`HybridOptions::follows`].
    pub fn is_following(&self) -> bool {
        self.queue.stages().is_following()
    }

    /// Takes the next entries of the database that this one follows: journals them as one group, and shows them. Returns the last
    /// one. Any number of threads may call it; the entries must be the next ones.
    ///
    /// Errors: [`Error::JournalGap`] where `first` is not the next entry; [`Error::ReadOnly`] of a database that does not follow, or
    /// whose views cannot go on now; those of the journal. What is durable afterwards says [`HybridStore::durable_lsn`]: entries that
    /// no view could take are shown later, and must not be given again.
    pub fn follow(&self, first: Lsn, entries: Vec<Vec<u8>>) -> Result<Lsn> {
        self.queue.stages().follow(first, entries)
    }

    /// Entries come from nowhere else any more: writes are accepted from now on, and [`HybridStore::follow`] is refused.
    pub fn end_following(&self) {
        self.queue.stages().end_following();
    }

    /// Commits one atomic request; returns when it is durable and readable.
    ///
    /// Errors: refusals of the admission, `Overloaded`, `LockTimeout`, `NoRoom` and `StorageFull` mean that nothing was applied;
    /// `Indeterminate` means that the request may survive a crash, and that repeating it is safe.
    pub fn commit(&self, request: D::Request) -> Result<D::Reply> {
        let cost_bytes = D::cost_bytes(&request) as u64;
        self.queue.commit(request, cost_bytes).unwrap_or_else(|error| Err(refusal(error)))
    }

    /// Hands a request in without waiting for it: one thread can keep many commits under way, and the disk takes them in
    /// groups. Requests of one thread become durable in the order in which they were handed in.
    ///
    /// Errors: `Overloaded`; everything else is told by the ticket.
    pub fn submit(&self, request: D::Request) -> Result<CommitTicket<P, F, D>> {
        let cost_bytes = D::cost_bytes(&request) as u64;
        self.queue.submit(request, cost_bytes).map(CommitTicket::new).map_err(refusal)
    }

    /// A view of everything acknowledged so far, from the first view that is fit to answer.
    pub fn snapshot(&self) -> Result<ViewSnapshot<P::Snapshot, F::Snapshot>> {
        self.views.snapshot()
    }

    /// The newest acknowledged value of one key: what [`HybridStore::snapshot`] and a lookup in it would answer, for less.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.views.get(key)
    }

    /// The file system that it lies on.
    pub(crate) fn fs(&self) -> &Arc<dyn stemedb_env::Fs> {
        &self.fs
    }

    /// Which database this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where its files are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The last readable entry.
    pub fn published_lsn(&self) -> Lsn {
        self.views.published()
    }

    /// The last durable entry.
    pub fn durable_lsn(&self) -> Lsn {
        self.journal.durable_lsn()
    }

    /// The journal, for readers of its tail.
    pub fn journal(&self) -> &SegmentedJournal {
        &self.journal
    }

    /// Gives the writes of any span again, from the journal.
    pub fn write_source(&self) -> Arc<dyn WriteSource> {
        Arc::clone(&self.sidecars.source)
    }

    /// What happened to the files, newest last.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// How well the parts are.
    pub fn health(&self) -> Health {
        let fallback = self.views.fallback().map(|view| FallbackHealth {
            health: view.health(),
            published: view.store.published_lsn(),
            flushed: view.store.flushed_lsn(),
        });
        Health {
            primary: self.views.primary_health(),
            primary_published: self.views.primary().store.published_lsn(),
            upgrade: self.views.upgrade(),
            fallback_mode: self.fallback_mode,
            fallback,
            readable: self.views.is_readable(),
            read_only: self.queue.stages().read_only().or_else(|| self.journal.read_only()),
            space: self.queue.stages().gate.seen(),
            stall: self.stall(),
            durable: self.durable_lsn(),
            published: self.published_lsn(),
            flushed: self.views.primary().store.flushed_lsn(),
            scrub: self.scrubber.as_ref().map(Scrubber::status),
            repair_floor: self.journal.first_lsn(),
        }
    }

    /// The primary view, if it is not being derived again: then its tables are nobody's to change.
    pub(crate) fn settled_primary(&self) -> Result<Arc<View<P>>> {
        let primary = Arc::clone(&self.views.primary());
        match primary.is_writable() {
            true => Ok(primary),
            false => Err(Error::NoView { cause: self.views.primary_health().to_string() }),
        }
    }

    /// Does something to the settled primary view; once more to the next one, if that has taken its place meanwhile.
    fn on_primary<T>(&self, work: impl Fn(&P) -> stemedb_lsm::Result<T>) -> Result<T> {
        loop {
            let primary = self.settled_primary()?;
            let error = match work(&primary.store) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            // Whoever is at it comes to his end.
            drop(self.views.turn());
            if Arc::ptr_eq(&self.views.primary(), &primary) {
                return Err(error.into());
            }
        }
    }

    /// How far the commit pipeline has come, and for how long it has stood still though somebody waits: for a service
    /// manager's watchdog. Computed from the queue alone. Cost: the queue's lock.
    pub fn commit_progress(&self) -> CommitProgress {
        self.queue.progress()
    }

    /// What does not go on at present.
    fn stall(&self) -> Option<Stall> {
        let progress = self.queue.progress();
        if self.stalls.is_deadlocked.load(Ordering::Acquire) && progress.unanswered > 0 {
            let file = self.journal.write_under_way().map(|write| write.file);
            return Some(Stall { kind: StallKind::Deadlock, file, since: progress.stalled_for });
        }
        stuck(&progress, self.journal.write_under_way(), self.stuck_after)
    }

    /// Makes the primary view independent of the journal up to now, and lets go of the segments it no longer needs.
    pub fn flush(&self) -> Result<Lsn> {
        let flushed = self.on_primary(P::flush)?;
        self.journal.release(self.views.flushed())?;
        Ok(flushed)
    }

    /// Merges the primary view's tables.
    pub fn compact(&self) -> Result<()> {
        self.on_primary(P::compact)
    }

    /// One number for the content of the view that answers, with the LSN that it is of.
    ///
    /// Cost: where the derivation's keys are written once, the tables that no call has seen before (or merges of such), and the
    /// memtables; else a full scan.
    ///
    /// Errors: [`Error::Upgrading`] while rows of two versions lie side by side, whose root would mean nothing.
    pub fn state_root(&self) -> Result<StateRoot> {
        let is_of_one_version = |snapshot: &ViewSnapshot<P::Snapshot, F::Snapshot>| {
            snapshot.derived_by().is_none_or(|by| by == DerivedBy::one(D::VERSION))
        };
        let mut snapshot = self.snapshot()?;
        if !is_of_one_version(&snapshot) {
            self.views.refuse_while_upgrading()?;
            // It has just ended.
            snapshot = self.snapshot()?;
        }
        if !is_of_one_version(&snapshot) {
            return Err(Error::NoView { cause: self.views.primary_health().to_string() });
        }
        crate::root::of_view::<D, _>(&snapshot)
    }

    /// Waits for background work that closing must not cut off, and says in the journal that everything is durable.
    /// Dropping the store without closing loses nothing; the next open then replays and re-writes its tail.
    ///
    /// If the views need nothing of the journal any more, the next open finds a new segment. Where files are used again it
    /// then has nothing to read; where every entry is kept it still reads the last group, for its time.
    pub fn close(self) -> Result<()> {
        drop(self.scrubber);
        drop(self.keepers);
        drop(self.releaser);
        if let Some(fallback) = self.views.fallback()
            && let Err(error) = fallback.store.flush()
        {
            tracing::warn!(%error, "the fallback view is not flushed: the next open follows from an earlier entry");
        }
        let flushed = self.views.flushed();
        let is_idle = flushed >= self.journal.durable_lsn() && self.journal.read_only().is_none();
        if is_idle && self.journal.stats().file_bytes > CLOSED_WITHIN_BYTES {
            let turned = self.journal.rotate().and_then(|()| self.journal.release(flushed));
            if let Err(error) = turned {
                tracing::warn!(%error, "closing without a new segment: the next open reads the present one");
            }
        }
        self.journal.close()?;
        Ok(())
    }
}

impl<F: ViewStore, D: Admit> HybridStore<LsmStore, F, D> {
    /// Merges the primary view's tables; with `force` also those that are in shape are written anew. `progress` is called now and
    /// then from this thread, and `is_stopped` asked: once it says yes nobody waits any more and the answer is false. What is
    /// under way then goes on, or ends without a trace when the store is closed.
    ///
    /// Errors: as [`HybridStore::compact`].
    pub fn compact_until(
        &self,
        force: bool,
        progress: &dyn Fn(CompactionProgress),
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<bool> {
        self.on_primary(|tree| tree.compact_range_until(&KeyRange::all(), force, progress, is_stopped))
    }

    /// Counters of the engine and its parts.
    pub fn stats(&self) -> Stats {
        let stages = self.queue.stages();
        Stats {
            journal: self.journal.stats(),
            lsm: self.views.primary().store.stats(),
            commit: self.queue.stats(),
            entries: stages.entries.load(Ordering::Relaxed),
            refused: stages.refused.load(Ordering::Relaxed),
            refused_for_room: stages.gate.refused.load(Ordering::Relaxed),
            space: stages.gate.seen(),
            stuck_syncs: self.stalls.stuck_syncs.load(Ordering::Relaxed),
            deadlocks: self.stalls.deadlocks.load(Ordering::Relaxed),
            fallback_reads: self.views.fallback_reads(),
            durable: self.durable_lsn(),
            published: self.published_lsn(),
            scrub: self.scrub_status(),
        }
    }
}

/// What [`HybridStore::verify`] read and found to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Entries in the journal.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
    /// Rows in the primary view.
    pub rows: u64,
}
