//! An open table.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_env::{File, Fs, Lsn, OpenMode, frame::DatabaseId};

use super::{
    block::Block,
    decode_meta,
    filter::Bloom,
    format::{
        BlockHandle, BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES, TableIdentity, check_header, read_block,
        short_read,
    },
    index::Index,
    meta::TableMeta,
    meta_sum::MetaSum,
    table_path,
};
use crate::{
    CorruptionKind, Error, PrefixExtractor, Result, Value,
    cache::{BlockCache, BlockKey},
    codec::Fields,
    stats::Counters,
    store::{DEAD_ROWS_WORTH_NOTING, DamageList, DenseTables, Graveyard},
};

/// What the tables of one tree share.
#[derive(Debug)]
pub(crate) struct TableContext {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) database: DatabaseId,
    pub(crate) cache: BlockCache,
    pub(crate) counters: Counters,
    pub(crate) damage: DamageList,
    pub(crate) graveyard: Graveyard,
    pub(crate) dense: DenseTables,
    pub(crate) prefix_extractor: Option<PrefixExtractor>,
}

impl TableContext {
    /// A scan has stepped over `rows` dead rows of a table without finding a live one. True if compaction should be woken:
    /// the table was not known as such a one.
    #[cfg_attr(not(test), expect(dead_code, reason = "called by the cursors of scans"))]
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
}

#[derive(Debug)]
struct Loaded {
    file: Arc<dyn File>,
    index: Index,
    /// `None` when unreadable: then every key may be there.
    key_filter: Option<Bloom>,
    prefix_filter: Option<Bloom>,
    footer: Footer,
}

impl Loaded {
    fn memory_bytes(&self) -> u64 {
        let filters = [&self.key_filter, &self.prefix_filter];
        self.index.memory_bytes() + filters.into_iter().flatten().map(Bloom::memory_bytes).sum::<u64>()
    }
}

impl Table {
    pub(crate) fn new(meta: TableMeta, context: Arc<TableContext>) -> Table {
        Table {
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
        let index_bytes = self.read_raw(&*file, BlockKind::Index, footer.index)?;
        let index = Index::decode(&index_bytes, footer.key_filter.offset)
            .map_err(|_| self.corrupt(CorruptionKind::BlockFormat, footer.index.offset))?;
        let key_filter = self.load_filter(&*file, BlockKind::KeyFilter, footer.key_filter)?;
        let prefix_filter = match self.context.prefix_extractor {
            Some(_) => self.load_filter(&*file, BlockKind::PrefixFilter, footer.prefix_filter)?,
            None => None,
        };
        let loaded = Loaded { file, index, key_filter, prefix_filter, footer };
        self.context.counters.index_memory_bytes.add(loaded.memory_bytes());
        Ok(loaded)
    }

    /// Reads a block; a second try after a failed checksum tells a bad transfer from a bad sector.
    fn read_raw(&self, file: &dyn File, kind: BlockKind, handle: BlockHandle) -> Result<Vec<u8>> {
        let identity = self.identity();
        self.context.counters.block_reads.add(1);
        match read_block(file, &identity, kind, handle) {
            Err(Error::Corruption { .. }) => read_block(file, &identity, kind, handle),
            other => other,
        }
    }

    /// An unreadable filter means "maybe"; it is noted as damage all the same.
    fn load_filter(&self, file: &dyn File, kind: BlockKind, handle: BlockHandle) -> Result<Option<Bloom>> {
        match self.read_raw(file, kind, handle) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => match Bloom::decode(&bytes) {
                Ok(filter) => Ok(Some(filter)),
                Err(_) => {
                    self.context.damage.note(self.meta.file, CorruptionKind::BlockFormat, handle.offset);
                    Ok(None)
                }
            },
            Err(error @ Error::Corruption { .. }) => {
                self.noted(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The index; reads it at the first use.
    pub(crate) fn index(&self) -> Result<&Index> {
        Ok(&self.loaded()?.index)
    }

    /// Data block `at`, from the cache or from disk. `fill` puts it into the cache.
    pub(crate) fn block(&self, at: usize, fill: bool) -> Result<Block> {
        let loaded = self.loaded()?;
        let handle = loaded.index.handle(at).ok_or_else(|| self.corrupt(CorruptionKind::BlockFormat, 0))?;
        let key = BlockKey { file: self.meta.file, offset: handle.offset };
        let counters = &self.context.counters;
        if let Some(block) = self.context.cache.get(key) {
            counters.cache_hits.add(1);
            return Ok(block);
        }
        counters.cache_misses.add(1);
        let block = self.read_data(&loaded.file, handle)?;
        if fill {
            self.context.cache.insert(key, block.clone());
        }
        Ok(block)
    }

    fn read_data(&self, file: &Arc<dyn File>, handle: BlockHandle) -> Result<Block> {
        let payload = self.read_raw(&**file, BlockKind::Data, handle).map_err(|error| self.noted(error))?;
        Block::parse(payload).map_err(|_| self.corrupt(CorruptionKind::BlockFormat, handle.offset))
    }

    /// False if the filter rules the key out. `hash` is its [`super::filter::filter_hash`].
    pub(crate) fn may_contain_key(&self, hash: u64) -> Result<bool> {
        Ok(self.loaded()?.key_filter.as_ref().is_none_or(|filter| filter.may_contain(hash)))
    }

    /// False if the filter rules out every key with this declared prefix.
    pub(crate) fn may_contain_prefix(&self, hash: u64) -> Result<bool> {
        Ok(self.loaded()?.prefix_filter.as_ref().is_none_or(|filter| filter.may_contain(hash)))
    }

    /// Counts a scan that a prefix filter kept away from this table.
    pub(crate) fn count_filtered(&self) {
        self.context.counters.filter_useful.add(1);
    }

    /// The newest version of `key` at or below `lsn`.
    pub(crate) fn get(&self, key: &[u8], lsn: Lsn, hash: u64) -> Result<Found> {
        let counters = &self.context.counters;
        if self.meta.min_lsn > lsn {
            return Ok(Found::Nothing);
        }
        let filtered = self.loaded()?.key_filter.is_some();
        if !self.may_contain_key(hash)? {
            counters.filter_useful.add(1);
            return Ok(Found::Nothing);
        }
        let found = self.search(key, lsn)?;
        if filtered && matches!(found, Found::Nothing) {
            counters.filter_false_positives.add(1);
        }
        Ok(found)
    }

    fn search(&self, key: &[u8], lsn: Lsn) -> Result<Found> {
        Ok(match self.locate(key, lsn)? {
            None => Found::Nothing,
            Some((block, row)) => block.pinned(row).map_or(Found::Removed, Found::Value),
        })
    }

    /// The LSN of the newest version of `key` at or below `lsn`. `hash` is the key's filter hash.
    pub(crate) fn version_at(&self, key: &[u8], lsn: Lsn, hash: u64) -> Result<Option<Lsn>> {
        if !self.may_contain_key(hash)? {
            return Ok(None);
        }
        Ok(self.locate(key, lsn)?.map(|(block, row)| block.lsn(row)))
    }

    fn locate(&self, key: &[u8], lsn: Lsn) -> Result<Option<(Block, usize)>> {
        let index = self.index()?;
        let mut at = index.seek(key);
        while at < index.blocks() {
            let block = self.block(at, true)?;
            let row = block.lower_bound(key, lsn);
            if row < block.rows() {
                return Ok(block.key_is(row, key).then_some((block, row)));
            }
            // The versions of one key may go on in the next block.
            if !index.separator_is(at, key) {
                return Ok(None);
            }
            at += 1;
        }
        Ok(None)
    }

    /// Reads every byte again from disk, past the cache, and compares with what the manifest says. Returns the rows.
    pub(crate) fn verify(&self) -> Result<u64> {
        // A fresh load: the resident index and filters say nothing about what is on disk now.
        let loaded = self.load().map_err(|error| self.noted(error))?;
        self.context.counters.index_memory_bytes.sub(loaded.memory_bytes());
        for (kind, handle) in [
            (BlockKind::KeyFilter, loaded.footer.key_filter),
            (BlockKind::PrefixFilter, loaded.footer.prefix_filter),
        ] {
            let bytes = self.read_raw(&*loaded.file, kind, handle).map_err(|error| self.noted(error))?;
            if !bytes.is_empty() && Bloom::decode(&bytes).is_err() {
                return Err(self.corrupt(CorruptionKind::BlockFormat, handle.offset));
            }
        }
        let properties = loaded.footer.properties;
        let bytes = self
            .read_raw(&*loaded.file, BlockKind::Properties, properties)
            .map_err(|error| self.noted(error))?;
        let stored = decode_meta(&mut Fields::new(&bytes))
            .map_err(|_| self.corrupt(CorruptionKind::BlockFormat, properties.offset))?;
        if stored != (TableMeta { bytes: 0, ..self.meta.clone() }) {
            return Err(self.corrupt(CorruptionKind::TableMismatch, properties.offset));
        }
        let mut sum = MetaSum::default();
        for at in 0..loaded.index.blocks() {
            let handle =
                loaded.index.handle(at).ok_or_else(|| self.corrupt(CorruptionKind::BlockFormat, 0))?;
            let block = self.read_data(&loaded.file, handle)?;
            let ordered = sum.add_block(&block);
            let separated = !loaded.index.block_is_before(at, sum.last_key())
                && (at == 0
                    || loaded.index.block_is_before(at - 1, sum.last_key())
                    || loaded.index.separator_is(at - 1, sum.last_key()));
            if !ordered || !separated {
                return Err(self.corrupt(CorruptionKind::BlockFormat, handle.offset));
            }
            if let Some(filter) = &loaded.key_filter
                && !sum.block_key_hashes().iter().all(|hash| filter.may_contain(*hash))
            {
                return Err(self.corrupt(CorruptionKind::TableMismatch, loaded.footer.key_filter.offset));
            }
        }
        if !sum.matches(&self.meta) {
            return Err(self.corrupt(CorruptionKind::TableMismatch, 0));
        }
        Ok(self.meta.rows)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Some(loaded) = self.loaded.get() {
            self.context.counters.index_memory_bytes.sub(loaded.memory_bytes());
        }
        if self.obsolete.load(Ordering::Acquire) {
            self.context.cache.forget_file(self.meta.file);
            self.context.graveyard.bury(self.meta.file);
        }
    }
}
