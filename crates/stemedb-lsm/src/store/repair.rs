//! Rebuilding a table from rows that somebody else has derived again.
//!
//! First only what cannot be read is asked for: see [`super::rescan`]. This is how the rest is known, and the second way, for
//! who gives all writes of the table.
//!
//! The journal gives every write that ever was in the table's key and LSN range. What the table really held is less:
//! rows that lie in other tables, and versions that compaction has forgotten, were not in it. Rows held elsewhere are
//! looked up; what compaction forgot follows from the horizon recorded with the table. Where that leaves room (a
//! newer version of a key passed above the table, a removal was dropped on an earlier way to the bottom) the few possible
//! readings are tried in turn. The recorded digest decides: a reading that does not add up to it is never installed.
//! Keys that are written once leave no room at all.
//!
//! Removed ranges are derived the same way. How they are cut into pieces follows from the keys alone (see `ranges`), so
//! their digest can be proven too.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::{
    LsmStore,
    core::{Change, Core, State},
    evidence::{Candidate, Candidates, Evidence, MOST_SHELVES},
    files::quarantine_link,
};
use crate::{
    DerivedWrite, Error, RangeRemoval, Result, TableInfo, TableRepair,
    compaction::Gc,
    kv::RowDigester,
    ranges::{Cover, Fragments, successor},
    table::{Table, TableBuilder, TableMeta, TableShape, filter::filter_hash, heal::Scope},
    version::LAST_LEVEL,
};

/// One way to read what compaction has forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    drop_tombstones: bool,
    drop_passed: bool,
    /// Writes behind the table's LSN range had their say when it was built, and were forgotten.
    upto: Lsn,
}

impl Reading {
    /// The likely ones first. `behind`: there are writes behind the table's LSNs.
    pub(super) fn all(meta: &TableMeta, behind: bool) -> Vec<Reading> {
        let uptos = [Some(meta.max_lsn), behind.then_some(Lsn::MAX)].into_iter().flatten();
        uptos
            .flat_map(|upto| {
                [(false, false), (false, true), (true, false), (true, true)].map(|(flip, drop_passed)| {
                    Reading { drop_tombstones: meta.drops_tombstones != flip, drop_passed, upto }
                })
            })
            .collect()
    }

    /// Removed ranges as this reading leaves them.
    pub(super) fn ranges(&self, ranges: &Fragments, horizon: Lsn) -> Fragments {
        let upto = |lsns: &[Lsn]| lsns.iter().copied().filter(|lsn| *lsn <= self.upto).collect();
        ranges.with_lsns(upto).forgotten(horizon, self.drop_tombstones)
    }
}

impl Core {
    /// True if a memtable holds exactly this version.
    fn memtable_holds(&self, state: &State, key: &[u8], lsn: Lsn) -> bool {
        let mut memtables = state.memtables().filter(|memtable| memtable.min_lsn() <= lsn);
        memtables.any(|memtable| memtable.version_at(key, lsn) == Some(lsn))
    }

    /// True if a table other than `file` holds exactly this version.
    fn table_holds(&self, state: &State, file: u64, key: &[u8], lsn: Lsn) -> Result<bool> {
        // A table whose LSNs do not reach to this one need not be read, and may be damaged itself.
        let hash = filter_hash(key);
        for table in tables_with(state, file, key).filter(|table| table.meta.max_lsn >= lsn) {
            if table.meta.min_lsn <= lsn && table.version_at(key, lsn, hash)? == Some(lsn) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The greatest LSN at or below `lsn` at which another table than `file` holds a version of the key.
    fn version_in_tables(&self, state: &State, file: u64, key: &[u8], lsn: Lsn) -> Result<Option<Lsn>> {
        let hash = filter_hash(key);
        let mut newest = None;
        for table in tables_with(state, file, key).filter(|table| table.meta.min_lsn <= lsn) {
            newest = newest.max(table.version_at(key, lsn, hash)?);
        }
        Ok(newest)
    }

    /// The removed ranges that memtables and other tables hold.
    pub(super) fn ranges_elsewhere(&self, state: &State, meta: &TableMeta) -> Result<Fragments> {
        let mut held: Vec<Fragments> = Vec::new();
        for memtable in state.memtables().filter(|memtable| memtable.has_ranges()) {
            held.push(memtable.ranges_upto(Lsn::MAX));
        }
        for (_, table) in state.version.tables() {
            let other = &table.meta;
            if other.file != meta.file && other.ranges > 0 && other.overlaps(&meta.smallest, &meta.largest) {
                held.push(table.ranges()?.clone());
            }
        }
        Ok(Fragments::merged(held))
    }

    /// What may have been in a part of the table; `held` is what others have of removed ranges. `separators` cut many rows into
    /// equal parts.
    pub(super) fn evidence(
        &self,
        state: &State,
        meta: &TableMeta,
        scope: &Scope,
        separators: Vec<Vec<u8>>,
        held: &Fragments,
        writes: &mut dyn Iterator<Item = Result<DerivedWrite>>,
    ) -> Result<Evidence> {
        let merged = self.merged_lsn();
        let upto = meta.max_lsn.max(meta.horizon);
        let behind = successor(&scope.last);
        let mut digester = RowDigester::default();
        let rows = if separators.is_empty() { 0 } else { usize::try_from(meta.rows).unwrap_or(0) };
        let mut found = Evidence::new(separators, rows);
        let mut ranges = Vec::new();
        // Mostly there is none, and then no row needs to look for one.
        let has_others = state
            .version
            .tables()
            .any(|(_, other)| other.meta.file != meta.file && other.meta.overlaps(&scope.first, &scope.last));
        for write in writes {
            let row = match write? {
                DerivedWrite::Row(row) => row,
                DerivedWrite::Range(RangeRemoval { start, end, lsn }) => {
                    if (meta.min_lsn..=upto).contains(&lsn) {
                        let whole = Fragments::one(&start, &end, lsn);
                        ranges.push(whole.clipped(&scope.first, Some(&behind)));
                    }
                    continue;
                }
            };
            let inside = scope.contains(&row.key, row.lsn) && (meta.min_lsn..=upto).contains(&row.lsn);
            if !inside || self.memtable_holds(state, &row.key, row.lsn) {
                continue;
            }
            let mut newest = Some(held.newest(&row.key, merged));
            if has_others {
                if self.table_holds(state, meta.file, &row.key, row.lsn)? {
                    continue;
                }
                newest = newest.max(self.version_in_tables(state, meta.file, &row.key, merged)?);
            }
            let digest = digester.digest(&row.key, row.lsn, row.value.as_deref());
            found.push(&row, digest, newest.is_some_and(|newest| newest > row.lsn))?;
        }
        found.sort();
        found.ranges = Fragments::merged(ranges).without(held);
        Ok(found)
    }

    /// Makes a table in the place of another one, of what `fill` gives.
    pub(super) fn rebuild(
        &self,
        level: usize,
        meta: &TableMeta,
        fill: impl FnOnce(&mut TableBuilder) -> Result<()>,
    ) -> Result<TableMeta> {
        let shape = TableShape::new(&self.options, level == LAST_LEVEL, meta.horizon, meta.drops_tombstones);
        let shape = TableShape { derivation_version: meta.derivation_version, ..shape };
        let file = self.next_file_number();
        let names_epoch = self.names_epoch();
        let mut builder = TableBuilder::create(
            &self.env,
            &self.dir,
            self.context.database,
            file,
            shape,
            &self.context.memory,
        )?;
        let written = fill(&mut builder).and_then(|()| builder.finish()).and_then(|meta| {
            self.sync_names(names_epoch)?;
            Ok(meta)
        });
        if written.is_err() {
            self.remove_table_file(file);
        }
        written
    }
}

/// Tables other than `file` within whose bounds a key lies.
fn tables_with<'a>(state: &'a State, file: u64, key: &'a [u8]) -> impl Iterator<Item = &'a Arc<Table>> {
    state.version.runs().filter_map(move |run| run.find(key)).filter(move |table| table.meta.file != file)
}

/// What one reading leaves.
pub(super) struct Content<'a> {
    /// Each with the shelf that knows its bytes.
    pub(super) rows: Vec<(&'a Candidates, &'a Candidate)>,
    ranges: Fragments,
}

pub(super) fn read<'a>(evidence: &'a Evidence, meta: &TableMeta, reading: Reading) -> Content<'a> {
    let upto = |lsns: &[Lsn]| lsns.iter().copied().filter(|lsn| *lsn <= reading.upto).collect();
    let ranges = evidence.ranges.with_lsns(upto);
    let mut cover = Cover::new(&ranges, meta.horizon);
    let mut gc = Gc::new(meta.horizon, reading.drop_tombstones);
    // Of a key whose first rows are left out a later one is the first.
    let mut is_new = false;
    let mut rows = Vec::with_capacity(evidence.len());
    for (shelf, row) in evidence.rows() {
        is_new |= row.is_first();
        if row.lsn > reading.upto || (reading.drop_passed && row.passed) {
            continue;
        }
        let is_kept = gc.keeps(is_new, row.lsn, row.is_removal());
        is_new = false;
        if is_kept && (ranges.is_empty() || cover.newest(shelf.key(row)) <= row.lsn) {
            rows.push((shelf, row));
        }
    }
    Content { rows, ranges: ranges.forgotten(meta.horizon, reading.drop_tombstones) }
}

impl Content<'_> {
    /// Sum of the digests of its rows.
    pub(super) fn digest(&self) -> u128 {
        self.rows.iter().fold(0u128, |sum, (_, candidate)| sum.wrapping_add(candidate.digest))
    }

    fn matches(&self, meta: &TableMeta) -> bool {
        let digest = self.digest().wrapping_add(self.ranges.digest(&mut RowDigester::default()));
        self.rows.len() as u64 == meta.rows
            && self.ranges.len() as u64 == meta.ranges
            && digest == meta.digest
    }
}

impl TableRepair for LsmStore {
    fn tables(&self) -> Vec<TableInfo> {
        self.core.state().version.tables().map(|(level, table)| table.meta.info(level)).collect()
    }

    fn repair_table(&self, file: u64, writes: &mut dyn Iterator<Item = Result<DerivedWrite>>) -> Result<()> {
        let core = &self.core;
        let _one_at_a_time = self.repairing.lock();
        if let Some(refused) = core.closed() {
            return refused;
        }
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
        match core.rescan(level, &table, &state) {
            Ok(Some(rebuilt)) => {
                let rebuilt_file = rebuilt.file;
                self.swap(level, &table, rebuilt)?;
                tracing::info!(
                    file,
                    rebuilt_file,
                    rows = meta.rows,
                    "table repaired from what was left of it"
                );
                return Ok(());
            }
            Ok(None) => {}
            Err(error @ (Error::Env(_) | Error::ReadOnly { .. })) => return Err(error),
            Err(error) => tracing::warn!(%error, file, "what is left of a table is of no use"),
        }
        let held = core.ranges_elsewhere(&state, meta)?;
        let scope = Scope::all(&meta.smallest, &meta.largest);
        let evidence = core.evidence(&state, meta, &scope, table.separators(MOST_SHELVES), &held, writes)?;
        let readings = Reading::all(meta, evidence.is_behind(meta.max_lsn));
        let mut found = evidence.len();
        let Some(content) = readings.into_iter().find_map(|reading| {
            let content = read(&evidence, meta, reading);
            found = content.rows.len();
            content.matches(meta).then_some(content)
        }) else {
            return Err(mismatch(meta.rows, found));
        };
        let rows = content.rows.len();
        let rebuilt = core.rebuild(level, meta, |builder| {
            for (shelf, row) in &content.rows {
                builder.add(shelf.key(row), row.lsn, shelf.value(row))?;
            }
            builder.set_ranges(content.ranges);
            Ok(())
        })?;
        let rebuilt_file = rebuilt.file;
        if rebuilt.digest != meta.digest {
            core.remove_table_file(rebuilt_file);
            return Err(mismatch(meta.rows, rows));
        }
        self.swap(level, &table, rebuilt)?;
        tracing::info!(file, rebuilt_file, rows, "table repaired");
        Ok(())
    }
}

impl LsmStore {
    /// Installs the rebuilt table in the place of the old one, which may have moved meanwhile, and whose file stays in quarantine under a second name.
    fn swap(&self, level: usize, old: &Table, rebuilt: TableMeta) -> Result<()> {
        let core = &self.core;
        let rebuilt_file = rebuilt.file;
        core.remember(quarantine_link(&core.env, &old.path(), "a damaged table that has been rebuilt"))?;
        let installed = core.install(Change {
            removed: vec![old.meta.file],
            added: vec![(level, rebuilt)],
            in_place: true,
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
