//! Entries of the journal from the rows of a view.

use std::{collections::BTreeMap, ops::RangeInclusive};

use stemedb_env::Lsn;
use stemedb_index::{Derive, ViewRow};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, Op, WriteBatch};
use stemedb_wal::{EntrySource, RecoveredEntry, Unrecoverable};

use crate::{Result, view::ViewStore};

/// Rows that are held at once.
const WINDOW_BYTES: usize = 16 << 20;

/// Inverts what a view shows. Each question costs one scan of the tables that may hold the answer, and memory for about
/// 16 MiB of rows (or for one entry's, if they are more).
pub(crate) struct ViewEntries<'a, P: ViewStore, D> {
    view: &'a P,
    derive: &'a D,
    window_bytes: usize,
}

/// Rows by the entry that wrote them.
type Rows = BTreeMap<Lsn, Vec<ViewRow>>;

impl<'a, P: ViewStore, D: Derive> ViewEntries<'a, P, D> {
    pub fn new(view: &'a P, derive: &'a D) -> ViewEntries<'a, P, D> {
        ViewEntries { view, derive, window_bytes: WINDOW_BYTES }
    }

    /// The rows of entries from the first of `lsns` on, and the last entry whose rows are all there.
    fn gather(&self, lsns: &RangeInclusive<Lsn>) -> Result<(Rows, Lsn)> {
        // In this order: what the snapshot shows and is flushed by now is in a table by now.
        let snapshot = self.view.snapshot();
        let flushed = self.view.flushed_lsn();
        let parts = self.view.parts();
        let spans = match *lsns.end() <= flushed && !parts.is_empty() {
            true => spans(&parts, lsns),
            // Memtables have no bounds, and not every view has parts.
            false => vec![KeyRange::all()],
        };
        let mut rows = Rows::new();
        let (mut bytes, mut upto) = (0, (*lsns.end()).min(snapshot.lsn()));
        for span in spans {
            let mut found = snapshot.scan(&span, Direction::Forward);
            while found.advance()? {
                let lsn = found.lsn();
                if lsn < *lsns.start() || lsn > upto {
                    continue;
                }
                bytes += found.key().len() + found.value().len();
                rows.entry(lsn).or_default().push((found.key().to_vec(), found.value().to_vec()));
                while bytes > self.window_bytes && rows.len() > 1 {
                    let Some((last, dropped)) = rows.pop_last() else { break };
                    bytes -= dropped.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
                    upto = last.prev();
                }
            }
        }
        Ok((rows, upto))
    }

    /// The entry of these rows, if they are all of its rows and no others.
    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> Result<Option<RecoveredEntry>> {
        let Some(bytes) = self.derive.invert(lsn, rows)? else { return Ok(None) };
        let mut again = WriteBatch::new();
        self.derive.derive(lsn, &bytes, &mut again)?;
        // Of each key the last operation; a removal leaves no row behind, and what it hid would be missing.
        let mut derived: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for op in again.iter() {
            let value = match op {
                Op::Put { value, .. } => Some(value),
                Op::Delete { .. } => None,
                Op::DeleteRange { .. } => return Ok(None),
            };
            derived.insert(op.key(), value);
        }
        let same = derived.len() == rows.len()
            && rows.iter().all(|(key, value)| derived.get(key.as_slice()) == Some(&Some(value.as_slice())));
        if !same {
            return Ok(None);
        }
        let stamp = self.derive.recorded_at(lsn, &bytes)?.map(|at| at.0);
        Ok(Some(RecoveredEntry { bytes, is_certain: D::INVERSE_IS_CERTAIN, stamp }))
    }

    pub fn recover(&self, lsns: &RangeInclusive<Lsn>) -> Result<Vec<Option<RecoveredEntry>>> {
        let (rows, upto) = self.gather(lsns)?;
        let mut entries = Vec::new();
        let mut lsn = *lsns.start();
        while lsn <= upto {
            let rows = rows.get(&lsn).map_or(&[][..], Vec::as_slice);
            // A row that cannot be read as what it should be is as good as none.
            entries.push(self.invert(lsn, rows).unwrap_or(None));
            lsn = lsn.next();
        }
        Ok(entries)
    }
}

impl<P: ViewStore, D: Derive> EntrySource for ViewEntries<'_, P, D> {
    fn recover(
        &mut self,
        lsns: &RangeInclusive<Lsn>,
    ) -> std::result::Result<Vec<Option<RecoveredEntry>>, Unrecoverable> {
        ViewEntries::recover(self, lsns).map_err(|error| Unrecoverable { cause: error.to_string() })
    }
}

/// The key ranges of tables that may hold rows of these entries, merged.
fn spans(tables: &[stemedb_lsm::TableInfo], lsns: &RangeInclusive<Lsn>) -> Vec<KeyRange> {
    let mut ranges: Vec<(&[u8], &[u8])> = tables
        .iter()
        .filter(|table| table.min_lsn <= *lsns.end() && table.max_lsn >= *lsns.start())
        .map(|table| (table.smallest.as_slice(), table.largest.as_slice()))
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<(&[u8], &[u8])> = Vec::new();
    for (smallest, largest) in ranges {
        match merged.last_mut() {
            Some((_, end)) if smallest <= *end => *end = (*end).max(largest),
            _ => merged.push((smallest, largest)),
        }
    }
    let behind = |key: &[u8]| key.iter().copied().chain([0]).collect::<Vec<u8>>();
    merged.into_iter().map(|(smallest, largest)| KeyRange::between(smallest, behind(largest))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(smallest: &str, largest: &str, min: u64, max: u64) -> stemedb_lsm::TableInfo {
        stemedb_lsm::TableInfo {
            file: 1,
            level: 1,
            smallest: smallest.into(),
            largest: largest.into(),
            min_lsn: Lsn(min),
            max_lsn: Lsn(max),
            rows: 1,
            range_removals: 0,
            bytes: 1,
            digest: 0,
            horizon: Lsn(max),
        }
    }

    #[test]
    fn only_tables_that_may_hold_the_entries_are_scanned_and_each_key_once() {
        let tables = [
            table("m", "p", 5, 9),
            table("a", "c", 1, 6),
            table("b", "d", 6, 7),
            table("x", "z", 10, 12),
            table("p", "q", 5, 5),
        ];
        let found = spans(&tables, &(Lsn(5)..=Lsn(8)));
        let between = |start: &str, end: &str| KeyRange::between(start, format!("{end}\0"));
        assert_eq!(found, [between("a", "d"), between("m", "q")]);
        assert_eq!(spans(&tables, &(Lsn(13)..=Lsn(14))), []);
    }
}
