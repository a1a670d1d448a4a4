//! What an owner may choose.

use stemedb_core::{AuthorityPolicy, SignaturePolicy};
use stemedb_env::Env;
use stemedb_hybrid::HybridOptions;

/// Options of a [`Database`](super::Database). None of them is stored.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Which signatures records must carry.
    pub signatures: SignaturePolicy,
    /// Whether a claim is protected from supersessions by a lower class than its own.
    pub supersession_authority: AuthorityPolicy,
    /// Sizes of the engine's parts.
    pub engine: HybridOptions,
    /// Files, clock, randomness and background tasks.
    pub env: Env,
}

impl Default for DatabaseOptions {
    fn default() -> DatabaseOptions {
        DatabaseOptions {
            signatures: SignaturePolicy::default(),
            supersession_authority: AuthorityPolicy::default(),
            engine: HybridOptions::default(),
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
