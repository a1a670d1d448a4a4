//! What a view must hold after each entry.

use stemedb_hybrid::{ClaimEngine, Error, StateRoot};
use stemedb_index::{Claims, Derive as _};
use stemedb_lsm::{Direction, KeyRange, KvIter as _, KvSnapshot as _, Lsn, Op, WriteBatch};
use stemedb_wal::{Journal as _, JournalReader as _};

use crate::violation::{Promise, Violation};

/// A row: key, LSN of its entry, value.
pub type Row = (Vec<u8>, Lsn, Vec<u8>);

/// The rows of all entries, and the root after each.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// In key order.
    rows: Vec<Row>,
    /// `roots[n]` is that of the rows of entries 1..n.
    roots: Vec<StateRoot>,
}

impl Oracle {
    /// Derives the entries of a journal that nothing has happened to. Rows are put once and stay.
    ///
    /// # Errors
    /// When the journal cannot be read, or an entry does more than that.
    pub fn of(engine: &ClaimEngine) -> Result<Oracle, String> {
        let mut oracle = Oracle { rows: Vec::new(), roots: vec![StateRoot::empty()] };
        let mut reader = engine.journal().read_from(Lsn(1)).map_err(|error| error.to_string())?;
        while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
            let mut batch = WriteBatch::new();
            Claims.derive(entry.lsn, &entry.bytes, &mut batch).map_err(|error| error.to_string())?;
            let mut root = oracle.roots.last().copied().unwrap_or_default();
            for op in batch.iter() {
                let Op::Put { key, value } = op else {
                    return Err(format!("entry {} removes rows", entry.lsn));
                };
                root.add(key, value);
                oracle.rows.push((key.to_vec(), entry.lsn, value.to_vec()));
            }
            oracle.roots.push(root);
        }
        oracle.rows.sort();
        if oracle.rows.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a key is written twice".to_owned());
        }
        Ok(oracle)
    }

    /// The number of entries.
    pub fn last(&self) -> Lsn {
        Lsn(self.roots.len() as u64 - 1)
    }

    /// The root after entry `lsn`.
    pub fn root(&self, lsn: Lsn) -> Option<StateRoot> {
        usize::try_from(lsn.0).ok().and_then(|n| self.roots.get(n)).copied()
    }

    /// Reads everything that a view shows, forward and backward, and compares it.
    ///
    /// # Errors
    /// The first difference, or what the engine answered.
    pub fn compare(&self, engine: &ClaimEngine) -> Result<(), Trouble> {
        let snapshot = engine.snapshot().map_err(Trouble::Refused)?;
        let shown = snapshot.lsn();
        if shown > self.last() {
            return Err(wrong(Promise::NoPhantom, format!("shows entry {shown} of {}", self.last())));
        }
        let expected: Vec<&Row> = self.rows.iter().filter(|(_, lsn, _)| *lsn <= shown).collect();
        let mut forward = snapshot.scan(&KeyRange::all(), Direction::Forward);
        let mut backward = snapshot.scan(&KeyRange::all(), Direction::Backward);
        for row in &expected {
            same(row, &mut forward, "forward")?;
        }
        for row in expected.iter().rev() {
            same(row, &mut backward, "backward")?;
        }
        for rows in [&mut forward, &mut backward] {
            if rows.advance().map_err(|error| Trouble::Refused(error.into()))? {
                return Err(wrong(Promise::NoPhantom, format!("more rows than there are: {:?}", rows.key())));
            }
        }
        // Every so-manieth alone: filters and hash indexes are asked only here.
        for (key, _, value) in expected.iter().step_by(3) {
            let found = snapshot.get(key).map_err(|error| Trouble::Refused(error.into()))?;
            if found.as_deref() != Some(value.as_slice()) {
                return Err(wrong(Promise::NeverSilent, format!("get of {key:?} gives {found:?}")));
            }
        }
        Ok(())
    }
}

fn wrong(promise: Promise, detail: String) -> Trouble {
    Trouble::Wrong(Violation::new(promise, detail))
}

fn same<I: stemedb_lsm::KvIter>(row: &Row, rows: &mut I, direction: &str) -> Result<(), Trouble> {
    let (key, lsn, value) = row;
    if !rows.advance().map_err(|error| Trouble::Refused(error.into()))? {
        return Err(wrong(Promise::NeverSilent, format!("{direction}: a scan ends before {key:?} of {lsn}")));
    }
    let found = (rows.key(), rows.value());
    if found != (key.as_slice(), value.as_slice()) {
        return Err(wrong(Promise::NeverSilent, format!("{direction}: {found:?} in the place of {key:?}")));
    }
    Ok(())
}

/// An answer that was not right.
#[derive(Debug)]
pub enum Trouble {
    /// An error.
    Refused(Error),
    /// Something else than what is there.
    Wrong(Violation),
}
