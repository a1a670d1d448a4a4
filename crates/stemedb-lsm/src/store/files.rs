//! Files that are damaged, and files that wait for their deletion.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use parking_lot::Mutex;
use stemedb_env::{Env, OpenMode};

use crate::{CorruptionKind, Error, Result, table::table_path};

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The kind.
    pub kind: CorruptionKind,
    /// Where in the file it was seen first.
    pub offset: u64,
}

/// Tables that a read, a check or the opening found damaged. Compaction keeps away from them.
#[derive(Debug, Default)]
pub(crate) struct DamageList {
    tables: Mutex<BTreeMap<u64, Damage>>,
}

impl DamageList {
    pub(crate) fn note(&self, file: u64, kind: CorruptionKind, offset: u64) {
        let mut tables = self.tables.lock();
        if let std::collections::btree_map::Entry::Vacant(entry) = tables.entry(file) {
            tracing::error!(
                file,
                offset,
                "StorageError: Corruption: {kind} in table {file:06}.sst at offset {offset}"
            );
            entry.insert(Damage { kind, offset });
        }
    }

    pub(crate) fn contains(&self, file: u64) -> bool {
        self.tables.lock().contains_key(&file)
    }

    pub(crate) fn forget(&self, file: u64) {
        self.tables.lock().remove(&file);
    }

    pub(crate) fn list(&self) -> Vec<(u64, Damage)> {
        self.tables.lock().iter().map(|(file, damage)| (*file, *damage)).collect()
    }

    /// The damage of a table as an error.
    pub(crate) fn error(&self, dir: &Path, file: u64) -> Error {
        let damage = self.tables.lock().get(&file).copied();
        let Damage { kind, offset } =
            damage.unwrap_or(Damage { kind: CorruptionKind::TableMismatch, offset: 0 });
        Error::Corruption { kind, file: table_path(dir, file), offset }
    }
}

/// A scan that steps over more dead rows than this in one go has found a table that should be merged.
pub(crate) const DEAD_ROWS_WORTH_NOTING: u64 = 1000;

/// Tables in which scans had to step over many rows that are dead. Compaction merges them first.
#[derive(Debug, Default)]
pub(crate) struct DenseTables {
    files: Mutex<BTreeSet<u64>>,
}

impl DenseTables {
    /// True if the table was not known yet.
    pub(crate) fn note(&self, file: u64) -> bool {
        self.files.lock().insert(file)
    }

    pub(crate) fn files(&self) -> BTreeSet<u64> {
        self.files.lock().clone()
    }

    pub(crate) fn forget(&self, files: &[u64]) {
        let mut known = self.files.lock();
        files.iter().for_each(|file| _ = known.remove(file));
    }
}

/// Tables that no reader holds any more.
#[derive(Debug, Default)]
pub(crate) struct Graveyard {
    files: Mutex<BTreeSet<u64>>,
}

impl Graveyard {
    pub(crate) fn bury(&self, file: u64) {
        self.files.lock().insert(file);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.lock().is_empty()
    }

    pub(crate) fn take_one(&self) -> Option<u64> {
        self.files.lock().pop_first()
    }
}

/// Moves a file out of the tree's folder into `quarantine/` beside it, with a note that says why. Nothing is destroyed:
/// a name that is taken gets a number.
pub(crate) fn quarantine(env: &Env, path: &Path, reason: &str) -> Result<()> {
    put_aside(env, path, reason, &|to| env.fs.rename(path, to))
}

/// Gives a file a second name in `quarantine/`, so that removing the first destroys nothing. A file that does not exist
/// leaves no evidence.
pub(crate) fn quarantine_link(env: &Env, path: &Path, reason: &str) -> Result<()> {
    if env.fs.metadata(path)?.is_none() {
        return Ok(());
    }
    put_aside(env, path, reason, &|to| env.fs.link(path, to))
}

fn put_aside(
    env: &Env,
    path: &Path,
    reason: &str,
    rename: &dyn Fn(&Path) -> stemedb_env::Result<()>,
) -> Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let home = dir.parent().unwrap_or(dir);
    let quarantine = home.join("quarantine");
    env.fs.create_dir(&quarantine)?;
    env.fs.sync_dir(home)?;
    let mut name_there = name.to_owned();
    let mut n = 0;
    while env.fs.metadata(&quarantine.join(&name_there))?.is_some() {
        n += 1;
        name_there = format!("{name}.{n}");
    }
    let note = quarantine.join(format!("{name_there}.reason"));
    if env.fs.metadata(&note)?.is_none() {
        let file = env.fs.open(&note, OpenMode::CreateNew)?;
        file.write_all_at(format!("{}: {reason}\n", path.display()).as_bytes(), 0)?;
        file.sync_data()?;
    }
    let to = quarantine.join(&name_there);
    rename(&to)?;
    env.fs.sync_dir(&quarantine)?;
    env.fs.sync_dir(dir)?;
    tracing::warn!(from = %path.display(), to = %to.display(), reason, "put into quarantine");
    Ok(())
}
