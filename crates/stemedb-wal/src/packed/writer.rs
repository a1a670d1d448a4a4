//! Packing a file, a frame at a time.

use std::{fmt, sync::Arc};

use stemedb_env::{Error, File, Result, error::IoOp};
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

use super::{
    FRAME_BYTES, MAX_FRAMES, PackedError,
    seek_table::{self, Entry, HEAD},
};

/// What was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedSummary {
    /// Length of what was pushed.
    pub plain_bytes: u64,
    /// Length of the file.
    pub packed_bytes: u64,
    /// BLAKE3 of what was pushed: compare it with what a [`super::PackedFile`] reads back before anything is removed.
    pub plain_hash: blake3::Hash,
}

/// Writes a seekable zstd file from its start, in steps: each MiB pushed becomes one frame and one write.
///
/// It syncs nothing and gives the file no name: until [`PackedWriter::finish`] has returned and the caller has synced, the
/// file must stand under a temporary name. After an error it has to be made again. Holds two frames and what zstd
/// needs for the level: together 2.6 MiB at level 1, 3.3 MiB at 3, 5 MiB at 6, 13 MiB at 9.
pub struct PackedWriter {
    out: Arc<dyn File>,
    context: CCtx<'static>,
    plain: Vec<u8>,
    packed: Vec<u8>,
    entries: Vec<Entry>,
    hash: blake3::Hasher,
    plain_bytes: u64,
    /// Where the next frame goes.
    packed_bytes: u64,
    /// Nobody knows what is in the file.
    failed: bool,
}

impl PackedWriter {
    /// Packs into `out`, an empty file, and writes its head. `level` is zstd's: higher is smaller and slower, 3 the
    /// usual; values that zstd does not know are taken for the nearest.
    pub fn new(out: Arc<dyn File>, level: i32) -> Result<PackedWriter> {
        let fail = || PackedError::Memory.at(IoOp::Write, out.path());
        let mut context = CCtx::try_create().ok_or_else(fail)?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::ChecksumFlag(true),
            CParameter::ContentSizeFlag(true),
        ] {
            context.set_parameter(parameter).map_err(|_| fail())?;
        }
        out.write_all_at(&HEAD, 0)?;
        Ok(PackedWriter {
            out,
            context,
            plain: Vec::with_capacity(FRAME_BYTES),
            packed: Vec::with_capacity(compress_bound(FRAME_BYTES)),
            entries: vec![Entry::HEAD],
            hash: blake3::Hasher::new(),
            plain_bytes: 0,
            packed_bytes: HEAD.len() as u64,
            failed: false,
        })
    }

    /// Adds plain bytes. Cost: hashing and compressing them, and one write per full MiB.
    pub fn push(&mut self, mut data: &[u8]) -> Result<()> {
        self.check()?;
        while !data.is_empty() {
            let room = FRAME_BYTES.saturating_sub(self.plain.len());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.hash.update(now);
            self.plain.extend_from_slice(now);
            data = later;
            if self.plain.len() >= FRAME_BYTES {
                self.write_frame()?;
            }
        }
        Ok(())
    }

    /// Writes the last frame and the seek table. The file is then complete, but not durable.
    pub fn finish(mut self) -> Result<PackedSummary> {
        self.check()?;
        if !self.plain.is_empty() {
            self.write_frame()?;
        }
        let table = seek_table::encode(&self.entries);
        self.out.write_all_at(&table, self.packed_bytes)?;
        Ok(PackedSummary {
            plain_bytes: self.plain_bytes,
            packed_bytes: self.packed_bytes + table.len() as u64,
            plain_hash: self.hash.finalize(),
        })
    }

    fn check(&self) -> Result<()> {
        if self.failed { Err(self.fail(PackedError::Abandoned)) } else { Ok(()) }
    }

    fn fail(&self, reason: PackedError) -> Error {
        reason.at(IoOp::Write, self.out.path())
    }

    fn write_frame(&mut self) -> Result<()> {
        // Until everything below has been done.
        self.failed = true;
        if self.entries.len() >= MAX_FRAMES {
            return Err(self.fail(PackedError::TooLarge));
        }
        self.packed.clear();
        self.context.compress2(&mut self.packed, &self.plain).map_err(|_| self.fail(PackedError::Memory))?;
        self.out.write_all_at(&self.packed, self.packed_bytes)?;
        let (packed_bytes, plain_bytes) = (self.packed.len(), self.plain.len());
        self.entries.push(Entry {
            packed_bytes: u32::try_from(packed_bytes).unwrap_or(u32::MAX),
            plain_bytes: u32::try_from(plain_bytes).unwrap_or(u32::MAX),
            checksum: self.packed.last_chunk().copied().unwrap_or_default(),
        });
        self.packed_bytes += packed_bytes as u64;
        self.plain_bytes += plain_bytes as u64;
        self.plain.clear();
        self.failed = false;
        Ok(())
    }
}

impl fmt::Debug for PackedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedWriter")
            .field("path", &self.out.path())
            .field("plain_bytes", &(self.plain_bytes + self.plain.len() as u64))
            .field("packed_bytes", &self.packed_bytes)
            .finish_non_exhaustive()
    }
}
