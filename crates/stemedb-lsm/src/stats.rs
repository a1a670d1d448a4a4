//! Counters and what they add up to.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A number that many threads change.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cells of a [`StripedCounter`]; more than the threads that usually read at the same time.
const STRIPES: usize = 8;

thread_local! {
    /// Which cell this thread counts in.
    static STRIPE: usize = {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        (NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES as u64) as usize
    };
}

/// A cell with two cache lines of its own: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

/// A number that all reading threads change at every lookup: each in its own cell, so that they do not take a cache line
/// away from each other every time.
#[derive(Debug, Default)]
pub(crate) struct StripedCounter([Cell; STRIPES]);

impl StripedCounter {
    pub(crate) fn add(&self, n: u64) {
        let stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
        if let Some(cell) = self.0.get(stripe) {
            cell.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum()
    }
}

/// Everything counted since the tree was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) applied_bytes: Counter,
    pub(crate) flush_bytes: Counter,
    pub(crate) flushes: Counter,
    pub(crate) compaction_bytes: Counter,
    pub(crate) compaction_read_bytes: Counter,
    pub(crate) compactions: Counter,
    pub(crate) moves: Counter,
    pub(crate) compaction_us: Counter,
    pub(crate) index_memory_bytes: Counter,
    pub(crate) block_reads: StripedCounter,
    pub(crate) cache_hits: StripedCounter,
    pub(crate) cache_misses: StripedCounter,
    pub(crate) filter_useful: StripedCounter,
    pub(crate) filter_false_positives: StripedCounter,
    pub(crate) apply_waits: Counter,
    pub(crate) apply_wait_us: Counter,
}

/// One level of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Number of files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What the level may hold before it is compacted; 0 for level 0, which is judged by its number of files.
    pub target_bytes: u64,
}

/// What a tree says of itself. Counts are since it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Live tables.
    pub sst_file_count: usize,
    /// Bytes of the live tables.
    pub total_bytes: u64,
    /// Bytes by which levels exceed their targets (level 0: all its bytes once it has reached its trigger): at least
    /// this much must be merged before the tree is in shape.
    pub pending_compaction_bytes: u64,
    /// Bytes of resident indexes and filters.
    pub index_memory_bytes: u64,
    /// Bytes of cached blocks.
    pub cache_memory_bytes: u64,
    /// Bytes of all memtables.
    pub memtable_bytes: u64,
    /// Sealed memtables that wait for their flush.
    pub sealed_memtables: usize,
    /// Blocks found in the cache.
    pub cache_hits: u64,
    /// Blocks not found in the cache.
    pub cache_misses: u64,
    /// Blocks of any kind read from files.
    pub block_reads: u64,
    /// Lookups that a filter kept away from a table.
    pub filter_useful: u64,
    /// Lookups that a filter let through in vain.
    pub filter_false_positives: u64,
    /// Bytes of keys and values applied.
    pub applied_bytes: u64,
    /// Bytes of tables written by flushes.
    pub flush_bytes: u64,
    /// Bytes of tables written by compactions.
    pub compaction_bytes: u64,
    /// Bytes of tables read by compactions.
    pub compaction_read_bytes: u64,
    /// `(flush_bytes + compaction_bytes) / applied_bytes`; 0 before anything was applied.
    pub write_amplification: f64,
    /// Flushes done.
    pub flushes: u64,
    /// Compactions done that rewrote tables.
    pub compactions: u64,
    /// Compactions done by moving tables to the next level, without rewriting.
    pub moves: u64,
    /// Time spent in compactions that rewrote tables.
    pub compaction_time: Duration,
    /// Durations of the latest of them, oldest first, at most [`RECENT_COMPACTIONS`].
    pub recent_compactions: Vec<Duration>,
    /// Batches that had to wait for a flush.
    pub apply_waits: u64,
    /// How long they waited.
    pub apply_wait_time: Duration,
    /// Tables known to be damaged.
    pub damaged_tables: usize,
    /// Levels 0 to 6.
    pub levels: Vec<LevelStats>,
}

/// How many durations [`Stats::recent_compactions`] holds.
pub const RECENT_COMPACTIONS: usize = 64;
