//! A second tree made of hard links.

use std::path::Path;

use stemedb_env::{Lsn, fs::tree::link_or_copy};

use super::{core::Core, open};
use crate::{Error, Result, manifest::Manifest, table::table_path};

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
        for file in state.tables.keys() {
            link_or_copy(&*self.env.fs, &table_path(&self.dir, *file), &table_path(dir, *file))?;
        }
        let flushed = state.flushed;
        // Makes the names of the links durable before it writes CURRENT: without that file the folder holds no tree.
        Manifest::create(&self.env, dir, self.context.database, 1, state)?;
        Ok(flushed)
    }
}
