//! SQLite with a write-ahead log.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::names;
use crate::engine::{Engine, Kind, Pair, Reader, Result, Setting, Store, Tally, touch};

const PAGE_BYTES: usize = 4 << 10;
/// The log is checkpointed into the database when it has grown to this.
const CHECKPOINT_BYTES: usize = 64 << 20;
const SYNCHRONOUS_NORMAL: i64 = 1;
const SYNCHRONOUS_FULL: i64 = 2;
const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
const INSERT: &str = "INSERT OR REPLACE INTO entries (key, value) VALUES (?1, ?2)";
const DELETE: &str = "DELETE FROM entries WHERE key = ?1";
const GET: &str = "SELECT value FROM entries WHERE key = ?1";
const SCAN: &str = "SELECT key, value FROM entries ORDER BY key LIMIT ?1";
const SCAN_RANGE: &str = "SELECT key, value FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";

/// The contender. SQLite has one writer at a time anyway: one connection behind a mutex is faster than connections that
/// meet `SQLITE_BUSY` and sleep. Each reading thread has a connection of its own, with half of the cache: two read at most.
#[derive(Clone, Copy, Debug)]
pub struct Sqlite;

struct Opened {
    writer: Mutex<Connection>,
    path: PathBuf,
    cache_bytes: usize,
}

struct View {
    connection: Connection,
}

fn set_cache(connection: &Connection, bytes: usize) -> Result<()> {
    // Negative: KiB instead of pages.
    Ok(connection.pragma_update(None, "cache_size", -((bytes >> 10) as i64))?)
}

impl Engine for Sqlite {
    fn name(&self) -> &'static str {
        names::SQLITE
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn configuration(&self) -> &'static str {
        "SQLite 3.54.1 (rusqlite 0.43.0, bundled): WAL, 4 KiB pages, WITHOUT ROWID, checkpoint at 64 MiB, prepared statements, \
         one writing connection behind a mutex, a connection per reader; synchronous=NORMAL where nobody syncs; durable: \
         synchronous=FULL (fsync of the WAL)"
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        let path = folder.join("entries.sqlite");
        let connection = Connection::open(&path)?;
        let wanted = if setting.durable { SYNCHRONOUS_FULL } else { SYNCHRONOUS_NORMAL };
        connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", wanted)?;
        connection.pragma_update(None, "wal_autocheckpoint", (CHECKPOINT_BYTES / PAGE_BYTES) as i64)?;
        set_cache(&connection, setting.cache_bytes)?;
        connection.execute(CREATE, ())?;

        // SQLite keeps silent about a setting that it does not take.
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        if mode != "wal" || synchronous != wanted {
            return Err(format!("SQLite runs with journal_mode={mode}, synchronous={synchronous}").into());
        }
        Ok(Box::new(Opened { writer: Mutex::new(connection), path, cache_bytes: setting.cache_bytes }))
    }
}

impl Opened {
    /// Runs one statement for each of several rows, in one transaction.
    fn transact(
        &self,
        sql: &str,
        mut each: impl FnMut(&mut rusqlite::CachedStatement<'_>) -> Result<()>,
    ) -> Result<()> {
        // A writer that panicked rolled its transaction back.
        let mut connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        each(&mut transaction.prepare_cached(sql)?)?;
        Ok(transaction.commit()?)
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        if let [pair] = batch {
            // A statement alone is a transaction of its own.
            let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            connection.prepare_cached(INSERT)?.execute((pair.key, pair.value))?;
            return Ok(());
        }
        self.transact(INSERT, |insert| {
            for pair in batch {
                insert.execute((pair.key, pair.value))?;
            }
            Ok(())
        })
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        self.transact(DELETE, |delete| {
            for key in keys {
                delete.execute((key,))?;
            }
            Ok(())
        })
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        set_cache(&connection, self.cache_bytes / 2)?;
        connection.execute_batch("BEGIN")?;
        Ok(Box::new(View { connection }))
    }

    fn flush(&self) -> Result<()> {
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        Ok(())
    }

    fn compact(&mut self) -> Result<bool> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).execute_batch("VACUUM")?;
        self.flush()?;
        Ok(true)
    }
}

impl View {
    fn lookup(&mut self, key: &[u8]) -> Result<Option<u64>> {
        let mut get = self.connection.prepare_cached(GET)?;
        Ok(get.query_row((key,), |row| Ok(touch(row.get_ref(0)?.as_blob()?))).optional()?)
    }
}

impl Reader for View {
    fn renew(&mut self) -> Result<()> {
        if !self.connection.is_autocommit() {
            self.connection.prepare_cached("COMMIT")?.execute(())?;
        }
        self.connection.prepare_cached("BEGIN")?.execute(())?;
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        self.lookup(key)
    }

    fn get_fresh(&mut self, key: &[u8]) -> Result<Option<u64>> {
        if !self.connection.is_autocommit() {
            self.connection.prepare_cached("COMMIT")?.execute(())?;
        }
        // A statement outside of a transaction has a view of its own.
        self.lookup(key)
    }

    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut tally = Tally::default();
        let mut statement;
        let mut rows = match super::successor(prefix) {
            Some(end) => {
                statement = self.connection.prepare_cached(SCAN_RANGE)?;
                statement.query((prefix, end, limit))?
            }
            None => {
                statement = self.connection.prepare_cached(SCAN)?;
                statement.query((limit,))?
            }
        };
        while let Some(row) = rows.next()? {
            tally.add(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
        }
        Ok(tally)
    }
}
