//! Writes a sidecar, row by row.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{Error, File, Fs, Lsn, OpenMode, Result};
use stemedb_lsm::kv::MAX_KEY_BYTES;
use stemedb_wal::JournalMark;

use super::{
    block::BlockBuilder,
    format::{Footer, HEADER_BYTES, Header, Place, Seal, common_prefix, put_bytes, put_number},
};

/// Written at once.
const WRITE_BYTES: usize = 256 << 10;
/// A block of removals is closed when it has this many bytes.
const REMOVALS_BYTES: usize = 16 << 10;
/// What is kept of a key beyond what tells it from the one before: of 256 spans that end near a key one meets it in vain.
const EXTRA_BYTES: usize = 1;

/// A sidecar on its way into a file, which has a temporary name. Dropped without [`SidecarWriter::finish`] it leaves nothing.
///
/// Memory: a quarter of a MiB, a block, the list of blocks (half a percent of the file), and the removals.
#[derive(Debug)]
pub(super) struct SidecarWriter {
    fs: Arc<dyn Fs>,
    temporary: PathBuf,
    /// Made by the first write.
    file: Option<Arc<dyn File>>,
    seal: Seal,
    /// Bytes that have not been written yet, and where they belong.
    buffer: Vec<u8>,
    written: u64,
    block: BlockBuilder,
    payload: Vec<u8>,
    /// The last key, whose prefix is known when the next one comes, and its LSNs.
    key: Vec<u8>,
    lsns: Vec<Lsn>,
    /// What the last key shares with the one before it.
    shared: usize,
    rows: u64,
    blocks: u32,
    /// What the index will say about the blocks of keys.
    block_list: Vec<u8>,
    /// Payloads of the blocks of removals; in the last one there is still room.
    removals: Vec<(u32, Vec<u8>)>,
    removal_count: u64,
}

impl SidecarWriter {
    pub fn new(fs: &Arc<dyn Fs>, temporary: PathBuf, header: &Header) -> SidecarWriter {
        let header = header.encode();
        SidecarWriter {
            fs: Arc::clone(fs),
            temporary,
            file: None,
            seal: Seal::of(&header),
            buffer: header.to_vec(),
            written: 0,
            block: BlockBuilder::default(),
            payload: Vec::new(),
            key: Vec::new(),
            lsns: Vec::new(),
            shared: 0,
            rows: 0,
            blocks: 0,
            block_list: Vec::new(),
            removals: Vec::new(),
            removal_count: 0,
        }
    }

    /// The next row. Keys ascend; of one key newer LSNs come first.
    #[inline]
    pub fn row(&mut self, key: &[u8], lsn: Lsn) -> Result<()> {
        if self.lsns.is_empty() {
            self.key.extend_from_slice(key);
            self.lsns.push(lsn);
            return Ok(());
        }
        let shared = common_prefix(&self.key, key);
        if shared == key.len() && shared == self.key.len() {
            self.lsns.push(lsn);
            return Ok(());
        }
        self.settle_key(shared)?;
        self.shared = shared;
        self.key.clear();
        self.key.extend_from_slice(key);
        self.lsns.push(lsn);
        Ok(())
    }

    /// Puts the last key into the block; the next one shares `next` bytes with it.
    fn settle_key(&mut self, next: usize) -> Result<()> {
        if self.key.len() > MAX_KEY_BYTES {
            let too_long = std::io::Error::from(std::io::ErrorKind::InvalidInput);
            return Err(Error::io(stemedb_env::IoOp::Write, &self.temporary, too_long));
        }
        if self.block.is_full() {
            self.end_block()?;
        }
        let kept = (self.shared + EXTRA_BYTES).max(next) + 1;
        let kept = kept.min(self.key.len());
        let mut shared = self.shared;
        for at in 0..self.lsns.len() {
            if self.block.has_most_rows() {
                self.end_block()?;
            }
            if let (Some(prefix), Some(&lsn)) = (self.key.get(..kept), self.lsns.get(at)) {
                self.block.add(prefix, shared, lsn);
            }
            shared = kept;
        }
        self.rows += self.lsns.len() as u64;
        self.lsns.clear();
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let (first, rows) = self.block.finish(&mut self.payload);
        put_number(&mut self.block_list, self.payload.len() as u64);
        put_number(&mut self.block_list, rows);
        put_bytes(&mut self.block_list, first);
        self.blocks += 1;
        let payload = std::mem::take(&mut self.payload);
        self.put_block(&payload);
        self.payload = payload;
        if self.buffer.len() >= WRITE_BYTES { self.write_buffer() } else { Ok(()) }
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put_block(&mut self, payload: &[u8]) -> Place {
        let offset = self.end();
        self.buffer.extend_from_slice(payload);
        self.buffer.extend_from_slice(&self.seal.checksum(offset, payload));
        Place { offset, bytes: payload.len() as u32 }
    }

    fn write_buffer(&mut self) -> Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.fs.open(&self.temporary, OpenMode::CreateNew)?),
        };
        file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// A removed range.
    pub fn range(&mut self, start: &[u8], end: &[u8], lsn: Lsn) {
        if self.removals.last().is_none_or(|(_, block)| block.len() >= REMOVALS_BYTES) {
            self.removals.push((0, vec![0; 4]));
        }
        if let Some((count, block)) = self.removals.last_mut() {
            put_bytes(block, start);
            put_bytes(block, end);
            put_number(block, lsn.0);
            *count += 1;
        }
        self.removal_count += 1;
    }

    /// Writes the rest, makes the file durable and gives it its name. Cost: one sync. Its name is not made durable: a crash may
    /// lose it.
    pub fn finish(mut self, lsns: &RangeInclusive<Lsn>, marks: &[JournalMark], path: &Path) -> Result<()> {
        if !self.lsns.is_empty() {
            self.settle_key(0)?;
        }
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let removals = std::mem::take(&mut self.removals);
        let mut index = Vec::with_capacity(self.block_list.len() + 8 + removals.len() * 3);
        index.extend_from_slice(&self.blocks.to_le_bytes());
        index.extend_from_slice(&u32::try_from(removals.len()).unwrap_or(u32::MAX).to_le_bytes());
        index.extend_from_slice(&self.block_list);
        for (count, mut payload) in removals {
            if let Some(field) = payload.get_mut(..4) {
                field.copy_from_slice(&count.to_le_bytes());
            }
            put_number(&mut index, payload.len() as u64);
            self.put_block(&payload);
            if self.buffer.len() >= WRITE_BYTES {
                self.write_buffer()?;
            }
        }
        let mut list = Vec::with_capacity(4 + marks.len() * 40);
        list.extend_from_slice(&u32::try_from(marks.len()).unwrap_or(u32::MAX).to_le_bytes());
        for mark in marks {
            list.extend_from_slice(&mark.next_lsn.0.to_le_bytes());
            list.extend_from_slice(&mark.segment.to_le_bytes());
            list.extend_from_slice(&mark.offset.to_le_bytes());
            list.extend_from_slice(&mark.chain.0);
        }
        let marks = self.put_block(&list);
        let index = self.put_block(&index);
        let footer = Footer {
            lsns: lsns.clone(),
            rows: self.rows,
            removals: self.removal_count,
            marks,
            index,
            file_bytes: self.end() + super::format::FOOTER_BYTES as u64,
        };
        self.buffer.extend_from_slice(&footer.encode(&self.seal));
        self.write_buffer()?;
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        self.fs.rename(&self.temporary, path)?;
        self.file = None;
        Ok(())
    }
}

impl Drop for SidecarWriter {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = self.fs.remove(&self.temporary)
        {
            tracing::debug!(%error, "a temporary file stays until the next open");
        }
    }
}

const _: () = assert!(HEADER_BYTES < WRITE_BYTES);
