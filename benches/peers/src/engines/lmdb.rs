//! LMDB with its default flags.

use std::path::Path;

use heed::{
    CommitOrAbort, CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, WithTls, types::Bytes,
};

use super::names;
use crate::engine::{Engine, Kind, Pair, Reader, Result, Setting, Store, Tally, touch};

/// Address space, not memory or disk: LMDB cannot grow beyond its map.
const MAP_BYTES: usize = 64 << 30;

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct Lmdb;

struct Opened {
    env: Env<WithTls>,
    entries: Database<'static, Bytes, Bytes>,
}

struct View<'a> {
    store: &'a Opened,
    /// LMDB allows one reading transaction per thread: it is ended before the next one begins.
    transaction: Option<RoTxn<'a, WithTls>>,
}

impl Engine for Lmdb {
    fn name(&self) -> &'static str {
        names::LMDB
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "LMDB 0.9.70 (heed 0.23.1): default flags, map 64 GiB, no cache of its own, NO_READ_AHEAD for cold reads, NO_SYNC \
         where nobody syncs; durable: a plain commit (fdatasync, then the meta page through O_DSYNC: two flushes), one write \
         transaction at a time; compaction: a copy with CompactionOption::Enabled"
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        let mut flags = EnvFlags::empty();
        if !setting.durable {
            flags |= EnvFlags::NO_SYNC;
        }
        if setting.cold {
            flags |= EnvFlags::NO_READ_AHEAD;
        }
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES);
        // SAFETY: the map is sound while nobody else changes the file, and the folder is this process's own. NO_SYNC risks
        // the data in a power cut, which is what was asked for, not the memory.
        #[allow(unsafe_code)]
        let env = unsafe { options.flags(flags).open(folder)? };
        let transaction = env.write_txn()?;
        let entries = env
            .create_databases_and_commit(transaction, |opener, transaction| -> heed::Result<_> {
                let unnamed = opener.create_database::<Bytes, Bytes>(transaction, None)?;
                Ok(CommitOrAbort::<_, ()>::Commit(unnamed))
            })?
            .commit()
            .ok_or("the database was not created")?;
        Ok(Box::new(Opened { env, entries }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for pair in batch {
            self.entries.put(&mut transaction, pair.key, pair.value)?;
        }
        Ok(transaction.commit()?)
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for key in keys {
            self.entries.delete(&mut transaction, key)?;
        }
        Ok(transaction.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { store: self, transaction: Some(self.env.read_txn()?) }))
    }

    fn persist(&self) -> Result<()> {
        self.flush()
    }

    fn flush(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn compact(&mut self) -> Result<bool> {
        // Readers and writers keep the old file; the copy takes its place when the store is closed, which nobody waits for.
        let copy = self.env.path().join("compacted");
        self.env.copy_to_path(&copy, CompactionOption::Enabled)?.sync_all()?;
        std::fs::rename(copy, self.env.path().join("data.mdb"))?;
        Ok(true)
    }
}

impl<'a> View<'a> {
    fn transaction(&self) -> Result<&RoTxn<'a, WithTls>> {
        Ok(self.transaction.as_ref().ok_or("LMDB refused a transaction before")?)
    }
}

impl Reader for View<'_> {
    fn renew(&mut self) -> Result<()> {
        self.transaction = None;
        self.transaction = Some(self.store.env.read_txn()?);
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.store.entries.get(self.transaction()?, key)?.map(touch))
    }

    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally> {
        let mut tally = Tally::default();
        if prefix.is_empty() {
            for row in self.store.entries.iter(self.transaction()?)?.take(limit as usize) {
                let (key, value) = row?;
                tally.add(key, value);
            }
        } else {
            for row in self.store.entries.prefix_iter(self.transaction()?, prefix)?.take(limit as usize) {
                let (key, value) = row?;
                tally.add(key, value);
            }
        }
        Ok(tally)
    }
}
