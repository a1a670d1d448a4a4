//! What an owner may choose about a tree.

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
    /// Zstandard at this level (1 to 22): smaller, and several times slower to read from disk.
    Zstd(i32),
}

/// Options of a tree. None of them is stored: a tree may be reopened with others.
#[derive(Clone, Debug)]
pub struct LsmOptions {
    /// A memtable is sealed at the first batch boundary after it has grown to this. Its memory grows with its rows, from
    /// 64 KiB on; as much again is kept for the next one when it is gone.
    pub memtable_bytes: usize,
    /// Sealed memtables that may wait for their flush before `apply` waits too.
    pub max_sealed_memtables: usize,
    /// Target size of an uncompressed data block in the upper levels; the last level uses twice as much.
    pub block_bytes: usize,
    /// Bound of the cache of decompressed blocks.
    pub block_cache_bytes: u64,
    /// Target size of a table; doubled as often as needed to keep the number of files below about a hundred.
    pub target_table_bytes: u64,
    /// Level-0 tables that start a compaction.
    pub l0_trigger: usize,
    /// Ratio of the sizes of neighbouring levels.
    pub level_fanout: u64,
    /// Bits per key of the filters of the upper levels; the last level uses ten at most.
    pub bloom_bits_per_key: u32,
    /// How blocks of the last level are compressed, where that saves at least an eighth.
    pub compression: Compression,
    /// Declared prefixes of keys, for filters that rule out tables in prefix scans.
    pub prefix_extractor: Option<PrefixExtractor>,
    /// Compacts on its own when a level is over its target.
    pub enable_auto_compaction: bool,
    /// Recorded in every table: the version of the function that derives rows from the journal.
    pub derivation_version: u32,
}

impl Default for LsmOptions {
    fn default() -> LsmOptions {
        LsmOptions {
            memtable_bytes: 64 << 20,
            max_sealed_memtables: 2,
            block_bytes: 4 << 10,
            block_cache_bytes: 64 << 20,
            target_table_bytes: 32 << 20,
            l0_trigger: 4,
            level_fanout: 8,
            bloom_bits_per_key: 14,
            compression: Compression::Lz4,
            prefix_extractor: None,
            enable_auto_compaction: true,
            derivation_version: 0,
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
            level_fanout: 4,
            ..LsmOptions::default()
        }
    }
}
