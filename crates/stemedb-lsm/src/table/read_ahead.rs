//! Reading many blocks with one call, for whoever reads them in order.

use stemedb_env::{
    File, Result,
    aligned::{ALIGNMENT_BYTES, AlignedBuffer},
    planted::{Bug, planted},
};

use std::sync::Arc;

use super::{format::BlockHandle, pack::Room};
use crate::memory::{Charge, Kind, Memory};

/// First and largest window of a scan, if the budget allows it. A short scan should not read much in vain; a long one should
/// not notice the calls.
const FIRST_WINDOW_BYTES: usize = 64 << 10;
const LARGEST_WINDOW_BYTES: usize = 1 << 20;
/// Blocks that a scan reads one by one before it reads ahead: it may end soon.
const PATIENCE_BLOCKS: u32 = 2;

/// After so many blocks that were not in the cache, a scan leaves a full cache alone: 1 MiB of 8-KiB blocks.
const LONG_BLOCKS: u32 = 128;

/// A window over the data blocks of one table. Holds up to 1 MiB, less where the memory budget is small.
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
    charge: Option<Charge>,
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
        memory: &Arc<Memory>,
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
        let most = memory.read_ahead_bytes().min(LARGEST_WINDOW_BYTES);
        let wanted = self.next_window_bytes.max(FIRST_WINDOW_BYTES).min(most);
        let window = wanted.max(lead + bytes).min(left);
        self.next_window_bytes = (window * 2).min(LARGEST_WINDOW_BYTES);
        // Nothing is there until the read has succeeded.
        self.buffer.clear();
        let mut room = std::mem::take(&mut self.buffer);
        // What an unusually large block or better times needed is given back.
        if room.held_bytes() > 2 * (window.max(most) + ALIGNMENT_BYTES) {
            room = AlignedBuffer::new();
        }
        if self.room.held_bytes() > 2 * (window.max(most) + ALIGNMENT_BYTES) {
            self.room = Room::default();
        }
        room.resize_stale(window);
        let held = room.held_bytes() + self.room.held_bytes();
        match &mut self.charge {
            Some(charge) => charge.set(held),
            None => self.charge = Some(Charge::new(memory, Kind::Buffers, held)),
        }
        if let Err(error) = source.read_exact_at(&mut room, start) {
            drop(room);
            if let Some(charge) = &mut self.charge {
                charge.set(self.room.held_bytes());
            }
            return Err(error);
        }
        (self.buffer, self.file, self.start) = (room, file, start);
        Ok((self.buffer.get(lead..lead + bytes).unwrap_or_default(), &mut self.room))
    }
}
