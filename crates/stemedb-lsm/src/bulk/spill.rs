//! Sorted runs in temporary files.
//!
//! ```text
//! block …      block: u64 checksum | row …      row: shared | suffix bytes | value bytes + 1, or 0 | LSN | suffix | value
//! ```
//!
//! The first three are LEB128 numbers; `shared` counts the bytes of the key before, within the block. Where blocks begin is
//! kept in memory: nobody reads these files after a crash, and nothing is synced. Checksums are seeded with the offset, so
//! that what a disk gives back wrong is noticed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{Env, File, Lsn, OpenMode, fs::Access};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    CorruptionKind, Error, Result, SortedRows,
    codec::{Fields, Malformed, common_prefix, put_varint},
    kv::MAX_VALUE_BYTES,
};

/// Bytes gathered before a write call.
const WRITE_BYTES: usize = 256 << 10;
const CHECKSUM_BYTES: usize = 8;

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}.spill"))
}

/// True for the name of a temporary file of a loader.
pub(super) fn is_name(name: &str) -> bool {
    name.strip_suffix(".spill")
        .is_some_and(|digits| digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A finished run.
#[derive(Debug)]
pub(super) struct Spilled {
    path: PathBuf,
    /// Bytes of each block.
    blocks: Arc<[u32]>,
    bytes: u64,
    /// How often its rows have been merged.
    pub(super) merges: u32,
}

impl Spilled {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads it from its first row on, block by block.
    pub(super) fn cursor(&self, env: &Env) -> Result<SpillCursor> {
        let file = env.fs.open(&self.path, OpenMode::Read)?;
        file.advise(Access::Sequential);
        Ok(SpillCursor {
            file,
            blocks: Arc::clone(&self.blocks),
            block: 0,
            offset: 0,
            bytes: Vec::new(),
            at: 0,
            key: Vec::new(),
            lsn: Lsn::ZERO,
            value: None,
        })
    }
}

/// Writes a run.
pub(super) struct SpillWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    block_bytes: usize,
    /// Finished blocks, and the one being filled from `start` on.
    buffer: Vec<u8>,
    start: usize,
    written: u64,
    blocks: Vec<u32>,
    last_key: Vec<u8>,
}

impl SpillWriter {
    pub(super) fn create(env: &Env, path: &Path, block_bytes: usize) -> Result<SpillWriter> {
        Ok(SpillWriter {
            file: env.fs.open(path, OpenMode::CreateNew)?,
            path: path.to_path_buf(),
            block_bytes,
            buffer: Vec::new(),
            start: 0,
            written: 0,
            blocks: Vec::new(),
            last_key: Vec::new(),
        })
    }

    /// True if the next row begins a block.
    pub(super) fn is_at_block_start(&self) -> bool {
        self.buffer.len() == self.start
    }

    pub(super) fn add(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) -> Result<()> {
        let mut shared = 0;
        if self.is_at_block_start() {
            self.buffer.extend_from_slice(&[0; CHECKSUM_BYTES]);
        } else {
            shared = common_prefix(&self.last_key, key);
        }
        let suffix = key.get(shared..).unwrap_or_default();
        put_varint(&mut self.buffer, shared);
        put_varint(&mut self.buffer, suffix.len());
        put_varint(&mut self.buffer, value.map_or(0, |value| value.len() + 1));
        self.buffer.extend_from_slice(&lsn.0.to_le_bytes());
        self.buffer.extend_from_slice(suffix);
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(suffix);
        if self.buffer.len() - self.start >= self.block_bytes {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let offset = self.written + self.start as u64;
        if let Some((sum, rows)) =
            self.buffer.get_mut(self.start..).and_then(<[u8]>::split_first_chunk_mut::<CHECKSUM_BYTES>)
        {
            *sum = xxh3_64_with_seed(rows, offset).to_le_bytes();
        }
        self.blocks.push(u32::try_from(self.buffer.len() - self.start).unwrap_or(u32::MAX));
        self.start = self.buffer.len();
        if self.buffer.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.start = 0;
        Ok(())
    }

    pub(super) fn finish(mut self, merges: u32) -> Result<Spilled> {
        if !self.is_at_block_start() {
            self.end_block()?;
        }
        self.write_out()?;
        Ok(Spilled { path: self.path, blocks: self.blocks.into(), bytes: self.written, merges })
    }
}

/// Reads a run. Memory: one block and one key.
#[derive(Debug)]
pub(super) struct SpillCursor {
    file: Arc<dyn File>,
    blocks: Arc<[u32]>,
    /// The next block, and where it begins.
    block: usize,
    offset: u64,
    bytes: Vec<u8>,
    /// Where the next row begins in it.
    at: usize,
    key: Vec<u8>,
    lsn: Lsn,
    value: Option<std::ops::Range<usize>>,
}

impl SpillCursor {
    fn corrupt(&self, kind: CorruptionKind) -> Error {
        Error::Corruption { kind, file: self.file.path().to_path_buf(), offset: self.offset }
    }

    fn load(&mut self) -> Result<bool> {
        let Some(bytes) = self.blocks.get(self.block).map(|bytes| *bytes as usize) else { return Ok(false) };
        self.bytes.resize(bytes, 0);
        self.file.read_exact_at(&mut self.bytes, self.offset)?;
        let (sum, rows) = self
            .bytes
            .split_first_chunk::<CHECKSUM_BYTES>()
            .ok_or_else(|| self.corrupt(CorruptionKind::BlockFormat))?;
        if xxh3_64_with_seed(rows, self.offset).to_le_bytes() != *sum {
            return Err(self.corrupt(CorruptionKind::BlockChecksum));
        }
        self.block += 1;
        self.offset += bytes as u64;
        self.at = CHECKSUM_BYTES;
        self.key.clear();
        Ok(true)
    }

    fn row(&mut self) -> std::result::Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).ok_or(Malformed)?;
        let mut fields = Fields::new(rest);
        let (shared, suffix_bytes) = (fields.varint()?, fields.varint()?);
        let value_bytes = fields.varint()?.checked_sub(1);
        self.lsn = Lsn(fields.u64()?);
        let suffix = fields.take(suffix_bytes)?;
        if shared > self.key.len() || value_bytes.is_some_and(|bytes| bytes > MAX_VALUE_BYTES) {
            return Err(Malformed);
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        let value = fields.take(value_bytes.unwrap_or(0))?;
        self.at = self.bytes.len() - fields.rest_bytes();
        self.value = value_bytes.map(|_| self.at - value.len()..self.at);
        Ok(())
    }
}

impl SortedRows for SpillCursor {
    fn advance(&mut self) -> Result<bool> {
        if self.at >= self.bytes.len() && !self.load()? {
            return Ok(false);
        }
        self.row().map_err(|Malformed| self.corrupt(CorruptionKind::BlockFormat))?;
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn lsn(&self) -> Lsn {
        self.lsn
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.clone().and_then(|range| self.bytes.get(range))
    }
}
