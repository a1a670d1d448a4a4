//! Writing a table, row by row, with bounded memory and few bytes at a time that wait for the disk.

use std::{cmp::Ordering, path::Path, sync::Arc};

use stemedb_env::{Env, File, Lsn, OpenMode, frame::DatabaseId};

use super::{
    block::{Block, BlockBuilder},
    encode_meta,
    filter::{Bloom, filter_hash},
    format::{
        BlockCopy, BlockHandle, BlockKind, Footer, HEADER_BYTES, Packing, TRAILER_BYTES, TableIdentity,
        encode_header, seal_block,
    },
    index::{IndexBuilder, shortest_separator},
    meta::TableMeta,
    meta_sum::add_ranges,
    pack::Packer,
    table_path,
};
use crate::{
    Compression, Error, LsmOptions, PrefixExtractor, Result,
    kv::RowDigester,
    memory::{Charge, Kind, Memory},
    ranges::Fragments,
};

/// Bytes gathered before a write call.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes after which the system is asked to begin writing them to the disk: whoever syncs another file of the same disk
/// waits for at most twice this much of ours.
const WRITEBACK_STEP_BYTES: u64 = 1 << 20;

/// A record of a change may always have so many bytes: some hundred tables' worth. Beyond that it may be such a part of its table.
const RECORD_BYTES: u64 = 64 << 10;
const RECORD_PART: u64 = 8;

/// How the tables of one flush or compaction are built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableShape {
    pub(crate) block_bytes: usize,
    pub(crate) bits_per_key: u32,
    pub(crate) compression: Compression,
    pub(crate) prefix_extractor: Option<PrefixExtractor>,
    pub(crate) derivation_version: u32,
    /// See [`TableMeta::horizon`].
    pub(crate) horizon: Lsn,
    /// See [`TableMeta::drops_tombstones`].
    pub(crate) drops_tombstones: bool,
}

impl TableShape {
    /// The shape for tables of the last level (`last`) or one above.
    pub(crate) fn new(options: &LsmOptions, last: bool, horizon: Lsn, drops_tombstones: bool) -> TableShape {
        TableShape {
            block_bytes: if last { options.block_bytes * 2 } else { options.block_bytes },
            bits_per_key: if last { options.bloom_bits_per_key.min(10) } else { options.bloom_bits_per_key },
            compression: if last { options.compression } else { Compression::None },
            prefix_extractor: options.prefix_extractor,
            derivation_version: options.derivation_version,
            horizon,
            drops_tombstones,
        }
    }
}

/// A table being written.
pub(crate) struct TableBuilder {
    file: Arc<dyn File>,
    identity: TableIdentity,
    shape: TableShape,
    buffer: Vec<u8>,
    /// Bytes handed to the file.
    written: u64,
    /// Bytes whose writing to the disk has been asked for.
    sent: u64,
    block: BlockBuilder,
    payload: Vec<u8>,
    packer: Packer,
    index: IndexBuilder,
    /// Length of the finished block whose separator waits for the next key, and its last key.
    pending: Option<u32>,
    last_key: Vec<u8>,
    last_hash: u64,
    last_lsn: Lsn,
    prefix_bytes: usize,
    key_hashes: Vec<u64>,
    prefix_hashes: Vec<u64>,
    digester: RowDigester,
    ranges: Fragments,
    meta: TableMeta,
    charge: Charge,
}

impl TableBuilder {
    /// Creates the file. Its directory entry is not durable before the caller syncs the directory.
    pub(crate) fn create(
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        file: u64,
        shape: TableShape,
        memory: &Arc<Memory>,
    ) -> Result<TableBuilder> {
        let identity = TableIdentity { database, file };
        let handle = env.fs.open(&table_path(dir, file), OpenMode::CreateNew)?;
        Ok(TableBuilder {
            file: handle,
            identity,
            shape,
            buffer: encode_header(&identity, shape.derivation_version),
            written: 0,
            sent: 0,
            block: BlockBuilder::default(),
            payload: Vec::new(),
            packer: Packer::new(shape.compression),
            index: IndexBuilder::default(),
            pending: None,
            last_key: Vec::new(),
            last_hash: 0,
            last_lsn: Lsn::ZERO,
            prefix_bytes: 0,
            key_hashes: Vec::new(),
            prefix_hashes: Vec::new(),
            digester: RowDigester::default(),
            ranges: Fragments::default(),
            meta: TableMeta {
                file,
                min_lsn: Lsn::MAX,
                derivation_version: shape.derivation_version,
                horizon: shape.horizon,
                drops_tombstones: shape.drops_tombstones,
                ..TableMeta::default()
            },
            charge: Charge::new(memory, Kind::Buffers, 0),
        })
    }

    /// Charges what it holds, and `more` that it is about to ask for.
    fn note_memory(&mut self, more: usize) {
        let hashes = (self.key_hashes.capacity() + self.prefix_hashes.capacity()) * size_of::<u64>();
        let bytes = self.buffer.capacity() + self.block.held_bytes() + self.payload.capacity();
        self.charge.set(bytes + hashes + self.packer.held_bytes() + self.index.held_bytes() + more);
    }

    /// Bytes of the file so far, about.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.written + (self.buffer.len() + self.block.estimated_bytes()) as u64
    }

    /// The key of the row added last; empty before the first.
    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// The removed ranges of the table, once.
    pub(crate) fn set_ranges(&mut self, ranges: Fragments) {
        debug_assert!(self.ranges.is_empty());
        self.ranges = ranges;
    }

    /// True if a row may come next.
    pub(crate) fn takes(&self, key: &[u8], lsn: Lsn) -> bool {
        match self.last_key.as_slice().cmp(key) {
            _ if self.meta.rows == 0 => true,
            Ordering::Less => true,
            Ordering::Equal => self.last_lsn > lsn,
            Ordering::Greater => false,
        }
    }

    /// Adds the next row; rows must come in table order.
    pub(crate) fn add(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) -> Result<()> {
        let new_key = self.note_row(key, lsn, value);
        self.block.add(key, self.last_hash, new_key, lsn, value);
        if self.block.estimated_bytes() >= self.shape.block_bytes {
            self.finish_block()?;
        }
        Ok(())
    }

    /// Adds a block of another table as it is: its rows are read, and not encoded and compressed again. They must come in
    /// table order; see [`TableBuilder::takes`] for the first one. Rows that were added before end their block here.
    pub(crate) fn add_block(&mut self, block: &Block, copy: &BlockCopy) -> Result<()> {
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        let mut key = block.prefix().to_vec();
        for row in 0..block.rows() {
            key.truncate(block.prefix().len());
            key.extend_from_slice(block.suffix(row));
            self.note_row(&key, block.lsn(row), block.value(row));
        }
        self.seal(copy.packing, &copy.content)
    }

    /// Takes note of a row for index, filters, counts and digest; true if its key is a new one.
    fn note_row(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) -> bool {
        let first = self.meta.rows == 0;
        let new_key = first || self.last_key != key;
        debug_assert!(first || (self.last_key.as_slice() < key) || (!new_key && self.last_lsn > lsn));
        if let Some(block_bytes) = self.pending.take() {
            let separator = if new_key { shortest_separator(&self.last_key, key) } else { key };
            self.index.add(separator, block_bytes);
        }
        if new_key {
            self.last_hash = filter_hash(key);
            self.key_hashes.push(self.last_hash);
            if let Some(extract) = self.shape.prefix_extractor {
                let n = extract(key).min(key.len());
                let prefix = key.get(..n).unwrap_or_default();
                let same = self.prefix_bytes == n && self.last_key.get(..n) == Some(prefix);
                // A key that is its own prefix is in the key filter, under the same hash.
                if n > 0 && n < key.len() && (first || !same) {
                    self.prefix_hashes.push(filter_hash(prefix));
                }
                self.prefix_bytes = n;
            }
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
            self.meta.keys += 1;
            if first {
                self.meta.smallest = key.to_vec();
            }
        }
        self.last_lsn = lsn;
        self.meta.rows += 1;
        self.meta.tombstones += u64::from(value.is_none());
        self.meta.data_bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        self.meta.min_lsn = self.meta.min_lsn.min(lsn);
        self.meta.max_lsn = self.meta.max_lsn.max(lsn);
        self.meta.digest = self.meta.digest.wrapping_add(self.digester.digest(key, lsn, value));
        new_key
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn finish_block(&mut self) -> Result<()> {
        self.payload.clear();
        // Folding is worth its time where compression is, and makes it worth more.
        let folded = self.shape.compression != Compression::None && self.block.folds_well();
        if folded {
            self.block.encode_folded(&mut self.payload);
            self.block.clear();
        } else {
            self.block.finish(&mut self.payload);
        }
        let offset = self.position();
        let start = self.buffer.len();
        let (codec, content) = match self.packer.pack(&self.payload) {
            Some((codec, packed)) => (Some(codec), packed),
            None => (None, self.payload.as_slice()),
        };
        let packing = Packing { codec, folded };
        seal_block(&self.identity, BlockKind::Data, packing, content, offset, &mut self.buffer);
        self.sealed(start)
    }

    fn seal(&mut self, packing: Packing, content: &[u8]) -> Result<()> {
        let (offset, start) = (self.position(), self.buffer.len());
        seal_block(&self.identity, BlockKind::Data, packing, content, offset, &mut self.buffer);
        self.sealed(start)
    }

    /// A data block stands in the buffer from `start` on.
    fn sealed(&mut self, start: usize) -> Result<()> {
        self.pending = Some(u32::try_from(self.buffer.len() - start).unwrap_or(u32::MAX));
        if self.buffer.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        self.note_memory(0);
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // One step behind: pages that are still being filled are not sent twice.
        while self.written - self.sent >= 2 * WRITEBACK_STEP_BYTES {
            self.file.start_writeback(self.sent, WRITEBACK_STEP_BYTES);
            self.sent += WRITEBACK_STEP_BYTES;
        }
        Ok(())
    }

    fn append_block(&mut self, kind: BlockKind, payload: &[u8]) -> BlockHandle {
        let offset = self.position();
        let start = self.buffer.len();
        seal_block(&self.identity, kind, Packing::PLAIN, payload, offset, &mut self.buffer);
        BlockHandle { offset, bytes: u32::try_from(self.buffer.len() - start).unwrap_or(u32::MAX) }
    }

    /// The properties with a record behind them, which is worth compressing: it describes many tables. Without it if it would be large
    /// beside the table.
    fn append_recorded(&mut self, mut properties: Vec<u8>, record: &[u8]) -> BlockHandle {
        let bare = properties.len();
        properties.extend_from_slice(record);
        self.note_memory(3 * properties.len());
        let mut packer = Packer::new(Compression::Lz4);
        let (codec, content) = match packer.pack(&properties) {
            Some((codec, packed)) => (Some(codec), packed),
            None => (None, properties.as_slice()),
        };
        let most = RECORD_BYTES.max(self.position() / RECORD_PART);
        if content.len() as u64 > most {
            properties.truncate(bare);
            return self.append_block(BlockKind::Properties, &properties);
        }
        let (offset, start) = (self.position(), self.buffer.len());
        let packing = Packing { codec, folded: false };
        seal_block(&self.identity, BlockKind::Properties, packing, content, offset, &mut self.buffer);
        BlockHandle { offset, bytes: u32::try_from(self.buffer.len() - start).unwrap_or(u32::MAX) }
    }

    fn append_filter(&mut self, kind: BlockKind, hashes: Vec<u64>, bits: u32) -> Result<BlockHandle> {
        self.write_out()?;
        // The hashes, and the filter: as words, as bytes, and sealed.
        let filter = hashes.len() * bits as usize / 8 + 64;
        self.note_memory(hashes.capacity() * size_of::<u64>() + 3 * filter);
        let filter = Bloom::build(&hashes, bits);
        drop(hashes);
        let payload = filter.encode();
        drop(filter);
        Ok(self.append_block(kind, &payload))
    }

    /// Writes what is left and makes the file's content durable. There must be a row or a removed range.
    pub(crate) fn finish(self) -> Result<TableMeta> {
        self.finish_with(None)
    }

    /// The same for a table that carries the record of its change; `record` makes it, when nothing else is left to do.
    pub(crate) fn finish_closing(self, record: &dyn Fn() -> Vec<u8>) -> Result<TableMeta> {
        self.finish_with(Some(record))
    }

    fn finish_with(mut self, record: Option<&dyn Fn() -> Vec<u8>>) -> Result<TableMeta> {
        debug_assert!(self.meta.rows > 0 || !self.ranges.is_empty());
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        if let Some(block_bytes) = self.pending.take() {
            self.index.add(&self.last_key, block_bytes);
        }
        let mut ranges_bytes = 0;
        if !self.ranges.is_empty() {
            add_ranges(&mut self.meta, &mut self.last_key, &self.ranges, &mut self.digester);
            let payload = self.ranges.encode();
            let limit_bytes = u32::MAX as usize - TRAILER_BYTES;
            if payload.len() > limit_bytes {
                return Err(Error::TooLarge { what: "removed ranges", bytes: payload.len(), limit_bytes });
            }
            ranges_bytes = self.append_block(BlockKind::RangeRemovals, &payload).bytes;
        }
        self.meta.largest = std::mem::take(&mut self.last_key);
        let bits = self.shape.bits_per_key;
        // One after the other: together they would take as much again as the hashes.
        let hashes = std::mem::take(&mut self.key_hashes);
        let key_filter = self.append_filter(BlockKind::KeyFilter, hashes, bits)?;
        let hashes = std::mem::take(&mut self.prefix_hashes);
        let prefix_filter = match self.shape.prefix_extractor {
            Some(_) => self.append_filter(BlockKind::PrefixFilter, hashes, bits)?,
            None => self.append_block(BlockKind::PrefixFilter, &[]),
        };
        self.note_memory(2 * self.index.held_bytes());
        let index = std::mem::take(&mut self.index).encode();
        let index = self.append_block(BlockKind::Index, &index);
        let mut properties = Vec::new();
        encode_meta(&self.meta, &mut properties);
        let properties = match record {
            None => self.append_block(BlockKind::Properties, &properties),
            Some(record) => self.append_recorded(properties, &record()),
        };
        let mut footer = Footer { key_filter, prefix_filter, index, properties, ranges_bytes, file_bytes: 0 };
        footer.file_bytes = self.position() + super::format::FOOTER_BYTES as u64;
        self.buffer.extend_from_slice(&footer.encode(&self.identity));
        self.write_out()?;
        self.file.sync_data()?;
        debug_assert!(self.written > HEADER_BYTES as u64);
        self.meta.bytes = self.written;
        Ok(self.meta)
    }
}
