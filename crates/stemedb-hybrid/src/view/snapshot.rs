//! A snapshot of whichever view answered.

use stemedb_env::Lsn;
use stemedb_lsm::{DerivedBy, Direction, KeyRange, KvIter, KvSnapshot, Result, RowHash, RowSum, Value};

/// A snapshot of the primary or of the fallback view.
#[derive(Clone, Debug)]
pub enum ViewSnapshot<P, F> {
    /// The primary view answers.
    Primary(P),
    /// The primary view could not; the fallback answers.
    Fallback(F),
}

impl<P: KvSnapshot, F: KvSnapshot> KvSnapshot for ViewSnapshot<P, F> {
    type Iter = ViewIter<P::Iter, F::Iter>;

    fn lsn(&self) -> Lsn {
        match self {
            ViewSnapshot::Primary(snapshot) => snapshot.lsn(),
            ViewSnapshot::Fallback(snapshot) => snapshot.lsn(),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        match self {
            ViewSnapshot::Primary(snapshot) => snapshot.get(key),
            ViewSnapshot::Fallback(snapshot) => snapshot.get(key),
        }
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> Self::Iter {
        match self {
            ViewSnapshot::Primary(snapshot) => ViewIter::Primary(snapshot.scan(range, direction)),
            ViewSnapshot::Fallback(snapshot) => ViewIter::Fallback(snapshot.scan(range, direction)),
        }
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Self::Iter {
        match self {
            ViewSnapshot::Primary(snapshot) => ViewIter::Primary(snapshot.scan_prefix(prefix)),
            ViewSnapshot::Fallback(snapshot) => ViewIter::Fallback(snapshot.scan_prefix(prefix)),
        }
    }

    fn may_have<K: AsRef<[u8]>>(&self, prefixes: &[K]) -> Result<Vec<bool>> {
        match self {
            ViewSnapshot::Primary(snapshot) => snapshot.may_have(prefixes),
            ViewSnapshot::Fallback(snapshot) => snapshot.may_have(prefixes),
        }
    }

    fn row_sum(&self, hash: &RowHash<'_>) -> Result<Option<RowSum>> {
        match self {
            ViewSnapshot::Primary(snapshot) => snapshot.row_sum(hash),
            ViewSnapshot::Fallback(snapshot) => snapshot.row_sum(hash),
        }
    }

    fn derived_by(&self) -> Option<DerivedBy> {
        match self {
            ViewSnapshot::Primary(snapshot) => snapshot.derived_by(),
            ViewSnapshot::Fallback(snapshot) => snapshot.derived_by(),
        }
    }

    fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>> {
        match self {
            ViewSnapshot::Primary(snapshot) => snapshot.multi_get(keys),
            ViewSnapshot::Fallback(snapshot) => snapshot.multi_get(keys),
        }
    }
}

/// An iterator over a [`ViewSnapshot`].
#[derive(Debug)]
pub enum ViewIter<P, F> {
    /// Over the primary view.
    Primary(P),
    /// Over the fallback view.
    Fallback(F),
}

impl<P: KvIter, F: KvIter> KvIter for ViewIter<P, F> {
    fn advance(&mut self) -> Result<bool> {
        match self {
            ViewIter::Primary(rows) => rows.advance(),
            ViewIter::Fallback(rows) => rows.advance(),
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            ViewIter::Primary(rows) => rows.key(),
            ViewIter::Fallback(rows) => rows.key(),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            ViewIter::Primary(rows) => rows.value(),
            ViewIter::Fallback(rows) => rows.value(),
        }
    }

    fn lsn(&self) -> Lsn {
        match self {
            ViewIter::Primary(rows) => rows.lsn(),
            ViewIter::Fallback(rows) => rows.lsn(),
        }
    }

    fn pinned_value(&self) -> Value {
        match self {
            ViewIter::Primary(rows) => rows.pinned_value(),
            ViewIter::Fallback(rows) => rows.pinned_value(),
        }
    }
}
