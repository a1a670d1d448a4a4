//! What is readable in the folder of a tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use stemedb_env::{DirEntry, Env, Lsn, frame::DatabaseId};

use crate::{
    Error, Result,
    error::is_unreadable,
    manifest::{Record, Survey, TreeState, manifest_number, read_current, survey},
    table::{Described, TableMeta, describe, table_number},
};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) names: Vec<DirEntry>,
    /// Every table in the folder; `None` where header, footer or properties do not read.
    pub(super) tables: BTreeMap<u64, Option<Described>>,
    /// Every manifest in the folder, by its number.
    pub(super) manifests: Vec<Survey>,
    /// The manifest that `CURRENT` names, if that reads.
    pub(super) current: Option<u64>,
}

/// Reads the ends of all tables and what verifies of all manifests.
pub(super) fn gather(env: &Env, dir: &Path, database: DatabaseId) -> Result<Evidence> {
    let current = match read_current(env, dir, database) {
        Err(Error::Corruption { .. }) => None,
        Err(Error::Env(error)) if is_unreadable(&error) => None,
        other => other?,
    };
    let names = env.fs.list(dir)?;
    let mut evidence = Evidence { current, ..Evidence::default() };
    let mut scratch = Default::default();
    let mut newest: Option<(u64, u64, BTreeSet<u64>)> = None;
    for entry in &names {
        if let Some(file) = table_number(&entry.name) {
            let described = describe(&*env.fs, dir, database, file, &mut scratch)?;
            let record = described.as_ref().and_then(|table| table.record.as_ref());
            if let Some(record) = record
                && newest.as_ref().is_none_or(|(_, sequence, _)| record.state.sequence > *sequence)
            {
                newest = Some((file, record.state.sequence, record.state.tables.keys().copied().collect()));
            }
            evidence.tables.insert(file, described);
            // Each record is a list of all tables: only those that may still say something are kept.
            if let Some((file, _, live)) = &newest {
                evidence.forget_records(&|table| table != *file && live.contains(&table));
            }
        }
        if let Some(number) = manifest_number(&entry.name) {
            evidence.manifests.push(survey(env, dir, database, number)?);
        }
    }
    evidence.manifests.sort_by_key(|survey| survey.number);
    evidence.names = names;
    Ok(evidence)
}

impl Evidence {
    /// Drops the records of some tables: a newer one knows these tables, and all that theirs know.
    fn forget_records(&mut self, known: &dyn Fn(u64) -> bool) {
        for (file, table) in &mut self.tables {
            if let Some(table) = table
                && table.record.is_some()
                && known(*file)
            {
                table.record = None;
            }
        }
    }

    /// True if nothing in the folder belongs to a tree.
    pub(super) fn is_nothing(&self) -> bool {
        let has_current = self.names.iter().any(|entry| entry.name == "CURRENT");
        self.tables.is_empty() && self.manifests.is_empty() && !has_current
    }

    pub(super) fn described(&self) -> impl Iterator<Item = &Described> {
        self.tables.values().flatten()
    }

    /// Tables that say what their change was, with what they say.
    pub(super) fn records(&self) -> impl Iterator<Item = (&Described, &Record)> {
        self.described().filter_map(|table| Some((table, table.record.as_ref()?)))
    }

    /// The live tables of a state whose files are not there or do not say that they are what the state means.
    pub(super) fn missing<'a>(&'a self, state: &'a TreeState) -> impl Iterator<Item = u64> + 'a {
        let is_there = |meta: &TableMeta| {
            let found = self.tables.get(&meta.file).and_then(Option::as_ref);
            found.is_some_and(|described| described.meta == *meta)
        };
        state.tables.values().filter(move |(_, meta)| !is_there(meta)).map(|(_, meta)| meta.file)
    }

    /// The greatest number of a change that anything speaks of.
    pub(super) fn newest_change(&self) -> u64 {
        let manifests = self.manifests.iter().map(Survey::newest);
        manifests.chain(self.records().map(|(_, record)| record.state.sequence)).max().unwrap_or(0)
    }

    /// The greatest LSN that anything speaks of.
    pub(super) fn newest_seen(&self) -> Lsn {
        let tables = self.described().map(|table| table.meta.max_lsn.max(table.meta.horizon));
        let records = self.records().map(|(_, record)| record.state.flushed.max(record.edit.flushed));
        let edits = self.manifests.iter().flat_map(|survey| survey.edits.values());
        tables.chain(records).chain(edits.map(|edit| edit.flushed)).max().unwrap_or(Lsn::ZERO)
    }

    /// No table with this number or a greater one has been made, as far as anything tells.
    pub(super) fn next_file(&self) -> u64 {
        let manifests = self.manifests.iter().map(Survey::next_file);
        let records = self.records().map(|(_, record)| record.state.next_file.max(record.edit.next_file));
        let names = self.tables.keys().map(|file| file.saturating_add(1));
        manifests.chain(records).chain(names).max().unwrap_or(0).max(1)
    }
}
