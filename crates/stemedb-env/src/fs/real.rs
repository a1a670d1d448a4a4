//! The operating system's file system.

use std::{
    fs,
    io::{self, IoSlice, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use rustix::{
    fs::{FallocateFlags, OFlags},
    io::{Errno, ReadWriteFlags, pwritev2},
};

use super::{Access, DirEntry, File, FileLock, Fs, Metadata, OpenMode, Space, past_cache};
use crate::{Error, Result, aligned::ALIGNMENT_BYTES, clock::Micros, error::IoOp};

#[allow(clippy::cast_possible_wrap)] // a flag, not a number
pub(super) const O_DIRECT: i32 = OFlags::DIRECT.bits() as i32;

/// Real files through `pread`/`pwrite`/`fdatasync`, and `pwritev2` with `O_DIRECT` and `RWF_DSYNC` for commits.
#[derive(Debug, Default)]
pub struct RealFs;

impl RealFs {
    /// The system's file system.
    pub fn new() -> RealFs {
        RealFs
    }
}

fn describe(metadata: &fs::Metadata) -> Metadata {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(Micros(0), |since| Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)));
    let is_dir = metadata.is_dir();
    Metadata { len: if is_dir { 0 } else { metadata.len() }, is_dir, modified }
}

impl Fs for RealFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let file = options.open(path).map_err(|source| Error::io(IoOp::Open, path, source))?;
        Ok(Arc::new(RealFile { file, direct: None, path: path.to_path_buf() }))
    }

    fn open_for_commits(&self, path: &Path) -> Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        let file = options.open(path).map_err(|source| Error::io(IoOp::Open, path, source))?;
        // Refused by tmpfs, by some overlay and network file systems; then commits go through the page cache.
        let direct = options.custom_flags(O_DIRECT).open(path).ok();
        Ok(Arc::new(RealFile { file, direct, path: path.to_path_buf() }))
    }

    fn open_past_cache(&self, path: &Path) -> Result<Arc<dyn File>> {
        past_cache::open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|source| Error::io(IoOp::Rename, from, source))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|source| Error::io(IoOp::Remove, path, source))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        fs::hard_link(from, to).map_err(|source| Error::io(IoOp::Link, to, source))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        let fail = |source| Error::io(IoOp::List, dir, source);
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(metadata) => entries.push(DirEntry { name, metadata: describe(&metadata) }),
                // Removed between the listing and the look: as if it had never been listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail(error)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).map_err(|source| Error::io(IoOp::CreateDir, dir, source))
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        fs::remove_dir(dir).map_err(|source| Error::io(IoOp::Remove, dir, source))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::File::open(dir)
            .and_then(|handle| handle.sync_all())
            .map_err(|source| Error::io(IoOp::SyncDir, dir, source))
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(describe(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(IoOp::Metadata, path, source)),
        }
    }

    fn make_private(&self, path: &Path) -> Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|source| Error::io(IoOp::Metadata, path, source))
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn FileLock>> {
        let fail = |source| Error::io(IoOp::Lock, path, source);
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(fail)?;
                file.write_all(holder.as_bytes()).map_err(fail)?;
                Ok(Box::new(RealLock { _file: file }))
            }
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: an unreadable holder is still a holder.
                let _ = (&mut file).take(256).read_to_string(&mut holder);
                let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
                Err(Error::Locked { path: path.to_path_buf(), holder })
            }
            Err(fs::TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        let stat = rustix::fs::statvfs(dir)
            .map_err(|errno| Error::io(IoOp::Metadata, dir, io::Error::from(errno)))?;
        Ok(Space {
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl FileLock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// The same file past the page cache.
    direct: Option<fs::File>,
    path: PathBuf,
}

impl RealFile {
    fn fail(&self, op: IoOp) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::io(op, &self.path, source)
    }
}

impl File for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(self.fail(IoOp::Read)),
            }
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        loop {
            match self.file.write_at(data, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(self.fail(IoOp::Write)),
            }
        }
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(self.fail(IoOp::SyncData))
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        // Dirty pages of the range are queued for writing before clean ones are let go; just written, all of them are
        // dirty. The call itself does not wait for the disk. That it is refused costs nothing but the hint.
        if let Some(len) = std::num::NonZeroU64::new(len) {
            let _ = rustix::fs::fadvise(&self.file, offset, Some(len), rustix::fs::Advice::DontNeed);
        }
    }

    fn len(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(self.fail(IoOp::Metadata))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(self.fail(IoOp::SetLen))
    }

    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let aligned = |number: u64| number.is_multiple_of(ALIGNMENT_BYTES as u64);
        match &self.direct {
            Some(direct)
                if aligned(data.as_ptr() as u64) && aligned(data.len() as u64) && aligned(offset) =>
            {
                self.write_direct(direct, data, offset)
            }
            _ => {
                self.write_all_at(data, offset)?;
                self.sync_data()
            }
        }
    }

    fn advise(&self, access: Access) {
        let advice = match access {
            Access::Random => rustix::fs::Advice::Random,
            Access::Sequential => rustix::fs::Advice::Sequential,
        };
        // A hint that is refused changes nothing.
        let _ = rustix::fs::fadvise(&self.file, 0, None, advice);
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.file.as_raw_fd())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            // A file system without it: length alone is better than nothing.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if self.len()? < len => self.set_len(len),
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(self.fail(IoOp::SetLen)(errno.into())),
        }
    }
}

impl RealFile {
    /// Past the page cache, data and flush in one call (`RWF_DSYNC`). A remainder after a short write is aligned again
    /// in practice; where it is not, it takes the way through the page cache.
    fn write_direct(&self, direct: &fs::File, data: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < data.len() {
            let rest = &data[done..];
            match pwritev2(direct, &[IoSlice::new(rest)], offset + done as u64, ReadWriteFlags::DSYNC) {
                Ok(0) => return Err(self.fail(IoOp::Write)(io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.write_all_at(rest, offset + done as u64)?;
                    return self.sync_data();
                }
                // Which half of the call failed is not known; that the bytes are not durable is.
                Err(errno) => return Err(self.fail(IoOp::SyncData)(errno.into())),
            }
        }
        Ok(())
    }
}
