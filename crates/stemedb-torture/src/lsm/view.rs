//! One look at a snapshot, compared with the model.

use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, Lsn, kv::row_digest};

use super::model::Model;
use crate::violation::{Promise, Violation};

/// Why a look did not end in an equal answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The tree said that it cannot answer.
    Refused(stemedb_lsm::Error),
    /// It answered wrongly.
    Wrong(Violation),
}

impl From<stemedb_lsm::Error> for Trouble {
    fn from(error: stemedb_lsm::Error) -> Trouble {
        Trouble::Refused(error)
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(80)).unwrap_or_default()).into_owned()
}

fn wrong(detail: String) -> Trouble {
    Trouble::Wrong(Violation::new(Promise::NeverSilent, detail))
}

/// One key.
pub(super) fn get(snapshot: &impl KvSnapshot, model: &Model, key: &[u8]) -> Result<(), Trouble> {
    let found = snapshot.get(key)?;
    same(key, found.as_deref(), model.get(key, snapshot.lsn()).map(Vec::as_slice), "get")
}

/// What one key must have as its value.
pub(super) fn same(
    key: &[u8],
    found: Option<&[u8]>,
    wanted: Option<&[u8]>,
    how: &str,
) -> Result<(), Trouble> {
    if found == wanted {
        return Ok(());
    }
    let text =
        |value: Option<&[u8]>| value.map_or("nothing".to_owned(), |value| format!("`{}`", shown(value)));
    Err(wrong(format!("{how} of `{}` gave {} for {}", shown(key), text(found), text(wanted))))
}

/// Several keys at once.
pub(super) fn many(snapshot: &impl KvSnapshot, model: &Model, keys: &[Vec<u8>]) -> Result<(), Trouble> {
    let borrowed: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let found = snapshot.multi_get(&borrowed)?;
    if found.len() != keys.len() {
        return Err(wrong(format!("multi_get of {} keys gave {} answers", keys.len(), found.len())));
    }
    for (key, value) in keys.iter().zip(&found) {
        same(key, value.as_deref(), model.get(key, snapshot.lsn()).map(Vec::as_slice), "multi_get")?;
    }
    Ok(())
}

/// A range, up to `limit` rows of it. Returns how many were looked at.
pub(super) fn scan(
    snapshot: &impl KvSnapshot,
    model: &Model,
    range: &KeyRange,
    direction: Direction,
    limit: usize,
) -> Result<u64, Trouble> {
    let mut wanted = model.scan(range, direction, snapshot.lsn());
    let mut iter = snapshot.scan(range, direction);
    let mut rows = 0;
    for _ in 0..limit {
        let more = iter.advance()?;
        let next = wanted.next();
        let found = more.then(|| (iter.key(), iter.lsn(), iter.value()));
        if found != next {
            let text = |row: Option<(&[u8], Lsn, &[u8])>| {
                row.map_or("the end".to_owned(), |(key, lsn, _)| format!("`{}` of {lsn}", shown(key)))
            };
            let at = snapshot.lsn();
            return Err(wrong(format!(
                "row {rows} of a {direction:?} scan of {} at {at} is {} instead of {}, or has another value",
                shown(&range.start),
                text(found),
                text(next)
            )));
        }
        if !more {
            break;
        }
        rows += 1;
    }
    Ok(rows)
}

/// Order-independent digest over everything that a snapshot shows.
pub(super) fn digest(snapshot: &impl KvSnapshot) -> stemedb_lsm::Result<(u64, u128)> {
    let mut iter = snapshot.scan(&KeyRange::all(), Direction::Forward);
    let (mut rows, mut sum) = (0, 0u128);
    while iter.advance()? {
        rows += 1;
        sum = sum.wrapping_add(row_digest(iter.key(), iter.lsn(), Some(iter.value())));
    }
    Ok((rows, sum))
}
