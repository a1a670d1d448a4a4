//! A file system whose files and folders are never synced, or not all of them.

use std::{path::Path, sync::Arc};

use stemedb_env::{
    DirEntry, File, FileLock, Fs, Metadata, OpenMode, Result, Space,
    fs::{Access, RealFs},
};

/// The real file system, except that a sync does nothing. A journal on it shows what the processor and the page cache
/// alone would allow; it keeps none of its promises.
#[derive(Debug, Default)]
pub struct NoSyncFs {
    real: RealFs,
    /// Name of the folders whose content is not synced; `None`: nothing is.
    only_under: Option<&'static str>,
}

impl NoSyncFs {
    /// Syncs do nothing in folders of this name, and are real everywhere else.
    pub fn under(folder: &'static str) -> NoSyncFs {
        NoSyncFs { real: RealFs, only_under: Some(folder) }
    }

    fn syncs(&self, path: &Path) -> bool {
        self.only_under.is_some_and(|name| path.iter().all(|part| part != name))
    }
}

impl Fs for NoSyncFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let real = self.real.open(path, mode)?;
        Ok(if self.syncs(path) { real } else { Arc::new(NoSyncFile { real }) })
    }

    fn open_for_commits(&self, path: &Path) -> Result<Arc<dyn File>> {
        if self.syncs(path) { self.real.open_for_commits(path) } else { self.open(path, OpenMode::ReadWrite) }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.real.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.real.remove(path)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.real.link(from, to)
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        self.real.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        self.real.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        self.real.remove_dir(dir)
    }

    /// Nothing where files are not synced: the file system would write all of them out here.
    fn sync_dir(&self, dir: &Path) -> Result<()> {
        if self.syncs(dir) { self.real.sync_dir(dir) } else { Ok(()) }
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        self.real.metadata(path)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn FileLock>> {
        self.real.lock(path, holder)
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        self.real.space(dir)
    }

    fn lose_unsynced_names(&self, dir: &Path) -> bool {
        self.real.lose_unsynced_names(dir)
    }
}

/// Methods that are not here keep the defaults of the trait, which are made of those that are: a durable write comes out as
/// a plain write and a sync that does nothing.
#[derive(Debug)]
struct NoSyncFile {
    real: Arc<dyn File>,
}

impl File for NoSyncFile {
    fn path(&self) -> &Path {
        self.real.path()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.real.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.real.write_at(data, offset)
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.real.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.real.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.real.allocate(len)
    }

    fn advise(&self, access: Access) {
        self.real.advise(access);
    }

    fn descriptor(&self) -> Option<i32> {
        self.real.descriptor()
    }

    fn lose_unsynced(&self) -> bool {
        self.real.lose_unsynced()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_of_the_name_are_not_synced() {
        let fs = NoSyncFs::under("wal");
        assert!(fs.syncs(Path::new("/d/kv/000001.sst")) && fs.syncs(Path::new("/d/walls")));
        assert!(!fs.syncs(Path::new("/d/wal")) && !fs.syncs(Path::new("/d/wal/live.000001.wal")));
        assert!(!NoSyncFs::default().syncs(Path::new("/d/kv/000001.sst")));
    }
}
