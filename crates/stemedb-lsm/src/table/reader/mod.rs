//! An open table.

mod check;
mod many;
mod verify;

pub use check::{CheckEnd, CheckedPiece, TableCheck};

use std::{
    cell::RefCell,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_env::{
    File, Fs, Lsn, OpenMode,
    frame::DatabaseId,
    fs::Access,
    planted::{Bug, planted},
};

use super::{
    block::{Block, FoundBlock, Lookup},
    filter::Bloom,
    format::{
        BlockHandle, BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES, Scratch, TableIdentity, check_header,
        open_block, read_block, short_read,
    },
    index::Index,
    meta::TableMeta,
    read_ahead::ReadAhead,
    table_path,
};
use crate::{
    CorruptionKind, Error, PrefixExtractor, Result, Value,
    cache::Slots,
    codec::Malformed,
    memory::{Charge, Kind, Memory},
    ranges::Fragments,
    stats::Counters,
    store::{DEAD_ROWS_WORTH_NOTING, DamageList, DenseTables, Graveyard},
};

thread_local! {
    /// Every reading thread has one room.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What the tables of one tree share.
#[derive(Debug)]
pub(crate) struct TableContext {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) database: DatabaseId,
    pub(crate) memory: Arc<Memory>,
    pub(crate) counters: Counters,
    pub(crate) damage: DamageList,
    pub(crate) graveyard: Graveyard,
    pub(crate) dense: DenseTables,
    pub(crate) prefix_extractor: Option<PrefixExtractor>,
}

impl TableContext {
    /// A scan has stepped over `rows` dead rows of a table without finding a live one. True if compaction should be woken:
    /// the table was not known as such a one.
    pub(crate) fn note_dead_rows(&self, file: u64, rows: u64) -> bool {
        rows > DEAD_ROWS_WORTH_NOTING && self.dense.note(file)
    }
}

/// What a lookup in one source found.
#[derive(Debug)]
pub(crate) enum Found {
    /// No version at or below the wanted LSN: look in older sources.
    Nothing,
    /// The newest version is a removal.
    Removed,
    /// The newest version.
    Value(Value),
}

/// A table of some version of the tree. Its file is opened at the first use; it is deleted after the last holder of a
/// table marked obsolete is gone.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) meta: TableMeta,
    context: Arc<TableContext>,
    loaded: OnceLock<Loaded>,
    loading: Mutex<()>,
    obsolete: AtomicBool,
    /// For what is known of it without reading it.
    _charge: Charge,
}

#[derive(Debug)]
struct Loaded {
    file: Arc<dyn File>,
    index: Index,
    /// `None` when unreadable: then every key may be there.
    key_filter: Option<Bloom>,
    prefix_filter: Option<Bloom>,
    /// Empty in most tables; never guessed at: without them the table cannot be read.
    ranges: Fragments,
    footer: Footer,
    slots: Arc<Slots>,
    _charge: Charge,
}

impl Table {
    pub(crate) fn new(meta: TableMeta, context: Arc<TableContext>) -> Table {
        // The manifest has the same keys once more.
        let keys = 2 * (meta.smallest.len() + meta.largest.len());
        let held = keys + size_of::<Table>() + size_of::<TableMeta>();
        Table {
            _charge: Charge::new(&context.memory, Kind::Tables, held),
            meta,
            context,
            loaded: OnceLock::new(),
            loading: Mutex::new(()),
            obsolete: AtomicBool::new(false),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        table_path(&self.context.dir, self.meta.file)
    }

    /// The file is removed once nobody reads it any more.
    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    fn identity(&self) -> TableIdentity {
        TableIdentity { database: self.context.database, file: self.meta.file }
    }

    fn corrupt(&self, kind: CorruptionKind, offset: u64) -> Error {
        self.context.damage.note(self.meta.file, kind, offset);
        Error::Corruption { kind, file: self.path(), offset }
    }

    /// Notes the damage that an error of one of this table's blocks reports.
    fn noted(&self, error: Error) -> Error {
        if let Error::Corruption { kind, offset, .. } = &error {
            self.context.damage.note(self.meta.file, *kind, *offset);
        }
        error
    }

    fn loaded(&self) -> Result<&Loaded> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let _one_at_a_time = self.loading.lock();
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = self.load().map_err(|error| self.noted(error))?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    fn load(&self) -> Result<Loaded> {
        let path = self.path();
        let identity = self.identity();
        let file = self.context.fs.open(&path, OpenMode::Read).map_err(|error| {
            if error.is_not_found() {
                self.corrupt(CorruptionKind::TableMissing, 0)
            } else {
                Error::Env(error)
            }
        })?;
        let len = file.len()?;
        if len != self.meta.bytes || len < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(self.corrupt(CorruptionKind::TableMismatch, len.min(self.meta.bytes)));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)
            .map_err(|error| short_read(error, &path, CorruptionKind::TableMismatch, 0))?;
        if !check_header(&identity, self.meta.derivation_version, &header) {
            return Err(self.corrupt(CorruptionKind::SstHeader, 0));
        }
        let footer_at = len - FOOTER_BYTES as u64;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, footer_at)
            .map_err(|error| short_read(error, &path, CorruptionKind::TableMismatch, footer_at))?;
        let Some(footer) = Footer::decode(&identity, &footer, len) else {
            return Err(self.corrupt(CorruptionKind::SstHeader, footer_at));
        };
        let index = self.read_raw(&*file, BlockKind::Index, footer.index, |bytes| {
            Index::decode(bytes, footer.data_end())
                .map_err(|_| self.corrupt(CorruptionKind::BlockFormat, footer.index.offset))
        })?;
        let key_filter = self.load_filter(&*file, BlockKind::KeyFilter, footer.key_filter)?;
        let prefix_filter = match self.context.prefix_extractor {
            Some(_) => self.load_filter(&*file, BlockKind::PrefixFilter, footer.prefix_filter)?,
            None => None,
        };
        let ranges = self.load_ranges(&*file, &footer)?;
        // Whoever reads in order reads ahead himself.
        file.advise(Access::Random);
        let slots = self.context.memory.cache().slots(index.blocks());
        let filters = [&key_filter, &prefix_filter].into_iter().flatten().map(Bloom::memory_bytes);
        let held = index.memory_bytes() + filters.sum::<u64>() + ranges.memory_bytes() as u64;
        let held = usize::try_from(held).unwrap_or(usize::MAX);
        let charge = Charge::new(&self.context.memory, Kind::Tables, held);
        Ok(Loaded { file, index, key_filter, prefix_filter, ranges, footer, slots, _charge: charge })
    }

    /// Reads a block and hands its payload to `take`; a second try after a failed checksum tells a bad transfer from a
    /// bad sector.
    fn read_raw<T>(
        &self,
        file: &dyn File,
        kind: BlockKind,
        handle: BlockHandle,
        take: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let identity = self.identity();
        self.context.counters.block_reads.add(1);
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = read_block(file, &identity, kind, handle, scratch);
            if matches!(read, Err(Error::Corruption { .. })) {
                read = read_block(file, &identity, kind, handle, scratch);
            }
            scratch.note(&self.context.memory);
            let taken = read.and_then(|payload| take(scratch.payload(payload)));
            scratch.trim();
            taken
        })
    }

    /// An unreadable filter means "maybe"; it is noted as damage all the same.
    fn load_filter(&self, file: &dyn File, kind: BlockKind, handle: BlockHandle) -> Result<Option<Bloom>> {
        let decoded = self.read_raw(file, kind, handle, |bytes| {
            Ok(if bytes.is_empty() { Ok(None) } else { Bloom::decode(bytes).map(Some) })
        });
        match decoded {
            Ok(Ok(filter)) => Ok(filter),
            Ok(Err(_)) => {
                self.context.damage.note(self.meta.file, CorruptionKind::BlockFormat, handle.offset);
                Ok(None)
            }
            Err(error @ Error::Corruption { .. }) => {
                self.noted(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn load_ranges(&self, file: &dyn File, footer: &Footer) -> Result<Fragments> {
        let Some(handle) = footer.ranges() else {
            return match self.meta.ranges {
                0 => Ok(Fragments::default()),
                _ => Err(self.corrupt(CorruptionKind::TableMismatch, footer.key_filter.offset)),
            };
        };
        let ranges = self.read_raw(file, BlockKind::RangeRemovals, handle, |bytes| {
            Fragments::decode(bytes).map_err(|_| self.corrupt(CorruptionKind::BlockFormat, handle.offset))
        })?;
        match ranges.len() as u64 == self.meta.ranges {
            true => Ok(ranges),
            false => Err(self.corrupt(CorruptionKind::TableMismatch, handle.offset)),
        }
    }

    /// The removed ranges; reads them at the first use. Ask only tables that say they have some.
    pub(crate) fn ranges(&self) -> Result<&Fragments> {
        Ok(&self.loaded()?.ranges)
    }

    /// The newest removal of a range with `key` at or below `lsn`; 0 without one.
    #[cold]
    fn removed_at(&self, loaded: &Loaded, key: &[u8], lsn: Lsn) -> Lsn {
        loaded.ranges.newest(key, lsn)
    }

    /// The index; reads it at the first use.
    pub(crate) fn index(&self) -> Result<&Index> {
        Ok(&self.loaded()?.index)
    }

    /// Data block `at`, from the cache or from disk. `fill` puts it into the cache.
    pub(crate) fn block(&self, at: usize, fill: bool) -> Result<Block> {
        let loaded = self.loaded()?;
        if let Some(block) = loaded.slots.get(at) {
            self.context.counters.cache_hits.add(1);
            return Ok(block);
        }
        self.read_block_of(loaded, at, fill)
    }

    /// Starts loading the front of block `at`, if it is cached.
    pub(crate) fn prefetch_block(&self, at: usize) {
        if let Some(loaded) = self.loaded.get() {
            // Borrowing asks for it.
            let _ = loaded.slots.borrow(at);
        }
    }

    /// As [`Table::block`], for one who reads the blocks in ascending order.
    pub(crate) fn block_in_order(&self, at: usize, fill: bool, ahead: &mut ReadAhead) -> Result<Block> {
        let loaded = self.loaded()?;
        if let Some(block) = loaded.slots.get(at) {
            self.context.counters.cache_hits.add(1);
            return Ok(block);
        }
        if !ahead.pays() {
            return self.read_block_of(loaded, at, fill);
        }
        let handle = loaded.index.handle(at).ok_or_else(|| self.corrupt(CorruptionKind::BlockFormat, 0))?;
        let data_end = loaded.footer.data_end();
        // A long scan is not about what is hot; but where there is room, nothing hot has to leave for it.
        let fill = fill && (!ahead.is_long() || self.context.memory.cache().has_room());
        let block = ahead
            .sealed(&*loaded.file, self.meta.file, handle, data_end, &self.context.memory)
            .ok()
            .and_then(|(sealed, room)| {
                // What goes into the cache will be looked up in.
                room.without_index(!fill);
                let payload =
                    open_block(&self.identity(), BlockKind::Data, sealed, handle.offset, room).ok()?;
                self.parse(payload.of(sealed, room)).ok()
            });
        let Some(block) = block else {
            // Once more and by itself: that read knows what to say about it.
            return self.read_block_of(loaded, at, fill);
        };
        self.context.counters.cache_misses.add(1);
        self.context.counters.block_reads.add(1);
        if fill {
            self.context.memory.cache().insert(&loaded.slots, at, &block);
        }
        Ok(block)
    }

    /// Data block `at`, for a lookup.
    fn find_block(&self, loaded: &Loaded, at: usize) -> Result<FoundBlock> {
        if let Some(block) = loaded.slots.borrow(at) {
            self.context.counters.cache_hits.add(1);
            return Ok(FoundBlock::Cached(block));
        }
        self.read_block_of(loaded, at, true).map(FoundBlock::Read)
    }

    #[cold]
    fn read_block_of(&self, loaded: &Loaded, at: usize, fill: bool) -> Result<Block> {
        self.context.counters.cache_misses.add(1);
        let handle = loaded.index.handle(at).ok_or_else(|| self.corrupt(CorruptionKind::BlockFormat, 0))?;
        let block = self.read_data(&loaded.file, handle)?;
        if fill {
            self.context.memory.cache().insert(&loaded.slots, at, &block);
        }
        Ok(block)
    }

    fn parse(&self, payload: &[u8]) -> std::result::Result<Block, Malformed> {
        Block::parse(payload, Some(self.context.memory.ledger()))
    }

    fn read_data(&self, file: &Arc<dyn File>, handle: BlockHandle) -> Result<Block> {
        self.read_raw(&**file, BlockKind::Data, handle, |payload| {
            self.parse(payload).map_err(|_| self.corrupt(CorruptionKind::BlockFormat, handle.offset))
        })
        .map_err(|error| self.noted(error))
    }

    /// False if the filters rule out every key with this declared prefix: those that are longer, and the one that is nothing
    /// but the prefix.
    pub(crate) fn may_contain_prefix(&self, hash: u64) -> Result<bool> {
        let loaded = self.loaded()?;
        let may = |filter: &Option<Bloom>| filter.as_ref().is_none_or(|filter| filter.may_contain(hash));
        Ok(may(&loaded.prefix_filter) || may(&loaded.key_filter))
    }

    /// Counts a scan that a prefix filter kept away from this table.
    pub(crate) fn count_filtered(&self) {
        self.context.counters.filter_useful.add(1);
    }

    /// Starts loading what the filter will say about a key, if the table is open.
    pub(crate) fn prefetch_filter(&self, hash: u64) {
        if let Some(filter) = self.loaded.get().and_then(|loaded| loaded.key_filter.as_ref()) {
            filter.prefetch(hash);
        }
    }

    /// The newest version of `key` at or below `lsn`. `hash` is the key's filter hash.
    pub(crate) fn get(&self, key: &[u8], lsn: Lsn, hash: u64) -> Result<Found> {
        if self.meta.min_lsn > lsn {
            return Ok(Found::Nothing);
        }
        let counters = &self.context.counters;
        let loaded = self.loaded()?;
        // What filter and rows do not know.
        let removed = if self.meta.ranges == 0 { Lsn::ZERO } else { self.removed_at(loaded, key, lsn) };
        let without_row = |removed: Lsn| if removed == Lsn::ZERO { Found::Nothing } else { Found::Removed };
        if let Some(filter) = &loaded.key_filter
            && !filter.may_contain(hash)
        {
            counters.filter_useful.add(1);
            let believed = planted(Bug::LsmFilterHidesRangeRemoval);
            return Ok(without_row(if believed { Lsn::ZERO } else { removed }));
        }
        match self.locate(loaded, key, lsn, hash)? {
            Some((block, row)) if removed > Lsn::ZERO && block.lsn(row) < removed => Ok(Found::Removed),
            Some((block, row)) => Ok(block.pinned(row).map_or(Found::Removed, Found::Value)),
            None => {
                if loaded.key_filter.is_some() {
                    counters.filter_false_positives.add(1);
                }
                Ok(without_row(removed))
            }
        }
    }

    /// The LSN of the newest version of `key` at or below `lsn`. `hash` is the key's filter hash.
    pub(crate) fn version_at(&self, key: &[u8], lsn: Lsn, hash: u64) -> Result<Option<Lsn>> {
        let loaded = self.loaded()?;
        if loaded.key_filter.as_ref().is_some_and(|filter| !filter.may_contain(hash)) {
            return Ok(None);
        }
        Ok(self.locate(loaded, key, lsn, hash)?.map(|(block, row)| block.lsn(row)))
    }

    fn locate(
        &self,
        loaded: &Loaded,
        key: &[u8],
        lsn: Lsn,
        hash: u64,
    ) -> Result<Option<(FoundBlock, usize)>> {
        let index = &loaded.index;
        let mut at = index.seek(key);
        while at < index.blocks() {
            let block = self.find_block(loaded, at)?;
            match block.find(key, hash, lsn) {
                Lookup::Row(row) => return Ok(Some((block, row))),
                // The versions of one key may go on in the next block.
                Lookup::Older if index.separator_is(at, key) => at += 1,
                Lookup::Older | Lookup::Absent => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            self.context.graveyard.bury(self.meta.file);
        }
    }
}
