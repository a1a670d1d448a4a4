//! Reading: one read transaction.

use std::{path::Path, path::PathBuf, sync::Arc};

use redb::{AccessGuard, Database, Range, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata};
use stemedb_env::Lsn;
use stemedb_lsm::{CorruptionKind, Direction, Error, KeyRange, KvIter, KvSnapshot, Result, Value};

use crate::{
    error::{classify, storage},
    store::{META, REACHED, ROWS},
};

const LSN_BYTES: usize = 8;

/// A view at one LSN. If it could not be made, everything that is asked of it says why.
#[derive(Clone)]
pub struct RedbSnapshot {
    reading: std::result::Result<Arc<Reading>, Arc<str>>,
    path: Arc<Path>,
}

struct Reading {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    lsn: Lsn,
}

impl std::fmt::Debug for RedbSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbSnapshot").field("lsn", &self.lsn()).finish_non_exhaustive()
    }
}

fn damaged(path: &Path) -> Error {
    Error::Corruption { kind: CorruptionKind::BlockFormat, file: path.to_path_buf(), offset: 0 }
}

/// LSN and value of a stored row.
fn split(stored: &[u8]) -> Option<(Lsn, &[u8])> {
    let (lsn, value) = stored.split_first_chunk::<LSN_BYTES>()?;
    Some((Lsn(u64::from_le_bytes(*lsn)), value))
}

impl RedbSnapshot {
    pub(crate) fn new(db: &Database, path: &Path) -> RedbSnapshot {
        let begin = || -> Result<Reading> {
            let open = || -> std::result::Result<_, redb::Error> {
                let transaction = db.begin_read()?;
                let meta = transaction.open_table(META)?;
                let reached = meta.get(REACHED)?.map(|reached| reached.value().to_vec());
                Ok((transaction.open_table(ROWS)?, reached))
            };
            let (rows, reached) = open().map_err(|error| classify(path, error))?;
            let reached = reached.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| damaged(path))?;
            Ok(Reading { rows, lsn: Lsn(u64::from_le_bytes(reached)) })
        };
        RedbSnapshot {
            reading: begin().map(Arc::new).map_err(|error| error.to_string().into()),
            path: path.into(),
        }
    }

    fn reading(&self) -> Result<&Arc<Reading>> {
        self.reading.as_ref().map_err(|cause| Error::ReadOnly { cause: cause.to_string() })
    }

    /// Its LSN, or why there is nothing to read.
    pub(crate) fn check(&self) -> Result<Lsn> {
        Ok(self.reading()?.lsn)
    }

    /// Reads every row; returns their number.
    pub(crate) fn count(&self) -> Result<u64> {
        let mut rows = self.scan(&KeyRange::all(), Direction::Forward);
        let mut count = 0;
        while rows.advance()? {
            count += 1;
        }
        let known = self.reading()?.rows.len().map_err(|error| storage(&self.path, error))?;
        if known == count { Ok(count) } else { Err(damaged(&self.path)) }
    }
}

impl KvSnapshot for RedbSnapshot {
    type Iter = RedbIter;

    fn lsn(&self) -> Lsn {
        self.reading.as_ref().map_or(Lsn::ZERO, |reading| reading.lsn)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let found = self.reading()?.rows.get(key).map_err(|error| storage(&self.path, error))?;
        match found {
            None => Ok(None),
            Some(stored) => {
                let (_, value) = split(stored.value()).ok_or_else(|| damaged(&self.path))?;
                Ok(Some(Value::whole(Arc::from(value))))
            }
        }
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> RedbIter {
        RedbIter {
            snapshot: self.clone(),
            range: Some(range.clone()),
            direction,
            rows: None,
            current: None,
            failed: false,
        }
    }
}

/// The rows of a range.
pub struct RedbIter {
    snapshot: RedbSnapshot,
    /// Until the first step.
    range: Option<KeyRange>,
    direction: Direction,
    rows: Option<Range<'static, &'static [u8], &'static [u8]>>,
    current: Option<Current>,
    failed: bool,
}

struct Current {
    key: AccessGuard<'static, &'static [u8]>,
    stored: AccessGuard<'static, &'static [u8]>,
}

impl std::fmt::Debug for RedbIter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbIter").field("direction", &self.direction).finish_non_exhaustive()
    }
}

impl RedbIter {
    fn path(&self) -> PathBuf {
        self.snapshot.path.to_path_buf()
    }

    fn begin(&mut self, range: &KeyRange) -> Result<()> {
        let rows = &self.snapshot.reading()?.rows;
        let start = range.start.as_slice();
        let found = match range.end.as_deref() {
            // A range that ends before it begins is empty; redb would refuse it.
            Some(end) if end <= start => return Ok(()),
            Some(end) => rows.range(start..end),
            None => rows.range(start..),
        };
        self.rows = Some(found.map_err(|error| storage(&self.snapshot.path, error))?);
        Ok(())
    }

    fn step(&mut self) -> Result<bool> {
        if let Some(range) = self.range.take() {
            self.begin(&range)?;
        }
        let next = match (&mut self.rows, self.direction) {
            (None, _) => None,
            (Some(rows), Direction::Forward) => rows.next(),
            (Some(rows), Direction::Backward) => rows.next_back(),
        };
        self.current = match next {
            None => None,
            Some(Ok((key, stored))) => {
                if split(stored.value()).is_none() {
                    return Err(damaged(&self.path()));
                }
                Some(Current { key, stored })
            }
            Some(Err(error)) => return Err(storage(&self.path(), error)),
        };
        Ok(self.current.is_some())
    }

    fn row(&self) -> Option<(Lsn, &[u8])> {
        self.current.as_ref().and_then(|current| split(current.stored.value()))
    }
}

impl KvIter for RedbIter {
    fn advance(&mut self) -> Result<bool> {
        if self.failed {
            return Err(damaged(&self.path()));
        }
        self.current = None;
        let stepped = self.step();
        self.failed = stepped.is_err();
        stepped
    }

    fn key(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |current| current.key.value())
    }

    fn value(&self) -> &[u8] {
        self.row().map_or(&[], |(_, value)| value)
    }

    fn lsn(&self) -> Lsn {
        self.row().map_or(Lsn::ZERO, |(lsn, _)| lsn)
    }
}
