//! The newest entry, found from the end of its segment.
//!
//! Whoever needs only that should not read up to 64 MiB for it. The successor's header says where the segment ends and
//! with which chain value: the frame that ends there and has that value is its last one, and names the value of the one
//! before. So a few frames are read against the order of the file, each as certain as in it. Where one cannot be found,
//! the reader goes through the segment in order and says what is wrong.

use std::sync::Arc;

use stemedb_env::{
    AlignedBuffer, File, Lsn,
    frame::{Chain, FileIdentity, HEADER_BYTES, MAX_FRAME_BYTES, claimed_bytes, decode},
};

use super::{SegmentedJournal, reader::Limit};
use crate::{
    Entry, Journal, JournalReader, Result,
    segment::{KIND_GROUP, KIND_HEADER, decode_group, is_unpack_damage},
};

/// Frames start on multiples of this in every segment.
const SECTOR_BYTES: usize = 512;
/// Read first from the end of a segment: its last small frames. As many times more while a frame is longer.
const WINDOW_BYTES: usize = 64 << 10;
const WINDOW_GROWTH: usize = 4;

impl SegmentedJournal {
    /// The newest durable entry; `None` in a journal without entries, and when its segment has been used again.
    ///
    /// Cost: the last group, read at most about five times over, wherever it lies in its segment. Errors: `Corruption`,
    /// `MissingSegment`, `Env`.
    pub fn last_entry(&self) -> Result<Option<Entry>> {
        let last = self.durable_lsn();
        if last == Lsn::ZERO {
            return Ok(None);
        }
        if last < self.first_lsn() {
            // Gone on purpose, unless the opening could not use its segment.
            let newest = self.inner.damage.list().pop();
            return newest.map_or(Ok(None), |(_, damage)| Err(damage));
        }
        if let Some(entry) = self.last_entry_from_the_end(last)? {
            return Ok(Some(entry));
        }
        self.read_from(last)?.next_entry()
    }

    /// `None` where the segment is still being written, or where its end is not what its successor says.
    fn last_entry_from_the_end(&self, last: Lsn) -> Result<Option<Entry>> {
        let inner = &self.inner;
        let Some(segment) = inner.table.lock().find(&inner.dir, last)? else { return Ok(None) };
        let Limit::Succeeded { bytes, chain: Some(chain), .. } = inner.limit(segment)? else {
            return Ok(None);
        };
        let file = inner.table.lock().open(&inner.dir, segment)?;
        let identity = inner.dir.identity.file(segment);
        let (mut end, mut chain) = (bytes, chain);
        let mut buffer = AlignedBuffer::new();
        loop {
            let Some(start) = frame_before(&file, &identity, end, chain, &mut buffer)? else {
                return Ok(None);
            };
            let Ok(frame) = decode(&buffer, &identity, start) else { return Ok(None) };
            let header = frame.header;
            if header.kind == KIND_HEADER {
                return Ok(None);
            }
            if header.kind == KIND_GROUP {
                let first = header.first_lsn.0;
                if first.checked_add(u64::from(header.count)) != last.0.checked_add(1) {
                    return Ok(None);
                }
                let Some(mut group) = decode_group(&frame) else { return Ok(None) };
                let bytes = std::iter::from_fn(|| group.take()).last();
                return Ok(bytes.map(|bytes| Entry { lsn: last, bytes }));
            }
            (end, chain) = (start, header.chain_prev);
        }
    }
}

/// Where the frame starts that ends at `end` and has this chain value; its bytes are in `buffer` then.
fn frame_before(
    file: &Arc<dyn File>,
    identity: &FileIdentity,
    end: u64,
    chain: Chain,
    buffer: &mut AlignedBuffer,
) -> Result<Option<u64>> {
    let longest = usize::try_from(end).unwrap_or(usize::MAX).min(MAX_FRAME_BYTES);
    let (mut window, mut looked) = (WINDOW_BYTES.min(longest), 0);
    while looked < window {
        buffer.resize_stale(window);
        let start = end - window as u64;
        match file.read_up_to_at(buffer, start) {
            Ok(read) if read == window => {}
            Ok(_) => return Ok(None),
            Err(error) if is_unpack_damage(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // From the end to the front; what an earlier window held is known.
        let unknown = window - looked;
        for at in (0..unknown).rev().filter(|at| (start + *at as u64).is_multiple_of(SECTOR_BYTES as u64)) {
            let bytes = buffer.get(at..).unwrap_or_default();
            let offset = start + at as u64;
            if bytes.len() < HEADER_BYTES || claimed_bytes(bytes, identity, offset) != Ok(bytes.len()) {
                continue;
            }
            if decode(bytes, identity, offset).is_ok_and(|frame| frame.chain == chain) {
                buffer.copy_within(at..window, 0);
                buffer.resize_stale(window - at);
                return Ok(Some(offset));
            }
        }
        looked = window;
        window = window.saturating_mul(WINDOW_GROWTH).min(longest);
    }
    Ok(None)
}
