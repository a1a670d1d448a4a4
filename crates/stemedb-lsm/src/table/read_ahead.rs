//! Reading many blocks with one call, for whoever reads them in order.

use stemedb_env::{
    File, Result,
    aligned::{ALIGNMENT_BYTES, AlignedBuffer},
    planted::{Bug, planted},
};

use super::{format::BlockHandle, pack::Room};

/// First and largest window of a scan. A short scan should not read much in vain; a long one should not notice the calls.
const FIRST_WINDOW_BYTES: usize = 64 << 10;
const LARGEST_WINDOW_BYTES: usize = 1 << 20;
/// Blocks that a scan reads one by one before it reads ahead: it may end soon.
const PATIENCE_BLOCKS: u32 = 2;

/// After so many blocks that were not in the cache, a scan leaves the cache alone: 1 MiB of 8-KiB blocks.
const LONG_BLOCKS: u32 = 128;

/// A window over the data blocks of one table. Holds up to 1 MiB.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    buffer: AlignedBuffer,
    /// Table and offset of the first byte.
    file: u64,
    start: u64,
    next_window_bytes: usize,
    blocks: u32,
    /// Room for a decompressed block.
    room: Room,
}

impl ReadAhead {
    /// For a reader that is known to read everything.
    pub(crate) fn eager() -> ReadAhead {
        ReadAhead {
            next_window_bytes: LARGEST_WINDOW_BYTES / 4,
            blocks: PATIENCE_BLOCKS,
            ..ReadAhead::default()
        }
    }

    /// Counts a block that was not in the cache; true if it pays to read ahead by now.
    pub(super) fn pays(&mut self) -> bool {
        self.blocks = self.blocks.saturating_add(1);
        self.blocks > PATIENCE_BLOCKS
    }

    /// True if this reader has read so much that it is not about what is hot.
    pub(super) fn is_long(&self) -> bool {
        self.blocks > LONG_BLOCKS
    }

    /// The sealed bytes of a block, read together with those that follow it, up to `data_end`.
    pub(super) fn sealed(
        &mut self,
        source: &dyn File,
        file: u64,
        handle: BlockHandle,
        data_end: u64,
    ) -> Result<(&[u8], &mut Room)> {
        let bytes = handle.bytes as usize;
        let same_file = self.file == file || planted(Bug::LsmReadAheadKeepsAnotherFile);
        let here = same_file && handle.offset >= self.start;
        let at = usize::try_from(handle.offset.wrapping_sub(self.start)).unwrap_or(usize::MAX);
        if here && at.checked_add(bytes).is_some_and(|end| end <= self.buffer.len()) {
            return Ok((self.buffer.get(at..at + bytes).unwrap_or_default(), &mut self.room));
        }
        let page = ALIGNMENT_BYTES as u64;
        let start = handle.offset / page * page;
        let lead = usize::try_from(handle.offset - start).unwrap_or(0);
        let left = usize::try_from(data_end.saturating_sub(start)).unwrap_or(usize::MAX);
        let window = self.next_window_bytes.max(FIRST_WINDOW_BYTES).max(lead + bytes).min(left);
        self.next_window_bytes = (window * 2).min(LARGEST_WINDOW_BYTES);
        // Nothing is there until the read has succeeded.
        self.buffer.clear();
        let mut room = std::mem::take(&mut self.buffer);
        room.resize_stale(window);
        source.read_exact_at(&mut room, start)?;
        (self.buffer, self.file, self.start) = (room, file, start);
        Ok((self.buffer.get(lead..lead + bytes).unwrap_or_default(), &mut self.room))
    }
}
