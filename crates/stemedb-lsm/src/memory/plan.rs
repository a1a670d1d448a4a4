//! How a budget is divided, and the least that will do.
//!
//! ```text
//! memtables  at most 5/8 together, chunks and filters included
//! cache      what is left, at least 1/16
//! the rest   indexes and filters of tables (about 2 % of the data), buffers of flush, compactions and scans
//! ```

use crate::{Error, LsmOptions, Result};

/// All memtables together may grow to so many eighths of the budget.
const MEMTABLE_EIGHTHS: u64 = 5;
/// The cache keeps this part of the budget whatever the others need.
const CACHE_FLOOR_PART: u64 = 16;
/// A reader reads ahead by at most this part of the budget: a compaction has a dozen, and two may be under way.
const READ_AHEAD_PART: u64 = 256;
/// A window of a scan.
pub(super) const LEAST_READ_AHEAD_BYTES: usize = 64 << 10;
const MOST_READ_AHEAD_BYTES: usize = 1 << 20;
/// A table is at most this part of the budget, unless the tree is large: its builder holds a hash for every key.
const TABLE_PART: u64 = 8;
/// Memtables and tables below this are not worth their files.
const LEAST_MEMTABLE_BYTES: u64 = 256 << 10;
const LEAST_TABLE_BYTES: u64 = 1 << 20;
/// What a merge that writes one table of the least size needs beside its sources.
const BUILDER_BYTES: u64 = 1 << 20;
/// More runs than these are merged by a tree that is far behind, and not by one in shape.
const MOST_SOURCES: u64 = 32;

/// What the parts of a budget come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) budget_bytes: u64,
    /// The cache may grow to this, and does not shrink below the floor.
    pub(crate) cache_bytes: u64,
    pub(crate) cache_floor_bytes: u64,
    pub(crate) read_ahead_bytes: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            budget_bytes: u64::MAX / 2,
            cache_bytes: u64::MAX,
            cache_floor_bytes: 0,
            read_ahead_bytes: MOST_READ_AHEAD_BYTES,
        }
    }
}

/// The least budget with which a tree of these options can work.
fn least_bytes(options: &LsmOptions) -> u64 {
    let memtables =
        memtables(options).saturating_mul(LEAST_MEMTABLE_BYTES.min(options.memtable_bytes as u64));
    let sources = (options.l0_trigger as u64)
        .saturating_mul(2)
        .saturating_add(options.upper_runs as u64 + 1)
        .min(MOST_SOURCES);
    let source = LEAST_READ_AHEAD_BYTES as u64 + (options.block_bytes as u64).saturating_mul(4);
    // Below this the shares of memtables and buffers do not fit beside each other.
    memtables
        .saturating_mul(8)
        .div_ceil(MEMTABLE_EIGHTHS)
        .saturating_add(sources.saturating_mul(source))
        .saturating_add(BUILDER_BYTES)
}

/// The active one and those that wait for their flush.
fn memtables(options: &LsmOptions) -> u64 {
    (options.max_sealed_memtables as u64).saturating_add(1)
}

/// Makes options fit their budget; fails if nothing would.
pub(crate) fn fit(mut options: LsmOptions) -> Result<(LsmOptions, Plan)> {
    let (budget_bytes, needed_bytes) = (options.memory_bytes, least_bytes(&options));
    if budget_bytes < needed_bytes {
        return Err(Error::MemoryBudget { budget_bytes, needed_bytes });
    }
    let share = (budget_bytes / 8).saturating_mul(MEMTABLE_EIGHTHS) / memtables(&options);
    options.memtable_bytes = options.memtable_bytes.min(usize::try_from(share).unwrap_or(usize::MAX));
    options.target_table_bytes =
        options.target_table_bytes.min((budget_bytes / TABLE_PART).max(LEAST_TABLE_BYTES));
    let window = usize::try_from(budget_bytes / READ_AHEAD_PART).unwrap_or(usize::MAX);
    let plan = Plan {
        budget_bytes,
        cache_bytes: options.block_cache_bytes,
        cache_floor_bytes: options.block_cache_bytes.min(budget_bytes / CACHE_FLOOR_PART),
        read_ahead_bytes: window.clamp(LEAST_READ_AHEAD_BYTES, MOST_READ_AHEAD_BYTES),
    };
    Ok((options, plan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_leaves_the_sizes_alone_and_a_small_budget_shrinks_them() {
        let (options, plan) = fit(LsmOptions::default()).unwrap();
        assert_eq!((options.memtable_bytes, options.target_table_bytes), (64 << 20, 32 << 20));
        assert_eq!((plan.cache_floor_bytes, plan.read_ahead_bytes), (20 << 20, 1 << 20));
        let (options, plan) = fit(LsmOptions { memory_bytes: 24 << 20, ..LsmOptions::default() }).unwrap();
        assert_eq!((options.memtable_bytes, options.target_table_bytes), (5 << 20, 3 << 20));
        assert_eq!((plan.cache_floor_bytes, plan.read_ahead_bytes), (3 << 19, 96 << 10));
    }

    #[test]
    fn a_budget_that_is_too_small_is_refused_with_what_is_needed() {
        let small = |memory_bytes| fit(LsmOptions { memory_bytes, ..LsmOptions::default() });
        let Err(Error::MemoryBudget { budget_bytes: 1_000, needed_bytes }) = small(1_000) else {
            panic!("1,000 bytes are not enough")
        };
        assert!(needed_bytes < 8 << 20, "{needed_bytes}");
        assert!(small(needed_bytes - 1).is_err());
        assert!(small(needed_bytes).is_ok());
    }
}
