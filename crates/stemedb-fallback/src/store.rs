//! Writing: batches wait until they are published, and then become one transaction.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};
use stemedb_env::{Env, Lsn, OpenMode, frame::DatabaseId};
use stemedb_lsm::{CorruptionKind, Error, KvStore, Op, Result, WriteBatch};

use crate::{backend::EnvBackend, error::classify, snapshot::RedbSnapshot};

/// Key to LSN (8 bytes, little-endian) and value.
pub(crate) const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
/// Names to numbers: see below.
pub(crate) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// The LSN that the rows have reached.
pub(crate) const REACHED: &str = "reached";
const DATABASE: &str = "database";
const DERIVATION: &str = "derivation";

/// Options of a [`RedbStore`].
#[derive(Clone, Copy, Debug)]
pub struct RedbOptions {
    /// redb's own cache, in bytes.
    pub cache_bytes: usize,
    /// The version of the function that derives rows; a file of another version is not opened.
    pub derivation_version: u32,
}

impl Default for RedbOptions {
    fn default() -> RedbOptions {
        RedbOptions { cache_bytes: 32 << 20, derivation_version: 0 }
    }
}

/// A [`KvStore`] over a redb file.
#[derive(Debug)]
pub struct RedbStore {
    db: Database,
    path: PathBuf,
    writer: Mutex<Writer>,
    /// What can be read, and what survives a crash.
    published: AtomicU64,
    flushed: AtomicU64,
}

#[derive(Debug, Default)]
struct Writer {
    /// Applied and not published.
    waiting: VecDeque<(Lsn, WriteBatch)>,
    /// Why nothing can be written any more.
    failed: Option<String>,
}

impl Writer {
    fn check(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(cause) => Err(Error::ReadOnly { cause: cause.clone() }),
        }
    }
}

impl RedbStore {
    /// The name of the file in its folder.
    pub const FILE: &'static str = "fallback.redb";

    /// The problem of a folder whose store was derived by another version.
    pub const OTHER_DERIVATION: &'static str = "holds a fallback view that was derived by another version";

    /// Creates the store in a folder, which is created too if it is not there.
    ///
    /// Errors: [`Error::Folder`] if there is one already; those of the disk.
    pub fn create(env: &Env, dir: &Path, database: DatabaseId, options: RedbOptions) -> Result<RedbStore> {
        let path = dir.join(RedbStore::FILE);
        env.fs.create_dir(dir)?;
        if let Some(parent) = dir.parent() {
            env.fs.sync_dir(parent)?;
        }
        if env.fs.metadata(&path)?.is_some() {
            return Err(Error::Folder { dir: dir.to_path_buf(), problem: "holds a fallback view already" });
        }
        let file = env.fs.open(&path, OpenMode::CreateNew)?;
        let store = RedbStore::over(EnvBackend::new(file), path, options)?;
        store.transaction(Durability::Immediate, |transaction| {
            transaction.open_table(ROWS)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert(DATABASE, database.0.as_slice())?;
            meta.insert(DERIVATION, options.derivation_version.to_le_bytes().as_slice())?;
            meta.insert(REACHED, 0_u64.to_le_bytes().as_slice())?;
            Ok(())
        })?;
        env.fs.sync_dir(dir)?;
        Ok(store)
    }

    /// Opens the store in a folder. A crash is repaired by redb: the last durable transaction is what is there.
    ///
    /// Errors: [`Error::Folder`] if there is none, if it is that of another database, or one of another derivation;
    /// [`Error::Corruption`].
    pub fn open(env: &Env, dir: &Path, database: DatabaseId, options: RedbOptions) -> Result<RedbStore> {
        let path = dir.join(RedbStore::FILE);
        let refuse = |problem| Error::Folder { dir: dir.to_path_buf(), problem };
        if env.fs.metadata(&path)?.is_none() {
            return Err(refuse("holds no fallback view"));
        }
        let file = env.fs.open(&path, OpenMode::ReadWrite)?;
        let store = RedbStore::over(EnvBackend::new(file), path, options)?;
        let read = |name: &str| -> std::result::Result<Option<Vec<u8>>, redb::Error> {
            let meta = store.db.begin_read()?.open_table(META)?;
            Ok(meta.get(name)?.map(|value| value.value().to_vec()))
        };
        let read = |name: &str| read(name).map_err(|error| classify(&store.path, error));
        if read(DATABASE)?.as_deref() != Some(&database.0[..]) {
            return Err(refuse("holds the fallback view of another database"));
        }
        if read(DERIVATION)?.as_deref() != Some(&options.derivation_version.to_le_bytes()[..]) {
            return Err(refuse(RedbStore::OTHER_DERIVATION));
        }
        let reached = read(REACHED)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let Some(reached) = reached else {
            return Err(Error::Corruption {
                kind: CorruptionKind::BlockFormat,
                file: store.path.clone(),
                offset: 0,
            });
        };
        store.published.store(reached, Ordering::Release);
        store.flushed.store(reached, Ordering::Release);
        Ok(store)
    }

    fn over(backend: EnvBackend, path: PathBuf, options: RedbOptions) -> Result<RedbStore> {
        let db = redb::Builder::new()
            .set_cache_size(options.cache_bytes)
            .create_with_backend(backend)
            .map_err(|error| classify(&path, error.into()))?;
        Ok(RedbStore {
            db,
            path,
            writer: Mutex::default(),
            published: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
        })
    }

    /// Why nothing can be written any more, if so.
    pub fn failure(&self) -> Option<String> {
        self.writer.lock().failed.clone()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn transaction(
        &self,
        durability: Durability,
        write: impl FnOnce(&WriteTransaction) -> std::result::Result<(), redb::Error>,
    ) -> Result<()> {
        let run = || -> std::result::Result<(), redb::Error> {
            let mut transaction = self.db.begin_write()?;
            transaction.set_durability(durability)?;
            write(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        run().map_err(|error| classify(&self.path, error))
    }

    /// Writes what waits, up to an LSN.
    fn write(&self, waiting: &[(Lsn, WriteBatch)], upto: Lsn) -> Result<()> {
        self.transaction(Durability::None, |transaction| {
            let mut rows = transaction.open_table(ROWS)?;
            let mut row = Vec::new();
            for (lsn, batch) in waiting {
                for op in batch.iter() {
                    match op {
                        Op::Put { key, value } => {
                            row.clear();
                            row.extend_from_slice(&lsn.0.to_le_bytes());
                            row.extend_from_slice(value);
                            rows.insert(key, row.as_slice())?;
                        }
                        Op::Delete { key } => drop(rows.remove(key)?),
                        Op::DeleteRange { start, end } if start < end => {
                            rows.retain_in(start..end, |_, _| false)?;
                        }
                        Op::DeleteRange { .. } => {}
                    }
                }
            }
            transaction.open_table(META)?.insert(REACHED, upto.0.to_le_bytes().as_slice())?;
            Ok(())
        })
    }
}

impl KvStore for RedbStore {
    type Snapshot = RedbSnapshot;

    fn apply(&self, batch: &WriteBatch, lsn: Lsn) -> Result<()> {
        let mut writer = self.writer.lock();
        writer.check()?;
        let applied = writer.waiting.back().map_or(self.published_lsn(), |(lsn, _)| *lsn);
        if lsn <= applied {
            return Err(Error::OutOfOrder { lsn, applied });
        }
        writer.waiting.push_back((lsn, batch.clone()));
        Ok(())
    }

    /// A failure is told by the next call that can tell it: rows that could not be written are never taken for written.
    fn publish(&self, lsn: Lsn) {
        let mut writer = self.writer.lock();
        let ready = writer.waiting.partition_point(|(waiting, _)| *waiting <= lsn);
        let ready: Vec<(Lsn, WriteBatch)> = writer.waiting.drain(..ready).collect();
        if writer.failed.is_some() || lsn <= self.published_lsn() {
            return;
        }
        match self.write(&ready, lsn) {
            Ok(()) => self.published.store(lsn.0, Ordering::Release),
            Err(error) => {
                tracing::error!(%lsn, "StorageError: Failed to write to the fallback view: {error}");
                writer.failed = Some(error.to_string());
            }
        }
    }

    fn abandon(&self) -> Result<()> {
        self.writer.lock().waiting.clear();
        Ok(())
    }

    fn published_lsn(&self) -> Lsn {
        Lsn(self.published.load(Ordering::Acquire))
    }

    fn flushed_lsn(&self) -> Lsn {
        Lsn(self.flushed.load(Ordering::Acquire))
    }

    fn snapshot(&self) -> RedbSnapshot {
        RedbSnapshot::new(&self.db, &self.path)
    }

    fn snapshot_at(&self, lsn: Lsn) -> Result<RedbSnapshot> {
        let snapshot = self.snapshot();
        let newest = snapshot.check()?;
        match lsn.cmp(&newest) {
            std::cmp::Ordering::Equal => Ok(snapshot),
            std::cmp::Ordering::Greater => Err(Error::SnapshotTooNew { wanted: lsn, newest }),
            std::cmp::Ordering::Less => Err(Error::SnapshotTooOld { wanted: lsn, oldest: newest }),
        }
    }

    fn flush(&self) -> Result<Lsn> {
        let writer = self.writer.lock();
        writer.check()?;
        let published = self.published_lsn();
        if published > self.flushed_lsn() {
            // An empty durable transaction makes those before it durable.
            self.transaction(Durability::Immediate, |_| Ok(()))?;
            self.flushed.store(published.0, Ordering::Release);
        }
        Ok(published)
    }

    /// redb gives freed pages to later writes by itself.
    fn compact(&self) -> Result<()> {
        self.flush().map(drop)
    }

    fn verify(&self) -> Result<u64> {
        self.snapshot().count()
    }
}
