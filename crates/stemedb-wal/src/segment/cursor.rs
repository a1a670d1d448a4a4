//! Walks the frames of one segment and checks that each follows from the one before.

use std::sync::Arc;

use stemedb_env::{
    AlignedBuffer, Error, File, Lsn,
    frame::{Chain, FileIdentity, Frame, FrameError, HEADER_BYTES, MAX_FRAME_BYTES, claimed_bytes, decode},
};

use super::{KIND_GROUP, KIND_HEADER, KIND_MARKER, KIND_SEAL, Seal, SegmentHeader};
use crate::error::Damage;

/// Large enough to keep a replay sequential, small enough for a thousand tail readers.
const READ_AHEAD_BYTES: usize = 256 << 10;
/// The first read of a cursor that is after single frames.
const READ_LITTLE_BYTES: usize = 16 << 10;

/// The next frame, or why there is none.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    /// A frame that verifies and continues the chain.
    Frame(Frame<'a>),
    /// The cursor has reached the limit it was given.
    End,
    /// The bytes at the cursor are not the next frame. The cursor stays where it is.
    Bad(Damage),
}

/// A position in a segment that moves from frame to frame.
///
/// It never reads beyond the limit it is given, so its buffer never holds bytes that a writer may still change.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: Arc<dyn File>,
    identity: FileIdentity,
    /// Offset of the next frame.
    pub offset: u64,
    /// What the next frame must carry as `chain_prev`.
    pub chain: Chain,
    /// First LSN of the next group.
    pub next_lsn: Lsn,
    /// `buffer[start..filled]` are the file's bytes from `offset` on. Aligned: copies out of the page cache are several
    /// times faster so.
    buffer: AlignedBuffer,
    start: usize,
    filled: usize,
    /// Bytes of the next read. Grows while reading goes on where it stopped.
    ahead: usize,
}

impl Cursor {
    pub fn new(
        file: Arc<dyn File>,
        identity: FileIdentity,
        offset: u64,
        chain: Chain,
        next_lsn: Lsn,
    ) -> Cursor {
        let buffer = AlignedBuffer::new();
        let ahead = READ_AHEAD_BYTES;
        Cursor { file, identity, offset, chain, next_lsn, buffer, start: 0, filled: 0, ahead }
    }

    /// For a cursor that is after single frames: its next reads are small, and grow if it goes on reading.
    pub fn for_little(mut self) -> Cursor {
        self.ahead = READ_LITTLE_BYTES;
        self
    }

    /// Goes to another position of the file. What has been read and lies there is kept.
    pub fn jump(&mut self, offset: u64, chain: Chain, next_lsn: Lsn) {
        let within = offset.checked_sub(self.offset).and_then(|skipped| usize::try_from(skipped).ok());
        match within.filter(|&skipped| skipped < self.filled - self.start) {
            Some(skipped) => self.start += skipped,
            None => {
                (self.start, self.filled) = (0, 0);
                self.ahead = READ_LITTLE_BYTES;
            }
        }
        (self.offset, self.chain, self.next_lsn) = (offset, chain, next_lsn);
    }

    /// The next frame of those that end at or before `limit`. Cost: one CRC-32 and one BLAKE3 pass.
    pub fn next(&mut self, limit: u64) -> Result<Next<'_>, Error> {
        let left = limit.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < HEADER_BYTES as u64 {
            return Ok(Next::Bad(FrameError::Truncated.into()));
        }
        self.fill(HEADER_BYTES, left)?;
        let total = match claimed_bytes(self.available(), &self.identity, self.offset) {
            Ok(total) if total as u64 <= left => total,
            Ok(_) => return Ok(Next::Bad(FrameError::Truncated.into())),
            Err(error) => return Ok(Next::Bad(error.into())),
        };
        self.fill(total, left)?;
        let bytes = self.buffer.get(self.start..self.filled).unwrap_or_default();
        let frame = match decode(bytes, &self.identity, self.offset) {
            Ok(frame) => frame,
            Err(error) => return Ok(Next::Bad(error.into())),
        };
        if let Some(damage) = misfit(&frame, self.chain, self.next_lsn) {
            return Ok(Next::Bad(damage));
        }
        self.start += frame.frame_bytes;
        self.offset += frame.frame_bytes as u64;
        self.chain = frame.chain;
        self.next_lsn = Lsn(self.next_lsn.0.saturating_add(u64::from(frame.header.count)));
        Ok(Next::Frame(frame))
    }

    fn available(&self) -> &[u8] {
        self.buffer.get(self.start..self.filled).unwrap_or_default()
    }

    /// Tries to have `wanted` bytes from the cursor on; fewer if the file ends. Reads ahead, at most `left` bytes.
    fn fill(&mut self, wanted: usize, left: u64) -> Result<(), Error> {
        debug_assert!(wanted <= MAX_FRAME_BYTES && wanted as u64 <= left);
        if self.filled - self.start >= wanted {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        let ahead = usize::try_from(left).unwrap_or(usize::MAX).min(self.ahead);
        self.ahead = (self.ahead * 2).min(READ_AHEAD_BYTES);
        let target = wanted.max(ahead);
        if self.buffer.capacity() > 2 * READ_AHEAD_BYTES && target <= READ_AHEAD_BYTES {
            // One huge frame must not cost its memory for ever.
            let mut smaller = AlignedBuffer::new();
            smaller.extend_from_slice(self.buffer.get(..self.filled).unwrap_or_default());
            self.buffer = smaller;
        }
        if self.buffer.len() < target {
            self.buffer.resize_stale(target);
        }
        if let Some(room) = self.buffer.get_mut(self.filled..target) {
            self.filled += self.file.read_up_to_at(room, self.offset + self.filled as u64)?;
        }
        Ok(())
    }
}

/// Why a frame that verifies is not the one that follows on this chain value and this LSN.
pub(crate) fn misfit(frame: &Frame<'_>, chain: Chain, next_lsn: Lsn) -> Option<Damage> {
    let header = &frame.header;
    if header.chain_prev != chain {
        return Some(Damage::BrokenChain);
    }
    let shape = match header.kind {
        KIND_GROUP => header.count > 0,
        KIND_MARKER => header.count == 0 && frame.payload.is_empty(),
        KIND_SEAL => header.count == 0 && Seal::decode(frame.payload).is_some(),
        KIND_HEADER => {
            header.count == 0 && header.offset == 0 && SegmentHeader::decode(frame.payload).is_some()
        }
        _ => false,
    };
    if !shape {
        return Some(Damage::Payload);
    }
    if header.kind == KIND_GROUP && header.first_lsn != next_lsn {
        return Some(Damage::LsnGap { expected: next_lsn, found: header.first_lsn });
    }
    None
}
