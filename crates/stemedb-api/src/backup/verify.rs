//! Proving a backup: restored as it is, opened, read whole, compared.

use std::{path::Path, time::Duration};

use stemedb_env::{
    Env, OpenMode,
    fs::tree::{create_dir_durably, remove_tree},
};
use stemedb_hybrid::{ClaimEngine, EventKind, FallbackMode, HybridOptions, OpenReport};
use stemedb_index::Claims;

use super::{
    BackupTarget, Error, FileEntry, Hex, Metadata, Result, blobs,
    catalog::{mark_verified, metadata_of},
    document::damaged,
};

/// What was read and found to be whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The backup.
    pub backup: String,
    /// Its last entry.
    pub lsn: u64,
    /// Entries of the journal that were read.
    pub entries: u64,
    /// Rows of the view.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compared {
    pub entries: u64,
    pub mended: u64,
}

/// Gives the plain bytes of a part once more: of which file, and which part of it.
pub(super) type Mend<'a> = &'a dyn Fn(&FileEntry, usize) -> Result<Vec<u8>>;

/// Memory for the view of a database that is only compared.
const MEMORY_BYTES: u64 = 96 << 20;

/// Refuses a copy of so many bytes where it would leave less free than `kept`. Where the system does not tell it is tried.
pub(super) fn look_for_room(env: &Env, scratch: &Path, needed: u64, kept: u64) -> Result<()> {
    let dir = scratch.parent().unwrap_or(scratch);
    match env.fs.space(dir) {
        Ok(space) if space.available_bytes < needed.saturating_add(kept) => {
            let (dir, available) = (dir.to_path_buf(), space.available_bytes);
            Err(Error::StorageFull { dir, needed, kept, available })
        }
        _ => Ok(()),
    }
}

/// Restores a backup into `scratch`, which must be absent, opens and reads it, compares it with what it says of itself, and
/// removes it again. If all is well it counts as verified from then on.
///
/// Errors: [`Error::StorageFull`] before anything is written; [`Error::Damaged`] and [`Error::Missing`] name the object, and the file that it is of; [`Error::Differs`].
pub fn verify(env: &Env, target: &dyn BackupTarget, backup: &str, scratch: &Path) -> Result<VerifyReport> {
    let metadata = metadata_of(target, backup)?;
    look_for_room(env, scratch, metadata.total_bytes(), 0)?;
    let compared = verify_with(env, target, backup, &metadata, scratch, None)?;
    mark_verified(target, backup, &metadata, env.clock.wall())?;
    Ok(VerifyReport {
        backup: backup.to_owned(),
        lsn: metadata.lsn,
        entries: compared.entries,
        rows: metadata.rows,
        bytes: metadata.total_bytes(),
    })
}

pub(super) fn verify_with(
    env: &Env,
    target: &dyn BackupTarget,
    backup: &str,
    metadata: &Metadata,
    scratch: &Path,
    mend: Option<Mend<'_>>,
) -> Result<Compared> {
    if env.fs.metadata(scratch)?.is_some() {
        return Err(Error::Exists { dir: scratch.to_path_buf() });
    }
    let proven = fetch_all(env, target, metadata, scratch, mend).and_then(|mended| {
        let entries = compare(env, backup, metadata, scratch)?;
        Ok(Compared { entries, mended })
    });
    // It has served its purpose either way.
    let removed = remove_tree(&*env.fs, scratch);
    let proven = proven?;
    removed?;
    Ok(proven)
}

/// Fetches every file of a backup; the identity last. Returns how many objects had to be mended.
pub(super) fn fetch_all(
    env: &Env,
    target: &dyn BackupTarget,
    metadata: &Metadata,
    dir: &Path,
    mend: Option<Mend<'_>>,
) -> Result<u64> {
    for folder in ["kv", "wal"] {
        create_dir_durably(&*env.fs, &dir.join(folder))?;
    }
    let is_identity = |file: &&FileEntry| file.path.starts_with("IDENTITY.");
    let mut mended = 0;
    for file in metadata.files.iter().filter(|file| !is_identity(file)) {
        mended += fetch(env, target, file, &dir.join(&file.path), mend)?;
    }
    for folder in ["kv", "wal"] {
        env.fs.sync_dir(&dir.join(folder))?;
    }
    env.fs.sync_dir(dir)?;
    for file in metadata.files.iter().filter(is_identity) {
        mended += fetch(env, target, file, &dir.join(&file.path), mend)?;
    }
    env.fs.sync_dir(dir)?;
    if mended > 0 {
        target.settle()?;
    }
    Ok(mended)
}

/// Fetches one file, part by part, each proven before it is written.
pub(super) fn fetch(
    env: &Env,
    target: &dyn BackupTarget,
    file: &FileEntry,
    to: &Path,
    mend: Option<Mend<'_>>,
) -> Result<u64> {
    let out = env.fs.open(to, OpenMode::CreateNew)?;
    let mut whole = blake3::Hasher::new();
    let (mut at, mut mended) = (0, 0);
    for (number, part) in file.parts.iter().enumerate() {
        let plain = match (blobs::get(target, file, part), mend) {
            (Err(error), Some(mend)) if error.is_damage() => {
                tracing::warn!(%error, "a stored object is sent again");
                let plain = mend(file, number)?;
                blobs::mend(target, part, &plain)?;
                mended += 1;
                plain
            }
            (plain, _) => plain?,
        };
        whole.update(&plain);
        out.write_all_at(&plain, at)?;
        at += plain.len() as u64;
    }
    if Hex::from(whole.finalize()) != file.blake3 {
        return Err(damaged(target, &file.path, "its parts are whole, and it is not"));
    }
    out.sync_data()?;
    Ok(mended)
}

/// Options of a database that is opened only to be looked at: with everything in its own view when it is open, and without
/// another that would answer in its place.
pub(super) fn quiet_options() -> HybridOptions {
    let mut options = HybridOptions {
        fallback: FallbackMode::Off,
        replay_at_open_bytes: u64::MAX,
        ..HybridOptions::default()
    };
    options.lsm.memory_bytes = MEMORY_BYTES;
    options
}

/// What was wrong with the restored view, if the engine had to derive or repair some of it: the rows are right then, and the files
/// that were stored are not. `has_view`: there were files.
pub(super) fn mended_view(engine: &ClaimEngine, report: &OpenReport, has_view: bool) -> Option<String> {
    if report.rebuilt && has_view {
        return Some("derived again, for it could not be opened".to_owned());
    }
    if let Some(file) = report.damaged_tables.first() {
        return Some(format!("without table {file:06}"));
    }
    engine.events().after(0).into_iter().find(|event| event.kind == EventKind::Damage).map(|event| event.text)
}

/// How often the end of an upgrade is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until a view of this program's derivation version has taken the place of an older one. True if one has: the rows are others
/// than those that the backup speaks of then, and come from the journal, whose entries are proven by themselves.
///
/// Errors: [`stemedb_hybrid::Error::Upgrading`] if it does not go on.
pub(super) fn await_upgrade(env: &Env, engine: &ClaimEngine, report: &OpenReport) -> Result<bool> {
    while let Some(upgrade) = engine.health().upgrade {
        if upgrade.stuck.is_some() {
            return Err(stemedb_hybrid::Error::Upgrading(Box::new(upgrade)).into());
        }
        env.clock.sleep(LOOK_EVERY);
    }
    Ok(report.upgrade.is_some())
}

/// Opens a restored database and compares it with what the backup says; returns its journal's entries.
pub(super) fn compare(env: &Env, backup: &str, metadata: &Metadata, dir: &Path) -> Result<u64> {
    let (engine, report) = ClaimEngine::open(env, dir, Claims, &quiet_options())?;
    let differs = |what, expected: &dyn ToString, found: &dyn ToString| {
        Err(Error::Differs {
            backup: backup.to_owned(),
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        })
    };
    let identity = *engine.identity();
    if Hex(identity.database.0) != metadata.database {
        return differs("the database", &metadata.database, &identity.database);
    }
    if engine.published_lsn() != metadata.lsn() {
        return differs("the last entry", &metadata.lsn, &engine.published_lsn());
    }
    // Every frame and every block, before anything is concluded from rows.
    let verified = engine.verify()?;
    if verified.entries != metadata.entries {
        return differs("the number of entries", &metadata.entries, &verified.entries);
    }
    if !await_upgrade(env, &engine, &report)? {
        let root = engine.state_root()?;
        if root.rows() != metadata.rows {
            return differs("the number of rows", &metadata.rows, &root.rows());
        }
        if Hex(root.digest()) != metadata.state_root {
            return differs("the state root", &metadata.state_root, &root);
        }
    }
    if let Some(problem) = mended_view(&engine, &report, true) {
        return differs("the view", &"whole", &problem);
    }
    engine.close()?;
    Ok(verified.entries)
}
