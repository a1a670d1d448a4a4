//! One slot per block of a table.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapAny;

use crate::table::block::{Block, BlockBytes, memory_bytes, touch};

/// The cached blocks of one table. Dropping it gives their bytes back to the budget.
#[derive(Debug)]
pub(crate) struct Slots {
    blocks: Box<[ArcSwapAny<Option<BlockBytes>>]>,
    used_bytes: Arc<AtomicU64>,
}

impl Slots {
    pub(super) fn new(blocks: usize, used_bytes: Arc<AtomicU64>) -> Slots {
        Slots { blocks: (0..blocks).map(|_| ArcSwapAny::new(None)).collect(), used_bytes }
    }

    /// Block `at`, if it is cached. Cost: one load of the slot and one count of holders.
    pub(crate) fn get(&self, at: usize) -> Option<Block> {
        let shared = self.blocks.get(at)?.load_full()?;
        touch(&shared);
        Some(Block::from_shared(shared))
    }

    /// Looks at block `at` without counting as a use.
    pub(super) fn peek<T>(&self, at: usize, look: impl FnOnce(&BlockBytes) -> T) -> Option<T> {
        self.blocks.get(at)?.load().as_ref().map(look)
    }

    /// Fills a slot; true if it was empty.
    pub(super) fn put(&self, at: usize, block: &Block) -> bool {
        let Some(slot) = self.blocks.get(at) else { return false };
        self.used_bytes.fetch_add(block.memory_bytes(), Ordering::Relaxed);
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

    fn release(&self, block: Option<&BlockBytes>) {
        if let Some(block) = block {
            self.used_bytes.fetch_sub(memory_bytes(block), Ordering::Relaxed);
        }
    }

    /// Bytes of the slots themselves.
    pub(crate) fn memory_bytes(&self) -> u64 {
        size_of_val(&*self.blocks) as u64
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        (0..self.blocks.len()).for_each(|at| self.clear(at));
    }
}
