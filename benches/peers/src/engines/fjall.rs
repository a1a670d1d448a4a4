//! fjall with its defaults and a larger cache, in both of its durable modes.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{CACHE_BYTES, names};
use crate::engine::{Engine, Kind, Pair, Result, Store};

/// The contender. `SyncAll` is `fsync`; `SyncData` is `fdatasync`, which also survives a power cut, because fjall sets the
/// size of its journal file when it makes it. What counts as fjall's figure is the better of the two.
#[derive(Clone, Copy, Debug)]
pub struct Fjall {
    mode: PersistMode,
}

impl Fjall {
    /// Commits with `SyncAll`.
    pub fn sync_all() -> Fjall {
        Fjall { mode: PersistMode::SyncAll }
    }

    /// Commits with `SyncData`.
    pub fn sync_data() -> Fjall {
        Fjall { mode: PersistMode::SyncData }
    }
}

struct Opened {
    db: Database,
    keyspace: Keyspace,
    mode: PersistMode,
}

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        match self.mode {
            PersistMode::SyncData => names::FJALL_DATA,
            _ => names::FJALL,
        }
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        match self.mode {
            PersistMode::SyncData => {
                "fjall 3.1.13: defaults, cache 256 MiB; durable: batch with SyncData (fdatasync under the journal's lock)"
            }
            _ => {
                "fjall 3.1.13: defaults, cache 256 MiB; durable: batch with SyncAll (fsync under the journal's lock)"
            }
        }
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Store>> {
        let db = Database::builder(folder.join("fjall")).cache_size(CACHE_BYTES as u64).open()?;
        let keyspace = db.keyspace("entries", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Opened { db, keyspace, mode: self.mode }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut writes = self.db.batch().durability(Some(self.mode));
        for pair in batch {
            writes.insert(&self.keyspace, pair.key, pair.value);
        }
        Ok(writes.commit()?)
    }
}
