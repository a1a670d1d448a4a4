//! Whether a sound manifest is older than the tables: an earlier copy that somebody put back.

use std::{collections::BTreeSet, path::Path};

use stemedb_env::{DirEntry, Env, frame::DatabaseId};

use super::{decide::completes, evidence::Evidence};
use crate::{
    CorruptionKind, Error, Result,
    manifest::{TreeState, manifest_number, manifest_path, survey},
    table::{describe, table_number},
};

/// Fails with [`CorruptionKind::ManifestStale`] if a newer manifest or a table that manifest `number` does not name proves a
/// later state, or holds what tables had that are missing. An older copy that passes is harmless: it is a state that the tree has had, and its
/// tables are there.
///
/// Cost: nothing as long as the folder holds what the manifest names; else the ends of the tables it does not name, and of the others
/// if some are missing.
pub(crate) fn check_not_stale(
    env: &Env,
    dir: &Path,
    database: DatabaseId,
    number: u64,
    state: &TreeState,
    names: &[DirEntry],
) -> Result<()> {
    let stale = || {
        let file = manifest_path(dir, number);
        Err(Error::Corruption { kind: CorruptionKind::ManifestStale, file, offset: 0 })
    };
    for newer in names.iter().filter_map(|entry| manifest_number(&entry.name)).filter(|newer| *newer > number)
    {
        if survey(env, dir, database, newer)?.newest() > state.sequence {
            return stale();
        }
    }
    let tables = || names.iter().filter_map(|entry| table_number(&entry.name));
    let mut evidence = Evidence::default();
    let mut scratch = Default::default();
    for file in tables().filter(|file| !state.tables.contains_key(file) && !state.obsolete.contains(file)) {
        let described = describe(&*env.fs, dir, database, file, &mut scratch)?;
        evidence.tables.insert(file, described);
    }
    if evidence.records().any(|(_, record)| record.state.sequence > state.sequence) {
        return stale();
    }
    let there: BTreeSet<u64> = tables().collect();
    if evidence.records().next().is_none() || state.tables.keys().all(|file| there.contains(file)) {
        return Ok(());
    }
    for file in tables().filter(|file| state.tables.contains_key(file)) {
        let described = describe(&*env.fs, dir, database, file, &mut scratch)?;
        evidence.tables.insert(file, described);
    }
    let explains =
        evidence.records().filter_map(|(table, record)| completes(&evidence, state, table, record));
    let fewer = explains.map(|next| evidence.missing(&next).count()).min();
    match fewer.is_some_and(|fewer| fewer < evidence.missing(state).count()) {
        true => stale(),
        false => Ok(()),
    }
}
