//! Reading a whole table back, piece by piece, past every cache and past whatever makes reads succeed in spite of damage.

use std::{path::PathBuf, sync::Arc};

use stemedb_env::{
    File, Fs,
    aligned::{ALIGNMENT_BYTES, AlignedBuffer},
    planted::{Bug, planted},
};

use super::Table;
use crate::{
    CorruptionKind, Error, Result,
    codec::Fields,
    memory::Memory,
    ranges::Fragments,
    table::{
        TableMeta,
        block::Block,
        decode_meta,
        filter::Bloom,
        format::{
            BlockHandle, BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES, Scratch, TableIdentity, check_header,
            open_block, read_block, short_read,
        },
        heal::is_unreadable,
        index::Index,
        meta_sum::MetaSum,
        pack::Room,
    },
};

/// A check of one table under way. It keeps the table's file from being removed, until the next step after its replacement.
#[derive(Debug)]
pub struct TableCheck {
    table: Arc<Table>,
    reading: Option<Reading>,
}

/// What a step of a check did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckedPiece {
    /// Bytes read.
    pub bytes: u64,
    /// Places that verified only when they were read once more.
    pub rereads: u64,
    /// How the check ended, if it did.
    pub end: Option<CheckEnd>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckEnd {
    /// Every byte is what was written.
    Whole {
        /// Rows in the table.
        rows: u64,
    },
    /// The table is not of the tree any more.
    Gone,
}

impl TableCheck {
    pub(crate) fn new(table: Arc<Table>) -> TableCheck {
        TableCheck { table, reading: None }
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The table's file.
    pub fn path(&self) -> PathBuf {
        self.table.path()
    }

    /// Reads about `bytes` further, at least one block; the first step reads everything but the data blocks.
    ///
    /// Errors: [`Error::Corruption`], after the damage has been noted (see [`crate::LsmStore::damaged`]); the system's, after
    /// which the step may be tried again.
    pub fn step(&mut self, bytes: u64) -> Result<CheckedPiece> {
        if self.table.obsolete.load(std::sync::atomic::Ordering::Acquire) {
            return Ok(CheckedPiece { end: Some(CheckEnd::Gone), ..CheckedPiece::default() });
        }
        self.step_of_any(bytes).map_err(|error| self.table.noted(error))
    }

    fn step_of_any(&mut self, bytes: u64) -> Result<CheckedPiece> {
        match &mut self.reading {
            Some(reading) => reading.step(bytes),
            None => {
                let (reading, piece) = Reading::open(&self.table)?;
                self.reading = Some(reading);
                Ok(piece)
            }
        }
    }
}

/// Reads every byte again from disk and compares with what the manifest says. Returns the rows.
pub(super) fn whole(table: &Table) -> Result<u64> {
    let (mut reading, _) = again(|| Reading::open(table)).map_err(|error| table.as_damage(error, 0))?;
    loop {
        let at = reading.offset();
        let piece = again(|| reading.step(WINDOW_BYTES)).map_err(|error| table.as_damage(error, at))?;
        if let Some(CheckEnd::Whole { rows }) = piece.end {
            return Ok(rows);
        }
    }
}

/// Tries once more where the device has refused to read.
fn again<T>(mut read: impl FnMut() -> Result<T>) -> Result<T> {
    match read() {
        Err(error) if is_unreadable(&error) => read(),
        outcome => outcome,
    }
}

/// Of a check that nobody paces.
const WINDOW_BYTES: u64 = 1 << 20;

/// An open table, as it is on disk.
#[derive(Debug)]
struct Reading {
    meta: TableMeta,
    identity: TableIdentity,
    memory: Arc<Memory>,
    file: Arc<dyn File>,
    footer: Footer,
    index: Index,
    key_filter: Option<Bloom>,
    ranges: Fragments,
    sum: MetaSum,
    /// The next data block.
    at: usize,
    window: AlignedBuffer,
    room: Room,
}

/// Reads blocks that are no data.
struct Parts<'a> {
    file: &'a dyn File,
    identity: TableIdentity,
    scratch: Scratch,
    piece: CheckedPiece,
}

impl Parts<'_> {
    fn corrupt(&self, kind: CorruptionKind, offset: u64) -> Error {
        Error::Corruption { kind, file: self.file.path().to_path_buf(), offset }
    }

    /// Fixed bytes at the front or the end; `take` says if they are right.
    fn fixed<const N: usize, T>(&mut self, offset: u64, take: impl Fn(&[u8]) -> Option<T>) -> Result<T> {
        let mut bytes = [0; N];
        for rereads in 0..2 {
            self.file.read_exact_at(&mut bytes, offset).map_err(|error| {
                short_read(error, self.file.path(), CorruptionKind::TableMismatch, offset)
            })?;
            self.piece.bytes += N as u64;
            if let Some(taken) = take(&bytes) {
                self.piece.rereads += rereads;
                return Ok(taken);
            }
        }
        Err(self.corrupt(CorruptionKind::SstHeader, offset))
    }

    fn block<T>(
        &mut self,
        kind: BlockKind,
        handle: BlockHandle,
        take: impl FnOnce(&[u8]) -> std::result::Result<T, crate::codec::Malformed>,
    ) -> Result<T> {
        self.piece.bytes += u64::from(handle.bytes);
        let mut read = read_block(self.file, &self.identity, kind, handle, &mut self.scratch);
        if matches!(read, Err(Error::Corruption { .. })) {
            read = read_block(self.file, &self.identity, kind, handle, &mut self.scratch);
            self.piece.rereads += u64::from(read.is_ok());
        }
        let payload = read?;
        take(self.scratch.payload(payload))
            .map_err(|_| self.corrupt(CorruptionKind::BlockFormat, handle.offset))
    }
}

/// Opens a file past the cache; one that is not there is damage of its table.
fn open_file(fs: &dyn Fs, table: &Table) -> Result<Arc<dyn File>> {
    let path = table.path();
    fs.open_past_cache(&path).map_err(|error| match error.is_not_found() {
        true => Error::Corruption { kind: CorruptionKind::TableMissing, file: path, offset: 0 },
        false => Error::Env(error),
    })
}

impl Reading {
    /// Reads everything but the data blocks.
    fn open(table: &Table) -> Result<(Reading, CheckedPiece)> {
        let meta = table.meta.clone();
        let identity = table.identity();
        let file = open_file(&*table.context.fs, table)?;
        let mut parts =
            Parts { file: &*file, identity, scratch: Scratch::default(), piece: CheckedPiece::default() };
        let len = file.len()?;
        if len != meta.bytes || len < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(parts.corrupt(CorruptionKind::TableMismatch, len.min(meta.bytes)));
        }
        parts.fixed::<HEADER_BYTES, ()>(0, |bytes| {
            check_header(&identity, meta.derivation_version, bytes).then_some(())
        })?;
        let footer_at = len - FOOTER_BYTES as u64;
        let footer =
            parts.fixed::<FOOTER_BYTES, Footer>(footer_at, |bytes| Footer::decode(&identity, bytes, len))?;
        let index =
            parts.block(BlockKind::Index, footer.index, |bytes| Index::decode(bytes, footer.data_end()))?;
        let filter = |bytes: &[u8]| if bytes.is_empty() { Ok(None) } else { Bloom::decode(bytes).map(Some) };
        let key_filter = match planted(Bug::LsmScrubSkipsFilters) {
            true => None,
            false => {
                parts.block(BlockKind::PrefixFilter, footer.prefix_filter, filter)?;
                parts.block(BlockKind::KeyFilter, footer.key_filter, filter)?
            }
        };
        let ranges = match footer.ranges() {
            Some(handle) => parts.block(BlockKind::RangeRemovals, handle, Fragments::decode)?,
            None => Fragments::default(),
        };
        let stored = parts
            .block(BlockKind::Properties, footer.properties, |bytes| decode_meta(&mut Fields::new(bytes)))?;
        if stored != (TableMeta { bytes: 0, ..meta.clone() }) {
            return Err(parts.corrupt(CorruptionKind::TableMismatch, footer.properties.offset));
        }
        let piece = parts.piece;
        let reading = Reading {
            meta,
            identity,
            memory: Arc::clone(&table.context.memory),
            footer,
            index,
            key_filter,
            ranges,
            sum: MetaSum::default(),
            at: 0,
            window: AlignedBuffer::new(),
            room: Room::default(),
            file: Arc::clone(&file),
        };
        Ok((reading, piece))
    }

    fn corrupt(&self, kind: CorruptionKind, offset: u64) -> Error {
        Error::Corruption { kind, file: self.file.path().to_path_buf(), offset }
    }

    /// Where the next data block stands.
    fn offset(&self) -> u64 {
        self.index.handle(self.at).map_or(0, |handle| handle.offset)
    }

    fn step(&mut self, bytes: u64) -> Result<CheckedPiece> {
        let mut piece = CheckedPiece::default();
        let Some(first) = self.index.handle(self.at) else {
            self.sum.add_ranges(&self.ranges);
            if !self.sum.matches(&self.meta) {
                return Err(self.corrupt(CorruptionKind::TableMismatch, 0));
            }
            piece.end = Some(CheckEnd::Whole { rows: self.meta.rows });
            return Ok(piece);
        };
        let mut handles = Vec::new();
        let mut end = first.offset;
        while let Some(handle) = self.index.handle(self.at + handles.len())
            && (handles.is_empty() || handle.offset + u64::from(handle.bytes) - first.offset <= bytes)
        {
            end = handle.offset + u64::from(handle.bytes);
            handles.push(handle);
        }
        let lead = usize::try_from(first.offset % ALIGNMENT_BYTES as u64).unwrap_or(0);
        let window = usize::try_from(end - first.offset).unwrap_or(usize::MAX).saturating_add(lead);
        self.window.resize_stale(window);
        let room = self.window.get_mut(lead..).unwrap_or_default();
        self.file.read_exact_at(room, first.offset).map_err(|error| {
            short_read(error, self.file.path(), CorruptionKind::TableMismatch, first.offset)
        })?;
        piece.bytes = end - first.offset;
        for handle in handles {
            let start = lead + usize::try_from(handle.offset - first.offset).unwrap_or(usize::MAX);
            self.block(handle, start, &mut piece)?;
            self.at += 1;
        }
        Ok(piece)
    }

    /// Checks the data block that stands at `start` of the window.
    fn block(&mut self, handle: BlockHandle, start: usize, piece: &mut CheckedPiece) -> Result<()> {
        let range = start..start.saturating_add(handle.bytes as usize);
        let sealed = self.window.get(range.clone()).unwrap_or_default();
        let mut opened = open_block(&self.identity, BlockKind::Data, sealed, handle.offset, &mut self.room);
        if opened.is_err() {
            let room = self.window.get_mut(range.clone()).unwrap_or_default();
            self.file.read_exact_at(room, handle.offset)?;
            let sealed = self.window.get(range.clone()).unwrap_or_default();
            opened = open_block(&self.identity, BlockKind::Data, sealed, handle.offset, &mut self.room);
            piece.rereads += u64::from(opened.is_ok());
        }
        let sealed = self.window.get(range).unwrap_or_default();
        let block = opened.and_then(|payload| {
            Block::parse(payload.of(sealed, &self.room), Some(self.memory.ledger()))
                .map_err(|_| CorruptionKind::BlockFormat)
        });
        let block = block.map_err(|kind| self.corrupt(kind, handle.offset))?;
        let ordered = self.sum.add_block(&block);
        let (index, last) = (&self.index, self.sum.last_key());
        let separated = !index.block_is_before(self.at, last)
            && (self.at == 0
                || index.block_is_before(self.at - 1, last)
                || index.separator_is(self.at - 1, last));
        if !ordered || !separated {
            return Err(self.corrupt(CorruptionKind::BlockFormat, handle.offset));
        }
        if let Some(filter) = &self.key_filter
            && !self.sum.block_key_hashes().iter().all(|hash| filter.may_contain(*hash))
        {
            return Err(self.corrupt(CorruptionKind::TableMismatch, self.footer.key_filter.offset));
        }
        Ok(())
    }
}
