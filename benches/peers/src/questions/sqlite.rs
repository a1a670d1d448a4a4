//! SQLite: a table of claims clustered by question, indexed by id, source and predicate.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params};
use stemedb_core::{Answer, Lens};

use super::{
    contender::{Asker, ClaimStore, Contender, look},
    data::{Batch, Question},
    sql::{self, ASK, Sorted, Told, columns_of},
};
use crate::engine::{Kind, Result};

const SCHEMA: &str = "
    CREATE TABLE claims (subject TEXT NOT NULL, predicate TEXT NOT NULL, lsn INTEGER NOT NULL, ordinal INTEGER NOT NULL,
        id BLOB NOT NULL, recorded_at INTEGER NOT NULL, kind INTEGER NOT NULL, object TEXT NOT NULL, source TEXT NOT NULL,
        confidence INTEGER, class INTEGER, epoch TEXT, lifecycle INTEGER, valid_from INTEGER, valid_to INTEGER,
        observed_at INTEGER, author BLOB, PRIMARY KEY (subject, predicate, lsn, ordinal)) WITHOUT ROWID;
    CREATE UNIQUE INDEX claims_by_id ON claims (id);
    CREATE INDEX claims_by_source ON claims (source, lsn, ordinal);
    CREATE INDEX claims_by_predicate ON claims (predicate, subject);
    CREATE TABLE votes (claim BLOB NOT NULL, agent BLOB NOT NULL, weight INTEGER NOT NULL, PRIMARY KEY (claim, agent))
        WITHOUT ROWID;
    CREATE TABLE superseded (old BLOB NOT NULL, lsn INTEGER NOT NULL, ordinal INTEGER NOT NULL, new BLOB,
        PRIMARY KEY (old, lsn, ordinal)) WITHOUT ROWID;
    CREATE TABLE sources (id TEXT PRIMARY KEY, class INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE entries (lsn INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL);";
const CLAIM: &str = "INSERT INTO claims (subject, predicate, lsn, ordinal, id, recorded_at, kind, object, source, confidence, \
    class, epoch, lifecycle, valid_from, valid_to, observed_at, author) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
const VOTE: &str = "INSERT OR REPLACE INTO votes (claim, agent, weight) VALUES (?1, ?2, ?3)";
const SUPERSEDED: &str = "INSERT INTO superseded (old, lsn, ordinal, new) VALUES (?1, ?2, ?3, ?4)";
const SOURCE: &str = "INSERT OR REPLACE INTO sources (id, class) VALUES (?1, ?2)";
const ENTRY: &str = "INSERT INTO entries (lsn, recorded_at) VALUES (?1, ?2)";

/// The contender.
#[derive(Clone, Copy, Debug)]
pub struct Sqlite {
    /// For its page cache.
    pub cache_bytes: usize,
}

struct Opened {
    connection: Connection,
    path: PathBuf,
    cache_bytes: usize,
}

struct View {
    connection: Connection,
}

fn set_cache(connection: &Connection, bytes: usize) -> Result<()> {
    // Negative: KiB instead of pages.
    connection.pragma_update(None, "cache_size", -((bytes >> 10) as i64))?;
    // Pages that the cache has not are read from the mapped file instead of copied: its fastest way to read.
    Ok(connection.pragma_update(None, "mmap_size", 8_i64 << 30)?)
}

impl Contender for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn version(&self) -> String {
        format!("SQLite {}", rusqlite::version())
    }

    fn configuration(&self) -> String {
        format!(
            "{} (bundled): claims clustered by question (WITHOUT ROWID), indexed by id, source and predicate; one \
             prepared statement a question; WAL, synchronous=FULL, page cache {} MiB, the file mapped, ANALYZE and VACUUM \
             before it is asked",
            self.version(),
            self.cache_bytes >> 20
        )
    }

    fn create(&self, folder: &Path) -> Result<Box<dyn ClaimStore>> {
        let path = folder.join("claims.sqlite");
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 16_384)?;
        set_cache(&connection, self.cache_bytes)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Box::new(Opened { connection, path, cache_bytes: self.cache_bytes }))
    }
}

impl ClaimStore for Opened {
    fn record(&mut self, batch: &Batch) -> Result<()> {
        let sorted = Sorted::of(batch)?;
        let (lsn, recorded) = (batch.lsn as i64, batch.recorded_at.0);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(CLAIM)?;
            for (ordinal, id, claim) in sorted.claims {
                let (kind, object) = columns_of(&claim.object);
                insert.execute(params![
                    claim.subject,
                    claim.predicate,
                    lsn,
                    ordinal,
                    id.0,
                    recorded,
                    kind,
                    object,
                    claim.source,
                    claim.confidence.map(|confidence| confidence.0),
                    claim.source_class.map(|class| class.number()),
                    claim.epoch,
                    claim.lifecycle.map(|stage| stage as i64),
                    claim.valid_from.map(|time| time.0),
                    claim.valid_to.map(|time| time.0),
                    claim.observed_at.map(|time| time.0),
                    claim.author.map(|agent| agent.0),
                ])?;
            }
            let mut insert = transaction.prepare_cached(VOTE)?;
            for vote in sorted.votes {
                insert.execute(params![vote.assertion.0, vote.agent.0, vote.weight.0])?;
            }
            let mut insert = transaction.prepare_cached(SUPERSEDED)?;
            for (ordinal, change) in sorted.superseded {
                insert.execute(params![change.old.0, lsn, ordinal, change.new.map(|new| new.0)])?;
            }
            let mut insert = transaction.prepare_cached(SOURCE)?;
            for source in sorted.sources {
                insert.execute(params![source.id, source.class.number()])?;
            }
            transaction.prepare_cached(ENTRY)?.execute(params![lsn, recorded])?;
        }
        Ok(transaction.commit()?)
    }

    fn settle(&mut self) -> Result<()> {
        self.connection.execute_batch("ANALYZE; VACUUM")?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        Ok(())
    }

    fn asker(&self) -> Result<Box<dyn Asker + '_>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        set_cache(&connection, self.cache_bytes)?;
        Ok(Box::new(View { connection }))
    }
}

fn told(row: &Row<'_>) -> rusqlite::Result<Told> {
    Ok(Told {
        at: (row.get(0)?, row.get(1)?),
        id: row.get(2)?,
        recorded_at: row.get(3)?,
        object: (row.get(4)?, row.get(5)?),
        source: row.get(6)?,
        confidence: row.get(7)?,
        class: row.get(8)?,
        epoch: row.get(9)?,
        lifecycle: row.get(10)?,
        times: [row.get(11)?, row.get(12)?, row.get(13)?],
        author: row.get(14)?,
        superseded: row.get(15)?,
        vote: (row.get(16)?, row.get(17)?),
    })
}

impl Asker for View {
    fn ask(&mut self, question: &Question, lens: Lens) -> Result<Answer> {
        let mut statement = self.connection.prepare_cached(ASK)?;
        let mut rows = statement.query((&question.subject, &question.predicate))?;
        let mut candidates = Vec::new();
        while let Some(row) = rows.next()? {
            sql::add(&mut candidates, question, told(row)?)?;
        }
        Ok(look(lens, &candidates))
    }
}
