//! What a manifest says, for tools that look at a tree without opening it.

use std::path::Path;

use stemedb_env::{Env, Lsn, frame::DatabaseId};

use super::{read_current, replay};
use crate::Result;

/// The newest state of a tree that nobody needs to have closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestSummary {
    /// The manifest's number.
    pub number: u64,
    /// How many changes have led to this state.
    pub sequence: u64,
    /// Every batch up to here is in tables.
    pub flushed: Lsn,
    /// Snapshots below this cannot be served.
    pub horizon: Lsn,
    /// Files that wait for their deletion.
    pub obsolete: usize,
    /// A crash has left bytes behind the last accepted change.
    pub torn: bool,
    /// Live tables, by their numbers.
    pub tables: Vec<TableSummary>,
}

/// One live table. What its keys are is not said: they are what the rows are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSummary {
    /// Its number: the file is `NNNNNN.sst`.
    pub file: u64,
    /// Its level.
    pub level: u32,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes of its keys and values.
    pub data_bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Distinct keys.
    pub keys: u64,
    /// Removed keys among its rows.
    pub tombstones: u64,
    /// Pieces of removed ranges.
    pub range_removals: u64,
    /// The oldest of its rows.
    pub min_lsn: Lsn,
    /// The newest of its rows.
    pub max_lsn: Lsn,
    /// Which version of the derivation made it.
    pub derivation_version: u32,
}

/// Reads the manifest that `CURRENT` names in a tree's folder; `None` if there is no such file. Nothing is written and no lock is
/// needed. A tree that is open beside it may replace the manifest between the two reads: then the file is missing, which is an error
/// as damage is; looking again is enough. Cost: the manifest is read, a few megabytes at most.
///
/// Errors: [`crate::Error::Corruption`] where the manifest is damaged or gone, and those of the disk.
pub fn describe_manifest(env: &Env, dir: &Path, database: DatabaseId) -> Result<Option<ManifestSummary>> {
    let Some(number) = read_current(env, dir, database)? else { return Ok(None) };
    let replayed = replay(env, dir, database, number)?;
    let state = replayed.state;
    let tables = state.tables.values().map(|(level, meta)| TableSummary {
        file: meta.file,
        level: *level,
        bytes: meta.bytes,
        data_bytes: meta.data_bytes,
        rows: meta.rows,
        keys: meta.keys,
        tombstones: meta.tombstones,
        range_removals: meta.ranges,
        min_lsn: meta.min_lsn,
        max_lsn: meta.max_lsn,
        derivation_version: meta.derivation_version,
    });
    Ok(Some(ManifestSummary {
        number,
        sequence: state.sequence,
        flushed: state.flushed,
        horizon: state.horizon,
        obsolete: state.obsolete.len(),
        torn: replayed.torn,
        tables: tables.collect(),
    }))
}
