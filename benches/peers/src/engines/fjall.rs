//! fjall with its defaults and a larger cache, in both of its durable modes.

use std::{path::Path, thread, time::Duration};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::names;
use crate::engine::{Engine, Kind, Pair, Reader, Result, Setting, Store, Tally, touch};

/// The contender. `SyncAll` is `fsync`; `SyncData` is `fdatasync`, which also survives a power cut, because fjall sets the
/// size of its journal file when it makes it. What counts as fjall's figure is the better of the two.
#[derive(Clone, Copy, Debug)]
pub struct Fjall {
    name: &'static str,
    mode: PersistMode,
}

impl Fjall {
    /// Commits with `SyncAll`.
    pub fn sync_all() -> Fjall {
        Fjall { name: names::FJALL, mode: PersistMode::SyncAll }
    }

    /// Commits with `SyncData`.
    pub fn sync_data() -> Fjall {
        Fjall { name: names::FJALL_DATA, mode: PersistMode::SyncData }
    }

    /// Under its plain name, where it takes part in one mode only.
    pub fn as_store(self) -> Fjall {
        Fjall { name: names::FJALL, ..self }
    }
}

struct Opened {
    db: Database,
    keyspace: Keyspace,
    /// How a batch is made durable; `None`: not at all, it goes to the page cache.
    mode: Option<PersistMode>,
}

struct View<'a> {
    store: &'a Opened,
    snapshot: Snapshot,
}

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        match self.mode {
            PersistMode::SyncData => {
                "fjall 3.1.13: defaults; durable: batch with SyncData (fdatasync under the journal's lock)"
            }
            _ => "fjall 3.1.13: defaults; durable: batch with SyncAll (fsync under the journal's lock)",
        }
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        let db = Database::builder(folder.join("fjall")).cache_size(setting.cache_bytes as u64).open()?;
        let memtable_bytes = setting.memtable_bytes as u64;
        let keyspace =
            db.keyspace("entries", || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes))?;
        Ok(Box::new(Opened { db, keyspace, mode: setting.durable.then_some(self.mode) }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut writes = self.db.batch().durability(self.mode);
        for pair in batch {
            writes.insert(&self.keyspace, pair.key, pair.value);
        }
        Ok(writes.commit()?)
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        let mut writes = self.db.batch().durability(self.mode);
        for key in keys {
            writes.remove(&self.keyspace, *key);
        }
        Ok(writes.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { store: self, snapshot: self.db.snapshot() }))
    }

    fn persist(&self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn flush(&self) -> Result<()> {
        Ok(self.keyspace.rotate_memtable_and_wait()?)
    }

    fn compact(&mut self) -> Result<bool> {
        self.keyspace.major_compact()?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        while self.db.outstanding_flushes() > 0 || self.db.active_compactions() > 0 {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Reader for View<'_> {
    fn renew(&mut self) -> Result<()> {
        self.snapshot = self.store.db.snapshot();
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.snapshot.get(&self.store.keyspace, key)?.map(|value| touch(&value)))
    }

    fn get_fresh(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.store.keyspace.get(key)?.map(|value| touch(&value)))
    }

    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally> {
        let mut tally = Tally::default();
        let keyspace = &self.store.keyspace;
        let rows = if prefix.is_empty() {
            self.snapshot.iter(keyspace)
        } else {
            self.snapshot.prefix(keyspace, prefix)
        };
        for row in rows.take(limit as usize) {
            let (key, value) = row.into_inner()?;
            tally.add(&key, &value);
        }
        Ok(tally)
    }
}
