//! Kinds of stores that can be views: made, opened, filled and given up.

use std::{path::Path, sync::Arc};

use stemedb_env::{Env, Lsn, frame::DatabaseId};
use stemedb_fallback::{RedbOptions, RedbStore};
use stemedb_lsm::{
    BulkLoader, BulkOptions, Damage, DerivedWrite, Error, KvStore, LsmStore, MemStore, Result, TableInfo,
    TableObserver, TableRepair, Versions, WriteBatch, WriteSource,
};

use crate::HybridOptions;

/// Fills a batch with the rows of the next entry; `None` when there is none.
pub type NextBatch<'a> = dyn FnMut(&mut WriteBatch) -> crate::Result<Option<Lsn>> + 'a;

/// A store that the engine can make in a folder, open again, and fill with many entries at once.
///
/// At every moment it must be a whole view of some LSN, also after a crash.
pub trait ViewStore: KvStore + Sized {
    /// Entries on their way into the store.
    type Fill: Default + Send;

    /// Its name in events and logs.
    const KIND: &'static str;

    /// True if a file of this name in its folder is one of its own.
    fn owns(name: &str) -> bool;
    /// True if the folder holds one, whole or not. Cost: one look at a name.
    fn is_in(env: &Env, dir: &Path) -> Result<bool>;
    /// Makes an empty one.
    fn create(env: &Env, dir: &Path, database: DatabaseId, options: &HybridOptions) -> Result<Self>;
    /// Opens the one in the folder.
    fn open(env: &Env, dir: &Path, database: DatabaseId, options: &HybridOptions) -> Result<Self>;

    /// Opens the one in the folder although its list of parts is lost, after [`ViewStore::open`] has failed with `error`; says
    /// what was found. `None` if that is not what is wrong, or not to be mended: then it must be derived again whole.
    fn recover(
        _env: &Env,
        _dir: &Path,
        _database: DatabaseId,
        _options: &HybridOptions,
        _error: &Error,
    ) -> Result<Option<(Self, String)>> {
        Ok(None)
    }

    /// Makes an empty one in the folder that was that of `old`, whose readers may go on.
    fn create_instead_of(
        _old: &Self,
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        options: &HybridOptions,
    ) -> Result<Self> {
        Self::create(env, dir, database, options)
    }

    /// Applies the batches that `next` gives, until there are no more. `next` is given an empty batch to fill.
    fn replay(&self, next: &mut NextBatch<'_>) -> crate::Result<()> {
        let mut rows = WriteBatch::new();
        while let Some(lsn) = next(&mut rows)? {
            self.apply(&rows, lsn)?;
            self.publish(lsn);
            rows.clear();
        }
        Ok(())
    }

    /// Takes an entry's rows, the next LSN each time. Nobody else writes meanwhile. They may become visible at once, or with
    /// [`ViewStore::finish_fill`].
    fn fill(&self, fill: &mut Self::Fill, rows: &WriteBatch, lsn: Lsn) -> Result<()>;
    /// Everything taken is visible, up to `lsn`.
    fn finish_fill(&self, fill: Self::Fill, lsn: Lsn) -> Result<()>;

    /// Stops its background work; reads go on. Idempotent.
    fn stop(&self) {}
    /// Sees to it that reads go on when the folder is moved away.
    fn hold_files(&self) {}
    /// From now on, what cannot be read is derived again from `source`, and `observer` is told of new tables.
    fn heal_from(&self, _source: Arc<dyn WriteSource>, _observer: Arc<dyn TableObserver>) {}
    /// What its background work has failed with.
    fn trouble(&self) -> Option<Error> {
        None
    }

    /// Parts that are known to be damaged.
    fn damaged_parts(&self) -> Vec<(u64, Damage)> {
        Vec::new()
    }
    /// All parts that can be derived again on their own.
    fn parts(&self) -> Vec<TableInfo> {
        Vec::new()
    }
    /// Derives a part again: see [`TableRepair::repair_table`].
    fn repair_part(&self, file: u64, _writes: &mut dyn Iterator<Item = Result<DerivedWrite>>) -> Result<()> {
        Err(Error::RepairMismatch { file, expected: 0, found: 0, digests_match: false })
    }
}

/// A bulk load of the tree, begun with the first row.
#[derive(Debug, Default)]
pub struct TreeFill {
    loader: Option<BulkLoader<'static>>,
}

impl ViewStore for LsmStore {
    type Fill = TreeFill;

    const KIND: &'static str = "the LSM tree";

    fn owns(name: &str) -> bool {
        name == "CURRENT" || name == "RESERVE" || name.starts_with("MANIFEST-") || name.ends_with(".sst")
    }

    fn is_in(env: &Env, dir: &Path) -> Result<bool> {
        LsmStore::is_in(env, dir)
    }

    fn create(env: &Env, dir: &Path, database: DatabaseId, options: &HybridOptions) -> Result<Self> {
        LsmStore::create(env.clone(), dir, database, options.lsm.clone())
    }

    fn open(env: &Env, dir: &Path, database: DatabaseId, options: &HybridOptions) -> Result<Self> {
        LsmStore::open(env.clone(), dir, database, options.lsm.clone())
    }

    fn recover(
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        options: &HybridOptions,
        error: &Error,
    ) -> Result<Option<(Self, String)>> {
        if !error.is_lost_manifest() {
            return Ok(None);
        }
        let (store, found) = LsmStore::recover(env.clone(), dir, database, options.lsm.clone())?;
        let text = format!(
            "{} tables up to entry {} are accepted, {} of them missing; {} files are put aside",
            found.tables.len(),
            found.flushed,
            found.missing.len(),
            found.aside.len()
        );
        Ok(Some((store, text)))
    }

    fn create_instead_of(
        old: &Self,
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        options: &HybridOptions,
    ) -> Result<Self> {
        LsmStore::create_instead_of(old, env.clone(), dir, database, options.lsm.clone())
    }

    fn replay(&self, next: &mut NextBatch<'_>) -> crate::Result<()> {
        let mut rows = WriteBatch::new();
        let mut replay = self.begin_replay();
        while let Some(lsn) = next(&mut rows)? {
            replay.apply(&rows, lsn)?;
            rows.clear();
        }
        replay.finish()?;
        Ok(())
    }

    fn fill(&self, fill: &mut TreeFill, rows: &WriteBatch, lsn: Lsn) -> Result<()> {
        if rows.has_ranges() {
            // A load has rows alone: what came before goes in first.
            if let Some(before) = fill.loader.take() {
                before.finish(lsn.prev())?;
            }
            self.apply(rows, lsn)?;
            self.publish(lsn);
            return Ok(());
        }
        // As much as a memtable may hold, and no version that a flush would have merged.
        let options = BulkOptions { buffer_bytes: usize::MAX, versions: Versions::Newest };
        fill.loader.get_or_insert_with(|| self.owned_bulk_loader(options)).add_batch(rows, lsn)
    }

    fn finish_fill(&self, fill: TreeFill, lsn: Lsn) -> Result<()> {
        match fill.loader {
            Some(loader) => loader.finish(lsn).map(drop),
            None => {
                self.publish(lsn);
                Ok(())
            }
        }
    }

    fn stop(&self) {
        LsmStore::stop(self);
    }

    fn hold_files(&self) {
        let lost = LsmStore::hold_files(self);
        if lost > 0 {
            tracing::warn!(tables = lost, "tables of the view that is given up cannot be read any more");
        }
    }

    fn heal_from(&self, source: Arc<dyn WriteSource>, observer: Arc<dyn TableObserver>) {
        self.attach(source, observer);
    }

    fn trouble(&self) -> Option<Error> {
        self.flush_failure()
    }

    fn damaged_parts(&self) -> Vec<(u64, Damage)> {
        self.damaged()
    }

    fn parts(&self) -> Vec<TableInfo> {
        self.tables()
    }

    fn repair_part(&self, file: u64, writes: &mut dyn Iterator<Item = Result<DerivedWrite>>) -> Result<()> {
        self.repair_table(file, writes)
    }
}

/// Bytes that become one transaction of the fallback view, about.
const TRANSACTION_BYTES: usize = 1 << 20;
/// Transactions between two that are made durable.
const TRANSACTIONS_PER_SYNC: u32 = 32;

/// Rows that wait for their transaction.
#[derive(Debug, Default)]
pub struct TransactionFill {
    bytes: usize,
    transactions: u32,
}

/// Publishes, and says whether that worked: redb tells with the next call.
fn publish_surely<S: KvStore>(store: &S, lsn: Lsn) -> Result<()> {
    store.publish(lsn);
    if store.published_lsn() < lsn {
        // The next call tells why.
        store.flush()?;
        return Err(Error::ReadOnly { cause: format!("entry {lsn} could not be published") });
    }
    Ok(())
}

impl ViewStore for RedbStore {
    type Fill = TransactionFill;

    const KIND: &'static str = "redb";

    fn owns(name: &str) -> bool {
        name == RedbStore::FILE
    }

    fn is_in(env: &Env, dir: &Path) -> Result<bool> {
        Ok(env.fs.metadata(&dir.join(RedbStore::FILE))?.is_some())
    }

    fn create(env: &Env, dir: &Path, database: DatabaseId, options: &HybridOptions) -> Result<Self> {
        RedbStore::create(env, dir, database, redb_options(options))
    }

    fn open(env: &Env, dir: &Path, database: DatabaseId, options: &HybridOptions) -> Result<Self> {
        RedbStore::open(env, dir, database, redb_options(options))
    }

    fn fill(&self, fill: &mut TransactionFill, rows: &WriteBatch, lsn: Lsn) -> Result<()> {
        self.apply(rows, lsn)?;
        fill.bytes += rows.data_bytes();
        if fill.bytes >= TRANSACTION_BYTES {
            fill.bytes = 0;
            publish_surely(self, lsn)?;
            fill.transactions += 1;
            if fill.transactions.is_multiple_of(TRANSACTIONS_PER_SYNC) {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish_fill(&self, _fill: TransactionFill, lsn: Lsn) -> Result<()> {
        if self.published_lsn() < lsn {
            publish_surely(self, lsn)?;
        }
        Ok(())
    }

    fn trouble(&self) -> Option<Error> {
        self.failure().map(|cause| Error::ReadOnly { cause })
    }
}

fn redb_options(options: &HybridOptions) -> RedbOptions {
    RedbOptions {
        cache_bytes: options.fallback_cache_bytes,
        derivation_version: options.lsm.derivation_version,
    }
}

/// For tests: nothing of it survives.
impl ViewStore for MemStore {
    type Fill = ();

    const KIND: &'static str = "memory";

    fn owns(_name: &str) -> bool {
        false
    }

    fn is_in(_env: &Env, _dir: &Path) -> Result<bool> {
        // It cannot be taken away.
        Ok(true)
    }

    fn create(_env: &Env, _dir: &Path, _database: DatabaseId, _options: &HybridOptions) -> Result<Self> {
        Ok(MemStore::new())
    }

    fn open(_env: &Env, dir: &Path, _database: DatabaseId, _options: &HybridOptions) -> Result<Self> {
        Err(Error::Folder { dir: dir.to_path_buf(), problem: "holds no view" })
    }

    fn fill(&self, (): &mut (), rows: &WriteBatch, lsn: Lsn) -> Result<()> {
        self.apply(rows, lsn)?;
        self.publish(lsn);
        Ok(())
    }

    fn finish_fill(&self, (): (), lsn: Lsn) -> Result<()> {
        self.publish(lsn);
        Ok(())
    }
}
