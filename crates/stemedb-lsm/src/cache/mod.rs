//! The bounded cache of decompressed, verified blocks.

use std::hash::{BuildHasherDefault, Hasher};

use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::table::block::Block;

/// Where a block came from: file number and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    pub(crate) file: u64,
    pub(crate) offset: u64,
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<BlockKey, Block> for Bytes {
    fn weight(&self, _: &BlockKey, block: &Block) -> u64 {
        block.memory_bytes()
    }
}

/// A fixed multiplicative hasher: keys are our own numbers, nobody outside chooses them.
#[derive(Debug, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The cache. Scans, flushes and compactions of large ranges pass it by, so that they do not evict the hot set.
#[derive(Debug)]
pub(crate) struct BlockCache {
    blocks: Cache<BlockKey, Block, Bytes, BuildHasherDefault<Mix>, DefaultLifecycle<BlockKey, Block>>,
}

impl BlockCache {
    pub(crate) fn new(capacity_bytes: u64, block_bytes: usize) -> BlockCache {
        let items = usize::try_from(capacity_bytes).unwrap_or(usize::MAX) / block_bytes.max(1);
        BlockCache {
            blocks: Cache::with(
                items.max(16),
                capacity_bytes,
                Bytes,
                BuildHasherDefault::default(),
                DefaultLifecycle::default(),
            ),
        }
    }

    pub(crate) fn get(&self, key: BlockKey) -> Option<Block> {
        self.blocks.get(&key)
    }

    pub(crate) fn insert(&self, key: BlockKey, block: Block) {
        self.blocks.insert(key, block);
    }

    /// Drops every block of a file.
    pub(crate) fn forget_file(&self, file: u64) {
        self.blocks.retain(|key, _| key.file != file);
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.blocks.weight()
    }
}
