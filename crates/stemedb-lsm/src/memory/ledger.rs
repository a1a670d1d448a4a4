//! The counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::stats::MemoryStats;

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Chunks, filters and row places of memtables.
    Memtables,
    /// Chunks that wait for the next memtable.
    Pool,
    /// Indexes, filters and properties of tables.
    Tables,
    /// Blocks, wherever they are held.
    Blocks,
    /// What the cache needs beside the blocks: slots, ghosts, queues.
    Order,
    /// Buffers of flushes, compactions, scans and reads.
    Buffers,
    /// The part of [`Kind::Blocks`] that lies in the cache.
    Cached,
}

const KINDS: usize = 7;

/// Each with cache lines of its own: one kind's changes must not slow another's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

/// The counts of one tree. Relaxed: each is exact, their sum is one that was true of no single moment while others
/// change.
#[derive(Debug)]
pub(crate) struct Ledger {
    cells: [Cell; KINDS],
    peak: Cell,
    budget_bytes: u64,
    floor_bytes: u64,
}

impl Ledger {
    pub(crate) fn new(budget_bytes: u64, floor_bytes: u64) -> Ledger {
        Ledger { cells: Default::default(), peak: Cell::default(), budget_bytes, floor_bytes }
    }

    pub(crate) fn add(&self, kind: Kind, bytes: u64) {
        self.cell(kind).fetch_add(bytes, Relaxed);
    }

    pub(crate) fn sub(&self, kind: Kind, bytes: u64) {
        self.cell(kind).fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn get(&self, kind: Kind) -> u64 {
        self.cell(kind).load(Relaxed)
    }

    fn cell(&self, kind: Kind) -> &AtomicU64 {
        let [memtables, pool, tables, blocks, order, buffers, cached] = &self.cells;
        let cell = match kind {
            Kind::Memtables => memtables,
            Kind::Pool => pool,
            Kind::Tables => tables,
            Kind::Blocks => blocks,
            Kind::Order => order,
            Kind::Buffers => buffers,
            Kind::Cached => cached,
        };
        &cell.0
    }

    pub(crate) fn budget_bytes(&self) -> u64 {
        self.budget_bytes
    }

    /// Everything held.
    pub(crate) fn total(&self) -> u64 {
        let kinds = [Kind::Memtables, Kind::Pool, Kind::Tables, Kind::Blocks, Kind::Order, Kind::Buffers];
        // While others change the counts one may be below zero for a moment.
        kinds
            .into_iter()
            .fold(0i64, |sum, kind| sum.wrapping_add_unsigned(self.get(kind)))
            .max(0)
            .unsigned_abs()
    }

    /// Everything but cached blocks.
    fn fixed(&self) -> u64 {
        self.total().saturating_sub(self.get(Kind::Cached))
    }

    /// What the others leave to the cache, and at least its floor.
    pub(crate) fn left_for_cache(&self) -> u64 {
        self.budget_bytes.saturating_sub(self.fixed()).max(self.floor_bytes)
    }

    pub(crate) fn is_tight(&self) -> bool {
        self.fixed().saturating_add(self.floor_bytes) > self.budget_bytes
    }

    /// Remembers the most that was ever held; returns what is held now.
    pub(crate) fn note_peak(&self) -> u64 {
        let total = self.total();
        // Nearly always a load only.
        if total > self.peak.0.load(Relaxed) {
            self.peak.0.fetch_max(total, Relaxed);
        }
        total
    }

    /// The breakdown. Of the memtables the owner knows what the active one and the sealed ones hold.
    pub(crate) fn stats(&self, active: u64, sealed: u64) -> MemoryStats {
        let memtables = self.get(Kind::Memtables);
        let (blocks, cached) = (self.get(Kind::Blocks), self.get(Kind::Cached));
        MemoryStats {
            budget_bytes: self.budget_bytes,
            active_memtable_bytes: active.min(memtables),
            sealed_memtable_bytes: sealed.min(memtables.saturating_sub(active)),
            pinned_memtable_bytes: memtables.saturating_sub(active).saturating_sub(sealed),
            pooled_bytes: self.get(Kind::Pool),
            table_bytes: self.get(Kind::Tables),
            cached_bytes: cached,
            pinned_bytes: blocks.saturating_sub(cached),
            cache_order_bytes: self.get(Kind::Order),
            buffer_bytes: self.get(Kind::Buffers),
            peak_bytes: self.note_peak().max(self.peak.0.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_gets_what_the_others_leave_and_no_less_than_its_floor() {
        let ledger = Ledger::new(1_000, 100);
        ledger.add(Kind::Memtables, 300);
        ledger.add(Kind::Blocks, 250);
        ledger.add(Kind::Cached, 200);
        assert_eq!((ledger.total(), ledger.left_for_cache(), ledger.is_tight()), (550, 650, false));
        ledger.add(Kind::Tables, 600);
        assert_eq!((ledger.total(), ledger.left_for_cache(), ledger.is_tight()), (1_150, 100, true));
        ledger.note_peak();
        ledger.sub(Kind::Tables, 600);
        let stats = ledger.stats(200, 40);
        assert_eq!((stats.total_bytes(), stats.peak_bytes, stats.pinned_bytes), (550, 1_150, 50));
        assert_eq!((stats.active_memtable_bytes, stats.pinned_memtable_bytes), (200, 60));
    }
}
