//! The real file system, with a note of every moment at which the journal waits for the disk.

use std::{
    collections::VecDeque,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use stemedb_env::{
    DirEntry, File, FileLock, Fs, Metadata, OpenMode, Result, Space,
    fs::{Access, RealFs},
};

/// How many waits are remembered: some seconds of them.
const REMEMBERED: usize = 1 << 15;

/// Files below a folder `wal` are watched, all others are passed through.
#[derive(Debug, Default)]
pub struct WatchedFs {
    real: RealFs,
    waits: Arc<Waits>,
}

/// When the journal waited, in the order of the ends.
#[derive(Debug, Default)]
pub struct Waits(Mutex<VecDeque<(Instant, Instant)>>);

impl Waits {
    fn note<T>(&self, call: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = call();
        let mut waits = self.0.lock();
        if waits.len() == REMEMBERED {
            waits.pop_front();
        }
        waits.push_back((begin, Instant::now()));
        result
    }

    /// How much of the time from `begin` to `end` the journal was waiting.
    fn within(&self, begin: Instant, end: Instant) -> Duration {
        let waits = self.0.lock();
        let mut parts: Vec<(Instant, Instant)> = waits
            .iter()
            .rev()
            .take_while(|(_, until)| *until > begin)
            .map(|(from, until)| ((*from).max(begin), (*until).min(end)))
            .filter(|(from, until)| from < until)
            .collect();
        parts.sort();
        let (mut total, mut covered) = (Duration::ZERO, begin);
        for (from, until) in parts {
            total += until.saturating_duration_since(from.max(covered));
            covered = covered.max(until);
        }
        total
    }
}

impl WatchedFs {
    /// How much of the time from `begin` to `end` the journal was waiting for the disk.
    pub fn waited_within(&self, begin: Instant, end: Instant) -> Duration {
        self.waits.within(begin, end)
    }

    fn watch(&self, path: &Path, real: Arc<dyn File>) -> Arc<dyn File> {
        if path.iter().any(|part| part == "wal") {
            Arc::new(WatchedFile { real, waits: Arc::clone(&self.waits) })
        } else {
            real
        }
    }
}

impl Fs for WatchedFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        Ok(self.watch(path, self.real.open(path, mode)?))
    }

    fn open_for_commits(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(self.watch(path, self.real.open_for_commits(path)?))
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

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let sync = || self.real.sync_dir(dir);
        if dir.iter().any(|part| part == "wal") { self.waits.note(sync) } else { sync() }
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
}

#[derive(Debug)]
struct WatchedFile {
    real: Arc<dyn File>,
    waits: Arc<Waits>,
}

impl File for WatchedFile {
    fn path(&self) -> &Path {
        self.real.path()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.real.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.real.write_at(data, offset)
    }

    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.waits.note(|| self.real.write_durable_at(data, offset))
    }

    fn sync_data(&self) -> Result<()> {
        self.waits.note(|| self.real.sync_data())
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

    fn start_writeback(&self, offset: u64, len: u64) {
        self.real.start_writeback(offset, len);
    }
}
