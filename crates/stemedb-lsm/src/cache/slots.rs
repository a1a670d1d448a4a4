//! One slot per block of a table.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use arc_swap::{ArcSwapAny, Guard};
use stemedb_env::planted::{Bug, planted};

use crate::{
    memory::{Kind, Ledger},
    prefetch::prefetch,
    table::block::{Block, BlockBytes, memory_bytes, touch},
};

/// Bytes at the front of a block that nearly every lookup reads.
const HOT_BYTES: usize = 256;

/// A cached block that stays while this lives. For short use by one thread.
#[derive(Debug)]
pub(crate) struct BorrowedBlock {
    guard: Guard<Option<BlockBytes>>,
}

impl BorrowedBlock {
    /// The block; `None` never happens.
    pub(crate) fn shared(&self) -> Option<&BlockBytes> {
        self.guard.as_ref()
    }
}

/// The cached blocks of one table. Dropping it gives their bytes back to the budget.
#[derive(Debug)]
pub(crate) struct Slots {
    blocks: Box<[ArcSwapAny<Option<BlockBytes>>]>,
    /// For a block that left probation unused: when, as a generation of the cache; 0 for others.
    ghosts: Box<[AtomicU8]>,
    ledger: Arc<Ledger>,
}

impl Slots {
    pub(super) fn new(blocks: usize, ledger: Arc<Ledger>) -> Slots {
        let slots = Slots {
            blocks: (0..blocks).map(|_| ArcSwapAny::new(None)).collect(),
            ghosts: (0..blocks).map(|_| AtomicU8::new(0)).collect(),
            ledger,
        };
        slots.ledger.add(Kind::Order, slots.memory_bytes());
        slots
    }

    /// Block `at`, if it is cached. Cost: one load of the slot and one count of holders.
    pub(crate) fn get(&self, at: usize) -> Option<Block> {
        let shared = self.blocks.get(at)?.load_full()?;
        touch(&shared);
        Some(Block::from_shared(shared))
    }

    /// Block `at` for a lookup, if it is cached, without counting as a holder: whoever waits for that cannot ask for the
    /// rest of the block meanwhile.
    pub(crate) fn borrow(&self, at: usize) -> Option<BorrowedBlock> {
        let at = at ^ usize::from(planted(Bug::LsmCacheServesAnotherSlot));
        let guard = self.blocks.get(at)?.load();
        let shared = guard.as_ref()?;
        // The shape, the hash index and the row starts of a block of a few dozen rows: asked for at once, not one after
        // another as each says where to go on. The shape lies right before the bytes.
        prefetch(shared.as_ptr().cast::<u8>(), HOT_BYTES);
        Some(BorrowedBlock { guard })
    }

    /// Looks at block `at` without counting as a use.
    pub(super) fn peek<T>(&self, at: usize, look: impl FnOnce(&BlockBytes) -> T) -> Option<T> {
        self.blocks.get(at)?.load().as_ref().map(look)
    }

    /// Fills a slot; true if it was empty.
    pub(super) fn put(&self, at: usize, block: &Block) -> bool {
        let Some(slot) = self.blocks.get(at) else { return false };
        self.ledger.add(Kind::Cached, block.memory_bytes());
        let before = slot.swap(Some(block.shared().clone()));
        self.release(before.as_ref());
        before.is_none()
    }

    /// Empties a slot.
    pub(super) fn clear(&self, at: usize) {
        if let Some(slot) = self.blocks.get(at) {
            self.release(slot.swap(None).as_ref());
        }
    }

    /// Notes that block `at` left probation unused.
    pub(super) fn haunt(&self, at: usize, generation: u8) {
        if let Some(ghost) = self.ghosts.get(at) {
            ghost.store(generation, Ordering::Relaxed);
        }
    }

    /// When block `at` left probation unused, as a generation; 0 if it did not. Forgets it.
    pub(super) fn exorcise(&self, at: usize) -> u8 {
        self.ghosts.get(at).map_or(0, |ghost| ghost.swap(0, Ordering::Relaxed))
    }

    fn release(&self, block: Option<&BlockBytes>) {
        if let Some(block) = block {
            self.ledger.sub(Kind::Cached, memory_bytes(block));
        }
    }

    /// Bytes of the slots themselves.
    fn memory_bytes(&self) -> u64 {
        (size_of::<Slots>() + size_of_val(&*self.blocks) + self.ghosts.len()) as u64
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        (0..self.blocks.len()).for_each(|at| self.clear(at));
        self.ledger.sub(Kind::Order, self.memory_bytes());
    }
}
