//! One tree in the place of another: what whoever swaps them asks of the old one.

use std::path::Path;

use stemedb_env::{Env, frame::DatabaseId};

use super::{LsmStore, open};
use crate::{Error, LsmOptions, Result, manifest::current_path};

/// The numbers of a new tree's tables begin so far above those of the one that it replaces. What readers hold of the old one
/// must never find a file of the new one under its own number: blocks are told apart by database, number and offset alone.
const NUMBERS_APART: u64 = 100_000;

impl LsmStore {
    /// True if the folder holds the file that names a tree's manifest. Cost: one look at a name.
    pub fn is_in(env: &Env, dir: &Path) -> Result<bool> {
        Ok(env.fs.metadata(&current_path(dir))?.is_some())
    }

    /// Makes an empty tree that takes the place of `old`, whose readers may go on: the numbers of its tables are others than
    /// those of `old`, which must have been stopped. Errors: as of [`LsmStore::create`].
    pub fn create_instead_of(
        old: &LsmStore,
        env: Env,
        dir: &Path,
        database: DatabaseId,
        options: LsmOptions,
    ) -> Result<LsmStore> {
        let first_file = old.core.peek_file_number().saturating_add(NUMBERS_APART);
        LsmStore::start(open::create(env, dir, database, options, first_file)?)
    }

    /// Stops the background jobs, and waits for the step in progress. Reads go on; writes do as long as they find room in
    /// memory. Nothing is flushed any more. Idempotent.
    pub fn stop(&self) {
        self.core.stop_jobs();
    }

    /// Opens the files of all tables, so that reads go on when the folder is moved or removed. Returns how many could not be
    /// opened. Cost: indexes and filters are read, about 2 % of the data.
    pub fn hold_files(&self) -> usize {
        self.core.state_full().version.tables().filter(|(_, table)| table.hold_file().is_err()).count()
    }

    /// Why flushes have stopped, if they have.
    pub fn flush_failure(&self) -> Option<Error> {
        self.core.flush_failure.lock().as_ref().map(Error::again)
    }
}
