//! The writer's file system: the real one, on a machine that dawdles.
//!
//! Between a write and its sync there are microseconds, too few for a stop to fall into often. Here writes are
//! sometimes short (which the contract allows) and syncs sometimes start late, so that stops find every state in
//! between. Two of its habits are defects on purpose, to prove that the rig can fail.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use stemedb_env::{DirEntry, File, FileLock, Fs, Metadata, OpenMode, Result, Space, fs::RealFs};

use crate::dice::Dice;

/// How it behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// Short writes and late syncs.
    pub dawdles: bool,
    /// Syncs of files do nothing, and say that they have done it.
    pub without_sync: bool,
    /// A sync that fails is tried again on the same file, and the second answer is believed.
    pub retries_sync: bool,
}

/// The real file system with habits.
#[derive(Debug)]
pub struct SlowFs {
    inner: RealFs,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    habits: Habits,
    seed: u64,
    calls: AtomicU64,
}

impl Shared {
    fn dice(&self) -> Dice {
        Dice::of(self.seed, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Once in `n` times, up to `limit_us`.
    fn dawdle(&self, n: u64, limit_us: u64) {
        let mut dice = self.dice();
        if self.habits.dawdles && dice.one_in(n) {
            thread::sleep(Duration::from_micros(dice.below(limit_us)));
        }
    }
}

impl SlowFs {
    /// Choices follow from `seed` and the order of calls.
    pub fn new(habits: Habits, seed: u64) -> SlowFs {
        SlowFs { inner: RealFs::new(), shared: Arc::new(Shared { habits, seed, calls: AtomicU64::new(0) }) }
    }
}

#[derive(Debug)]
struct SlowFile {
    inner: Arc<dyn File>,
    shared: Arc<Shared>,
}

impl Fs for SlowFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let inner = self.inner.open(path, mode)?;
        Ok(Arc::new(SlowFile { inner, shared: Arc::clone(&self.shared) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared.dawdle(4, 500);
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.inner.remove(path)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.link(from, to)
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        self.inner.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.shared.dawdle(4, 1_000);
        self.inner.sync_dir(dir)
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        self.inner.metadata(path)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn FileLock>> {
        self.inner.lock(path, holder)
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        self.inner.space(dir)
    }
}

impl File for SlowFile {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let mut dice = self.shared.dice();
        if !self.shared.habits.dawdles || !dice.one_in(4) || data.len() < 2 {
            return self.inner.write_at(data, offset);
        }
        let some = usize::try_from(dice.between(1, data.len() as u64 - 1)).unwrap_or(1);
        let written = self.inner.write_at(data.get(..some).unwrap_or(data), offset)?;
        thread::sleep(Duration::from_micros(dice.below(400)));
        Ok(written)
    }

    fn sync_data(&self) -> Result<()> {
        if self.shared.habits.without_sync {
            return Ok(());
        }
        self.shared.dawdle(3, 1_500);
        match self.inner.sync_data() {
            Err(_) if self.shared.habits.retries_sync => self.inner.sync_data(),
            outcome => outcome,
        }
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.inner.set_len(len)
    }
}
