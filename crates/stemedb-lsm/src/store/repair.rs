//! Rebuilding a table from rows that somebody else has derived again.
//!
//! The journal gives every write that ever was in the table's key and LSN range. What the table really held is less:
//! rows that lie in other tables, and versions that compaction has forgotten, were not in it. Rows held elsewhere are
//! looked up; what compaction forgot follows from the horizon recorded with the table. Where that leaves room (a
//! newer version of a key passed above the table, a removal was dropped on an earlier way to the bottom) the few possible
//! readings are tried in turn. The recorded digest decides: a reading that does not add up to it is never installed.
//! Keys that are written once leave no room at all.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::{
    LsmStore,
    core::{Change, Core, State},
    files::quarantine_link,
};
use crate::{
    Error, Result, Row, TableInfo, TableRepair,
    compaction::Gc,
    kv::RowDigester,
    table::{Table, TableBuilder, TableMeta, TableShape, filter::filter_hash},
    version::LAST_LEVEL,
};

/// A row that may have been in the table.
struct Candidate {
    row: Row,
    digest: u128,
    /// A newer version of the key, old enough to have superseded this one, lies elsewhere.
    passed: bool,
}

/// One way to read what compaction has forgotten.
#[derive(Clone, Copy, Debug)]
struct Reading {
    drop_tombstones: bool,
    drop_passed: bool,
}

impl Core {
    /// True if a memtable, or a table other than `file`, holds exactly this version.
    fn holds_elsewhere(&self, state: &State, file: u64, key: &[u8], lsn: Lsn) -> Result<bool> {
        if state.memtables().any(|memtable| memtable.version_at(key, lsn) == Some(lsn)) {
            return Ok(true);
        }
        Ok(self.version_in_tables(state, file, key, lsn)? == Some(lsn))
    }

    /// The greatest LSN at or below `lsn` at which another table than `file` holds a version of the key.
    fn version_in_tables(&self, state: &State, file: u64, key: &[u8], lsn: Lsn) -> Result<Option<Lsn>> {
        let hash = filter_hash(key);
        let mut newest = None;
        for run in state.version.runs() {
            let at = run.partition_point(|table| table.meta.largest.as_slice() < key);
            let Some(table) = run.get(at).filter(|table| table.meta.file != file) else { continue };
            if table.meta.smallest.as_slice() <= key && table.meta.min_lsn <= lsn {
                newest = newest.max(table.version_at(key, lsn, hash)?);
            }
        }
        Ok(newest)
    }

    fn candidates(
        &self,
        state: &State,
        meta: &TableMeta,
        rows: &mut dyn Iterator<Item = Result<Row>>,
    ) -> Result<Vec<Candidate>> {
        let merged = self.merged_lsn();
        let mut digester = RowDigester::default();
        let mut found = Vec::new();
        for row in rows {
            let row = row?;
            let inside = row.key >= meta.smallest
                && row.key <= meta.largest
                && (meta.min_lsn..=meta.max_lsn).contains(&row.lsn);
            if !inside || self.holds_elsewhere(state, meta.file, &row.key, row.lsn)? {
                continue;
            }
            let newest = self.version_in_tables(state, meta.file, &row.key, merged)?;
            found.push(Candidate {
                digest: digester.digest(&row.key, row.lsn, row.value.as_deref()),
                passed: newest.is_some_and(|newest| newest > row.lsn),
                row,
            });
        }
        found.sort_by(|a, b| a.row.key.cmp(&b.row.key).then(b.row.lsn.cmp(&a.row.lsn)));
        found.dedup_by(|b, a| a.row.key == b.row.key && a.row.lsn == b.row.lsn);
        Ok(found)
    }

    fn rebuild(&self, level: usize, meta: &TableMeta, rows: &[&Candidate]) -> Result<TableMeta> {
        let shape = TableShape::new(&self.options, level == LAST_LEVEL, meta.horizon, meta.drops_tombstones);
        let shape = TableShape { derivation_version: meta.derivation_version, ..shape };
        let file = self.next_file_number();
        let mut builder = TableBuilder::create(
            &self.env,
            &self.dir,
            self.context.database,
            file,
            shape,
            &self.context.memory,
        )?;
        let mut write = || {
            for Candidate { row, .. } in rows {
                builder.add(&row.key, row.lsn, row.value.as_deref())?;
            }
            Ok(())
        };
        let written = write().and_then(|()| builder.finish()).and_then(|meta| {
            self.sync_names()?;
            Ok(meta)
        });
        if written.is_err() {
            self.remove_table_file(file);
        }
        written
    }
}

/// The rows that one reading leaves.
fn read<'a>(candidates: &'a [Candidate], meta: &TableMeta, reading: Reading) -> Vec<&'a Candidate> {
    let mut gc = Gc::new(meta.horizon, reading.drop_tombstones);
    let mut last: Option<&[u8]> = None;
    candidates
        .iter()
        .filter(|candidate| !(reading.drop_passed && candidate.passed))
        .filter(|Candidate { row, .. }| {
            let is_new = last.replace(&row.key) != Some(&row.key);
            gc.keeps(is_new, row.lsn, row.value.is_none())
        })
        .collect()
}

fn matches(rows: &[&Candidate], meta: &TableMeta) -> bool {
    let digest = rows.iter().fold(0u128, |sum, candidate| sum.wrapping_add(candidate.digest));
    rows.len() as u64 == meta.rows && digest == meta.digest
}

impl TableRepair for LsmStore {
    fn tables(&self) -> Vec<TableInfo> {
        self.core.state().version.tables().map(|(level, table)| table.meta.info(level)).collect()
    }

    fn repair_table(&self, file: u64, rows: &mut dyn Iterator<Item = Result<Row>>) -> Result<()> {
        let core = &self.core;
        let _one_at_a_time = self.repairing.lock();
        // One state throughout: in it every version lies in exactly one place.
        let state = core.state_full();
        let mismatch = |expected: u64, found: usize| Error::RepairMismatch {
            file,
            expected,
            found: found as u64,
            digests_match: false,
        };
        let target = state.version.tables().find(|(_, table)| table.meta.file == file);
        let Some((level, table)) = target.map(|(level, table)| (level, Arc::clone(table))) else {
            return Err(mismatch(0, 0));
        };
        let meta = &table.meta;
        let candidates = core.candidates(&state, meta, rows)?;
        let readings =
            [(false, false), (false, true), (true, false), (true, true)].map(|(flip, drop_passed)| Reading {
                drop_tombstones: meta.drops_tombstones != flip,
                drop_passed,
            });
        let mut found = candidates.len();
        let Some(rows) = readings.into_iter().find_map(|reading| {
            let rows = read(&candidates, meta, reading);
            found = rows.len();
            matches(&rows, meta).then_some(rows)
        }) else {
            return Err(mismatch(meta.rows, found));
        };
        let rebuilt = core.rebuild(level, meta, &rows)?;
        let rebuilt_file = rebuilt.file;
        if rebuilt.digest != meta.digest {
            core.remove_table_file(rebuilt_file);
            return Err(mismatch(meta.rows, rows.len()));
        }
        self.swap(level, &table, rebuilt)?;
        tracing::info!(file, rebuilt_file, rows = rows.len(), "table repaired");
        Ok(())
    }
}

impl LsmStore {
    /// Installs the rebuilt table in the place of the old one, whose file stays in quarantine under a second name.
    fn swap(&self, level: usize, old: &Table, rebuilt: TableMeta) -> Result<()> {
        let core = &self.core;
        let rebuilt_file = rebuilt.file;
        core.remember(quarantine_link(&core.env, &old.path(), "a damaged table that has been rebuilt"))?;
        let installed = core.install(Change {
            removed: vec![old.meta.file],
            added: vec![(level, rebuilt)],
            ..Change::default()
        })?;
        if !installed {
            // A compaction has replaced the table meanwhile: it was readable, and there is nothing to heal.
            core.remove_table_file(rebuilt_file);
        }
        core.wake_compaction();
        Ok(())
    }
}
