//! Handles: an open file and a held lock.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{NodeId, SimFs, content::MAX_FILE_BYTES, eio};
use crate::{
    IoOp, Result,
    fs::{File, FileLock},
};

/// An open file. It follows the file, not the name: renaming and removing do not disturb it.
pub(super) struct SimFile {
    fs: SimFs,
    node: NodeId,
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    /// The caller has counted the handle.
    pub(super) fn new(fs: SimFs, node: NodeId, path: &Path, writable: bool) -> SimFile {
        SimFile { fs, node, path: path.to_path_buf(), writable }
    }

    fn check_writable(&self, end: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::from(rustix::io::Errno::BADF));
        }
        if end > MAX_FILE_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(())
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl File for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let detail = [offset, buffer.len() as u64];
        self.fs.operate(IoOp::Read, &self.path, &detail, |shared| {
            Ok(shared.state.file(self.node)?.visible.read(buffer, offset))
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let detail = [offset, data.len() as u64, u64::from(crc32fast::hash(data))];
        self.fs.operate(IoOp::Write, &self.path, &detail, |shared| {
            self.check_writable(offset.saturating_add(data.len() as u64))?;
            if data.is_empty() {
                return Ok(0);
            }
            let mut n = data.len();
            if shared.capacity_bytes.is_some() {
                let len = shared.state.file(self.node)?.visible.len();
                // Up to the old end no room is needed. A disk that fills in the middle makes the write short.
                let limit = len.saturating_add(shared.available_bytes());
                n = n.min(usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX));
                if n == 0 {
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
            }
            let now = shared.now();
            shared.state.write(self.node, &data[..n], offset, now)?;
            shared.changed = true;
            Ok(n)
        })
    }

    fn sync_data(&self) -> Result<()> {
        self.fs.operate(IoOp::SyncData, &self.path, &[], |shared| {
            shared.changed = true;
            if shared.failing_syncs.remove(&self.node) {
                shared.state.lose_file(self.node)?;
                return Err(eio());
            }
            shared.state.sync_file(self.node)
        })
    }

    fn len(&self) -> Result<u64> {
        self.fs.operate(IoOp::Metadata, &self.path, &[], |shared| {
            Ok(shared.state.file(self.node)?.visible.len())
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.fs.operate(IoOp::SetLen, &self.path, &[len], |shared| {
            self.check_writable(len)?;
            let grows = len.saturating_sub(shared.state.file(self.node)?.visible.len());
            if grows > shared.available_bytes() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let now = shared.now();
            shared.state.set_len(self.node, len, now)?;
            shared.changed = true;
            Ok(())
        })
    }

    fn lose_unsynced(&self) -> bool {
        self.fs.shared.lock().state.lose_file(self.node).is_ok()
    }
}

fn close(fs: &SimFs, node: NodeId) {
    let mut shared = fs.shared.lock();
    if let Some(count) = shared.open.get_mut(&node) {
        *count -= 1;
        if *count == 0 {
            shared.open.remove(&node);
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        close(&self.fs, self.node);
    }
}

/// A held lock. It lives in the running file system only: crash images are unlocked.
pub(super) struct SimLock {
    fs: SimFs,
    node: NodeId,
}

impl SimLock {
    /// The caller has taken the lock and counted the handle.
    pub(super) fn new(fs: SimFs, node: NodeId) -> SimLock {
        SimLock { fs, node }
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimLock")
    }
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.shared.lock().locks.remove(&self.node);
        close(&self.fs, self.node);
    }
}
