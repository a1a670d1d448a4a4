//! Counters and what they add up to.

use std::{
    cell,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::store::DelayCause;

/// A number that many threads change.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
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

thread_local! {
    /// What this thread has asked for.
    static READS: cell::Cell<ThreadReads> = const { cell::Cell::new(ThreadReads { block_reads: 0, cache_hits: 0 }) };
}

/// Blocks that one thread has asked for, whatever the tree: the difference of two moments is the cost of what the thread did between
/// them. Blocks that jobs fetch for others count for the jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadReads {
    /// Blocks read from files.
    pub block_reads: u64,
    /// Blocks found in the cache.
    pub cache_hits: u64,
}

impl ThreadReads {
    /// Of the calling thread, since it began. Cost: two loads.
    pub fn now() -> ThreadReads {
        READS.try_with(cell::Cell::get).unwrap_or_default()
    }

    /// What came since an earlier moment of the same thread.
    #[must_use]
    pub fn since(self, earlier: ThreadReads) -> ThreadReads {
        ThreadReads {
            block_reads: self.block_reads.saturating_sub(earlier.block_reads),
            cache_hits: self.cache_hits.saturating_sub(earlier.cache_hits),
        }
    }
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

/// How many powers of two [`ApplyDelays::buckets`] tells apart.
const BUCKETS: usize = 32;

/// Counts by power of two.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    count: Counter,
    sum: Counter,
}

impl Histogram {
    pub(crate) fn add(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        if let Some(bucket) = self.buckets.get(bucket.min(BUCKETS - 1)) {
            bucket.add(1);
        }
        self.count.add(1);
        self.sum.add(value);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum.get()
    }

    pub(crate) fn buckets(&self) -> Vec<u64> {
        self.buckets.iter().map(Counter::get).collect()
    }

    pub(crate) fn delays(&self, cause: DelayCause) -> ApplyDelays {
        ApplyDelays {
            cause,
            count: self.count.get(),
            time: Duration::from_micros(self.sum.get()),
            buckets: self.buckets(),
        }
    }
}

/// Batches that were delayed for one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyDelays {
    /// The cause.
    pub cause: DelayCause,
    /// Batches.
    pub count: u64,
    /// How long they waited together.
    pub time: Duration,
    /// Batches by their delay in microseconds: bucket `i > 0` counts those from `2^(i-1)` to `2^i - 1`.
    pub buckets: Vec<u64>,
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
    pub(crate) compaction_us: Histogram,
    pub(crate) block_reads: StripedCounter,
    pub(crate) cache_hits: StripedCounter,
    pub(crate) cache_misses: StripedCounter,
    pub(crate) filter_useful: StripedCounter,
    pub(crate) filter_false_positives: StripedCounter,
    pub(crate) healed_blocks: Counter,
    pub(crate) failed_healings: Counter,
    pub(crate) apply_waits: Counter,
    pub(crate) apply_wait_us: Counter,
}

impl Counters {
    /// A block is read from a file.
    pub(crate) fn note_block_read(&self) {
        self.block_reads.add(1);
        let _ = READS.try_with(|reads| {
            let now = reads.get();
            reads.set(ThreadReads { block_reads: now.block_reads + 1, ..now });
        });
    }

    /// A block was found in the cache.
    pub(crate) fn note_cache_hit(&self) {
        self.cache_hits.add(1);
        let _ = READS.try_with(|reads| {
            let now = reads.get();
            reads.set(ThreadReads { cache_hits: now.cache_hits + 1, ..now });
        });
    }
}

/// What a tree holds in memory. Exact at the sizes asked of the allocator; what it rounds up comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// What it may hold: [`crate::LsmOptions::memory_bytes`].
    pub budget_bytes: u64,
    /// The memtable that is written to: chunks and filters, as of the last batch.
    pub active_memtable_bytes: u64,
    /// Memtables that wait for their flush.
    pub sealed_memtable_bytes: u64,
    /// Memtables that have been flushed and that a snapshot, a cursor or a value still holds; and rows being gathered for
    /// one.
    pub pinned_memtable_bytes: u64,
    /// Chunks that wait for the next memtable.
    pub pooled_bytes: u64,
    /// Indexes, filters and properties of tables, also of those that only a snapshot or cursor still holds.
    pub table_bytes: u64,
    /// Blocks in the cache.
    pub cached_bytes: u64,
    /// Blocks outside of it: those that cursors stand on and values are pinned to, and those that compactions and long
    /// scans pass through.
    pub pinned_bytes: u64,
    /// What the cache needs beside the blocks: slots, ghosts, queues.
    pub cache_order_bytes: u64,
    /// Buffers: tables being written, windows of scans and compactions, blocks being read, batches being sorted.
    pub buffer_bytes: u64,
    /// The most that all of this ever came to.
    pub peak_bytes: u64,
}

impl MemoryStats {
    /// All kinds together.
    pub fn total_bytes(&self) -> u64 {
        self.active_memtable_bytes
            + self.sealed_memtable_bytes
            + self.pinned_memtable_bytes
            + self.pooled_bytes
            + self.table_bytes
            + self.cached_bytes
            + self.pinned_bytes
            + self.cache_order_bytes
            + self.buffer_bytes
    }
}

/// One level of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Number of files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What the levels above the last may hold together before they are merged into it; 0 for level 0, which is judged by
    /// its number of files, and for the last, which has no limit.
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
    /// Bytes of the tables that the merges which are due now have to read, those that they overlap below included. 0 when
    /// the tree is in shape.
    pub pending_compaction_bytes: u64,
    /// Tables are merged without being asked: [`crate::LsmOptions::enable_auto_compaction`]. Without it what is pending stays so.
    pub auto_compaction: bool,
    /// Everything that the tree holds in memory, by kind.
    pub memory: MemoryStats,
    /// Bytes of resident indexes, filters and properties.
    pub index_memory_bytes: u64,
    /// Bytes of cached blocks.
    pub cache_memory_bytes: u64,
    /// Bytes of the rows of all memtables, and about what they cost beside.
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
    /// Compactions that rewrote tables by their duration in microseconds: bucket `i > 0` counts those from `2^(i-1)` to
    /// `2^i - 1`, the last one everything longer.
    pub compaction_buckets: Vec<u64>,
    /// Durations of the latest of them, oldest first, at most [`RECENT_COMPACTIONS`].
    pub recent_compactions: Vec<Duration>,
    /// Batches that had to wait for a flush.
    pub apply_waits: u64,
    /// How long they waited.
    pub apply_wait_time: Duration,
    /// Batches that were delayed or had to wait, by cause; see [`DelayCause`].
    pub apply_delays: Vec<ApplyDelays>,
    /// How far flushes and compaction are behind: writers are slowed down from 0.5 on and stop at 1.
    pub load_score: f64,
    /// Bytes per second that compaction may write now because of commits; `None` without a limit.
    pub compaction_rate: Option<u64>,
    /// What a durable write of the journal takes of late, as its owner reports it; zero without reports.
    pub commit_sync: Duration,
    /// The same while no compaction is writing.
    pub lone_commit_sync: Duration,
    /// Tables known to be damaged.
    pub damaged_tables: usize,
    /// Blocks whose rows were derived again because they could not be read: see [`crate::LsmStore::attach`]. A block that
    /// has left the cache counts again.
    pub healed_blocks: u64,
    /// Blocks and tables that could not be read and not be derived again either.
    pub failed_healings: u64,
    /// Levels 0 to 6.
    pub levels: Vec<LevelStats>,
}

/// How many durations [`Stats::recent_compactions`] holds.
pub const RECENT_COMPACTIONS: usize = 64;
