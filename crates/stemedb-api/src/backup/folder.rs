//! A folder as a target.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use stemedb_env::{
    Env, OpenMode,
    fs::{
        read_file,
        tree::{cannot_link, create_dir_durably},
    },
};

use super::{BackupTarget, Content, Error, Object, Result, target::too_long};

/// What is written at once of a file.
const CHUNK_BYTES: usize = 1 << 20;

/// Where files are written before they have a name.
const ASIDE: &str = "tmp";

/// Objects as files below a folder. An object is written under a temporary name in `tmp/`, synced, and then linked to its
/// own: of two writers one wins, and what has a name is whole. Names are durable after [`BackupTarget::settle`].
pub struct FolderTarget {
    env: Env,
    root: PathBuf,
    /// Folders with names that are not durable yet.
    unsynced: Mutex<BTreeSet<PathBuf>>,
    /// Folders that are known to exist, durably.
    known: Mutex<BTreeSet<PathBuf>>,
}

impl fmt::Debug for FolderTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FolderTarget").field(&self.root).finish()
    }
}

impl FolderTarget {
    /// The folder need not exist; it is made by the first object.
    pub fn new(env: &Env, root: PathBuf) -> FolderTarget {
        FolderTarget { env: env.clone(), root, unsynced: Mutex::default(), known: Mutex::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        name.split('/').fold(self.root.clone(), |path, piece| path.join(piece))
    }

    fn failed(&self, op: &'static str, name: &str, source: stemedb_env::Error) -> Error {
        Error::Target { op, name: name.to_owned(), target: self.describe(), source: Box::new(source) }
    }

    fn make_dir(&self, dir: &Path) -> stemedb_env::Result<()> {
        if self.known.lock().contains(dir) {
            return Ok(());
        }
        create_dir_durably(&*self.env.fs, dir)?;
        self.known.lock().insert(dir.to_path_buf());
        Ok(())
    }

    /// Writes the content durably under a temporary name.
    fn write_aside(&self, content: Content<'_>) -> stemedb_env::Result<PathBuf> {
        let fs = &self.env.fs;
        let aside = self.root.join(ASIDE);
        self.make_dir(&aside)?;
        let mut random = [0; 8];
        self.env.random.fill(&mut random);
        let path = aside.join(super::Hex(random).to_string());
        let file = fs.open(&path, OpenMode::CreateNew)?;
        match content {
            Content::Bytes(bytes) => file.write_all_at(bytes, 0)?,
            Content::File { file: source, bytes } => {
                let mut chunk = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
                let mut done = 0;
                while done < bytes {
                    let left = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(chunk.len());
                    let Some(piece) = chunk.get_mut(..left) else { break };
                    source.read_exact_at(piece, done)?;
                    file.write_all_at(piece, done)?;
                    done += left as u64;
                }
            }
        }
        file.sync_data()?;
        Ok(path)
    }

    fn place(&self, name: &str, content: Content<'_>, replaces: bool) -> stemedb_env::Result<bool> {
        let fs = &self.env.fs;
        let path = self.path(name);
        let parent = path.parent().unwrap_or(&self.root).to_path_buf();
        if !replaces && fs.metadata(&path)?.is_some() {
            return Ok(false);
        }
        self.make_dir(&parent)?;
        let aside = self.write_aside(content)?;
        self.unsynced.lock().insert(parent.clone());
        if replaces {
            self.again_in_a_lost_folder(&parent, || fs.rename(&aside, &path))?;
            return Ok(true);
        }
        let placed = match self.again_in_a_lost_folder(&parent, || fs.link(&aside, &path)) {
            Ok(()) => true,
            Err(error) if error.kind() == Some(io::ErrorKind::AlreadyExists) => false,
            // Without links the last of two writers at the very same time wins; what they write is the same, unless two
            // databases share a past, and then the records beside it differ.
            Err(error) if cannot_link(&error) => {
                fs.rename(&aside, &path)?;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        fs.remove(&aside)?;
        Ok(placed)
    }

    /// Names a file once more in a folder that somebody has removed. The file is in `tmp/`, so this is the target as it was known, and no
    /// disk that is not mounted: there nothing is made.
    fn again_in_a_lost_folder(
        &self,
        parent: &Path,
        named: impl Fn() -> stemedb_env::Result<()>,
    ) -> stemedb_env::Result<()> {
        match named() {
            Err(error) if error.is_not_found() => {
                create_dir_durably(&*self.env.fs, parent)?;
                named()
            }
            named => named,
        }
    }

    fn walk(&self, dir: &Path, name: &str, found: &mut Vec<Object>) -> stemedb_env::Result<()> {
        if self.env.fs.metadata(dir)?.is_none() {
            return Ok(());
        }
        for entry in self.env.fs.list(dir)? {
            let name = format!("{name}{}", entry.name);
            if entry.metadata.is_dir {
                self.walk(&dir.join(&entry.name), &format!("{name}/"), found)?;
            } else {
                found.push(Object { name, bytes: entry.metadata.len });
            }
        }
        Ok(())
    }
}

impl BackupTarget for FolderTarget {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool> {
        self.place(name, content, false).map_err(|error| self.failed("write", name, error))
    }

    fn put(&self, name: &str, content: Content<'_>) -> Result<()> {
        self.place(name, content, true).map(drop).map_err(|error| self.failed("write", name, error))
    }

    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        match read_file(&*self.env.fs, &self.path(name), limit_bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) if error.kind() == Some(io::ErrorKind::FileTooLarge) => {
                Err(too_long(self, name, limit_bytes))
            }
            Err(error) => Err(self.failed("read", name, error)),
        }
    }

    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()> {
        let file = match self.env.fs.open(&self.path(name), OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => {
                return Err(Error::Missing { name: name.to_owned(), target: self.describe() });
            }
            Err(error) => return Err(self.failed("read", name, error)),
        };
        match file.read_exact_at(buffer, offset) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == Some(io::ErrorKind::UnexpectedEof) => Err(Error::Damaged {
                name: name.to_owned(),
                target: self.describe(),
                problem: "it ends early".to_owned(),
            }),
            Err(error) => Err(self.failed("read", name, error)),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let found =
            self.env.fs.metadata(&self.path(name)).map_err(|error| self.failed("read", name, error))?;
        Ok(found.filter(|found| !found.is_dir).map(|found| found.len))
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let mut found = Vec::new();
        let dir = self.path(folder.trim_end_matches('/'));
        self.walk(&dir, folder, &mut found).map_err(|error| self.failed("list", folder, error))?;
        found.sort();
        Ok(found)
    }

    fn folders(&self) -> Result<Vec<String>> {
        let list = || match self.env.fs.metadata(&self.root)? {
            None => Ok(Vec::new()),
            Some(_) => self.env.fs.list(&self.root),
        };
        let entries = list().map_err(|error| self.failed("list", "its folders", error))?;
        let folders = entries.into_iter().filter(|entry| entry.metadata.is_dir && entry.name != ASIDE);
        Ok(folders.map(|entry| entry.name).collect())
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match self.env.fs.remove(&path) {
            Ok(()) => {
                self.unsynced.lock().extend(path.parent().map(Path::to_path_buf));
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    fn settle(&self) -> Result<()> {
        loop {
            let Some(dir) = self.unsynced.lock().first().cloned() else { return Ok(()) };
            let synced = self.env.fs.sync_dir(&dir);
            // One that was removed meanwhile is said once: what was in it is gone.
            if synced.as_ref().err().is_none_or(stemedb_env::Error::is_not_found) {
                self.unsynced.lock().remove(&dir);
            }
            synced.map_err(|error| self.failed("sync", "its folders", error))?;
        }
    }
}
