//! Reading a file with a seek table: any frame, in any order.

use std::sync::Arc;

use stemedb_env::{Error, File, error::IoOp};
use zstd::zstd_safe::DCtx;

use super::{
    PackedError,
    frame_header::{FrameStart, frame_start},
    seek_table::{CHECKSUM_BYTES, FramePlace, SeekTable},
    zstd_stream::meaning,
};

/// The plain bytes of the frame that was used last.
pub(super) struct FrameReader {
    file: Arc<dyn File>,
    table: Arc<SeekTable>,
    /// Made by the first frame.
    context: Option<DCtx<'static>>,
    packed: Vec<u8>,
    plain: Vec<u8>,
    /// Offset of `plain` in the plain bytes of the file.
    plain_start: u64,
}

impl FrameReader {
    pub fn new(file: &Arc<dyn File>, table: &Arc<SeekTable>) -> FrameReader {
        let (file, table) = (Arc::clone(file), Arc::clone(table));
        FrameReader { file, table, context: None, packed: Vec::new(), plain: Vec::new(), plain_start: 0 }
    }

    /// Plain bytes from `offset` on, up to the end of their frame; none if `offset` is behind the last frame.
    pub fn bytes_at(&mut self, offset: u64) -> Result<&[u8], Error> {
        let held =
            offset.checked_sub(self.plain_start).is_some_and(|within| within < self.plain.len() as u64);
        if !held {
            let Some(frame) = self.table.frame_at(offset) else { return Ok(&[]) };
            let loaded = self.load(&frame);
            if loaded.is_err() {
                self.plain.clear();
            }
            loaded?;
            self.plain_start = frame.plain_start;
        }
        let within = usize::try_from(offset - self.plain_start).unwrap_or(usize::MAX);
        Ok(self.plain.get(within..).unwrap_or_default())
    }

    /// Decodes a frame and sees its checksum verified.
    fn load(&mut self, frame: &FramePlace) -> Result<(), Error> {
        let fail = |reason: PackedError| reason.at(IoOp::Read, self.file.path());
        let plain_bytes = frame.entry.plain_bytes as usize;
        self.packed.resize(frame.entry.packed_bytes as usize, 0);
        self.file.read_exact_at(&mut self.packed, frame.packed_start)?;
        // The table was compared with the frame when the file was opened; these are bytes that were read since.
        let verifies = matches!(frame_start(&self.packed), FrameStart::Data(header) if header.checksum)
            && self.packed.last_chunk::<CHECKSUM_BYTES>() == Some(&frame.entry.checksum);
        let packed_offset = frame.packed_start + u64::from(frame.entry.packed_bytes);
        if !verifies {
            return Err(fail(PackedError::Damaged { packed_offset }));
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or_else(|| fail(PackedError::Memory))?),
        };
        self.plain.clear();
        self.plain.reserve_exact(plain_bytes);
        let written = context
            .decompress(&mut self.plain, &self.packed)
            .map_err(|code| fail(meaning(code, packed_offset)))?;
        if written == plain_bytes { Ok(()) } else { Err(fail(PackedError::Damaged { packed_offset })) }
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.packed.capacity()
            + self.plain.capacity()
            + self.context.as_ref().map_or(0, |context| context.sizeof())
    }
}
