//! Reading frames from a file: in sequence, and by search behind a damaged place.

use std::sync::Arc;

use super::{FileIdentity, Frame, FrameError, HEADER_BYTES, MAX_FRAME_BYTES, claimed_bytes, decode};
use crate::{Error, File};

/// Bytes read ahead of the current frame: large enough to keep a replay sequential, small enough for a phone.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// A read failed: the disk, or the content.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused the read.
    #[error(transparent)]
    Env(#[from] Error),
    /// The bytes are not an acceptable frame.
    #[error("{error} at offset {offset}")]
    Frame {
        /// Where the bytes are.
        offset: u64,
        /// What is wrong.
        error: FrameError,
    },
}

/// Reads the frames of one file in order.
///
/// It checks each frame against the file's identity and its own checksum; whether the chain fits, and what the end of
/// the file means, is for the log to decide.
#[derive(Debug)]
pub struct FrameReader {
    file: Arc<dyn File>,
    identity: FileIdentity,
    offset: u64,
    buffer: Vec<u8>,
    /// File offset of `buffer[0]`.
    buffer_start: u64,
}

/// Where the current frame lies in the reader's buffer.
#[derive(Debug)]
pub struct FrameBuf<'a> {
    /// The verified frame.
    pub frame: Frame<'a>,
    /// Its offset in the file.
    pub offset: u64,
}

impl FrameReader {
    /// A reader whose next frame is at `offset`.
    pub fn new(file: Arc<dyn File>, identity: FileIdentity, offset: u64) -> FrameReader {
        FrameReader { file, identity, offset, buffer: Vec::new(), buffer_start: offset }
    }

    /// Offset of the next frame.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame. [`FrameError::Truncated`] at the very end of the file means that no byte follows.
    ///
    /// After an error the reader stays where it is. Cost: one CRC-32 and one BLAKE3 pass over the frame.
    pub fn next_frame(&mut self) -> Result<FrameBuf<'_>, ReadError> {
        let offset = self.offset;
        let wrong = |error| ReadError::Frame { offset, error };
        self.fill(HEADER_BYTES)?;
        let total = claimed_bytes(self.available(), &self.identity, offset).map_err(wrong)?;
        self.fill(total)?;
        let start = self.position();
        let frame = decode(&self.buffer[start..], &self.identity, offset).map_err(wrong)?;
        self.offset += frame.frame_bytes as u64;
        Ok(FrameBuf { frame, offset })
    }

    fn position(&self) -> usize {
        usize::try_from(self.offset - self.buffer_start).unwrap_or(usize::MAX).min(self.buffer.len())
    }

    fn available(&self) -> &[u8] {
        &self.buffer[self.position()..]
    }

    /// Tries to have `wanted` bytes (at most [`MAX_FRAME_BYTES`]) available from the current offset; fewer at the end
    /// of the file.
    fn fill(&mut self, wanted: usize) -> Result<(), Error> {
        debug_assert!(wanted <= MAX_FRAME_BYTES);
        if self.available().len() >= wanted {
            return Ok(());
        }
        // A length that a damaged header claims is not believed beyond what the file has; and most files of frames are small, so
        // no more is made ready for than there is.
        let left = self.file.len()?.saturating_sub(self.offset);
        let room = wanted.max(READ_AHEAD_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
        let position = self.position();
        self.buffer.drain(..position);
        self.buffer_start = self.offset;
        let have = self.buffer.len();
        self.buffer.resize(room.max(have), 0);
        let read = self.file.read_up_to_at(&mut self.buffer[have..], self.buffer_start + have as u64);
        self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
        read.map(drop)
    }
}

/// Calls `visit` for every valid frame of this file that starts on a sector boundary in `from..`, until it returns
/// false. Damaged places are stepped over; overlapping frames cannot both verify, since each carries its offset.
///
/// Used behind a damaged frame, to learn how far the file had once been durable.
pub fn find_frames(
    file: &Arc<dyn File>,
    identity: &FileIdentity,
    from: u64,
    sector_bytes: usize,
    visit: &mut dyn FnMut(FrameBuf<'_>) -> bool,
) -> Result<(), Error> {
    let sector = sector_bytes.max(1) as u64;
    let len = file.len()?;
    let mut reader = FrameReader::new(Arc::clone(file), *identity, from.next_multiple_of(sector));
    while reader.offset < len {
        match reader.next_frame() {
            Ok(found) => {
                let keep_going = visit(found);
                if !keep_going {
                    return Ok(());
                }
            }
            Err(ReadError::Frame { .. }) => reader.offset += sector,
            Err(ReadError::Env(error)) => return Err(error),
        }
    }
    Ok(())
}
