//! Making the manifest again from what is left of it and from what the tables say.
//!
//! ```text
//! evidence ─▶ decision ─▶ what was there goes to quarantine under a second name ─▶ new manifest, CURRENT
//!                                                                    ─▶ tables that are not in it go to quarantine
//! ```
//!
//! - [`evidence`]: what is readable; changes nothing.
//! - [`decide`]: which state of the tree that proves; touches no disk.
//! - [`stale`]: whether a sound manifest is older than the tables.
//!
//! Everything up to the new `CURRENT` can be cut short and done again; behind it the tree opens as any other. The argument why no
//! row is lost and none comes back stands in `docs/design/lsm.md`, *A lost manifest*.

mod decide;
#[cfg(test)]
mod decide_tests;
mod evidence;
mod stale;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{Env, Lsn, OpenMode, frame::DatabaseId};

pub(super) use self::stale::check_not_stale;
use self::{
    decide::{Decision, decide},
    evidence::{Evidence, gather},
};
use super::{
    Core, LsmStore,
    files::{quarantine, quarantine_link},
    open::{compare_tables, context, remove_manifests},
};
use crate::{
    CorruptionKind, Error, LsmOptions, Result,
    bulk::remove_leftovers,
    derivation::claim,
    error::NO_TREE,
    manifest::{Manifest, current_path, manifest_path},
    memory::fit,
    table::{Table, TableContext, TableMeta, table_path},
};

/// What a recovered list of tables goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryBasis {
    /// What still reads of the manifest with this number.
    Manifest(u64),
    /// What the table with this number says of the tree that it was made for.
    Table(u64),
    /// Nothing reads: the tree is empty and everything must be replayed.
    Nothing,
}

/// Why a file is not a part of the recovered tree. It lies in `quarantine/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsideReason {
    /// Its rows lie in tables that are accepted.
    Replaced,
    /// Nothing proves that its change took effect, and nothing is lost without it.
    Unproven,
    /// Header, footer or properties do not read, and nothing that is accepted names it.
    Unreadable,
}

impl AsideReason {
    fn text(self) -> &'static str {
        match self {
            AsideReason::Replaced => "a table that had been replaced when the manifest was lost",
            AsideReason::Unproven => "a table of a change that is not known to have taken effect",
            AsideReason::Unreadable => "a table that does not say what it is, and that nothing names",
        }
    }
}

/// What [`LsmStore::recover`] found and did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredManifest {
    /// What the list of tables goes back to.
    pub basis: RecoveryBasis,
    /// The LSN up to which everything is in the accepted tables. What the journal has beyond must be replayed, as after any
    /// open.
    pub flushed: Lsn,
    /// Snapshots below it cannot be served. A replay must reach it before anybody reads.
    pub horizon: Lsn,
    /// The greatest LSN that any file speaks of. The journal must reach it.
    pub newest_seen: Lsn,
    /// Numbers of the accepted tables.
    pub tables: Vec<u64>,
    /// Those of them whose files are missing or do not say what they are: damaged, to be repaired as always.
    pub missing: Vec<u64>,
    /// Tables whose changes were made later than the basis knows.
    pub completed: Vec<u64>,
    /// Accepted in the place of a missing table, whose content they have: missing, accepted.
    pub twins: Vec<(u64, u64)>,
    /// What is not accepted.
    pub aside: Vec<(PathBuf, AsideReason)>,
}

impl LsmStore {
    /// Opens the tree in `dir` although its manifest or `CURRENT` is missing, damaged, foreign or out of date: for an owner to
    /// whom [`LsmStore::open`] has said so ([`Error::is_lost_manifest`]). The list of tables is made again from what is left of the
    /// manifest and from what the tables say of the tree they were made for.
    ///
    /// The result is a state that the tree has had, so the owner replays its journal from [`crate::KvStore::flushed_lsn`] on, as
    /// after any open. With whole tables that is where it was. Nothing is destroyed: what is not accepted, and the manifests that were
    /// there, lie in `quarantine/` beside the folder, each with a reason. A power cut at any moment leaves a folder that opens or
    /// can be recovered again.
    ///
    /// Cost: the manifests, and header, footer and properties of every table; of a flush or an ingest that was the last change
    /// also its rows, which are checked, since the journal has them too.
    ///
    /// Errors: [`Error::Folder`] if the folder holds nothing of a tree; those of the disk, after which it can be tried again.
    pub fn recover(
        env: Env,
        dir: &Path,
        database: DatabaseId,
        options: LsmOptions,
    ) -> Result<(LsmStore, RecoveredManifest)> {
        let (core, report) = recover(env, dir, database, options)?;
        Ok((LsmStore::start(core)?, report))
    }

    /// What [`LsmStore::recover`] would do. Changes nothing, so that the owner can decide: if `flushed` lies before the
    /// beginning of its journal, or nearly all is missing, another way is better.
    ///
    /// Cost and errors as of the recovery.
    pub fn plan_recovery(
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        options: LsmOptions,
    ) -> Result<RecoveredManifest> {
        let (options, plan) = fit(options)?;
        let context = context(env, dir, database, &options, plan);
        let (evidence, decision) = examine(env, dir, &context)?;
        Ok(report(dir, &evidence, &decision))
    }
}

fn examine(env: &Env, dir: &Path, context: &Arc<TableContext>) -> Result<(Evidence, Decision)> {
    let nothing = || Error::Folder { dir: dir.to_path_buf(), problem: NO_TREE };
    if env.fs.metadata(dir)?.is_none_or(|found| !found.is_dir) {
        return Err(nothing());
    }
    let evidence = gather(env, dir, context.database)?;
    if evidence.is_nothing() {
        return Err(nothing());
    }
    let decision = decide(&evidence, &mut |meta| is_whole(meta, context))?;
    Ok((evidence, decision))
}

/// Reads a table and adds it up.
fn is_whole(meta: &TableMeta, context: &Arc<TableContext>) -> Result<bool> {
    let verified = Table::new(meta.clone(), Arc::clone(context)).verify();
    context.damage.forget(meta.file);
    match verified {
        Ok(_) => Ok(true),
        Err(Error::Corruption { .. }) => Ok(false),
        Err(Error::Env(error)) if crate::error::is_unreadable(&error) => Ok(false),
        Err(other) => Err(other),
    }
}

fn report(dir: &Path, evidence: &Evidence, decision: &Decision) -> RecoveredManifest {
    let state = &decision.state;
    RecoveredManifest {
        basis: decision.basis,
        flushed: state.flushed,
        horizon: state.horizon,
        newest_seen: evidence.newest_seen().max(state.flushed).max(state.horizon),
        tables: state.tables.keys().copied().collect(),
        missing: evidence.missing(state).collect(),
        completed: decision.completed.clone(),
        twins: decision.twins.clone(),
        aside: decision
            .aside(evidence)
            .into_iter()
            .map(|(file, reason)| (table_path(dir, file), reason))
            .collect(),
    }
}

fn recover(
    env: Env,
    dir: &Path,
    database: DatabaseId,
    options: LsmOptions,
) -> Result<(Core, RecoveredManifest)> {
    let (options, plan) = fit(options)?;
    let context = context(&env, dir, database, &options, plan);
    let (evidence, decision) = examine(&env, dir, &context)?;
    let report = report(dir, &evidence, &decision);
    let mut state = decision.state.clone();
    claim(dir, &mut state, &options)?;
    // Nobody has ever promised that these are on the disk: their change may have been cut short right before its last sync.
    for file in decision.unattested(&evidence) {
        env.fs.open(&table_path(dir, file), OpenMode::Read)?.sync_data()?;
    }
    const WHY: &str = "a list of tables that was made again";
    for survey in &evidence.manifests {
        quarantine_link(&env, &manifest_path(dir, survey.number), WHY)?;
    }
    quarantine_link(&env, &current_path(dir), WHY)?;
    compare_tables(&evidence.names, &mut state, &context);
    for file in evidence.missing(&state) {
        // Noted already if it is missing or has another length.
        context.damage.note(file, CorruptionKind::SstHeader, 0);
    }
    let next_file = state.next_file;
    let newest = evidence.manifests.iter().map(|survey| survey.number).max();
    let number = newest.max(evidence.current).unwrap_or(0).saturating_add(1);
    // The names of the tables become durable before it, and the new CURRENT with it. An ordinary open can do the rest.
    let manifest = Manifest::create(&env, dir, database, number, state)?;
    for (path, reason) in &report.aside {
        quarantine(&env, path, reason.text())?;
    }
    remove_manifests(&env, dir, &evidence.names, &BTreeSet::new())?;
    remove_leftovers(&env, dir, evidence.names.iter().map(|entry| entry.name.as_str()))?;
    tracing::warn!(
        basis = ?report.basis,
        tables = report.tables.len(),
        missing = report.missing.len(),
        completed = report.completed.len(),
        aside = report.aside.len(),
        flushed = report.flushed.0,
        "the list of tables was made again"
    );
    Ok((Core::new(env, dir.to_path_buf(), options, context, manifest, next_file), report))
}
