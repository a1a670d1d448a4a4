//! The shared heart of a tree.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use stemedb_env::{
    Env, IoOp, Lsn, TaskHandle,
    planted::{Bug, planted},
};

use super::{admission::Admission, flush::FlushJob, write::Writer};
use crate::{
    Error, KeyRange, LsmOptions, Result,
    compaction::{Claims, CompactionJob, CompactionProgress, Facts, Pressure, Request, Requests, debt_bytes},
    manifest::{Edit, Manifest},
    memtable::{Memtable, MemtableShape, Sorter},
    stats::RECENT_COMPACTIONS,
    sum::SumCache,
    table::{Table, TableContext, TableMeta, table_path},
    version::Version,
};

/// A waiter looks again after this even if nobody has called it: two waiters that drive one cooperative scheduler can
/// each believe that the other one does.
const RECHECK: Duration = Duration::from_millis(100);

/// Where rows are at one moment. Replaced as a whole, never changed.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) active: Arc<Memtable>,
    /// Newest first.
    pub(crate) sealed: Vec<Arc<Memtable>>,
    pub(crate) version: Arc<Version>,
}

impl State {
    /// All memtables, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }
}

/// A change of the set of tables.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) removed: Vec<u64>,
    pub(crate) added: Vec<(usize, TableMeta)>,
    /// The added table takes the place of the removed one, at whatever level that is by now.
    pub(crate) in_place: bool,
    /// Every batch up to here is in tables now.
    pub(crate) flushed: Lsn,
    /// Versions were merged up to here.
    pub(crate) horizon: Lsn,
    /// Becomes visible with the tables: rows of an ingest, which no memtable ever held.
    pub(crate) published: Lsn,
    /// The memtable that the added table replaces.
    pub(crate) retired: Option<Arc<Memtable>>,
}

/// Everything that the store, its snapshots and its jobs share.
pub(crate) struct Core {
    pub(crate) env: Env,
    pub(crate) dir: PathBuf,
    pub(crate) options: LsmOptions,
    pub(crate) context: Arc<TableContext>,
    pub(super) memtables: MemtableShape,
    state: ArcSwap<State>,
    /// Held for the few instructions in which a new state is made from the present one.
    state_edit: Mutex<()>,
    pub(super) writer: Mutex<Writer>,
    pub(super) published: AtomicU64,
    flushed: AtomicU64,
    next_file: AtomicU64,
    /// Versions at or below this may have been merged in the present state or one to come.
    merged: AtomicU64,
    /// Also the lock of [`Core::install`].
    pub(super) manifest: Mutex<Manifest>,
    progress: Mutex<()>,
    changed: Condvar,
    flush_task: Mutex<Option<TaskHandle>>,
    compaction_task: Mutex<Option<TaskHandle>>,
    pub(super) flush_failure: Mutex<Option<Error>>,
    /// How often a sync of the folder has failed: see [`Core::names_epoch`].
    names_epoch: AtomicU64,
    pub(crate) compaction_requests: Requests,
    /// Taken after the writer's lock and before that of the manifest.
    pub(crate) claims: Claims,
    pub(crate) admission: Admission,
    pub(crate) pressure: Arc<Pressure>,
    compaction_blocked: AtomicBool,
    compaction_held: AtomicBool,
    /// Callers that wait until obsolete files are gone.
    removal_waiters: AtomicU64,
    closing: AtomicBool,
    /// Its jobs have ended: the folder may be another tree's by now.
    stopped: AtomicBool,
    recent_compactions: Mutex<VecDeque<Duration>>,
    pub(crate) sums: SumCache,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn new(
        env: Env,
        dir: PathBuf,
        options: LsmOptions,
        context: Arc<TableContext>,
        manifest: Manifest,
        next_file: u64,
    ) -> Core {
        let tables = manifest.state.tables.values();
        let flushed = manifest.state.flushed;
        let open = |(level, meta): &(u32, TableMeta)| {
            let table = Table::new(meta.clone(), Arc::clone(&context)).for_readers_from(flushed);
            (*level as usize, Arc::new(table))
        };
        let version = Arc::new(Version::new(tables.map(open)));
        let merged = manifest.state.horizon;
        let memtables = MemtableShape::new(&options, &context.memory);
        Core {
            state: ArcSwap::from_pointee(State {
                active: Arc::new(Memtable::new(&memtables)),
                sealed: Vec::new(),
                version,
            }),
            state_edit: Mutex::new(()),
            writer: Mutex::new(Writer::new(flushed, Sorter::charged(&context.memory))),
            published: AtomicU64::new(flushed.0),
            flushed: AtomicU64::new(flushed.0),
            next_file: AtomicU64::new(next_file),
            merged: AtomicU64::new(merged.0),
            manifest: Mutex::new(manifest),
            progress: Mutex::new(()),
            changed: Condvar::new(),
            flush_task: Mutex::new(None),
            compaction_task: Mutex::new(None),
            flush_failure: Mutex::new(None),
            names_epoch: AtomicU64::new(0),
            compaction_requests: Requests::default(),
            claims: Claims::default(),
            admission: Admission::default(),
            pressure: Arc::new(Pressure::new(Arc::clone(&env.clock))),
            compaction_blocked: AtomicBool::new(false),
            compaction_held: AtomicBool::new(false),
            removal_waiters: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            recent_compactions: Mutex::new(VecDeque::new()),
            sums: SumCache::default(),
            env,
            dir,
            options,
            context,
            memtables,
        }
    }

    pub(super) fn start_jobs(self: &Arc<Core>) -> Result<()> {
        let flush = self.env.tasks.spawn("lsm-flush", Box::new(FlushJob::new(Arc::clone(self))))?;
        *self.flush_task.lock() = Some(flush);
        let compaction =
            self.env.tasks.spawn("lsm-compaction", Box::new(CompactionJob::new(Arc::clone(self))))?;
        *self.compaction_task.lock() = Some(compaction);
        Ok(())
    }

    pub(super) fn stop_jobs(&self) {
        self.closing.store(true, Ordering::Release);
        // Out of the locks first: stopping waits for a step, and a step may want to wake the other job.
        let tasks = (self.flush_task.lock().take(), self.compaction_task.lock().take());
        drop(tasks);
        self.stopped.store(true, Ordering::Release);
        self.notify();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Refuses changes of the manifest once the tree has been stopped: a new file of it would be made in a folder that may be
    /// another tree's. Asked under the manifest's lock, which whoever stops the tree waits for.
    pub(super) fn refuse_if_stopped(&self, _manifest: &Manifest) -> Result<()> {
        match self.stopped.load(Ordering::Acquire) {
            true => Err(Error::ReadOnly { cause: "the tree was stopped".to_owned() }),
            false => Ok(()),
        }
    }

    pub(crate) fn wake_flush(&self) {
        if let Some(task) = &*self.flush_task.lock() {
            task.wake();
        }
    }

    /// Lets compaction look for work, also after a failure.
    pub(crate) fn wake_compaction(&self) {
        self.compaction_held.store(false, Ordering::Release);
        if let Some(task) = &*self.compaction_task.lock() {
            task.wake();
        }
    }

    /// Tells everybody who waits that something has changed.
    pub(crate) fn notify(&self) {
        drop(self.progress.lock());
        self.changed.notify_all();
    }

    /// Waits until `ready` gives something, stepping the background jobs if nobody else does.
    pub(super) fn wait_until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(result) = ready() {
                return result;
            }
            if self.env.tasks.drive() || self.env.tasks.pass_time() {
                continue;
            }
            let mut progress = self.progress.lock();
            if let Some(result) = ready() {
                return result;
            }
            self.changed.wait_for(&mut progress, RECHECK);
        }
    }

    pub(crate) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    pub(crate) fn state_full(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Replaces the state by one made from the present one.
    pub(super) fn edit_state(&self, edit: impl FnOnce(&State) -> State) {
        let _alone = self.state_edit.lock();
        let next = edit(&self.state.load());
        self.state.store(Arc::new(next));
    }

    pub(crate) fn published_lsn(&self) -> Lsn {
        Lsn(self.published.load(Ordering::Acquire))
    }

    pub(crate) fn flushed_lsn(&self) -> Lsn {
        Lsn(self.flushed.load(Ordering::Acquire))
    }

    /// No table has this number or a greater one.
    pub(super) fn next_file(&self) -> u64 {
        self.next_file.load(Ordering::Relaxed)
    }

    pub(crate) fn next_file_number(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }

    /// The number that the next file would get.
    pub(super) fn peek_file_number(&self) -> u64 {
        self.next_file.load(Ordering::Relaxed)
    }

    /// The newest visible LSN and a state that holds every row at or below it.
    ///
    /// A state needs no protection from merges: it is immutable, and whoever holds it keeps its tables. But it must not be
    /// older than the LSN: rows of a batch that is visible at that LSN could be in a memtable that it does not know.
    /// So it must still be the present one after the LSN has been read.
    pub(super) fn newest(&self) -> (Arc<State>, Lsn) {
        let mut state = self.state_full();
        if planted(Bug::LsmSnapshotNewerThanState) {
            self.env.clock.sleep(Duration::from_micros(50));
            return (state, self.published_lsn());
        }
        loop {
            let lsn = self.published_lsn();
            let present = self.state();
            if Arc::ptr_eq(&state, &present) {
                return (state, lsn);
            }
            state = Arc::clone(&present);
        }
    }

    /// A state for an earlier LSN, if its versions are still there.
    pub(super) fn earlier(&self, lsn: Lsn) -> Result<(Arc<State>, Lsn)> {
        let (state, newest) = self.newest();
        if lsn > newest {
            return Err(Error::SnapshotTooNew { wanted: lsn, newest });
        }
        // Read after the state: whatever has been merged in that state, it says so by now.
        let oldest = self.merged_lsn();
        if lsn < oldest {
            return Err(Error::SnapshotTooOld { wanted: lsn, oldest });
        }
        Ok((state, lsn))
    }

    /// The LSN up to which versions may have been merged so far.
    pub(super) fn merged_lsn(&self) -> Lsn {
        Lsn(self.merged.load(Ordering::Acquire))
    }

    /// The LSN up to which versions may be merged from now on; older snapshots are refused from now on.
    ///
    /// A new state with merged versions is published after this, with release, so whoever sees it sees the horizon.
    pub(crate) fn begin_gc(&self) -> Lsn {
        let horizon = self.published_lsn();
        if !planted(Bug::LsmHorizonNotRecorded) {
            self.merged.fetch_max(horizon.0, Ordering::AcqRel);
        }
        horizon
    }

    /// Makes the names of new tables durable. `epoch` is what [`Core::names_epoch`] said before the first of their files was
    /// made: if a sync of the folder has failed since, the tables must be made again under other names.
    pub(crate) fn sync_names(&self, epoch: u64) -> Result<()> {
        if planted(Bug::LsmTableNamesNotSynced) {
            return Ok(());
        }
        self.sync_folder(&self.manifest.lock())?;
        // After the sync: a failure in between may have taken the names with it.
        if self.names_epoch() == epoch {
            return Ok(());
        }
        let lost = std::io::Error::other("names may have been lost by an earlier failure");
        Err(stemedb_env::Error::io(IoOp::SyncDir, &self.dir, lost).into())
    }

    /// Syncs of the folder exclude each other: a failure is counted before the next one can say OK.
    fn sync_folder(&self, _alone: &Manifest) -> Result<()> {
        self.remember(self.env.fs.sync_dir(&self.dir).map_err(Error::from))
    }

    /// Makes it durable that files have lost their names.
    pub(super) fn sync_removals(&self) -> Result<()> {
        self.sync_folder(&self.manifest.lock())
    }

    /// How often a sync of the folder has failed.
    ///
    /// Such a failure is told once: names that were not durable then are lost, also those of tables that another job is
    /// making, and every later sync says OK. So no manifest may name a table whose file is older than the last failure and
    /// was not durable before it. Names that are given afterwards are as good as ever.
    pub(crate) fn names_epoch(&self) -> u64 {
        self.names_epoch.load(Ordering::Acquire)
    }

    /// Passes a result on, and counts a failed sync of the folder.
    pub(super) fn remember<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Env(error @ stemedb_env::Error::Io { op: IoOp::SyncDir, .. })) = &result {
            self.names_epoch.fetch_add(1, Ordering::AcqRel);
            tracing::error!(%error, "StorageError: names of new tables may be lost; they are made again");
        }
        result
    }

    /// After an install that failed: makes a manifest without the edit the current one, so that it is certain that nothing of
    /// it will ever be seen. False if that fails too.
    pub(super) fn rule_out_edit(&self) -> bool {
        let mut manifest = self.manifest.lock();
        let old = manifest.path();
        self.refuse_if_stopped(&manifest).is_ok()
            && self.remember(manifest.roll()).is_ok()
            // Nor may it be found when the new one is lost.
            && matches!(self.env.fs.metadata(&old), Ok(None))
            && self.sync_folder(&manifest).is_ok()
    }

    /// Makes a change durable and then visible. False (and nothing has changed) if a removed table is gone already.
    pub(crate) fn install(&self, mut change: Change) -> Result<bool> {
        let mut manifest = self.manifest.lock();
        self.refuse_if_stopped(&manifest)?;
        if change.removed.iter().any(|file| !manifest.state.tables.contains_key(file)) {
            return Ok(false);
        }
        if change.in_place
            && let Some((level, _)) = change.removed.first().and_then(|file| manifest.state.tables.get(file))
        {
            change.added.iter_mut().for_each(|(at, _)| *at = *level as usize);
        }
        let level = |level: usize| u32::try_from(level).unwrap_or(u32::MAX);
        let edit = Edit {
            sequence: 0,
            next_file: self.next_file.load(Ordering::Relaxed),
            flushed: change.flushed,
            horizon: if planted(Bug::LsmHorizonForgotten) { Lsn::ZERO } else { change.horizon },
            removed: change.removed.clone(),
            added: change.added.iter().map(|(at, meta)| (level(*at), meta.clone())).collect(),
            obsolete: Vec::new(),
            derived_by: None,
        };
        self.remember(manifest.append(&edit))?;
        let before = self.state_full();
        let held: BTreeMap<u64, &Arc<Table>> =
            before.version.tables().map(|(_, table)| (table.meta.file, table)).collect();
        let visible = self.published_lsn();
        let open = |meta: TableMeta| Table::new(meta, Arc::clone(&self.context)).for_readers_from(visible);
        // A table that only changes its level stays the same object, with all that is resident.
        let added: Vec<(usize, Arc<Table>)> = change
            .added
            .into_iter()
            .map(|(level, meta)| match held.get(&meta.file) {
                Some(table) => (level, Arc::clone(table)),
                None => (level, Arc::new(open(meta))),
            })
            .collect();
        // Before the state that lacks them: whoever sees it is told that older versions are gone.
        if !planted(Bug::LsmHorizonNotRecorded) {
            self.merged.fetch_max(change.horizon.0, Ordering::AcqRel);
        }
        self.edit_state(|state| State {
            active: Arc::clone(&state.active),
            sealed: {
                let stays = |memtable: &&Arc<Memtable>| {
                    change.retired.as_ref().is_none_or(|retired| !Arc::ptr_eq(retired, memtable))
                };
                state.sealed.iter().filter(stays).cloned().collect()
            },
            version: Arc::new(state.version.edited(&change.removed, &added)),
        });
        self.published.fetch_max(change.published.0, Ordering::AcqRel);
        self.flushed.fetch_max(change.flushed.0, Ordering::AcqRel);
        for file in
            change.removed.iter().filter(|file| !added.iter().any(|(_, table)| table.meta.file == **file))
        {
            self.context.damage.forget(*file);
            match held.get(file) {
                Some(table) => {
                    if let ([(_, repaired)], true) = (added.as_slice(), change.in_place) {
                        table.mark_repaired(repaired);
                    }
                    table.mark_obsolete();
                }
                None => {
                    manifest.state.obsolete.remove(file);
                }
            }
        }
        self.context.dense.forget(&change.removed);
        let replaced = change.removed.iter().filter_map(|file| held.get(file));
        self.sums.note_change(replaced.map(|table| &table.meta), added.iter().map(|(_, table)| &table.meta));
        drop(manifest);
        self.refresh_debt();
        self.notify();
        Ok(true)
    }

    /// Bytes that the merges which are due now have to read.
    pub(crate) fn debt_bytes(&self) -> u64 {
        let state = self.state();
        debt_bytes(&Facts {
            version: &state.version,
            options: &self.options,
            damaged: &|_| false,
            busy: &BTreeSet::new(),
            busy_ranges: &[],
            horizon: self.published_lsn(),
            reported: &self.context.dense.files(),
        })
    }

    /// Tells the admission what compaction has before it.
    pub(super) fn refresh_debt(&self) {
        self.note_debt(self.debt_bytes(), self.state().version.total_bytes());
    }

    /// Somebody waits for files to be gone.
    pub(crate) fn removal_is_awaited(&self) -> bool {
        self.removal_waiters.load(Ordering::Acquire) > 0
    }

    /// Deletes one file that nobody reads any more; false when there is none.
    pub(crate) fn remove_one_obsolete_file(&self) -> bool {
        let Some(file) = self.context.graveyard.take_one() else { return false };
        self.remove_table_file(file);
        self.manifest.lock().state.obsolete.remove(&file);
        true
    }

    /// Removes a table's file that no manifest names. A failure costs disk space only.
    pub(crate) fn remove_table_file(&self, file: u64) {
        match self.env.fs.remove(&table_path(&self.dir, file)) {
            Err(error) if !error.is_not_found() => tracing::warn!(%error, "cannot remove an obsolete table"),
            _ => {}
        }
    }

    /// Compaction has more to do than it can: flushes need not wait for it.
    pub(crate) fn set_compaction_blocked(&self, blocked: bool) {
        self.compaction_blocked.store(blocked, Ordering::Release);
    }

    pub(super) fn compaction_is_blocked(&self) -> bool {
        self.compaction_blocked.load(Ordering::Acquire)
    }

    /// Automatic compaction rests until the next wake.
    pub(crate) fn hold_compaction(&self, held: bool) {
        self.compaction_held.store(held, Ordering::Release);
    }

    pub(crate) fn compaction_is_held(&self) -> bool {
        self.compaction_held.load(Ordering::Acquire)
    }

    pub(crate) fn note_compaction(&self, took: Duration) {
        self.context.counters.compaction_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let mut recent = self.recent_compactions.lock();
        if recent.len() == RECENT_COMPACTIONS {
            recent.pop_front();
        }
        recent.push_back(took);
    }

    pub(super) fn recent_compactions(&self) -> Vec<Duration> {
        self.recent_compactions.lock().iter().copied().collect()
    }

    /// Merges the tables of a range; returns when that is done and the replaced files are gone, or false when nobody wants to
    /// wait any more.
    pub(super) fn compact_range(
        &self,
        range: &KeyRange,
        force: bool,
        progress: &dyn Fn(CompactionProgress),
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let stopped = || is_stopped().then_some(Ok(false));
        let request: Arc<Request> = self.compaction_requests.ask(range, force, &self.state().version);
        self.wake_compaction();
        let mut told = CompactionProgress::default();
        let outcome = self.wait_until(|| {
            let now = request.progress();
            if now != told {
                told = now;
                progress(now);
            }
            let done = request.outcome().map(|outcome| outcome.map(|()| true));
            done.or_else(|| self.closed()).or_else(stopped)
        });
        if matches!(outcome, Ok(false)) {
            return Ok(false);
        }
        // Tables that a snapshot still reads are not waited for: they are buried when it is gone.
        self.removal_waiters.fetch_add(1, Ordering::AcqRel);
        self.wake_compaction();
        let removed = self.wait_until(|| {
            let gone = self.context.graveyard.is_empty().then_some(Ok(true));
            gone.or_else(|| self.closed()).or_else(stopped)
        });
        self.removal_waiters.fetch_sub(1, Ordering::AcqRel);
        outcome.and(removed)
    }

    pub(crate) fn closed<T>(&self) -> Option<Result<T>> {
        self.is_closing().then(|| Err(Error::ReadOnly { cause: "the tree is closed".to_owned() }))
    }

    /// Reads every table back and checks it; returns the rows of tables and memtables.
    pub(super) fn verify(&self) -> Result<u64> {
        let state = self.state_full();
        let mut rows = 0;
        for (_, table) in state.version.tables() {
            rows += table.verify()?;
        }
        Ok(rows + state.memtables().map(|memtable| memtable.rows() as u64).sum::<u64>())
    }
}
