//! Making and opening a tree.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use stemedb_env::{
    DirEntry, Env, OpenMode,
    frame::DatabaseId,
    planted::{Bug, planted},
};

use super::{Core, DamageList, DenseTables, Graveyard, files::quarantine, recover::check_not_stale};
use crate::{
    CorruptionKind, DerivedBy, Error, LsmOptions, Result,
    bulk::remove_leftovers,
    derivation::claim,
    error::NO_TREE,
    manifest::{Manifest, TreeState, manifest_number, manifest_path, read_current, replay},
    memory::{Memory, Plan, fit},
    stats::Counters,
    table::{Healer, TableContext, table_number, table_path},
};

pub(super) fn context(
    env: &Env,
    dir: &Path,
    database: DatabaseId,
    options: &LsmOptions,
    plan: Plan,
) -> Arc<TableContext> {
    Arc::new(TableContext {
        fs: Arc::clone(&env.fs),
        dir: dir.to_path_buf(),
        database,
        memory: Arc::new(Memory::new(plan)),
        counters: Counters::default(),
        damage: DamageList::default(),
        graveyard: Graveyard::default(),
        dense: DenseTables::default(),
        healer: Healer::default(),
        prefix_extractor: options.prefix_extractor,
    })
}

/// `first_file` is the number of the first table.
pub(super) fn create(
    env: Env,
    dir: &Path,
    database: DatabaseId,
    options: LsmOptions,
    first_file: u64,
) -> Result<Core> {
    let (options, plan) = fit(options)?;
    create_dirs(&env, dir)?;
    let names = env.fs.list(dir)?;
    if names.iter().any(|entry| entry.name == "CURRENT" || table_number(&entry.name).is_some()) {
        return Err(Error::Folder { dir: dir.to_path_buf(), problem: "already holds a tree" });
    }
    // Manifests without CURRENT are what a crash in here left behind.
    let number = names.iter().filter_map(|entry| manifest_number(&entry.name)).max().unwrap_or(0) + 1;
    let manifest = Manifest::create(
        &env,
        dir,
        database,
        number,
        TreeState {
            next_file: first_file,
            derived_by: DerivedBy::of(&options).written(),
            ..TreeState::default()
        },
    )?;
    remove_manifests(&env, dir, &names, &BTreeSet::new())?;
    remove_leftovers(&env, dir, names.iter().map(|entry| entry.name.as_str()))?;
    let context = context(&env, dir, database, &options, plan);
    Ok(Core::new(env, dir.to_path_buf(), options, context, manifest, first_file))
}

/// Creates a folder and its missing parents, all names durable.
pub(super) fn create_dirs(env: &Env, dir: &Path) -> Result<()> {
    let mut new = Vec::new();
    for path in dir.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        if env.fs.metadata(path)?.is_some() {
            break;
        }
        new.push(path);
    }
    env.fs.create_dir(dir)?;
    for parent in
        new.iter().rev().filter_map(|path| path.parent()).filter(|path| !path.as_os_str().is_empty())
    {
        env.fs.sync_dir(parent)?;
    }
    Ok(())
}

pub(super) fn open(env: Env, dir: &Path, database: DatabaseId, options: LsmOptions) -> Result<Core> {
    let (options, plan) = fit(options)?;
    let no_tree = || Error::Folder { dir: dir.to_path_buf(), problem: NO_TREE };
    if env.fs.metadata(dir)?.is_none() {
        return Err(no_tree());
    }
    let current = read_current(&env, dir, database)?.ok_or_else(no_tree)?;
    let replayed = replay(&env, dir, database, current)?;
    let mut state = replayed.state;
    let names = env.fs.list(dir)?;
    check_not_stale(&env, dir, database, current, &state, &names)?;
    // Before anything is changed.
    claim(dir, &mut state, &options)?;
    let context = context(&env, dir, database, &options, plan);
    let unused = compare_tables(&names, &mut state, &context);
    let newest_name = names.iter().filter_map(|entry| manifest_number(&entry.name)).max().unwrap_or(current);
    let next_file = state.next_file;
    // A process that was killed may have left its last edit in the page cache alone. What follows from it must not outlive it: a
    // power cut between the new manifest and the new `CURRENT` would leave an old manifest beside a newer one.
    env.fs.open(&manifest_path(dir, current), OpenMode::Read)?.sync_data()?;
    // Never append behind a tail that may be torn: the state moves to a new file first.
    let mut manifest = Manifest::create(&env, dir, database, newest_name.max(current) + 1, state)?;
    // Only now is it durable that nobody needs these files.
    for file in unused.obsolete {
        env.fs.remove(&table_path(dir, file))?;
        manifest.state.obsolete.remove(&file);
    }
    for file in unused.unknown.into_iter().filter(|_| !planted(Bug::LsmOrphansStay)) {
        quarantine(&env, &table_path(dir, file), "a table that the manifest does not name")?;
    }
    let mut kept = BTreeSet::new();
    if replayed.torn {
        quarantine(
            &env,
            &manifest_path(dir, current),
            "its last edit had not become durable before a crash",
        )?;
        kept.insert(current);
    }
    remove_manifests(&env, dir, &names, &kept)?;
    remove_leftovers(&env, dir, names.iter().map(|entry| entry.name.as_str()))?;
    Ok(Core::new(env, dir.to_path_buf(), options, context, manifest, next_file))
}

/// Removes manifests that were there before the present one was made.
pub(super) fn remove_manifests(
    env: &Env,
    dir: &Path,
    names: &[DirEntry],
    kept: &BTreeSet<u64>,
) -> Result<()> {
    let stale =
        names.iter().filter_map(|entry| manifest_number(&entry.name)).filter(|number| !kept.contains(number));
    for number in stale {
        env.fs.remove(&manifest_path(dir, number))?;
    }
    Ok(())
}

/// Files of tables that the manifest has no use for.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// They had been replaced.
    obsolete: Vec<u64>,
    /// Nobody knows them.
    unknown: Vec<u64>,
}

/// Compares the folder with the manifest: notes live tables that are missing or have the wrong length, and says which
/// files are of no use. Changes nothing on disk.
pub(super) fn compare_tables(names: &[DirEntry], state: &mut TreeState, context: &TableContext) -> Unused {
    let mut seen = BTreeSet::new();
    let mut unused = Unused::default();
    for entry in names {
        let Some(file) = table_number(&entry.name) else { continue };
        state.next_file = state.next_file.max(file.saturating_add(1));
        seen.insert(file);
        if let Some((_, meta)) = state.tables.get(&file) {
            if entry.metadata.len != meta.bytes {
                context.damage.note(file, CorruptionKind::TableMismatch, entry.metadata.len.min(meta.bytes));
            }
        } else if state.obsolete.contains(&file) {
            unused.obsolete.push(file);
        } else {
            unused.unknown.push(file);
        }
    }
    state.obsolete.retain(|file| seen.contains(file));
    for file in state.tables.keys().filter(|file| !seen.contains(file)) {
        context.damage.note(*file, CorruptionKind::TableMissing, 0);
    }
    unused
}
