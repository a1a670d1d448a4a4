//! What is let in, and what is refused before anything of it is read.
//!
//! ```text
//! request ─▶ a place for its kind? room for its body? would it wait too long? ─▶ in flight ─▶ a turn ─▶ storage
//!                └───────────────── no: 503 overloaded at once ─────────────┘
//! ```
//!
//! A server that takes in more than it can do answers everybody late and, once clients give up, nobody. So what waits is
//! bounded three ways: by how many requests are in flight, by the bytes of their bodies, and by time. Of the places an eighth
//! is kept for reads and an eighth for writes, so that neither kind can keep the other out. Reads take turns, a few for each
//! processor; how long a read takes is measured as it goes ([`pace`]), and a read that would wait longer than
//! [`AdmissionOptions::queue_max`] for its turn is refused when it comes, not when it has waited. Writes wait for the commit
//! pipeline, which has limits of its own.
//!
//! Routes that are open to everybody (health, metrics, the description of the interface) pass by all this.

mod pace;
mod told;

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use pace::Pace;
use stemedb_env::tasks::processors;
use tokio::sync::{Semaphore, SemaphorePermit};
pub(crate) use told::Told;

use super::limits::Group;

/// How much is let in at once.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionOptions {
    /// Requests in flight. An eighth is kept for reads, and an eighth for writes.
    pub max_in_flight: usize,
    /// Bytes of the bodies of requests in flight; imports, which are read in small pieces, do not count. One alone is always let in:
    /// waiting would not make room for it.
    pub max_in_flight_bytes: u64,
    /// Reads that touch the storage at the same time; `None` = two for each processor.
    pub reads_at_once: Option<NonZeroUsize>,
    /// How long a read may have to wait for its turn.
    pub queue_max: Duration,
}

/// Reads at once for each processor: those that wait for a disk keep nobody from computing.
const READS_PER_PROCESSOR: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
/// One part of so many of all places is kept for each kind.
const RESERVED_PART: usize = 8;
/// A read that has waited so many times as long as expected is given up, whatever was expected.
const PATIENCE: u32 = 4;

impl Default for AdmissionOptions {
    fn default() -> AdmissionOptions {
        AdmissionOptions {
            max_in_flight: 512,
            max_in_flight_bytes: 64 << 20,
            reads_at_once: None,
            queue_max: Duration::from_millis(250),
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Refusal {
    /// All places for its kind are taken.
    Places,
    /// The bodies of those in flight leave no room for its own.
    Bytes,
    /// It would have to wait too long for its turn, or has.
    Queue,
}

impl Refusal {
    /// All of them.
    pub(crate) const ALL: [Refusal; 3] = [Refusal::Places, Refusal::Bytes, Refusal::Queue];

    /// The value of the label `reason`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Refusal::Places => "places",
            Refusal::Bytes => "bytes",
            Refusal::Queue => "queue",
        }
    }
}

/// Counts what is in flight.
pub(crate) struct Admission {
    options: AdmissionOptions,
    reads_at_once: usize,
    all: AtomicUsize,
    reads: AtomicUsize,
    writes: AtomicUsize,
    bytes: AtomicU64,
    turns: Semaphore,
    pace: Pace,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

impl Admission {
    pub(crate) fn new(options: AdmissionOptions) -> Admission {
        let reads = options.reads_at_once.unwrap_or_else(|| processors().saturating_mul(READS_PER_PROCESSOR));
        let reads_at_once = reads.get().min(Semaphore::MAX_PERMITS);
        Admission {
            options,
            reads_at_once,
            all: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            turns: Semaphore::new(reads_at_once),
            pace: Pace::default(),
        }
    }

    /// Requests in flight that were let in.
    pub(crate) fn in_flight(&self) -> usize {
        self.all.load(Ordering::Acquire)
    }

    /// Lets a request in whose body has so many bytes, if there is room. Cost: a few atomic operations.
    pub(crate) fn enter(self: &Arc<Self>, group: Group, body_bytes: u64) -> Result<Place, Refusal> {
        let most = self.options.max_in_flight;
        let of_a_kind = most - (most / RESERVED_PART).min(most.saturating_sub(1));
        // Counted first: two who come at the same time cannot both take the last place. The guard takes it back.
        let bytes = if group == Group::Bulk { 0 } else { body_bytes };
        let all = self.all.fetch_add(1, Ordering::AcqRel);
        let kind = self.of(group).map(|kind| kind.fetch_add(1, Ordering::AcqRel));
        let held = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let place = Place { admission: Arc::clone(self), group, bytes };
        if all >= most || kind.is_some_and(|kind| kind >= of_a_kind) {
            return Err(Refusal::Places);
        }
        if bytes > 0 && held > 0 && held.saturating_add(bytes) > self.options.max_in_flight_bytes {
            return Err(Refusal::Bytes);
        }
        if group == Group::Reads && self.expected_wait(kind.unwrap_or(0)) > self.options.queue_max {
            return Err(Refusal::Queue);
        }
        Ok(place)
    }

    fn of(&self, group: Group) -> Option<&AtomicUsize> {
        match group {
            Group::Reads => Some(&self.reads),
            Group::Writes => Some(&self.writes),
            Group::Bulk | Group::Admin => None,
        }
    }

    /// How long a read waits for its turn that has so many before it.
    fn expected_wait(&self, before: usize) -> Duration {
        // One that ends its turn makes room for one.
        let rounds = u32::try_from(before / self.reads_at_once).unwrap_or(u32::MAX);
        self.pace.typical().saturating_mul(rounds)
    }

    /// Waits for a turn to read.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let patience = self.options.queue_max.saturating_mul(PATIENCE);
        match tokio::time::timeout(patience, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(Refusal::Queue),
        }
    }

    /// Takes note of how long a read has taken since its turn came.
    pub(crate) fn note_read(&self, took: Duration) {
        self.pace.note(took);
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    group: Group,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.all.fetch_sub(1, Ordering::AcqRel);
        if let Some(kind) = self.admission.of(self.group) {
            kind.fetch_sub(1, Ordering::AcqRel);
        }
        self.admission.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
