//! What an owner may choose about a tree.

use std::time::Duration;

/// Says how many leading bytes of a key are its declared prefix; 0 = none.
///
/// It must depend on those bytes alone: for every key `k` with declared prefix length `d > 0`, every byte string that
/// starts with `k[..d]` must have declared length `d` too. Otherwise prefix filters would rule out rows that exist.
pub type PrefixExtractor = fn(&[u8]) -> usize;

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4: decompressed at several GB/s.
    Lz4,
    /// Zstandard at this level: -7 to -1 are fast, 1 to 22 ever smaller and slower to write. 7 % smaller than LZ4 at -1, at
    /// less than half of its speed of decompression.
    Zstd(i32),
}

/// Options of a tree. None of them is stored: a tree may be reopened with others.
#[derive(Clone, Debug)]
pub struct LsmOptions {
    /// What the tree may hold in memory, all together: memtables, indexes and filters of its tables, cached blocks, buffers
    /// of flushes, compactions and scans. 320 MiB unless told otherwise.
    ///
    /// Memtables get at most five eighths; the cache of blocks gets whatever the others leave, at least a sixteenth, and
    /// shrinks when they grow. Near the budget memtables are sealed early. See [`crate::Stats::memory`] for what is held,
    /// and `docs/design/lsm.md` for what can exceed it: indexes and filters of a tree many times as large (about 2 % of
    /// the data), a single batch as large as a memtable's share, and what snapshots, cursors and pinned values keep. Less
    /// than about 4 MiB is refused: [`crate::Error::MemoryBudget`].
    pub memory_bytes: u64,
    /// A memtable is sealed before a batch that would make it an eighth larger than this, and at the latest at the first
    /// batch boundary after it has grown to this; earlier where the budget is tight. Its memory grows with its rows, from
    /// 64 KiB on; as much again is kept for the next one when it is gone.
    pub memtable_bytes: usize,
    /// Sealed memtables that may wait for their flush before `apply` waits too.
    pub max_sealed_memtables: usize,
    /// Target size of an uncompressed data block in the upper levels; the last level uses twice as much.
    pub block_bytes: usize,
    /// Bound of the cache of decompressed blocks, below what the budget leaves to it. No bound unless told otherwise.
    pub block_cache_bytes: u64,
    /// Target size of a table; doubled as often as needed to keep the number of files below about a hundred.
    pub target_table_bytes: u64,
    /// Level-0 tables that start a compaction. At six times as many, writers wait; see [`crate::DelayCause::Level0`].
    pub l0_trigger: usize,
    /// Bytes of level 0 at which a compaction starts even if it has fewer tables than [`LsmOptions::l0_trigger`].
    pub compaction_trigger_bytes: u64,
    /// Runs that may lie above the last run of a column before they are merged with each other; 1 to 4.
    pub upper_runs: usize,
    /// A column is merged into its last run when the runs above hold this part of its data: 2 means a half. Greater
    /// numbers write more and keep fewer versions that newer ones hide.
    pub last_run_ratio: u64,
    /// Bits per key of the filters of the upper levels; the last level uses ten at most.
    pub bloom_bits_per_key: u32,
    /// How blocks of the last level are compressed, where that saves at least an eighth.
    pub compression: Compression,
    /// Declared prefixes of keys, for filters that rule out tables in prefix scans.
    pub prefix_extractor: Option<PrefixExtractor>,
    /// Compacts on its own. Without it tables are merged on request alone, and writers do not wait for compaction.
    pub enable_auto_compaction: bool,
    /// After this long without a write the tree is merged towards one run, as far as that is cheap; zero = never.
    pub idle_after: Duration,
    /// Room on the disk that is kept in the file `RESERVE`, and given up when the disk is full, so that compaction can
    /// make room. Only when the tree is 16 times as large. 0 = none.
    pub reserve_bytes: u64,
    /// Recorded in the manifest and in every table: the version of the function that derives rows from the journal; 0 where
    /// there are no versions. A tree of another version is not opened: [`crate::Error::OtherDerivation`].
    pub derivation_version: u32,
    /// Opens a tree of [`LsmOptions::derivation_version`] although the rows that are applied from now on come from this newer
    /// version, and writes that down. Such a tree is healed by nobody. `None`: rows of one version alone.
    pub mixed_with: Option<u32>,
}

impl Default for LsmOptions {
    fn default() -> LsmOptions {
        LsmOptions {
            memory_bytes: 320 << 20,
            memtable_bytes: 64 << 20,
            max_sealed_memtables: 2,
            block_bytes: 4 << 10,
            block_cache_bytes: u64::MAX,
            target_table_bytes: 32 << 20,
            l0_trigger: 4,
            compaction_trigger_bytes: 1 << 30,
            upper_runs: 3,
            last_run_ratio: 2,
            bloom_bits_per_key: 14,
            compression: Compression::Zstd(-1),
            prefix_extractor: None,
            enable_auto_compaction: true,
            idle_after: Duration::from_millis(1500),
            reserve_bytes: 64 << 20,
            derivation_version: 0,
            mixed_with: None,
        }
    }
}

impl LsmOptions {
    /// Sizes so small that a few dozen operations reach every level. For tests.
    pub fn tiny() -> LsmOptions {
        LsmOptions {
            memtable_bytes: 2 << 10,
            block_bytes: 256,
            block_cache_bytes: 16 << 10,
            target_table_bytes: 4 << 10,
            l0_trigger: 2,
            reserve_bytes: 0,
            ..LsmOptions::default()
        }
    }
}
