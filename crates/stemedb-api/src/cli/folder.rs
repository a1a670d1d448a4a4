//! Opening and creating data directories.

use std::path::Path;

use stemedb_api::{Database, DatabaseOptions};
use stemedb_env::{Env, Fs};

use super::failure::Failure;

/// Opens an existing database.
pub fn open(dir: &Path) -> Result<Database, Failure> {
    open_with(dir, once())
}

/// Options of a program that asks once and ends: nothing is worth keeping.
fn once() -> DatabaseOptions {
    DatabaseOptions { cache_bytes: 0, ..DatabaseOptions::default() }
}

/// Opens an existing database with other options.
pub fn open_with(dir: &Path, options: DatabaseOptions) -> Result<Database, Failure> {
    Database::open(dir, options).map_err(Failure::from)
}

/// Creates a database.
pub fn create(dir: &Path) -> Result<Database, Failure> {
    create_with(dir, once())
}

/// Creates a database with other options.
pub fn create_with(dir: &Path, options: DatabaseOptions) -> Result<Database, Failure> {
    Database::create(dir, options).map_err(Failure::from)
}

/// Opens a database, or creates it if nothing is at the path. A folder that is there, but empty, may be a disk that is not
/// mounted: it is left alone.
pub fn open_or_create_absent(env: &Env, dir: &Path) -> Result<(Database, bool), Failure> {
    if env.fs.metadata(dir)?.is_none() { Ok((create(dir)?, true)) } else { Ok((open(dir)?, false)) }
}

/// True when the path does not exist or holds nothing that a user would miss.
pub fn is_absent_or_empty(env: &Env, dir: &Path) -> Result<bool, Failure> {
    Ok(match env.fs.metadata(dir)? {
        None => true,
        Some(found) => found.is_dir && names(env.fs.as_ref(), dir)?.is_empty(),
    })
}

fn names(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs.list(dir)?.into_iter();
    Ok(entries.map(|entry| entry.name).filter(|name| name != "lost+found").collect())
}

/// Bytes of the files directly in a folder; 0 where it does not exist.
pub fn bytes_in(env: &Env, dir: &Path) -> Result<u64, Failure> {
    if env.fs.metadata(dir)?.is_none() {
        return Ok(0);
    }
    Ok(env.fs.list(dir)?.iter().map(|entry| entry.metadata.len).sum())
}
