//! An open table.

mod check;
mod load;
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
    File, Fs, Lsn,
    frame::DatabaseId,
    planted::{Bug, planted},
};

use super::{
    block::{Block, FoundBlock, Lookup},
    filter::Bloom,
    format::{
        BlockCopy, BlockHandle, BlockKind, Footer, Payload, Scratch, TableIdentity, content_of, open_block,
        read_block,
    },
    heal::{Healer, is_unreadable},
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
    store::{DEAD_ROWS_WORTH_NOTING, Damage, DamageList, DenseTables, Graveyard},
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
    pub(crate) healer: Healer,
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
    pub(super) context: Arc<TableContext>,
    /// Nobody reads it as of an earlier LSN.
    oldest_reader: Lsn,
    loaded: OnceLock<Loaded>,
    loading: Mutex<()>,
    obsolete: AtomicBool,
    /// The table with the same rows that has taken its place.
    repaired: OnceLock<Arc<Table>>,
    /// For what is known of it without reading it.
    _charge: Charge,
}

/// What is resident of a table that has been used.
#[derive(Debug)]
pub(super) struct Loaded {
    /// `None` if the index is that of parts which are all derived again: see [`super::heal`].
    pub(super) file: Option<Arc<dyn File>>,
    pub(super) index: Index,
    /// `None` when unreadable: then every key may be there.
    pub(super) key_filter: Option<Bloom>,
    pub(super) prefix_filter: Option<Bloom>,
    /// Empty in most tables; never guessed at: without them the table cannot be read.
    pub(super) ranges: Fragments,
    /// They were read, not derived again.
    pub(super) has_own_ranges: bool,
    /// It was read, not made again: every block that it names had rows.
    pub(super) has_own_index: bool,
    pub(super) footer: Footer,
    pub(super) slots: Arc<Slots>,
    /// Why something of this was derived again or left out.
    pub(super) damage: Option<Damage>,
    pub(super) _charge: Charge,
}

/// The parts of [`Loaded`] that differ between a sound table and one that is healed.
pub(super) struct Resident {
    pub(super) index: Index,
    pub(super) ranges: Fragments,
    pub(super) has_own_ranges: bool,
    pub(super) has_own_index: bool,
    pub(super) damage: Option<Damage>,
}

/// What to do where a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDamage {
    /// Derive its rows again, if somebody is attached who can.
    Heal,
    /// Fail.
    Refuse,
}

impl Table {
    pub(crate) fn new(meta: TableMeta, context: Arc<TableContext>) -> Table {
        // The manifest has the same keys once more.
        let keys = 2 * (meta.smallest.len() + meta.largest.len());
        let held = keys + size_of::<Table>() + size_of::<TableMeta>();
        Table {
            _charge: Charge::new(&context.memory, Kind::Tables, held),
            oldest_reader: Lsn::ZERO,
            meta,
            context,
            loaded: OnceLock::new(),
            loading: Mutex::new(()),
            obsolete: AtomicBool::new(false),
            repaired: OnceLock::new(),
        }
    }

    /// Nobody will read it as of an LSN below `visible`, or below its horizon if that is less.
    pub(crate) fn for_readers_from(mut self, visible: Lsn) -> Table {
        self.oldest_reader = visible.min(self.meta.horizon);
        self
    }

    pub(super) fn oldest_reader(&self) -> Lsn {
        self.oldest_reader
    }

    pub(crate) fn path(&self) -> PathBuf {
        table_path(&self.context.dir, self.meta.file)
    }

    /// The file is removed once nobody reads it any more.
    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// Another table has exactly its rows: who still holds this one is told from there what cannot be read here.
    pub(crate) fn mark_repaired(&self, by: &Arc<Table>) {
        // Who was first is as good.
        let _ = self.repaired.set(Arc::clone(by));
    }

    /// The table that has taken its place.
    pub(super) fn repaired(&self) -> Option<&Arc<Table>> {
        self.repaired.get()
    }

    pub(super) fn identity(&self) -> TableIdentity {
        TableIdentity { database: self.context.database, file: self.meta.file }
    }

    pub(super) fn corrupt(&self, kind: CorruptionKind, offset: u64) -> Error {
        self.context.damage.note(self.meta.file, kind, offset);
        Error::Corruption { kind, file: self.path(), offset }
    }

    /// Notes the damage that an error of one of this table's blocks reports.
    pub(super) fn noted(&self, error: Error) -> Error {
        if let Error::Corruption { kind, offset, .. } = &error {
            self.context.damage.note(self.meta.file, *kind, *offset);
        }
        error
    }

    /// Opens the file now, so that it stays readable when its name goes.
    pub(crate) fn hold_file(&self) -> Result<()> {
        self.loaded().map(drop)
    }

    /// Parts that it is read in, if it is known to have no file.
    pub(crate) fn parts_without_file(&self) -> Option<usize> {
        self.loaded.get().filter(|loaded| loaded.file.is_none()).map(|loaded| loaded.index.blocks())
    }

    pub(super) fn loaded(&self) -> Result<&Loaded> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let _one_at_a_time = self.loading.lock();
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = match self.load().map_err(|error| self.noted(error)) {
            Err(error) if self.context.healer.is_attached() => self.load_healed(error)?,
            loaded => loaded?,
        };
        Ok(self.loaded.get_or_init(|| loaded))
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
        self.read_sealed(file, kind, handle, |scratch, payload| take(scratch.payload(payload)))
    }

    /// [`Table::read_raw`], which gives the block as it stands in the file too.
    fn read_sealed<T>(
        &self,
        file: &dyn File,
        kind: BlockKind,
        handle: BlockHandle,
        take: impl FnOnce(&Scratch, Payload) -> Result<T>,
    ) -> Result<T> {
        let identity = self.identity();
        self.context.counters.note_block_read();
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = read_block(file, &identity, kind, handle, scratch);
            let may_pass = |error: &Error| {
                matches!(error, Error::Corruption { .. })
                    || (self.context.healer.is_attached() && is_unreadable(error))
            };
            if read.as_ref().is_err_and(may_pass) {
                read = read_block(file, &identity, kind, handle, scratch);
            }
            scratch.note(&self.context.memory);
            let read = read.map_err(|error| self.as_damage(error, handle.offset));
            let taken = read.and_then(|payload| take(scratch, payload));
            scratch.trim();
            taken
        })
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

    /// The removed ranges as they were written: an error where they had to be derived again.
    pub(crate) fn own_ranges(&self) -> Result<&Fragments> {
        self.refuse_healed()?;
        self.ranges()
    }

    /// Data block `at`, from the cache or from disk. `fill` puts it into the cache.
    pub(crate) fn block(&self, at: usize, fill: bool, damaged: OnDamage) -> Result<Block> {
        let loaded = self.loaded()?;
        if let Some(block) = loaded.slots.get(at) {
            self.context.counters.note_cache_hit();
            return Ok(block);
        }
        self.read_block_of(loaded, at, fill, damaged)
    }

    /// Starts loading the front of block `at`, if it is cached.
    pub(crate) fn prefetch_block(&self, at: usize) {
        if let Some(loaded) = self.loaded.get() {
            // Borrowing asks for it.
            let _ = loaded.slots.borrow(at);
        }
    }

    /// As [`Table::block`], for one who reads the blocks in ascending order.
    pub(crate) fn block_in_order(
        &self,
        at: usize,
        fill: bool,
        ahead: &mut ReadAhead,
        damaged: OnDamage,
    ) -> Result<Block> {
        let loaded = self.loaded()?;
        if let Some(block) = loaded.slots.get(at) {
            self.context.counters.note_cache_hit();
            return Ok(block);
        }
        let pays = ahead.pays();
        let Some(file) = loaded.file.as_ref().filter(|_| pays) else {
            return self.read_block_of(loaded, at, fill, damaged);
        };
        let handle = loaded.index.handle(at).ok_or_else(|| self.no_block())?;
        let data_end = loaded.footer.data_end();
        // A long scan is not about what is hot; but where there is room, nothing hot has to leave for it.
        let fill = fill && (!ahead.is_long() || self.context.memory.cache().has_room());
        let block = ahead
            .sealed(&**file, self.meta.file, handle, data_end, &self.context.memory)
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
            return self.read_block_of(loaded, at, fill, damaged);
        };
        self.context.counters.cache_misses.add(1);
        self.context.counters.note_block_read();
        if fill {
            self.context.memory.cache().insert(&loaded.slots, at, &block);
        }
        Ok(block)
    }

    /// Data block `at`, for a lookup.
    fn find_block(&self, loaded: &Loaded, at: usize) -> Result<FoundBlock> {
        if let Some(block) = loaded.slots.borrow(at) {
            self.context.counters.note_cache_hit();
            return Ok(FoundBlock::Cached(block));
        }
        self.read_block_of(loaded, at, true, OnDamage::Heal).map(FoundBlock::Read)
    }

    #[cold]
    fn read_block_of(&self, loaded: &Loaded, at: usize, fill: bool, damaged: OnDamage) -> Result<Block> {
        self.context.counters.cache_misses.add(1);
        let handle = loaded.index.handle(at).ok_or_else(|| self.no_block())?;
        let read = match (&loaded.file, loaded.damage) {
            (Some(file), _) => self.read_data(file, handle),
            (None, Some(damage)) => Err(self.damaged(damage)),
            (None, None) => Err(self.no_block()),
        };
        let block = match read {
            Err(error) if damaged == OnDamage::Heal => self.healed_block(loaded, at, error)?,
            read => read?,
        };
        // What was derived again is worth keeping in any case.
        if fill || block.is_healed() {
            self.context.memory.cache().insert(&loaded.slots, at, &block);
        }
        Ok(block)
    }

    fn parse(&self, payload: &[u8]) -> std::result::Result<Block, Malformed> {
        Block::parse(payload, Some(self.context.memory.ledger()))
    }

    pub(super) fn read_data(&self, file: &Arc<dyn File>, handle: BlockHandle) -> Result<Block> {
        self.read_raw(&**file, BlockKind::Data, handle, |payload| {
            self.parse(payload).map_err(|_| self.corrupt(CorruptionKind::BlockFormat, handle.offset))
        })
        .map_err(|error| self.noted(error))
    }

    /// A data block and, through `copy`, its content as it stands in the file.
    pub(super) fn read_data_to_copy(
        &self,
        file: &Arc<dyn File>,
        handle: BlockHandle,
        copy: &mut BlockCopy,
    ) -> Result<Block> {
        let malformed = |_| self.corrupt(CorruptionKind::BlockFormat, handle.offset);
        self.read_sealed(&**file, BlockKind::Data, handle, |scratch, payload| {
            let (content, packing) =
                content_of(scratch.sealed(), BlockKind::Data).ok_or(Malformed).map_err(malformed)?;
            copy.content.clear();
            copy.content.extend_from_slice(content);
            copy.packing = packing;
            self.parse(scratch.payload(payload)).map_err(malformed)
        })
        .map_err(|error| self.noted(error))
    }

    /// True if its first key lies before the prefix's last one. Of a table whose last key lies behind the prefix's first one: then
    /// it may have keys with the prefix.
    pub(crate) fn may_reach(&self, prefix: &[u8]) -> bool {
        self.meta.smallest.as_slice() <= prefix || self.meta.smallest.starts_with(prefix)
    }

    /// False if the filters rule out every key with this declared prefix: those that are longer, and the one that is nothing
    /// but the prefix.
    pub(crate) fn may_contain_prefix(&self, hash: u64) -> Result<bool> {
        let loaded = self.loaded()?;
        let may = |filter: &Option<Bloom>| filter.as_ref().is_none_or(|filter| filter.may_contain(hash));
        Ok(may(&loaded.prefix_filter) || may(&loaded.key_filter))
    }

    /// Starts loading what the filters will say about a declared prefix, if the table is open.
    pub(crate) fn prefetch_prefix(&self, hash: u64) {
        if let Some(loaded) = self.loaded.get() {
            [&loaded.prefix_filter, &loaded.key_filter]
                .into_iter()
                .flatten()
                .for_each(|filter| filter.prefetch(hash));
        }
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
