//! RocksDB, twice: as its wiki recommends ("Setup Options and Basic Tuning"), and tuned for reads and commits beyond that.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamilyDescriptor,
    CompactOptions, CompactionPri, DB, DBCompressionType, DataBlockIndexType, FlushOptions, Options,
    ReadOptions, SnapshotWithThreadMode, WaitForCompactOptions, WriteBatch, WriteOptions,
};

use super::names;
use crate::engine::{Engine, EngineError, Kind, Pair, Reader, Result, Setting, Store, Tally, touch};

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct RocksDb {
    tuned: bool,
}

impl RocksDb {
    /// The settings of the wiki page.
    pub fn wiki() -> RocksDb {
        RocksDb { tuned: false }
    }

    /// What the wiki's further pages recommend for point reads and small commits.
    pub fn tuned() -> RocksDb {
        RocksDb { tuned: true }
    }

    fn options(self, setting: &Setting) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        if self.tuned {
            // 0: the size of an entry is found out at run time.
            blocks.set_block_cache(&Cache::new_hyper_clock_cache(setting.cache_bytes, 0));
            blocks.set_block_size(4 << 10);
            blocks.set_cache_index_and_filter_blocks(false);
            blocks.set_index_type(BlockBasedIndexType::BinarySearch);
            blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
            blocks.set_data_block_hash_ratio(0.75);
            blocks.set_format_version(6);
            options.set_max_open_files(-1);
            options.set_enable_pipelined_write(true);
            options.set_allow_concurrent_memtable_write(true);
            options.set_enable_write_thread_adaptive_yield(true);
            options.set_recycle_log_file_num(4);
            options.set_avoid_unnecessary_blocking_io(true);
        } else {
            blocks.set_block_cache(&Cache::new_lru_cache(setting.cache_bytes));
            blocks.set_block_size(16 << 10);
            blocks.set_cache_index_and_filter_blocks(true);
            blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        }
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_bytes_per_sync(1 << 20);
        options.set_compaction_pri(CompactionPri::MinOverlappingRatio);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_max_background_jobs(2);
        options.set_write_buffer_size(setting.memtable_bytes);
        options
    }
}

struct Opened {
    db: DB,
    writes: WriteOptions,
}

/// The options are kept over many reads, because making them costs as much as a small part of a read.
struct View<'a> {
    db: &'a DB,
    // Dropped before the snapshot that they point to.
    in_view: ReadOptions,
    snapshot: SnapshotWithThreadMode<'a, DB>,
    latest: ReadOptions,
}

impl<'a> View<'a> {
    fn of(db: &'a DB) -> View<'a> {
        let snapshot = db.snapshot();
        let mut in_view = ReadOptions::default();
        in_view.set_snapshot(&snapshot);
        View { db, in_view, snapshot, latest: ReadOptions::default() }
    }
}

impl Engine for RocksDb {
    fn name(&self) -> &'static str {
        if self.tuned { names::ROCKSDB_TUNED } else { names::ROCKSDB }
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        if self.tuned {
            "RocksDB 11.8.1 (crate 0.25.0), tuned: LZ4, 4 KiB blocks with a hash index, full bloom filters of 10 bits and \
             indexes outside of the cache, HyperClockCache, pipelined writes, 4 recycled logs, adaptive yield, dynamic levels, \
             2 background jobs; durable: WriteBatch with sync (fdatasync, its own group commit)"
        } else {
            "RocksDB 11.8.1 (crate 0.25.0): the wiki's settings, LZ4, 16 KiB blocks, bloom 10 bits, LRU cache with index and \
             filter, 2 background jobs; durable: WriteBatch with sync (fdatasync, its own group commit)"
        }
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        // By name, because the batched multi-get asks for the column family.
        let options = self.options(setting);
        let family = ColumnFamilyDescriptor::new("default", options.clone());
        let db = DB::open_cf_descriptors(&options, folder, [family])?;
        let mut writes = WriteOptions::default();
        writes.set_sync(setting.durable);
        Ok(Box::new(Opened { db, writes }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut writes = WriteBatch::default();
        for pair in batch {
            writes.put(pair.key, pair.value);
        }
        Ok(self.db.write_opt(writes, &self.writes)?)
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        let mut writes = WriteBatch::default();
        for key in keys {
            writes.delete(key);
        }
        Ok(self.db.write_opt(writes, &self.writes)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View::of(&self.db)))
    }

    fn persist(&self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }

    fn flush(&self) -> Result<()> {
        let mut wait = FlushOptions::default();
        wait.set_wait(true);
        Ok(self.db.flush_opt(&wait)?)
    }

    fn compact(&mut self) -> Result<bool> {
        let mut everything = CompactOptions::default();
        everything.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.db.compact_range_opt::<&[u8], &[u8]>(None, None, &everything);
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // Background work that is needed to shape the tree belongs to what was written.
        self.db.wait_for_compact(&WaitForCompactOptions::default())?;
        Ok(())
    }
}

impl Reader for View<'_> {
    fn renew(&mut self) -> Result<()> {
        let snapshot = self.db.snapshot();
        self.in_view.set_snapshot(&snapshot);
        // Only now, so that the options never point to a snapshot that is gone.
        self.snapshot = snapshot;
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get_pinned_opt(key, &self.in_view)?.map(|value| touch(&value)))
    }

    fn get_fresh(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.db.get_pinned_opt(key, &self.latest)?.map(|value| touch(&value)))
    }

    fn multi_get(&mut self, keys: &[&[u8]], found: &mut Vec<Option<u64>>) -> Result<()> {
        let family = self.db.cf_handle("default").ok_or("RocksDB has no default column family")?;
        for value in self.db.batched_multi_get_cf_opt(&family, keys.iter().copied(), false, &self.in_view) {
            found.push(value.map_err(EngineError::from)?.map(|value| touch(&value)));
        }
        Ok(())
    }

    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally> {
        let mut options = ReadOptions::default();
        if let Some(end) = super::successor(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let mut tally = Tally::default();
        let mut rows = self.snapshot.raw_iterator_opt(options);
        rows.seek(prefix);
        while tally.rows < limit
            && let Some((key, value)) = rows.item()
        {
            tally.add(key, value);
            rows.next();
        }
        rows.status()?;
        Ok(tally)
    }
}
