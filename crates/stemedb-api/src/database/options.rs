//! What an owner may choose.

use std::sync::Arc;

use stemedb_core::{AuthorityPolicy, SignaturePolicy};
use stemedb_env::Env;
use stemedb_hybrid::HybridOptions;
use stemedb_index::ClaimCache;

/// Options of a [`Database`](super::Database). None of them is stored.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Which signatures records must carry.
    pub signatures: SignaturePolicy,
    /// Whether a claim is protected from supersessions by a lower class than its own.
    pub supersession_authority: AuthorityPolicy,
    /// Sizes of the engine's parts.
    pub engine: HybridOptions,
    /// What questions that were asked before may hold in memory: their candidates, tallies and answers, all together. 0 = nothing
    /// is kept. Comes on top of the view's memory.
    pub cache_bytes: u64,
    /// What the board of conflicts may hold in memory, in bytes: nothing before somebody asks for conflicts. The least
    /// contested questions find no room on one that is too small.
    pub conflict_board_bytes: usize,
    /// Files, clock, randomness and background tasks.
    pub env: Env,
}

impl Default for DatabaseOptions {
    fn default() -> DatabaseOptions {
        DatabaseOptions {
            signatures: SignaturePolicy::default(),
            supersession_authority: AuthorityPolicy::default(),
            engine: HybridOptions::default(),
            cache_bytes: 64 << 20,
            conflict_board_bytes: 64 << 20,
            env: Env::real(),
        }
    }
}

impl DatabaseOptions {
    /// The caches of these options, as an observer of the engine that will be opened with them.
    pub(super) fn caches(&mut self) -> Option<Arc<ClaimCache>> {
        let seed = self.env.random.next_u64();
        let cache = (self.cache_bytes > 0).then(|| Arc::new(ClaimCache::new(self.cache_bytes, seed)))?;
        self.engine.observers.add(Arc::<ClaimCache>::clone(&cache));
        Some(cache)
    }

    /// What the view may hold in memory, all together: see [`stemedb_lsm::LsmOptions::memory_bytes`]. Opening fails if it is
    /// too small to work with.
    ///
    /// What is on its way to the journal comes on top, at most [`stemedb_wal::CommitOptions::queue_bytes`] and one group, and
    /// so do requests and answers.
    #[must_use]
    pub fn with_memory_budget(mut self, bytes: u64) -> DatabaseOptions {
        self.engine.lsm.memory_bytes = bytes;
        self
    }
}
