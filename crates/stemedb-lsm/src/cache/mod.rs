//! The bounded cache of decompressed, verified blocks.
//!
//! There is no table to look a block up in: every table has one *slot* per block, and a hit is a load of that slot: no
//! lock, no hash. What the blocks of all tables have in common is their budget: what the rest of the tree leaves of its
//! memory, never more than a bound and never less than a floor. Which block goes when it is used up is
//! decided by S3-FIFO (Yang et al., SOSP 2023): a new block waits in a short queue, and only one that is used again there
//! moves to the main queue, which works like CLOCK. A scan that touches every block once passes through the short queue
//! and leaves the hot set alone. A block that left the short queue unused and is read again soon goes to the main queue at
//! once: for that, each slot remembers in one byte when its block left.

mod slots;

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
pub(crate) use slots::{BorrowedBlock, Slots};

use crate::{
    memory::{Kind, Ledger},
    table::block::{Block, take_touched},
};

/// Part of the budget that blocks not used again may take: one tenth, as the paper found best.
const PROBATION_PART: u64 = 10;
/// A block is remembered after it left for as long as blocks of this many times the budget, divided by
/// [`GENERATIONS_PER_BUDGET`], have left after it.
const REMEMBERED_GENERATIONS: u8 = 4;
/// One generation ends when so great a part of the budget has left probation.
const GENERATIONS_PER_BUDGET: u64 = 4;
/// As long as so much is free there is room.
const ROOM_BYTES: u64 = 1 << 20;
/// Entries of tables that are gone are swept out when they may be most of all entries, but not before there are so many.
const SWEEP_FROM: usize = 4096;

/// The budget, and the order in which blocks leave.
#[derive(Debug)]
pub(crate) struct BlockCache {
    /// The bound; the budget may leave less.
    capacity_bytes: u64,
    /// Knows the bytes of all blocks in slots, and what else is held.
    ledger: Arc<Ledger>,
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    probation: VecDeque<Entry>,
    probation_bytes: u64,
    main: VecDeque<Entry>,
    /// The present generation, never 0, and the bytes that have left probation in it.
    generation: u8,
    left_bytes: u64,
    /// Entries after the last sweep.
    swept: usize,
    /// What the queues themselves were charged.
    charged_bytes: u64,
}

/// A block in a queue.
#[derive(Debug)]
struct Entry {
    slots: Weak<Slots>,
    at: u32,
    bytes: u32,
}

impl BlockCache {
    pub(crate) fn new(capacity_bytes: u64, ledger: Arc<Ledger>) -> BlockCache {
        BlockCache { capacity_bytes, ledger, queues: Mutex::default() }
    }

    /// What its blocks may take now.
    fn limit_bytes(&self) -> u64 {
        self.capacity_bytes.min(self.ledger.left_for_cache())
    }

    /// Empty slots for a table of so many blocks.
    pub(crate) fn slots(&self, blocks: usize) -> Arc<Slots> {
        Arc::new(Slots::new(blocks, Arc::clone(&self.ledger)))
    }

    /// Keeps block `at` of a table, and lets go of others while the budget is exceeded. Two threads may have read the
    /// same block: one copy stays.
    pub(crate) fn insert(&self, slots: &Arc<Slots>, at: usize, block: &Block) {
        let bytes = block.memory_bytes();
        let limit = self.limit_bytes();
        if bytes > limit || !slots.put(at, block) {
            return;
        }
        let (Ok(at), Ok(narrow)) = (u32::try_from(at), u32::try_from(bytes)) else { return };
        let entry = Entry { slots: Arc::downgrade(slots), at, bytes: narrow };
        let mut queues = self.queues.lock();
        if queues.remembers(slots.exorcise(at as usize)) {
            queues.main.push_back(entry);
        } else {
            queues.probation.push_back(entry);
            queues.probation_bytes += bytes;
        }
        self.evict(&mut queues, limit);
        queues.sweep();
        queues.charge(&self.ledger);
        drop(queues);
        self.ledger.note_peak();
    }

    /// True if blocks can be kept without any other leaving.
    pub(crate) fn has_room(&self) -> bool {
        self.memory_bytes() + ROOM_BYTES <= self.limit_bytes()
    }

    /// Lets go of blocks beyond what the rest of the tree leaves, after it has grown.
    pub(crate) fn shrink(&self) {
        self.evict(&mut self.queues.lock(), self.limit_bytes());
    }

    fn evict(&self, queues: &mut Queues, limit_bytes: u64) {
        while self.memory_bytes() > limit_bytes && queues.evict(limit_bytes) {}
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.ledger.get(Kind::Cached)
    }
}

impl Queues {
    /// Takes one entry further: out of its slot, or on to a later chance. False when there is none.
    fn evict(&mut self, capacity_bytes: u64) -> bool {
        let probation = self.probation_bytes > capacity_bytes / PROBATION_PART || self.main.is_empty();
        let next = if probation { self.probation.pop_front() } else { self.main.pop_front() };
        let Some(entry) = next else { return false };
        if probation {
            self.probation_bytes -= u64::from(entry.bytes);
        }
        if let Some(slots) = entry.slots.upgrade() {
            let used = slots.peek(entry.at as usize, take_touched);
            match used {
                Some(true) => self.main.push_back(entry),
                Some(false) => {
                    slots.clear(entry.at as usize);
                    if probation {
                        slots.haunt(
                            entry.at as usize,
                            self.generation(u64::from(entry.bytes), capacity_bytes),
                        );
                    }
                }
                None => {}
            }
        }
        true
    }

    /// The generation in which so many more bytes leave probation.
    fn generation(&mut self, bytes: u64, capacity_bytes: u64) -> u8 {
        self.left_bytes += bytes;
        if self.generation == 0 || self.left_bytes > capacity_bytes / GENERATIONS_PER_BUDGET {
            self.left_bytes = 0;
            self.generation = self.generation.checked_add(1).unwrap_or(1);
        }
        self.generation
    }

    /// True if a block that left in `generation` left not long ago. One that left 255 generations ago is taken for a
    /// recent one: an error without consequence, like any wrong guess of a cache.
    fn remembers(&self, generation: u8) -> bool {
        generation != 0 && self.generation.wrapping_sub(generation) <= REMEMBERED_GENERATIONS
    }

    /// Charges what the queues themselves take.
    fn charge(&mut self, ledger: &Ledger) {
        let bytes = ((self.probation.capacity() + self.main.capacity()) * size_of::<Entry>()) as u64;
        if bytes != self.charged_bytes {
            ledger.add(Kind::Order, bytes);
            ledger.sub(Kind::Order, self.charged_bytes);
            self.charged_bytes = bytes;
        }
    }

    /// Forgets entries of tables that are gone; each call pays for the entries added since the last one.
    fn sweep(&mut self) {
        let entries = self.probation.len() + self.main.len();
        if entries < SWEEP_FROM.max(self.swept * 2) {
            return;
        }
        let alive = |entry: &Entry| entry.slots.strong_count() > 0;
        self.probation.retain(alive);
        self.main.retain(alive);
        self.probation_bytes = self.probation.iter().map(|entry| u64::from(entry.bytes)).sum();
        self.swept = self.probation.len() + self.main.len();
    }
}

#[cfg(test)]
mod tests {
    use stemedb_env::Lsn;

    use super::*;
    use crate::table::block::BlockBuilder;

    fn block(bytes: usize) -> Block {
        let mut builder = BlockBuilder::default();
        builder.add(b"key", 1, true, Lsn(1), Some(&vec![0; bytes]));
        let mut out = Vec::new();
        builder.finish(&mut out);
        Block::parse(&out, None).unwrap()
    }

    fn cache_of(capacity_bytes: u64) -> BlockCache {
        BlockCache::new(capacity_bytes, Arc::new(Ledger::new(u64::MAX, 0)))
    }

    fn present(slots: &Slots, range: std::ops::Range<usize>) -> usize {
        range.filter(|at| slots.peek(*at, |_| ()).is_some()).count()
    }

    #[test]
    fn the_budget_holds_and_a_scan_leaves_the_hot_set_alone() {
        let one = block(1000);
        let cache = cache_of(one.memory_bytes() * 100);
        let slots = cache.slots(10_000);
        for at in 0..80 {
            cache.insert(&slots, at, &block(1000));
        }
        // Used again: these are hot.
        (0..80).for_each(|at| assert!(slots.get(at).is_some()));
        for at in 1_000..9_000 {
            cache.insert(&slots, at, &block(1000));
            assert!(cache.memory_bytes() <= one.memory_bytes() * 100);
        }
        assert_eq!(present(&slots, 0..80), 80, "the scan evicted what was used again");
        assert!(present(&slots, 1_000..9_000) <= 20);
        // What is hot now displaces what was hot, if it is not used any more.
        for round in 0..30 {
            for at in 100..180 {
                if slots.get(at).is_none() {
                    cache.insert(&slots, at, &block(1000));
                    assert!(round == 0 || slots.get(at).is_some());
                }
            }
        }
        assert!(present(&slots, 100..180) > 60, "{}", present(&slots, 100..180));
    }

    #[test]
    fn what_comes_back_soon_stays_and_a_repeated_scan_beyond_the_budget_hits_for_most_of_it() {
        let one = block(1000);
        let cache = cache_of(one.memory_bytes() * 100);
        let slots = cache.slots(120);
        let mut hits = 0;
        for round in 0..20 {
            for at in 0..120 {
                match slots.get(at) {
                    Some(_) => hits += usize::from(round >= 10),
                    None => cache.insert(&slots, at, &block(1000)),
                }
            }
        }
        // First in, first out alone would never hit.
        assert!(hits > 500, "{hits} of 1,200 reads hit");
    }

    #[test]
    fn a_table_that_goes_gives_its_bytes_back_and_its_entries_are_swept_out() {
        let cache = cache_of(1 << 30);
        for _ in 0..50 {
            let slots = cache.slots(1_000);
            (0..1_000).for_each(|at| cache.insert(&slots, at, &block(100)));
            assert!(cache.memory_bytes() > 100_000);
        }
        assert_eq!(cache.memory_bytes(), 0);
        let queues = cache.queues.lock();
        assert!(queues.probation.len() <= 2 * SWEEP_FROM, "{}", queues.probation.len());
    }

    #[test]
    fn the_same_block_counts_once_and_one_beyond_the_budget_is_not_kept() {
        let cache = cache_of(5_000);
        let slots = cache.slots(4);
        cache.insert(&slots, 0, &block(1_000));
        let once = cache.memory_bytes();
        cache.insert(&slots, 0, &block(1_000));
        assert_eq!(cache.memory_bytes(), once);
        cache.insert(&slots, 1, &block(10_000));
        assert_eq!((cache.memory_bytes(), present(&slots, 0..4)), (once, 1));
        cache.insert(&slots, 9, &block(10));
        assert_eq!(cache.memory_bytes(), once, "a slot that does not exist");
    }
}
