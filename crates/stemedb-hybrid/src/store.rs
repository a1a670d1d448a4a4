//! The engine's handle.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use stemedb_env::{Budget, Env, FileLock, Job, Lsn, Step, TaskHandle};
use stemedb_index::{Admit, Claims};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmStore, MemStore, Value};
use stemedb_wal::{CommitOptions, CommitQueue, Journal, SegmentedJournal};

use crate::{
    Error, Events, Health, Identity, Layout, Result, StateRoot, Stats, ViewSnapshot,
    commit::{CommitTicket, EndHalt, Halt, Stages, Wakes, refusal},
    view::{View, Views},
};

/// The engine over the LSM tree.
pub type LsmEngine<D> = HybridStore<LsmStore, MemStore, D>;
/// The product: claims over the LSM tree.
pub type ClaimEngine = LsmEngine<Claims>;

/// One journal and its derived views: a primary one, and a fallback that shares no code with it.
///
/// Opened and created by `HybridStore::<LsmStore, MemStore, D>::open` and `create`. All methods may be called from any
/// thread.
pub struct HybridStore<P: KvStore, F: KvStore, D: Admit> {
    // Dropped first: it runs on a thread of its own and uses the rest.
    releaser: Arc<Releaser>,
    queue: CommitQueue<Stages<SegmentedJournal, P, F, D>>,
    pub(crate) journal: Arc<SegmentedJournal>,
    pub(crate) views: Arc<Views<P, F>>,
    pub(crate) derive: Arc<D>,
    pub(crate) events: Events,
    fs: Arc<dyn stemedb_env::Fs>,
    layout: Layout,
    identity: Identity,
    _lock: Box<dyn FileLock>,
}

impl<P: KvStore, F: KvStore, D: Admit> fmt::Debug for HybridStore<P, F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HybridStore").field("dir", &self.layout.dir()).finish_non_exhaustive()
    }
}

/// Whoever has written more than this begins a new segment when he closes. Less is read in a few milliseconds.
const CLOSED_WITHIN_BYTES: u64 = 4 << 20;

/// Everything that opening has put together.
pub(crate) struct Parts<P, F, D> {
    pub env: Env,
    pub layout: Layout,
    pub identity: Identity,
    pub lock: Box<dyn FileLock>,
    pub journal: Arc<SegmentedJournal>,
    pub primary: View<P>,
    pub fallback: Option<View<F>>,
    pub derive: Arc<D>,
    pub recorded: stemedb_env::Micros,
    pub commit: CommitOptions,
    pub events: Events,
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

impl<P: KvStore, F: KvStore> Job for ReleaseJob<P, F> {
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

impl<P: KvStore, F: KvStore, D: Admit> HybridStore<P, F, D> {
    pub(crate) fn assemble(parts: Parts<P, F, D>) -> Result<HybridStore<P, F, D>> {
        let views = Arc::new(Views::new(parts.primary, parts.fallback));
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
        let wakes = Wakes { after_publish: wake, after_halt: Box::new(move || ender.wake()) };
        let stages = Stages::new(halt, Arc::clone(&parts.env.clock), parts.recorded, wakes);
        Ok(HybridStore {
            releaser,
            queue: CommitQueue::new(
                stages,
                parts.commit,
                Some(Arc::clone(&parts.env.clock)),
                Some(Arc::clone(&parts.env.tasks)),
            ),
            journal: parts.journal,
            views,
            derive: parts.derive,
            events: parts.events,
            fs: Arc::clone(&parts.env.fs),
            layout: parts.layout,
            identity: parts.identity,
            _lock: parts.lock,
        })
    }

    /// Commits one atomic request; returns when it is durable and readable.
    ///
    /// Errors: refusals of the admission, `Overloaded` and `StorageFull` mean that nothing was applied;
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

    /// What happened to the files, newest last.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// How well the parts are.
    pub fn health(&self) -> Health {
        Health {
            primary: self.views.primary.health(),
            fallback: self.views.fallback.as_ref().map(View::health),
            read_only: self.queue.stages().read_only().or_else(|| self.journal.read_only()),
            durable: self.durable_lsn(),
            published: self.published_lsn(),
            flushed: self.views.flushed(),
            repair_floor: self.journal.first_lsn(),
        }
    }

    /// Makes the primary view independent of the journal up to now, and lets go of the segments it no longer needs.
    pub fn flush(&self) -> Result<Lsn> {
        let flushed = self.views.primary.store.flush()?;
        self.journal.release(flushed)?;
        Ok(flushed)
    }

    /// Merges the primary view's tables.
    pub fn compact(&self) -> Result<()> {
        Ok(self.views.primary.store.compact()?)
    }

    /// Reads everything back and checks it: the journal's frames and the primary view's blocks. The first damage found is
    /// the error.
    pub fn verify(&self) -> Result<Verified> {
        let journal = self.journal.verify()?;
        if let Some(damage) = journal.damage.into_iter().next() {
            return Err(Error::Journal(damage));
        }
        let rows = self.views.primary.store.verify()?;
        Ok(Verified { entries: journal.entries, entry_bytes: journal.entry_bytes, rows })
    }

    /// One number for the content of the view that answers. Cost: a full scan.
    pub fn state_root(&self) -> Result<StateRoot> {
        state_root(&self.snapshot()?)
    }

    /// Waits for background work that closing must not cut off, and says in the journal that everything is durable.
    /// Dropping the store without closing loses nothing; the next open then replays and re-writes its tail.
    ///
    /// If the views need nothing of the journal any more, the next open finds a new segment. Where files are used again it
    /// then has nothing to read; where every entry is kept it still reads the last group, for its time.
    pub fn close(self) -> Result<()> {
        drop(self.releaser);
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

impl<F: KvStore, D: Admit> HybridStore<LsmStore, F, D> {
    /// Counters of the engine and its parts.
    pub fn stats(&self) -> Stats {
        let stages = self.queue.stages();
        Stats {
            journal: self.journal.stats(),
            lsm: self.views.primary.store.stats(),
            commit: self.queue.stats(),
            entries: stages.entries.load(Ordering::Relaxed),
            refused: stages.refused.load(Ordering::Relaxed),
            fallback_reads: self.views.fallback_reads(),
            durable: self.durable_lsn(),
            published: self.published_lsn(),
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

/// The root of everything that a snapshot shows.
pub(crate) fn state_root<S: KvSnapshot>(snapshot: &S) -> Result<StateRoot> {
    let mut root = StateRoot::empty();
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    while rows.advance()? {
        root.add(rows.key(), rows.value());
    }
    Ok(root)
}
