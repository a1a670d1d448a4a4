//! redb with its defaults.

use std::path::Path;

use redb::{Builder, Database, Durability, TableDefinition};

use super::{CACHE_BYTES, names};
use crate::engine::{Engine, Kind, Pair, Result, Store};

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct Redb;

struct Opened {
    db: Database,
}

impl Engine for Redb {
    fn name(&self) -> &'static str {
        names::REDB
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "redb 4.6.0: defaults (4 KiB pages, checksums, one-phase commit), cache 256 MiB; durable: Durability::Immediate, one \
         write transaction at a time"
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Store>> {
        let db = Builder::new().set_cache_size(CACHE_BYTES).create(folder.join("entries.redb"))?;
        Ok(Box::new(Opened { db }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for pair in batch {
                table.insert(pair.key, pair.value)?;
            }
        }
        Ok(transaction.commit()?)
    }
}
