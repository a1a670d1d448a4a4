//! What a tree must say, from a sorted map of all versions.

use std::collections::BTreeMap;

use stemedb_lsm::{Direction, KeyRange, Lsn, Row, WriteBatch};

/// One operation.
#[derive(Clone, Debug)]
pub(super) enum Write {
    /// Key, and value; `None` is a removal.
    Row(Vec<u8>, Option<Vec<u8>>),
    /// Everything from the first key on and before the second is removed.
    Range(Vec<u8>, Vec<u8>),
}

/// One batch, as the journal would hold it.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) lsn: Lsn,
    pub(super) writes: Vec<Write>,
}

impl Batch {
    pub(super) fn encoded(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for write in &self.writes {
            match write {
                Write::Row(key, Some(value)) => batch.put(key, value),
                Write::Row(key, None) => batch.delete(key),
                Write::Range(start, end) => batch.delete_range(start, end),
            }
        }
        batch
    }
}

/// The rows of batches as an ingest wants them: keys ascending, of each key LSNs descending, the last write of a batch. An
/// ingest has no removed ranges.
pub(super) fn sorted_rows(batches: &[Batch]) -> Vec<Row> {
    let mut rows = BTreeMap::new();
    for Batch { lsn, writes } in batches {
        for write in writes {
            let Write::Row(key, value) = write else {
                debug_assert!(false, "{write:?} in an ingest");
                continue;
            };
            rows.insert((key.clone(), std::cmp::Reverse(*lsn)), value.clone());
        }
    }
    rows.into_iter().map(|((key, lsn), value)| Row { key, lsn: lsn.0, value }).collect()
}

/// Of one key, oldest first.
type Versions = Vec<(Lsn, Option<Vec<u8>>)>;
/// A row that is shown.
type Shown<'a> = (&'a [u8], Lsn, &'a [u8]);

/// Versions of every key.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    rows: BTreeMap<Vec<u8>, Versions>,
}

fn visible(versions: &[(Lsn, Option<Vec<u8>>)], lsn: Lsn) -> Option<(Lsn, &Vec<u8>)> {
    let at = versions.partition_point(|(version, _)| *version <= lsn);
    let (version, value) = versions.get(at.checked_sub(1)?)?;
    value.as_ref().map(|value| (*version, value))
}

impl Model {
    /// Adds a batch; batches come in LSN order, and of several writes to one key the last counts.
    pub(super) fn apply(&mut self, batch: &Batch) {
        let push = |versions: &mut Versions, value: Option<Vec<u8>>| {
            if versions.last().is_some_and(|(lsn, _)| *lsn == batch.lsn) {
                versions.pop();
            }
            versions.push((batch.lsn, value));
        };
        for write in &batch.writes {
            match write {
                Write::Row(key, value) => push(self.rows.entry(key.clone()).or_default(), value.clone()),
                // Of every key that there is; one that never was needs no removal.
                Write::Range(start, end) if start < end => {
                    let inside = self.rows.range_mut::<Vec<u8>, _>(start..end);
                    inside.for_each(|(_, versions)| push(versions, None));
                }
                Write::Range(..) => {}
            }
        }
    }

    pub(super) fn get(&self, key: &[u8], lsn: Lsn) -> Option<&Vec<u8>> {
        visible(self.rows.get(key)?, lsn).map(|(_, value)| value)
    }

    /// The rows of a range as of `lsn`, in the order of the scan.
    pub(super) fn scan<'a>(
        &'a self,
        range: &'a KeyRange,
        direction: Direction,
        lsn: Lsn,
    ) -> Box<dyn Iterator<Item = Shown<'a>> + 'a> {
        let shown = move |(key, versions): (&'a Vec<u8>, &'a Versions)| {
            visible(versions, lsn).map(|(version, value)| (key.as_slice(), version, value.as_slice()))
        };
        let inside = self.rows.range::<[u8], _>((
            std::ops::Bound::Included(range.start.as_slice()),
            std::ops::Bound::Unbounded,
        ));
        let upto = range.end.as_deref();
        match direction {
            Direction::Forward => Box::new(
                inside
                    .take_while(move |(key, _)| upto.is_none_or(|end| key.as_slice() < end))
                    .filter_map(shown),
            ),
            Direction::Backward => {
                let all: Vec<_> =
                    inside.take_while(move |(key, _)| upto.is_none_or(|end| key.as_slice() < end)).collect();
                Box::new(all.into_iter().rev().filter_map(shown))
            }
        }
    }
}
