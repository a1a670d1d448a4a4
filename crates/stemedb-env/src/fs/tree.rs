//! Second names, copies, and the removal of whole folders.

use std::{io, path::Path};

use super::{Access, File, Fs, OpenMode};
use crate::{Error, IoOp, Result};

/// What is copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// How a file came to be at its second place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is the same file under a second name.
    Linked,
    /// It is a copy of so many bytes, durable.
    Copied(u64),
}

/// Gives a file a second name, or copies it where the file system cannot: across file systems, or where it has no links.
///
/// The copy's content is durable; its name, like that of a link, is only after [`Fs::sync_dir`]. Errors: `AlreadyExists`, and
/// those of the system.
pub fn link_or_copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<Placed> {
    match fs.link(from, to) {
        Ok(()) => Ok(Placed::Linked),
        Err(error) if cannot_link(&error) => {
            let source = fs.open(from, OpenMode::Read)?;
            let bytes = source.len()?;
            copy_content(fs, &*source, bytes, to)?;
            Ok(Placed::Copied(bytes))
        }
        Err(error) => Err(error),
    }
}

/// True if the file system has no links, or none to there; a file that is there already is another matter.
pub fn cannot_link(error: &Error) -> bool {
    matches!(
        error.kind(),
        Some(
            io::ErrorKind::CrossesDevices
                | io::ErrorKind::Unsupported
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::TooManyLinks
        )
    )
}

/// Copies the first `bytes` of an open file into a new one, durably. Errors: `UnexpectedEof` if there are fewer.
pub fn copy_content(fs: &dyn Fs, source: &dyn File, bytes: u64, to: &Path) -> Result<()> {
    source.advise(Access::Sequential);
    let copy = fs.open(to, OpenMode::CreateNew)?;
    let mut chunk = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
    let mut done = 0;
    while done < bytes {
        let left = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(chunk.len());
        let Some(room) = chunk.get_mut(..left) else { break };
        source.read_exact_at(room, done)?;
        copy.write_all_at(room, done)?;
        done += left as u64;
    }
    copy.sync_data()
}

/// Removes a folder with everything in it; nothing to do if it is not there. Not durable before the parent is synced.
pub fn remove_tree(fs: &dyn Fs, dir: &Path) -> Result<()> {
    match fs.metadata(dir)? {
        None => return Ok(()),
        Some(found) if !found.is_dir => return fs.remove(dir),
        Some(_) => {}
    }
    for entry in fs.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.metadata.is_dir { remove_tree(fs, &path)? } else { fs.remove(&path)? }
    }
    fs.remove_dir(dir)
}

/// Creates a folder and its missing parents, all names durable.
pub fn create_dir_durably(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let mut new = Vec::new();
    for path in dir.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match fs.metadata(path)? {
            Some(found) if found.is_dir => break,
            Some(_) => return Err(Error::io(IoOp::CreateDir, path, io::ErrorKind::NotADirectory.into())),
            None => new.push(path),
        }
    }
    fs.create_dir(dir)?;
    new.iter().rev().filter_map(|path| path.parent()).try_for_each(|parent| fs.sync_dir(parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{RealFs, SimFs};

    #[test]
    fn a_copy_holds_what_was_asked_for_and_a_tree_goes_whole() {
        let fs = SimFs::new();
        create_dir_durably(&fs, Path::new("/a/b/c")).unwrap();
        let file = fs.open(Path::new("/a/b/one"), OpenMode::CreateNew).unwrap();
        let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        file.write_all_at(&content, 0).unwrap();
        copy_content(&fs, &*file, 2_500_000, Path::new("/a/b/c/two")).unwrap();
        assert_eq!(fs.read_all(Path::new("/a/b/c/two")).unwrap(), content[..2_500_000]);
        let short = copy_content(&fs, &*file, 3_000_001, Path::new("/a/b/c/three"));
        assert_eq!(short.unwrap_err().kind(), Some(io::ErrorKind::UnexpectedEof));
        assert_eq!(
            link_or_copy(&fs, Path::new("/a/b/one"), Path::new("/a/b/c/four")).unwrap(),
            Placed::Linked
        );
        let taken = link_or_copy(&fs, Path::new("/a/b/one"), Path::new("/a/b/c/four"));
        assert_eq!(taken.unwrap_err().kind(), Some(io::ErrorKind::AlreadyExists));
        remove_tree(&fs, Path::new("/a")).unwrap();
        assert!(fs.metadata(Path::new("/a")).unwrap().is_none());
        remove_tree(&fs, Path::new("/a")).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn between_two_file_systems_a_file_is_copied() {
        let (here, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm"));
        let Ok(there) = memory else {
            eprintln!("SKIPPED: there is no /dev/shm");
            return;
        };
        let (from, to) = (here.path().join("a"), there.path().join("a"));
        std::fs::write(&from, b"content").unwrap();
        if std::fs::hard_link(&from, &to).is_ok() {
            eprintln!("SKIPPED: /dev/shm and the folder for temporary files are one file system");
            return;
        }
        assert_eq!(link_or_copy(&RealFs::new(), &from, &to).unwrap(), Placed::Copied(7));
        assert_eq!(std::fs::read(&to).unwrap(), b"content");
    }
}
