//! redb with its defaults.

use std::path::Path;

use redb::{Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::names;
use crate::engine::{Engine, Kind, Pair, Reader, Result, Setting, Store, Tally, touch};

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct Redb;

struct Opened {
    db: Database,
    durability: Durability,
}

struct View<'a> {
    db: &'a Database,
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

fn table(db: &Database) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>> {
    Ok(db.begin_read()?.open_table(ENTRIES)?)
}

impl Engine for Redb {
    fn name(&self) -> &'static str {
        names::REDB
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "redb 4.6.0: defaults (4 KiB pages, checksums, one-phase commit), Durability::None where nobody syncs; durable: \
         Durability::Immediate, one write transaction at a time"
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        let db = Builder::new().set_cache_size(setting.cache_bytes).create(folder.join("entries.redb"))?;
        let durability = if setting.durable { Durability::Immediate } else { Durability::None };
        let opened = Opened { db, durability };
        // The table must exist before anyone reads it.
        if table(&opened.db).is_err() {
            opened.write(Durability::Immediate, &[], &[])?;
        }
        Ok(Box::new(opened))
    }
}

impl Opened {
    fn write(&self, durability: Durability, batch: &[Pair<'_>], removed: &[&[u8]]) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for pair in batch {
                table.insert(pair.key, pair.value)?;
            }
            for key in removed {
                table.remove(*key)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        self.write(self.durability, batch, &[])
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        self.write(self.durability, &[], keys)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { db: &self.db, table: table(&self.db)? }))
    }

    fn persist(&self) -> Result<()> {
        // Unsynced commits become durable with the next synced one, and are lost with the process without it.
        self.write(Durability::Immediate, &[], &[])
    }

    fn flush(&self) -> Result<()> {
        self.persist()
    }

    fn compact(&mut self) -> Result<bool> {
        self.db.compact()?;
        Ok(true)
    }
}

impl Reader for View<'_> {
    fn renew(&mut self) -> Result<()> {
        self.table = table(self.db)?;
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.table.get(key)?.map(|value| touch(value.value())))
    }

    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally> {
        let mut tally = Tally::default();
        let end = super::successor(prefix);
        let rows = match &end {
            Some(end) => self.table.range(prefix..end.as_slice())?,
            None => self.table.range(prefix..)?,
        };
        for row in rows.take(limit as usize) {
            let (key, value) = row?;
            tally.add(key.value(), value.value());
        }
        Ok(tally)
    }
}
