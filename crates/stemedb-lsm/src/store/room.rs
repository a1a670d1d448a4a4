//! For whoever watches over the disk: what the tree needs of it, and going on when there is room again.

use super::core::Core;
use crate::compaction::FlushState;

impl Core {
    /// Lets the flush that has failed be tried again.
    pub(super) fn forget_flush_failure(&self) {
        self.flush_failure.lock().take();
        self.pressure.set_flushes(FlushState::Works);
    }

    /// See [`crate::KvStore::room_needed`].
    pub(super) fn room_needed(&self) -> u64 {
        let state = self.state();
        let held: u64 = state.memtables().map(|memtable| memtable.bytes() as u64).sum();
        // What comes out of a merge of level 0 is about as large as what is in it and what it meets below.
        let level0 = state.version.level_bytes(0);
        held.saturating_add(level0.saturating_mul(2).min(state.version.total_bytes()))
    }

    /// See [`crate::KvStore::retry_background`].
    pub(super) fn retry_background(&self) {
        self.forget_flush_failure();
        self.wake_flush();
        self.wake_compaction();
    }
}
