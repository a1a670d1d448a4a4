//! SQLite with a write-ahead log.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, TransactionBehavior};

use super::{CACHE_BYTES, names};
use crate::engine::{Engine, Kind, Pair, Result, Store};

const PAGE_BYTES: usize = 4 << 10;
/// The log is checkpointed into the database when it has grown to this.
const CHECKPOINT_BYTES: usize = 64 << 20;
const SYNCHRONOUS_FULL: i64 = 2;
const INSERT: &str = "INSERT OR REPLACE INTO entries (key, value) VALUES (?1, ?2)";

/// The contender. SQLite has one writer at a time anyway: one connection behind a mutex is faster than connections that
/// meet `SQLITE_BUSY` and sleep.
#[derive(Clone, Copy, Debug)]
pub struct Sqlite;

struct Opened {
    writer: Mutex<Connection>,
}

impl Engine for Sqlite {
    fn name(&self) -> &'static str {
        names::SQLITE
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "SQLite 3.54.1 (rusqlite 0.43.0, bundled): WAL, 4 KiB pages, WITHOUT ROWID, cache 256 MiB, checkpoint at 64 MiB, \
         prepared statements, one writing connection behind a mutex; durable: synchronous=FULL (fsync of the WAL)"
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Store>> {
        let connection = Connection::open(folder.join("entries.sqlite"))?;
        connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", (CHECKPOINT_BYTES / PAGE_BYTES) as i64)?;
        // Negative: KiB instead of pages.
        connection.pragma_update(None, "cache_size", -((CACHE_BYTES >> 10) as i64))?;
        connection
            .execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID", ())?;

        // SQLite keeps silent about a setting that it does not take.
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        if mode != "wal" || synchronous != SYNCHRONOUS_FULL {
            return Err(format!("SQLite runs with journal_mode={mode}, synchronous={synchronous}").into());
        }
        Ok(Box::new(Opened { writer: Mutex::new(connection) }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        // A writer that panicked rolled its transaction back.
        let mut connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let [pair] = batch {
            // A statement alone is a transaction of its own.
            connection.prepare_cached(INSERT)?.execute((pair.key, pair.value))?;
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for pair in batch {
                insert.execute((pair.key, pair.value))?;
            }
        }
        Ok(transaction.commit()?)
    }
}
