//! RocksDB as its wiki recommends ("Setup Options and Basic Tuning").

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, CompactionPri, DB, DBCompressionType, Options, WriteBatch, WriteOptions,
};

use super::{CACHE_BYTES, names};
use crate::engine::{Engine, Kind, Pair, Result, Store};

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct RocksDb;

struct Opened {
    db: DB,
    synced: WriteOptions,
}

/// The settings of the wiki page, with background jobs for two cores and LZ4 on every level.
fn options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    blocks.set_block_size(16 << 10);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);

    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_bytes_per_sync(1 << 20);
    options.set_compaction_pri(CompactionPri::MinOverlappingRatio);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_background_jobs(2);
    options.set_write_buffer_size(64 << 20);
    options
}

impl Engine for RocksDb {
    fn name(&self) -> &'static str {
        names::ROCKSDB
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "RocksDB 11.8.1 (crate 0.25.0): the wiki's settings, LZ4, 16 KiB blocks, bloom 10 bits, LRU cache 256 MiB with index \
         and filter, memtables 64 MiB, 2 background jobs; durable: WriteBatch with sync (fdatasync, its own group commit)"
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Store>> {
        let db = DB::open(&options(), folder)?;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Box::new(Opened { db, synced }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut writes = WriteBatch::default();
        for pair in batch {
            writes.put(pair.key, pair.value);
        }
        Ok(self.db.write_opt(writes, &self.synced)?)
    }
}
