//! Reading back what is on disk: tables one by one, and the manifest.

use std::sync::Arc;

use super::{LsmStore, files::quarantine_link};
use crate::{
    CorruptionKind, Error, Result, TableCheck,
    manifest::{current_path, manifest_path},
};

impl LsmStore {
    /// A check of one live table; `None` if the tree has no such table.
    pub fn check_table(&self, file: u64) -> Option<TableCheck> {
        let state = self.core.state();
        let (_, table) = state.version.tables().find(|(_, table)| table.meta.file == file)?;
        Some(TableCheck::new(Arc::clone(table)))
    }

    /// True if what is being checked is still a table of this tree.
    pub fn has_checked(&self, check: &TableCheck) -> bool {
        self.core.state().version.tables().any(|(_, table)| Arc::ptr_eq(table, check.table()))
    }

    /// Reads `CURRENT` and the manifest back, up to the last edit written. Returns the bytes read.
    ///
    /// Errors: [`crate::Error::Corruption`], the system's. Changes of the tree go on meanwhile.
    pub fn check_manifest(&self) -> Result<u64> {
        // A look at where it ends is short; the reading is done without the lock.
        let written = self.core.manifest.lock().written();
        let checked = written.check(&self.core.env);
        if checked.is_err() && self.core.manifest.lock().written().number() != written.number() {
            // Replaced while it was being read.
            let written = self.core.manifest.lock().written();
            return written.check(&self.core.env);
        }
        checked
    }

    /// Writes what the tree knows into a new manifest and makes that the current one; evidence of the old files stays in
    /// `quarantine/`. Errors: [`Error::ReadOnly`] for a tree that was stopped, whose folder may be another's by now; the system's.
    pub fn renew_manifest(&self, reason: &str) -> Result<()> {
        let core = &self.core;
        let mut manifest = core.manifest.lock();
        // Under the lock: whoever stops the tree waits for it.
        if core.is_closing() {
            return Err(Error::ReadOnly { cause: "the tree was stopped".to_owned() });
        }
        let number = manifest.written().number();
        for path in [current_path(&core.dir), manifest_path(&core.dir, number)] {
            core.remember(quarantine_link(&core.env, &path, reason))?;
        }
        core.remember(manifest.roll())
    }

    /// Notes that the system cannot read a table at an offset.
    pub fn note_unreadable(&self, file: u64, offset: u64) {
        self.core.context.damage.note(file, CorruptionKind::Unreadable, offset);
    }

    /// Rows in memtables: what [`crate::KvStore::verify`] counts beside those of tables.
    pub fn memtable_rows(&self) -> u64 {
        self.core.state().memtables().map(|memtable| memtable.rows() as u64).sum()
    }

    /// Names in the tree's folder that hold its present state, other than tables.
    pub fn manifest_files(&self) -> Vec<std::path::PathBuf> {
        let number = self.core.manifest.lock().written().number();
        vec![current_path(&self.core.dir), manifest_path(&self.core.dir, number)]
    }
}
