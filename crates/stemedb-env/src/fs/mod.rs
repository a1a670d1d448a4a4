//! Files and directories: two narrow traits, three implementations.
//!
//! What is left out is left out on purpose: no memory mapping (an I/O error would become a signal and could not be
//! injected), no append mode (the position would be state in the kernel), no sync on close, no listing in the
//! system's order.

mod batch;
pub mod fault;
mod past_cache;
mod real;
pub mod sim;
pub mod tree;
#[cfg(target_os = "linux")]
mod uring;

use std::{fmt, path::Path, sync::Arc};

pub use batch::{BatchRead, read_batch};
pub use fault::FaultFs;
pub use real::RealFs;
pub use sim::SimFs;

use crate::{
    Error, Result,
    clock::Micros,
    error::IoOp,
    planted::{Bug, planted},
};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing. The directory entry is durable only after
    /// [`Fs::sync_dir`].
    CreateNew,
}

/// What is known about a file or directory without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes; 0 for directories.
    pub len: u64,
    /// True for directories.
    pub is_dir: bool,
    /// Last modification, for display only.
    pub modified: Micros,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without its directory. Names that are not UTF-8 are left out of listings.
    pub name: String,
    /// What stands behind it.
    pub metadata: Metadata,
}

/// Room on the file system of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes an ordinary user may still write.
    pub available_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
}

/// A file system.
///
/// Durability contract: a name (after create, rename, remove, link) survives a power cut only after [`Fs::sync_dir`]
/// of its directory; file content and length survive only after [`File::sync_data`]. Nothing else makes anything durable.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Opens or creates a file.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>>;
    /// Renames atomically, replacing `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file. Open handles stay readable.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Makes a second name for the same file. Fails if `to` exists.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Names in a directory, sorted by name.
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>>;
    /// Creates a directory and its missing parents; no error if it exists.
    fn create_dir(&self, dir: &Path) -> Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;
    /// What stands at a path; `None` if nothing does.
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>>;
    /// Takes an exclusive lock on a lock file, creating it if needed, and writes `holder` into it. Fails with
    /// [`Error::Locked`] when another handle holds it. Released when the guard is dropped or the process ends.
    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn FileLock>>;
    /// Room left.
    fn space(&self, dir: &Path) -> Result<Space>;

    /// Opens an existing file for [`File::write_durable_at`], in the fastest way that the file system allows: on Linux
    /// past the page cache, where that is possible. Reads and plain writes of the handle are as of any other.
    fn open_for_commits(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.open(path, OpenMode::ReadWrite)
    }

    /// Opens an existing file for reading what the disk has: past the page cache, where the system and the file system allow
    /// it, and leaving nothing in it. Elsewhere reads are as of [`Fs::open`]. Not for files that are written through
    /// another handle where the reader needs bytes that are not durable yet.
    fn open_past_cache(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.open(path, OpenMode::Read)
    }

    /// Lets nobody but the owner read or write a file. Where files have no owners there is nothing to do.
    fn make_private(&self, _path: &Path) -> Result<()> {
        Ok(())
    }

    /// For fault injection: what a failed [`Fs::sync_dir`] does to un-synced names. They stay visible and are lost.
    /// Returns false where that cannot be had, as on a real file system.
    fn lose_unsynced_names(&self, _dir: &Path) -> bool {
        false
    }
}

/// A held lock; dropping it releases it.
pub trait FileLock: Send + Sync + fmt::Debug {}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Here and there: reading ahead would be in vain. A long read is still one request to the disk.
    Random,
    /// From the front to the back.
    Sequential,
}

/// An open file. All access is positioned; handles may be shared between threads.
pub trait File: Send + Sync + fmt::Debug {
    /// The path it was opened under, for messages.
    fn path(&self) -> &Path;
    /// Reads at most `buffer.len()` bytes at `offset`. May be short; 0 means end of file. May fail with
    /// [`std::io::ErrorKind::Interrupted`], which means "again"; [`File::read_exact_at`] sees to that.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;
    /// Writes at most `data.len()` bytes at `offset`. May be short; never 0 for non-empty data. Not durable
    /// before [`File::sync_data`]. May fail with [`std::io::ErrorKind::Interrupted`], which means "again";
    /// [`File::write_all_at`] sees to that.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize>;
    /// Makes content and length durable. After an error nothing is known about what is on disk, and calling it
    /// again proves nothing: the file must be abandoned.
    fn sync_data(&self) -> Result<()>;
    /// Current length in bytes.
    fn len(&self) -> Result<u64>;
    /// Cuts or extends (with zeros) to `len` bytes.
    fn set_len(&self, len: u64) -> Result<()>;
    /// Writes all of `data` at `offset` and makes *these bytes* durable, with the length needed to read them. Says
    /// nothing about what else was written to the file before. After an error the file must be abandoned, as after
    /// [`File::sync_data`].
    ///
    /// On a handle of [`Fs::open_for_commits`], with address, length and offset multiples of
    /// [`crate::aligned::ALIGNMENT_BYTES`], this may be a single system call.
    fn write_durable_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.write_all_at(data, offset)?;
        self.sync_data()
    }
    /// Gives the file at least `len` bytes of room: it reads as zeros up to there, and writing there later does not
    /// run out of space (where the file system can promise that). Durable with [`File::sync_data`].
    fn allocate(&self, len: u64) -> Result<()> {
        if self.len()? < len { self.set_len(len) } else { Ok(()) }
    }
    /// Says how the file will be read from now on. A hint.
    fn advise(&self, _access: Access) {}

    /// The system's descriptor, for [`read_batch`]. `None` for a file that is not the system's, or that wants to see every
    /// read.
    fn descriptor(&self) -> Option<i32> {
        None
    }

    /// Asks the system to begin writing `len` bytes at `offset` to the disk, and does not wait for it. A later
    /// [`File::sync_data`] then finds less to do, and so does whoever syncs another file of the same disk meanwhile.
    ///
    /// A hint without any promise: the bytes are as un-synced as before, and errors show up at the next
    /// [`File::sync_data`]. The default does nothing, which is all that a simulated disk needs: it may write back
    /// pending bytes at any time anyway.
    fn start_writeback(&self, _offset: u64, _len: u64) {}
    /// For fault injection: what a failed [`File::sync_data`] does to un-synced bytes. They stay visible and are lost.
    /// Returns false where that cannot be had, as on a real file system.
    fn lose_unsynced(&self) -> bool {
        false
    }

    /// True when the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills the whole buffer from `offset`, continuing after short and interrupted reads, or fails with [`std::io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        if self.read_up_to_at(buffer, offset)? < buffer.len() {
            let eof = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(Error::io(IoOp::Read, self.path(), eof));
        }
        Ok(())
    }

    /// Fills as much of the buffer from `offset` as the file has, continuing after short and interrupted reads. Returns
    /// the number of bytes, which is less than the buffer's length only at the end of the file.
    fn read_up_to_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(&mut buffer[done..], offset + done as u64) {
                Err(error) if error.kind() == Some(std::io::ErrorKind::Interrupted) => {}
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes all of `data` at `offset`, continuing after short and interrupted writes.
    fn write_all_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < data.len() {
            let n = match self.write_at(&data[done..], offset + done as u64) {
                Err(error) if error.kind() == Some(std::io::ErrorKind::Interrupted) => continue,
                other => other?,
            };
            if planted(Bug::IgnoreShortWrite) {
                return Ok(());
            }
            if n == 0 {
                let zero = std::io::Error::from(std::io::ErrorKind::WriteZero);
                return Err(Error::io(IoOp::Write, self.path(), zero));
            }
            done += n;
        }
        Ok(())
    }
}

/// Reads a whole file of at most `limit_bytes`; a longer one fails with [`std::io::ErrorKind::FileTooLarge`].
pub fn read_file(fs: &dyn Fs, path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let file = fs.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if len > limit_bytes {
        return Err(Error::io(IoOp::Read, path, std::io::Error::from(std::io::ErrorKind::FileTooLarge)));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Replaces a small file atomically and durably: temporary name, sync, rename, directory sync.
pub fn write_file_atomic(fs: &dyn Fs, path: &Path, content: &[u8]) -> Result<()> {
    replace_file(fs, path, content, false)
}

/// [`write_file_atomic`] for a secret: nobody but the owner can ever read the content.
pub fn write_private_file_atomic(fs: &dyn Fs, path: &Path, content: &[u8]) -> Result<()> {
    replace_file(fs, path, content, true)
}

fn replace_file(fs: &dyn Fs, path: &Path, content: &[u8], is_private: bool) -> Result<()> {
    let mut name = path.file_name().map(|name| name.to_os_string()).unwrap_or_default();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    if fs.metadata(&temporary)?.is_some() {
        // A leftover of a crash between create and rename; nobody ever relied on it.
        fs.remove(&temporary)?;
    }
    let file = fs.open(&temporary, OpenMode::CreateNew)?;
    if is_private {
        // While there is nothing in it.
        fs.make_private(&temporary)?;
    }
    file.write_all_at(content, 0)?;
    file.sync_data()?;
    fs.rename(&temporary, path)?;
    match path.parent() {
        Some(dir) => fs.sync_dir(dir),
        None => Ok(()),
    }
}
