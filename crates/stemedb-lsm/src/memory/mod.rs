//! What the tree holds in memory, counted in one ledger, and what it may hold.
//!
//! Every holder of memory charges what it holds where it asks the allocator for it: a chunk of a memtable, a resident
//! index, a cached block, a buffer; never a row or a lookup. What it gives back leaves the ledger in the same place, so a
//! memtable or block that only a snapshot, a cursor or a pinned value still holds counts until they are gone.
//!
//! The block cache gets what the others leave: whatever is charged beyond the budget is evicted from it at once, down to
//! its floor. Near the budget memtables are sealed early, so that what is left to grow is small.
//!
//! - [`ledger`]: the counts.
//! - [`charge`]: an amount that leaves the ledger with its holder.
//! - [`plan`]: how a budget is divided, and the least that will do.

mod charge;
mod ledger;
mod plan;

use std::sync::Arc;

pub(crate) use charge::Charge;
pub(crate) use ledger::{Kind, Ledger};
pub(crate) use plan::{Plan, fit};

use crate::cache::BlockCache;

/// The memory of one tree: the ledger, and the cache that shrinks when others grow.
#[derive(Debug)]
pub(crate) struct Memory {
    ledger: Arc<Ledger>,
    cache: BlockCache,
    read_ahead_bytes: usize,
}

impl Memory {
    pub(crate) fn new(plan: Plan) -> Memory {
        let ledger = Arc::new(Ledger::new(plan.budget_bytes, plan.cache_floor_bytes));
        let cache = BlockCache::new(plan.cache_bytes, Arc::clone(&ledger));
        Memory { ledger, cache, read_ahead_bytes: plan.read_ahead_bytes }
    }

    /// One that nothing exceeds. For tests of parts.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn unlimited(cache_bytes: u64) -> Arc<Memory> {
        Arc::new(Memory::new(Plan { cache_bytes, ..Plan::default() }))
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(crate) fn cache(&self) -> &BlockCache {
        &self.cache
    }

    /// Charges memory that has been, or is about to be, asked for.
    pub(crate) fn add(&self, kind: Kind, bytes: u64) {
        self.ledger.add(kind, bytes);
        if self.ledger.note_peak() > self.ledger.budget_bytes() {
            self.cache.shrink();
        }
    }

    /// Uncharges it.
    pub(crate) fn sub(&self, kind: Kind, bytes: u64) {
        self.ledger.sub(kind, bytes);
    }

    /// True if what cannot be evicted leaves the cache no more than its floor: who can wait or make do with less should.
    pub(crate) fn is_tight(&self) -> bool {
        self.ledger.is_tight()
    }

    /// True if a table of so many bytes should end, where `most` is its target: at half of it when memory is tight, since its
    /// hashes grow with it. No smaller: tables below half of the target are merged again.
    pub(crate) fn ends_table(&self, bytes: u64, most: u64) -> bool {
        bytes >= most || (bytes >= most / 2 && self.is_tight())
    }

    /// How far a reader may read ahead at once.
    pub(crate) fn read_ahead_bytes(&self) -> usize {
        if self.is_tight() { plan::LEAST_READ_AHEAD_BYTES } else { self.read_ahead_bytes }
    }
}
