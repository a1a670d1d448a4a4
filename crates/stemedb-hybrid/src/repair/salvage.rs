//! What is readable of a damaged view, with the database closed.

use std::path::Path;

use stemedb_env::Env;
use stemedb_index::Derive;
use stemedb_lsm::{BulkOptions, SalvageOptions, SalvageReport};

use crate::{
    Error, HybridOptions, Identity, Layout, Result,
    recovery::{lock, lsm_options},
};

/// Reads what is readable of a database's primary view and writes it into a folder that is absent or empty; see
/// [`stemedb_lsm::salvage`].
///
/// For when the journal cannot give the view back: [`crate::rebuild`] derives it whole. The old view is not changed, and the
/// database must be closed. `quarantine` also reads tables that were put aside earlier.
///
/// Errors: [`Error::InUse`]; [`Error::NotADatabase`] and [`Error::BadIdentity`], because blocks are known by the database's
/// identity; [`Error::AlreadyExists`]; those of the disk.
pub fn salvage<D: Derive>(
    env: &Env,
    dir: &Path,
    into: &Path,
    _derive: &D,
    options: &HybridOptions,
    quarantine: bool,
) -> Result<SalvageReport> {
    let fs = env.fs.as_ref();
    let layout = Layout::of(dir);
    if !Identity::exists(fs, &layout)? {
        return Err(Error::NotADatabase { dir: dir.to_path_buf() });
    }
    let _lock = lock(env, &layout)?;
    let identity = Identity::read(fs, &layout)?;
    if fs.metadata(into)?.is_some()
        && let Some(found) = fs.list(into)?.into_iter().next()
    {
        return Err(Error::AlreadyExists { dir: into.to_path_buf(), found: found.name });
    }
    let options = SalvageOptions {
        lsm: lsm_options::<D>(&options.lsm),
        quarantine,
        buffer_bytes: BulkOptions::default().buffer_bytes,
    };
    Ok(stemedb_lsm::salvage(env, &layout.kv(), into, identity.database, &options)?)
}
