//! Private parts, for the fuzz targets and the tests of the formats. Not a part of the interface.
//!
//! Thin: what is a defect is decided by whoever calls this.

use std::{path::Path, sync::Arc};

use stemedb_env::{Env, Lsn, frame::DatabaseId};

use crate::{
    Compression, Direction, KeyRange, PrefixExtractor, RangeRemoval, Result, Row,
    codec::Fields,
    manifest::{Edit, Record, replay},
    memory::Memory,
    ranges::Fragments,
    stats::Counters,
    store::{DamageList, DenseTables, Graveyard},
    table::{
        Bounds, Found, Healer, Run, RunCursor, Table, TableBuilder, TableContext, TableMeta, TableShape,
        block::{Block, BlockBuilder, FoundBlock, Lookup, UnfoldRoom, unfold},
        decode_meta, encode_meta,
        filter::{Bloom, filter_hash},
        index::{Index, IndexBuilder},
    },
};

/// What a lookup in a block gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is not there.
    Absent,
    /// It is this row.
    Row(usize),
    /// Its older versions may be in the next block.
    Older,
}

/// A data block.
#[derive(Debug)]
pub struct ParsedBlock(Block);

impl ParsedBlock {
    /// `None` if the bytes are no block.
    pub fn parse(bytes: &[u8]) -> Option<ParsedBlock> {
        Block::parse(bytes, None).ok().map(ParsedBlock)
    }

    /// Unfolds bytes that may be a folded block; `None` if they are none.
    pub fn unfold(bytes: &[u8], with_index: bool) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        unfold(bytes, with_index, &mut UnfoldRoom::default(), &mut plain).ok().map(|()| plain)
    }

    /// Encodes rows in table order, folded.
    pub fn encode_folded(rows: &[Row]) -> Vec<u8> {
        let mut out = Vec::new();
        ParsedBlock::builder(rows).encode_folded(&mut out);
        out
    }

    /// Encodes rows in table order.
    pub fn encode(rows: &[Row]) -> Vec<u8> {
        let mut out = Vec::new();
        ParsedBlock::builder(rows).finish(&mut out);
        out
    }

    fn builder(rows: &[Row]) -> BlockBuilder {
        let mut builder = BlockBuilder::default();
        let mut last: Option<&[u8]> = None;
        for Row { key, lsn, value } in rows {
            builder.add(key, filter_hash(key), last != Some(key), *lsn, value.as_deref());
            last = Some(key);
        }
        builder
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.0.rows()
    }

    /// Row `at`, by every accessor; a panic if two of them disagree.
    pub fn row(&self, at: usize) -> Row {
        let key = [self.0.prefix(), self.0.suffix(at)].concat();
        let value = self.0.value(at).map(<[u8]>::to_vec);
        if at < self.rows() {
            let place = self.0.place(at, (at > 0).then(|| self.0.place(at - 1, None)));
            assert_eq!(place, self.0.place(at, None));
            assert_eq!(self.0.bytes(place.key, place.key_end), self.0.suffix(at));
            assert_eq!(
                (!place.removed).then(|| self.0.bytes(place.value, place.value_end)),
                value.as_deref()
            );
            let pinned = FoundBlock::Read(self.0.clone()).pinned(at);
            assert_eq!(pinned.as_deref(), value.as_deref());
        }
        Row { key, lsn: self.0.lsn(at), value }
    }

    /// Rows before `(key, lsn)`.
    pub fn lower_bound(&self, key: &[u8], lsn: Lsn) -> usize {
        self.0.lower_bound(key, lsn)
    }

    /// The newest version of `key` at or below `lsn`.
    pub fn find(&self, key: &[u8], lsn: Lsn) -> Finding {
        match FoundBlock::Read(self.0.clone()).find(key, filter_hash(key), lsn) {
            Lookup::Absent => Finding::Absent,
            Lookup::Row(row) => Finding::Row(row),
            Lookup::Older => Finding::Older,
        }
    }
}

/// An index.
#[derive(Debug)]
pub struct ParsedIndex(Index);

impl ParsedIndex {
    /// `None` if the bytes are no index of data blocks that end at `data_end`.
    pub fn decode(bytes: &[u8], data_end: u64) -> Option<ParsedIndex> {
        Index::decode(bytes, data_end).ok().map(ParsedIndex)
    }

    /// Encodes separators with the lengths of their blocks.
    pub fn encode(blocks: &[(Vec<u8>, u32)]) -> Vec<u8> {
        let mut builder = IndexBuilder::default();
        blocks.iter().for_each(|(separator, bytes)| builder.add(separator, *bytes));
        builder.encode()
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.0.blocks()
    }

    /// The first block that may hold `key`.
    pub fn seek(&self, key: &[u8]) -> usize {
        self.0.seek(key)
    }

    /// True if all keys of block `at` are less than `key`, and true if its separator is `key`.
    pub fn compare(&self, at: usize, key: &[u8]) -> (bool, bool) {
        (self.0.block_is_before(at, key), self.0.separator_is(at, key))
    }

    /// Offset and length of block `at`.
    pub fn handle(&self, at: usize) -> Option<(u64, u32)> {
        self.0.handle(at).map(|handle| (handle.offset, handle.bytes))
    }
}

/// A filter.
#[derive(Debug)]
pub struct ParsedFilter(Bloom);

impl ParsedFilter {
    /// `None` if the bytes are no filter.
    pub fn decode(bytes: &[u8]) -> Option<ParsedFilter> {
        Bloom::decode(bytes).ok().map(ParsedFilter)
    }

    /// A filter over these keys.
    pub fn encode_keys(keys: &[Vec<u8>], bits_per_key: u32) -> Vec<u8> {
        let hashes: Vec<u64> = keys.iter().map(|key| filter_hash(key)).collect();
        Bloom::build(&hashes, bits_per_key).encode()
    }

    /// False means certainly absent.
    pub fn may_contain(&self, hash: u64) -> bool {
        self.0.may_contain(hash)
    }

    /// The payload again.
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }
}

/// What a manifest said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Every batch up to here is in tables.
    pub flushed: Lsn,
    /// No greater file number has been used.
    pub next_file: u64,
    /// Live tables: level and number.
    pub tables: Vec<(u32, u64)>,
    /// Something behind the last accepted frame was left by a crash.
    pub torn: bool,
}

/// Reads manifest `number` of a folder.
///
/// # Errors
/// As opening a tree.
pub fn replay_manifest(env: &Env, dir: &Path, database: DatabaseId, number: u64) -> Result<Replayed> {
    let replayed = replay(env, dir, database, number)?;
    let state = replayed.state;
    Ok(Replayed {
        flushed: state.flushed,
        next_file: state.next_file,
        tables: state.tables.iter().map(|(file, (level, _))| (*level, *file)).collect(),
        torn: replayed.torn,
    })
}

/// Decodes an edit and encodes it again; `None` if the bytes are none.
pub fn edit_again(bytes: &[u8]) -> Option<Vec<u8>> {
    Edit::decode(bytes).ok().map(|edit| edit.encode())
}

/// True if the bytes are the record of a change.
pub fn is_record(bytes: &[u8]) -> bool {
    Record::decode(bytes).is_ok()
}

/// Decodes the properties of a table and encodes them again; `None` if the bytes are none.
pub fn properties_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields::new(bytes);
    let meta = decode_meta(&mut fields).ok()?;
    let mut out = Vec::new();
    encode_meta(&meta, &mut out);
    fields.is_empty().then_some(out)
}

/// How a table is built.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Target size of a block.
    pub block_bytes: usize,
    /// Bits per key of the filters.
    pub bits_per_key: u32,
    /// Compresses blocks.
    pub compression: Compression,
    /// Declared prefixes.
    pub prefix_extractor: Option<PrefixExtractor>,
    /// Recorded in the table.
    pub derivation_version: u32,
    /// Recorded in the table.
    pub horizon: Lsn,
    /// Recorded in the table.
    pub drops_tombstones: bool,
}

/// A table by itself.
#[derive(Debug)]
pub struct AloneTable {
    table: Arc<Table>,
}

impl AloneTable {
    /// Writes rows, which must be in table order, into table `file` of a folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        file: u64,
        shape: Shape,
        rows: &[Row],
    ) -> Result<AloneTable> {
        AloneTable::write_with_ranges(env, dir, database, file, shape, rows, &[])
    }

    /// The same with removed ranges, in any order.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_with_ranges(
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        file: u64,
        shape: Shape,
        rows: &[Row],
        ranges: &[RangeRemoval],
    ) -> Result<AloneTable> {
        let shaped = TableShape {
            block_bytes: shape.block_bytes,
            bits_per_key: shape.bits_per_key,
            compression: shape.compression,
            prefix_extractor: shape.prefix_extractor,
            derivation_version: shape.derivation_version,
            horizon: shape.horizon,
            drops_tombstones: shape.drops_tombstones,
        };
        let mut builder = TableBuilder::create(env, dir, database, file, shaped, &Memory::unlimited(0))?;
        for Row { key, lsn, value } in rows {
            builder.add(key, *lsn, value.as_deref())?;
        }
        let one = |RangeRemoval { start, end, lsn }: &RangeRemoval| Fragments::one(start, end, *lsn);
        builder.set_ranges(Fragments::merged(ranges.iter().map(one)));
        Ok(AloneTable::of(env, dir, database, shape.prefix_extractor, builder.finish()?))
    }

    /// The same table on another machine, with nothing resident.
    #[must_use]
    pub fn elsewhere(
        &self,
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        extractor: Option<PrefixExtractor>,
    ) -> AloneTable {
        AloneTable::of(env, dir, database, extractor, self.table.meta.clone())
    }

    fn of(
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        prefix_extractor: Option<PrefixExtractor>,
        meta: TableMeta,
    ) -> AloneTable {
        let context = TableContext {
            fs: Arc::clone(&env.fs),
            dir: dir.to_path_buf(),
            database,
            memory: Memory::unlimited(1 << 16),
            counters: Counters::default(),
            damage: DamageList::default(),
            graveyard: Graveyard::default(),
            dense: DenseTables::default(),
            healer: Healer::default(),
            prefix_extractor,
        };
        AloneTable { table: Arc::new(Table::new(meta, Arc::new(context))) }
    }

    /// The newest version of a key at or below an LSN: `None` without one, `Some(None)` for a removal.
    ///
    /// # Errors
    /// Damage, and those of the file system.
    pub fn get(&self, key: &[u8], lsn: Lsn) -> Result<Option<Option<Vec<u8>>>> {
        Ok(match self.table.get(key, lsn, filter_hash(key))? {
            Found::Nothing => None,
            Found::Removed => Some(None),
            Found::Value(value) => Some(Some(value.to_vec())),
        })
    }

    /// Every version of every key in a range, in table order or against it.
    ///
    /// # Errors
    /// Damage, and those of the file system.
    pub fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        extractor: Option<PrefixExtractor>,
    ) -> Result<Vec<Row>> {
        let bounds = Arc::new(Bounds::of(range, extractor));
        let mut cursor = RunCursor::new(Run::new([Arc::clone(&self.table)]), bounds, direction, true);
        let mut rows = Vec::new();
        while cursor.advance()? {
            assert_eq!(cursor.pinned().as_deref(), cursor.value());
            rows.push(Row {
                key: cursor.key().to_vec(),
                lsn: cursor.lsn(),
                value: cursor.value().map(<[u8]>::to_vec),
            });
        }
        Ok(rows)
    }

    /// Checks every byte; returns the rows.
    ///
    /// # Errors
    /// Damage, and those of the file system.
    pub fn verify(&self) -> Result<u64> {
        self.table.verify()
    }
}
