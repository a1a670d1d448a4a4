//! The audit log: who did what, as a chain of lines of which none can be changed unnoticed.
//!
//! ```text
//! gate ─ entry ─▶ bounded queue ─▶ writer (a thread) ─ seq, hash of the line before ─▶ audit.log ─(by size)─▶ audit.log.<seq>
//!          └ full: counted ─────────▶ a line `gap` with the count            the oldest beyond those kept: a line `removed`, then gone
//! ```
//!
//! A request never waits for the log. What finds no room in the queue, because the disk is slower or refuses, is counted, and the
//! count is a line of its own: nothing is left out silently. Lines are on the disk a second later; a killed process loses
//! what was queued, a power cut up to a second. The format: `docs/formats/audit.md`.

mod entry;
mod file;
mod verify;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Sender, TrySendError, bounded};
pub(super) use entry::Entry;
use parking_lot::Mutex;
use stemedb_env::{Env, TaskHandle};
pub use verify::{AuditBreak, AuditReport, verify};

/// Entries that may wait for the writer.
const QUEUE_MAX: usize = 8192;
/// Refusals that are told one by one: so many at once, and so many a second. A flood of them is told as its number.
const REFUSALS_BURST: u64 = 200;
const REFUSALS_PER_SECOND: u64 = 50;

/// Where the log is, and when a new file is begun.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// The file; older ones lie beside it, with the number of their last line behind the name.
    pub file: PathBuf,
    /// Size at which a new file is begun, in bytes.
    pub rotate_bytes: u64,
    /// How many older files are kept; 0: all. Which lines went with one that is removed is a line of its own.
    pub keep: usize,
}

impl AuditOptions {
    /// The log in a file, in parts of 64 MiB, all of them kept.
    pub fn new(file: impl Into<PathBuf>) -> AuditOptions {
        AuditOptions { file: file.into(), rotate_bytes: 64 << 20, keep: 0 }
    }
}

/// What could not be told, so far.
#[derive(Debug, Default)]
struct Untold {
    /// The queue was full.
    overflow: AtomicU64,
    /// Refusals beyond those that are told one by one.
    refusals: AtomicU64,
}

/// An open audit log. Clones write to the same one; the last one writes what is queued when it is dropped.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    queue: Sender<Entry>,
    untold: Arc<Untold>,
    /// When the refusals that were told would be told again (GCRA), in nanoseconds.
    refusals: Mutex<u64>,
    // Last: its job ends with what is in the queue.
    writer: TaskHandle,
}

impl Audit {
    /// Opens a log and goes on with its chain, or begins one. A line that a power cut has torn is cut off and its length told.
    ///
    /// # Errors
    /// The system refuses, or the last line is not one of a log.
    pub fn open(env: &Env, options: AuditOptions) -> Result<Audit, AuditError> {
        let log = file::Log::open(env, options)?;
        let (queue, entries) = bounded(QUEUE_MAX);
        let untold = Arc::new(Untold::default());
        let job = writer::Writer::new(env, log, entries, Arc::clone(&untold));
        let writer = env.tasks.spawn("stemedb-audit", Box::new(job))?;
        let audit =
            Audit(Arc::new(Inner { env: env.clone(), queue, untold, refusals: Mutex::new(0), writer }));
        audit.put(Entry::start(env));
        Ok(audit)
    }

    /// Adds an entry. Never waits.
    pub(super) fn record(&self, entry: Entry) {
        if entry.is_refusal() && !self.refusal_is_told() {
            self.0.untold.refusals.fetch_add(1, Ordering::Relaxed);
            self.0.writer.wake();
            return;
        }
        self.put(entry);
    }

    fn put(&self, entry: Entry) {
        match self.0.queue.try_send(entry) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.0.untold.overflow.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.0.writer.wake();
    }

    fn refusal_is_told(&self) -> bool {
        let interval = 1_000_000_000 / REFUSALS_PER_SECOND;
        let now = u64::try_from(self.0.env.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        let mut arrival = self.0.refusals.lock();
        let after = (*arrival).max(now).saturating_add(interval);
        let told = after.saturating_sub(now) <= interval * REFUSALS_BURST;
        if told {
            *arrival = after;
        }
        told
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The system refused.
    #[error(transparent)]
    Env(#[from] stemedb_env::Error),
    /// The last line of a file is none that was written by this program.
    #[error("{} does not end with a line of an audit log; move it away and keep it", file.display())]
    NotALog {
        /// The file.
        file: PathBuf,
    },
}
