//! A second tree made of hard links.

use std::path::Path;

use stemedb_env::{Lsn, fs::tree::link_or_copy};

use super::{core::Core, open};
use crate::{CorruptionKind, Error, Result, manifest::Manifest, table::table_path};

impl Core {
    /// See [`crate::LsmStore::checkpoint`].
    pub(super) fn checkpoint(&self, dir: &Path) -> Result<Lsn> {
        self.flush()?;
        open::create_dirs(&self.env, dir)?;
        if !self.env.fs.list(dir)?.is_empty() {
            return Err(Error::Folder { dir: dir.to_path_buf(), problem: "is not empty" });
        }
        // What the manifest says and the tables that it names, of one moment. Whoever holds a version keeps its files.
        let (mut state, _tables) = {
            let manifest = self.manifest.lock();
            (manifest.state.clone(), self.state_full())
        };
        state.obsolete.clear();
        let mut missing = None;
        for file in state.tables.keys() {
            let path = table_path(&self.dir, *file);
            match link_or_copy(&*self.env.fs, &path, &table_path(dir, *file)) {
                // Somebody has taken it away: whoever has it open reads on, and never notices.
                Err(error) if error.is_not_found() && self.env.fs.metadata(&path)?.is_none() => {
                    self.context.damage.note(*file, CorruptionKind::TableMissing, 0);
                    missing = Some(path);
                }
                placed => drop(placed?),
            }
        }
        if let Some(file) = missing {
            return Err(Error::Corruption { kind: CorruptionKind::TableMissing, file, offset: 0 });
        }
        let flushed = state.flushed;
        // Makes the names of the links durable before it writes CURRENT: without that file the folder holds no tree.
        Manifest::create(&self.env, dir, self.context.database, 1, state)?;
        Ok(flushed)
    }
}
