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
            engine: HybridOptions::default(),
            conflict_board_bytes: 64 << 20,
            env: Env::real(),
        }
    }
}

impl DatabaseOptions {
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
