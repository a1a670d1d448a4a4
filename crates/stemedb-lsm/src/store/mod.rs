//! The tree itself: what ties memtables, tables, manifest and background jobs together.
//!
//! ```text
//! apply ─▶ active memtable ─seal─▶ sealed ─flush job─▶ level 0 ─compaction job─▶ levels 1…6
//!              │                     │                    │
//!              └────── State (active, sealed, Version): one pointer, swapped as a whole ──▶ snapshots
//! ```

mod admission;
mod attach;
mod check;
mod checkpoint;
mod closing;
mod core;
mod evidence;
mod files;
mod flush;
mod ingest;
mod multi_get;
mod open;
mod place;
mod recover;
mod repair;
mod replace;
mod replay;
mod rescan;
mod room;
mod snapshot;
mod write;

use std::{path::Path, sync::Arc, time::Duration};

pub use self::{admission::DelayCause, files::Damage, snapshot::LsmSnapshot};
pub(crate) use self::{
    core::{Change, Core, State},
    files::{DEAD_ROWS_WORTH_NOTING, DamageList, DenseTables, Graveyard},
    snapshot::SnapshotInner,
};
pub use self::{
    ingest::{Ingested, RowIter, Versions},
    recover::{AsideReason, RecoveredManifest, RecoveryBasis},
    replay::Replay,
};
use parking_lot::Mutex;
use stemedb_env::{Env, Lsn, frame::DatabaseId};

use crate::{
    DerivedBy, KeyRange, KvStore, LsmOptions, Result, Value, WriteBatch,
    compaction::{CompactionProgress, Pressure},
    stats::{LevelStats, Stats},
    version::LAST_LEVEL,
};

/// An LSM tree in a folder. See the crate's documentation.
///
/// It must be the only one on its folder: whoever owns the database's lock file sees to that. Dropping it stops the
/// background jobs; what was not flushed is gone and must be replayed from [`KvStore::flushed_lsn`] on.
#[derive(Debug)]
pub struct LsmStore {
    core: Arc<Core>,
    /// Serialises repairs.
    repairing: Mutex<()>,
}

impl LsmStore {
    /// Makes an empty tree in `dir`, which must not hold one; missing folders are created.
    pub fn create(env: Env, dir: &Path, database: DatabaseId, options: LsmOptions) -> Result<LsmStore> {
        LsmStore::start(open::create(env, dir, database, options, 1)?)
    }

    /// Opens the tree in `dir`.
    ///
    /// Fails if the manifest cannot be read or is older than the tables: see [`LsmStore::recover`]. A missing or damaged table does not make it fail: reads that touch the
    /// table return [`crate::Error::Corruption`], [`LsmStore::damaged`] lists it, and [`crate::TableRepair`] heals it.
    /// Cost: the manifest and one directory listing, independent of the size of the data.
    pub fn open(env: Env, dir: &Path, database: DatabaseId, options: LsmOptions) -> Result<LsmStore> {
        LsmStore::start(open::open(env, dir, database, options)?)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn shared_core(&self) -> &Arc<Core> {
        &self.core
    }

    fn start(core: Core) -> Result<LsmStore> {
        let core = Arc::new(core);
        let store = LsmStore { core: Arc::clone(&core), repairing: Mutex::new(()) };
        core.refresh_debt();
        core.start_jobs()?;
        Ok(store)
    }

    /// Makes a second tree in `dir`, which must be empty or not exist, of everything published so far; returns the LSN up to
    /// which it goes. Reads and writes go on meanwhile.
    ///
    /// The second tree is made of hard links: it costs a flush, one link per table and three syncs, no room, and stays as it
    /// is whatever becomes of this one. On another file system the tables are copied instead. It can be opened at once. If this
    /// is cut short the folder holds no tree; it must be emptied before another try.
    ///
    /// Errors: [`crate::Error::Corruption`] for tables that are missing, which count as damaged from then on.
    pub fn checkpoint(&self, dir: &Path) -> Result<Lsn> {
        self.core.checkpoint(dir)
    }

    /// Stops the background jobs and waits for the step in progress. Does not flush.
    pub fn close(self) {
        self.core.stop_jobs();
    }

    /// Which versions of the deriving function its rows come from.
    pub fn derived_by(&self) -> DerivedBy {
        DerivedBy::of(&self.core.options)
    }

    /// Tables known to be damaged, by file number.
    pub fn damaged(&self) -> Vec<(u64, Damage)> {
        let mut damaged = self.core.context.damage.list();
        // Readers of an old version may still stumble over a table that has been replaced.
        let state = self.core.state();
        damaged.retain(|(file, _)| state.version.tables().any(|(_, table)| table.meta.file == *file));
        damaged
    }

    /// Bytes that automatic compaction has to merge now; see [`Stats::pending_compaction_bytes`].
    pub fn pending_compaction_bytes(&self) -> u64 {
        self.core.debt_bytes()
    }

    /// Merges the tables of a key range into last runs, with everything that is above them; returns when that is done and
    /// the replaced files are gone, except those that a snapshot still reads. Neighbouring keys are merged along: whole
    /// columns of the tree are. Flushes first.
    ///
    /// With `force` also tables that are in shape are written anew. `progress` is called now and then from this thread.
    ///
    /// Errors: that of the flush or of the compaction; [`crate::Error::Corruption`] if the range meets a damaged table.
    pub fn compact_range(
        &self,
        range: &KeyRange,
        force: bool,
        progress: &dyn Fn(CompactionProgress),
    ) -> Result<()> {
        self.core.flush()?;
        self.core.compact_range(range, force, progress, &|| false).map(drop)
    }

    /// As [`LsmStore::compact_range`], but waits only until `is_stopped` says so, which is asked at least every few hundred
    /// milliseconds. False if it did: then the compaction goes on by itself, or ends without a trace when the tree is closed.
    pub fn compact_range_until(
        &self,
        range: &KeyRange,
        force: bool,
        progress: &dyn Fn(CompactionProgress),
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<bool> {
        self.core.flush()?;
        self.core.compact_range(range, force, progress, is_stopped)
    }

    /// Counts and sizes. Cost: a walk over the list of tables.
    pub fn stats(&self) -> Stats {
        let core = &self.core;
        let state = core.state();
        let version = &state.version;
        let counters = &core.context.counters;
        let applied = counters.applied_bytes.get();
        let rewritten = counters.flush_bytes.get() + counters.compaction_bytes.get();
        let above = version.level_bytes(LAST_LEVEL) / core.options.last_run_ratio.max(1);
        let memory = core.context.memory.ledger().stats(
            state.active.held_bytes() as u64,
            state.sealed.iter().map(|memtable| memtable.held_bytes() as u64).sum(),
        );
        let level = |level: usize| LevelStats {
            files: if level == 0 { version.l0.len() } else { version.level(level).len() },
            bytes: version.level_bytes(level),
            target_bytes: if (1..LAST_LEVEL).contains(&level) { above } else { 0 },
        };
        Stats {
            sst_file_count: version.file_count(),
            total_bytes: version.total_bytes(),
            pending_compaction_bytes: core.debt_bytes(),
            auto_compaction: core.options.enable_auto_compaction,
            memory,
            index_memory_bytes: memory.table_bytes,
            cache_memory_bytes: memory.cached_bytes,
            memtable_bytes: state.memtables().map(|memtable| memtable.bytes() as u64).sum(),
            sealed_memtables: state.sealed.len(),
            cache_hits: counters.cache_hits.get(),
            cache_misses: counters.cache_misses.get(),
            block_reads: counters.block_reads.get(),
            filter_useful: counters.filter_useful.get(),
            filter_false_positives: counters.filter_false_positives.get(),
            applied_bytes: applied,
            flush_bytes: counters.flush_bytes.get(),
            compaction_bytes: counters.compaction_bytes.get(),
            compaction_read_bytes: counters.compaction_read_bytes.get(),
            write_amplification: if applied == 0 { 0.0 } else { rewritten as f64 / applied as f64 },
            flushes: counters.flushes.get(),
            compactions: counters.compactions.get(),
            moves: counters.moves.get(),
            compaction_time: Duration::from_micros(counters.compaction_us.sum()),
            compaction_buckets: counters.compaction_us.buckets(),
            recent_compactions: core.recent_compactions(),
            apply_waits: counters.apply_waits.get(),
            apply_wait_time: Duration::from_micros(counters.apply_wait_us.get()),
            apply_delays: core.apply_delays(),
            load_score: core.load().score().0 as f64 / 1000.0,
            compaction_rate: core.pressure.rate(),
            commit_sync: Duration::from_micros(core.pressure.sync_us().0),
            lone_commit_sync: Duration::from_micros(core.pressure.sync_us().1),
            damaged_tables: self.damaged().len(),
            healed_blocks: counters.healed_blocks.get(),
            failed_healings: counters.failed_healings.get(),
            levels: (0..=LAST_LEVEL).map(level).collect(),
        }
    }
}

impl Drop for LsmStore {
    fn drop(&mut self) {
        self.core.stop_jobs();
    }
}

impl KvStore for LsmStore {
    type Snapshot = LsmSnapshot;

    fn apply(&self, batch: &WriteBatch, lsn: Lsn) -> Result<()> {
        self.core.apply(batch, lsn)
    }

    fn publish(&self, lsn: Lsn) {
        self.core.publish(lsn);
    }

    fn abandon(&self) -> Result<()> {
        self.core.abandon();
        Ok(())
    }

    fn published_lsn(&self) -> Lsn {
        self.core.published_lsn()
    }

    fn flushed_lsn(&self) -> Lsn {
        self.core.flushed_lsn()
    }

    fn snapshot(&self) -> LsmSnapshot {
        LsmSnapshot::newest(&self.core)
    }

    // Without the cost of making a snapshot.
    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        snapshot::get_newest(&self.core, key)
    }

    fn snapshot_at(&self, lsn: Lsn) -> Result<LsmSnapshot> {
        LsmSnapshot::at(&self.core, lsn)
    }

    fn flush(&self) -> Result<Lsn> {
        self.core.flush()
    }

    fn compact(&self) -> Result<()> {
        self.compact_range(&KeyRange::all(), false, &|_| {})
    }

    fn verify(&self) -> Result<u64> {
        self.core.verify()
    }

    fn pressure(&self) -> Option<Arc<Pressure>> {
        Some(Arc::clone(&self.core.pressure))
    }

    fn room_needed(&self) -> u64 {
        self.core.room_needed()
    }

    fn begin_flush(&self) {
        self.core.begin_flush();
    }

    fn retry_background(&self) {
        self.core.retry_background();
    }
}
