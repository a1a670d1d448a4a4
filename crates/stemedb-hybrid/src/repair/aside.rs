//! Putting damaged views aside, whole, with a note that says why. Nothing is destroyed.

use std::path::{Path, PathBuf};

use stemedb_env::{Env, OpenMode, Result};

/// Moves a file or folder into `quarantine`, which is made if it is not there; a name that is taken gets a number. Returns
/// where it is now; `None` if there was nothing. Both must lie on one file system.
pub(crate) fn put_aside(env: &Env, path: &Path, quarantine: &Path, reason: &str) -> Result<Option<PathBuf>> {
    let (Some(home), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    if env.fs.metadata(path)?.is_none() {
        return Ok(None);
    }
    env.fs.create_dir(quarantine)?;
    if let Some(parent) = quarantine.parent() {
        env.fs.sync_dir(parent)?;
    }
    let mut to = quarantine.join(name);
    let mut n = 0;
    while env.fs.metadata(&to)?.is_some() {
        n += 1;
        to = quarantine.join(format!("{name}.{n}"));
    }
    let mut note = to.clone().into_os_string();
    note.push(".reason");
    let note = PathBuf::from(note);
    if env.fs.metadata(&note)?.is_none() {
        let file = env.fs.open(&note, OpenMode::CreateNew)?;
        file.write_all_at(format!("{}: {reason}\n", path.display()).as_bytes(), 0)?;
        file.sync_data()?;
    }
    env.fs.rename(path, &to)?;
    env.fs.sync_dir(quarantine)?;
    env.fs.sync_dir(home)?;
    tracing::warn!(from = %path.display(), to = %to.display(), reason, "put into quarantine");
    Ok(Some(to))
}

/// Moves those files of a folder into a quarantine whose names `is_meant` says yes to.
pub(crate) fn put_content_aside(
    env: &Env,
    dir: &Path,
    quarantine: &Path,
    reason: &str,
    is_meant: &dyn Fn(&str) -> bool,
) -> Result<()> {
    if env.fs.metadata(dir)?.is_none() {
        return Ok(());
    }
    for entry in env.fs.list(dir)? {
        if is_meant(&entry.name) {
            put_aside(env, &dir.join(&entry.name), quarantine, reason)?;
        }
    }
    Ok(())
}
