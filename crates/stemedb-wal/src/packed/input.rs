//! The packed bytes, read from front to back.

use std::sync::Arc;

use stemedb_env::{Error, File, error::IoOp};

use super::PackedError;

/// Packed bytes in memory.
pub(super) const INPUT_BYTES: usize = 64 << 10;

/// A position in the packed bytes, with read-ahead.
#[derive(Debug)]
pub(super) struct Input {
    file: Arc<dyn File>,
    /// `buffer[start..filled]` are the bytes from the position on.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    /// Offset of `buffer[filled]`.
    next_offset: u64,
    /// Length of the file.
    len: u64,
}

impl Input {
    pub fn new(file: &Arc<dyn File>, len: u64) -> Input {
        Input { file: Arc::clone(file), buffer: Vec::new(), start: 0, filled: 0, next_offset: 0, len }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.next_offset - (self.filled - self.start) as u64
    }

    /// At least one byte from the position on; none at the end.
    pub fn available(&mut self) -> Result<&[u8], Error> {
        self.peek(1)
    }

    /// At least `wanted` bytes from the position on, fewer if the file ends. `wanted` is small.
    pub fn peek(&mut self, wanted: usize) -> Result<&[u8], Error> {
        debug_assert!(wanted <= INPUT_BYTES);
        if self.filled - self.start < wanted && self.next_offset < self.len {
            self.buffer.resize(INPUT_BYTES, 0);
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
            let left = usize::try_from(self.len - self.next_offset).unwrap_or(usize::MAX);
            let target = self.filled.saturating_add(left).min(INPUT_BYTES);
            if let Some(room) = self.buffer.get_mut(self.filled..target) {
                let wanted = room.len();
                let read = self.file.read_up_to_at(room, self.next_offset)?;
                self.filled += read;
                self.next_offset += read as u64;
                if read < wanted {
                    return Err(self.fail(PackedError::Truncated));
                }
            }
        }
        Ok(self.buffer.get(self.start..self.filled).unwrap_or_default())
    }

    /// Moves the position over bytes that were seen.
    pub fn consume(&mut self, bytes: usize) {
        self.start = self.filled.min(self.start.saturating_add(bytes));
    }

    /// Moves the position over bytes that need not be read.
    pub fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        let target = self.position().saturating_add(bytes);
        if target > self.len {
            return Err(self.fail(PackedError::Truncated));
        }
        if target <= self.next_offset {
            self.start = self.filled - usize::try_from(self.next_offset - target).unwrap_or(0);
        } else {
            (self.start, self.filled, self.next_offset) = (0, 0, target);
        }
        Ok(())
    }

    /// An error of this file.
    pub fn fail(&self, reason: PackedError) -> Error {
        reason.at(IoOp::Read, self.file.path())
    }

    /// Damage at the position.
    pub fn damaged(&self) -> Error {
        self.fail(PackedError::Damaged { packed_offset: self.position() })
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}
