//! The steps of a lookup that is one of many: see `store::multi_get`.

use stemedb_env::{
    Lsn,
    fs::BatchRead,
    planted::{Bug, planted},
};

use super::{OnDamage, Table};
use crate::{
    Result,
    table::{
        block::{Block, FoundBlock},
        format::{BlockKind, TRAILER_BYTES, open_block},
        pack::Room,
    },
};

impl Table {
    /// True if a removed range of this table hides older rows of `key`: then only [`Table::get`] knows what to say.
    pub(crate) fn is_covered(&self, key: &[u8], lsn: Lsn) -> Result<bool> {
        Ok(self.meta.ranges > 0 && self.meta.min_lsn <= lsn && self.ranges()?.newest(key, lsn) > Lsn::ZERO)
    }

    /// The block where `key` must be if it is in this table.
    pub(crate) fn candidate(&self, key: &[u8], lsn: Lsn, hash: u64) -> Result<Option<usize>> {
        if self.meta.min_lsn > lsn {
            return Ok(None);
        }
        let loaded = self.loaded()?;
        let ruled_out = loaded.key_filter.as_ref().is_some_and(|filter| !filter.may_contain(hash));
        if ruled_out && !planted(Bug::LsmMultiGetSkipsFilter) {
            self.context.counters.filter_useful.add(1);
            return Ok(None);
        }
        let at = loaded.index.seek(key);
        Ok((at < loaded.index.blocks()).then_some(at))
    }

    /// Block `at` if it is cached.
    pub(crate) fn cached_block(&self, at: usize) -> Option<FoundBlock> {
        let block = self.loaded.get()?.slots.borrow(at)?;
        self.context.counters.note_cache_hit();
        Some(FoundBlock::Cached(block))
    }

    /// True if its blocks are derived, not read: then only [`Table::get`] gets them.
    pub(crate) fn has_no_file(&self) -> bool {
        self.loaded.get().is_some_and(|loaded| loaded.file.is_none())
    }

    /// Where block `at` must be read from; the table has a file.
    pub(crate) fn block_read(&self, at: usize) -> Result<BatchRead<'_>> {
        let loaded = self.loaded()?;
        let handle = loaded.index.handle(at).ok_or_else(|| self.no_block())?;
        let file = loaded.file.as_ref().ok_or_else(|| self.refused())?;
        Ok(BatchRead { file: &**file, offset: handle.offset, bytes: handle.bytes as usize })
    }

    /// Block `at` from the bytes of [`Table::block_read`], or read once more where they are not what they must be. Goes
    /// into the cache. `room` is for the decompressed block.
    pub(crate) fn block_from(
        &self,
        at: usize,
        sealed: stemedb_env::Result<&[u8]>,
        room: &mut Room,
    ) -> Result<Block> {
        let loaded = self.loaded()?;
        let offset = loaded.index.handle(at).map_or(0, |handle| handle.offset);
        let parsed = sealed.ok().and_then(|sealed| {
            if planted(Bug::LsmBatchReadsUnchecked) {
                return self.parse(sealed.get(..sealed.len().checked_sub(TRAILER_BYTES)?)?).ok();
            }
            let payload = open_block(&self.identity(), BlockKind::Data, sealed, offset, room).ok()?;
            self.parse(payload.of(sealed, room)).ok()
        });
        let Some(block) = parsed else {
            return self.read_block_of(loaded, at, true, OnDamage::Heal);
        };
        self.context.counters.cache_misses.add(1);
        self.context.counters.note_block_read();
        self.context.memory.cache().insert(&loaded.slots, at, &block);
        Ok(block)
    }

    /// Counts a lookup that the filter let through in vain.
    pub(crate) fn count_false_positive(&self) {
        self.context.counters.filter_false_positives.add(1);
    }
}
