//! What an owner may choose.

use stemedb_core::SignaturePolicy;
use stemedb_env::Env;
use stemedb_hybrid::HybridOptions;

/// Options of a [`Database`](super::Database). None of them is stored.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Which signatures records must carry.
    pub signatures: SignaturePolicy,
    /// Sizes of the engine's parts.
    pub engine: HybridOptions,
    /// Files, clock, randomness and background tasks.
    pub env: Env,
}

impl Default for DatabaseOptions {
    fn default() -> DatabaseOptions {
        DatabaseOptions {
            signatures: SignaturePolicy::default(),
            engine: HybridOptions::default(),
            env: Env::real(),
        }
    }
}

impl DatabaseOptions {
    /// Divides `bytes` between the cache of blocks and the memtables (at least 8 MiB altogether): half each.
    ///
    /// A budget for what grows with use; indexes and filters of tables come on top, about 2 % of the data.
    #[must_use]
    pub fn with_memory_budget(mut self, bytes: u64) -> DatabaseOptions {
        let bytes = bytes.max(8 << 20);
        let lsm = &mut self.engine.lsm;
        lsm.block_cache_bytes = bytes / 2;
        // The active one and those that wait for their flush.
        let memtables = lsm.max_sealed_memtables as u64 + 1;
        lsm.memtable_bytes = usize::try_from(bytes / 2 / memtables).unwrap_or(usize::MAX);
        self
    }
}
