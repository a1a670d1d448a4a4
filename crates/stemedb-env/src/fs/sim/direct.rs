//! What a test does to the disk behind the program's back.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{FileState, Selection, Shared, SimFs, content::Content, units};
use crate::{Error, IoOp, Result};

/// Faults while running.
impl SimFs {
    /// The next [`crate::File::sync_data`] of this file, or [`crate::Fs::sync_dir`] of this directory, fails with `EIO` and loses
    /// what was pending; later ones say "done".
    pub fn fail_next_sync(&self, path: &Path) -> Result<()> {
        self.direct(IoOp::SyncData, path, |shared| {
            let node = shared.state.find(path)?;
            shared.failing_syncs.insert(node);
            Ok(())
        })
    }

    /// Clean pages of this file are dropped from the cache: reads no longer show ghosts.
    pub fn evict(&self, path: &Path) -> Result<()> {
        self.direct(IoOp::Read, path, |shared| {
            let node = shared.state.find(path)?;
            shared.state.evict(node)
        })
    }

    /// Size of the disk; `None` is without limit. What is there already stays, even beyond a smaller size.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().capacity_bytes = bytes;
    }
}

/// Direct access for tests: not counted, not traced, not recorded, works without power.
impl SimFs {
    pub(super) fn direct<T>(
        &self,
        op: IoOp,
        path: &Path,
        run: impl FnOnce(&mut Shared) -> io::Result<T>,
    ) -> Result<T> {
        run(&mut self.shared.lock()).map_err(|source| Error::io(op, path, source))
    }

    fn edit(&self, path: &Path, op: IoOp, edit: impl Fn(&mut Content) -> io::Result<()>) -> Result<()> {
        self.direct(op, path, |shared| {
            let node = shared.state.find(path)?;
            let file = shared.state.file_mut(node)?;
            edit(&mut file.durable)?;
            edit(&mut file.visible)
        })
    }

    /// What a program would read from a file.
    pub fn read_all(&self, path: &Path) -> Result<Vec<u8>> {
        self.direct(IoOp::Read, path, |shared| {
            Ok(shared.state.file(shared.state.find(path)?)?.visible.to_vec())
        })
    }

    /// Creates a file with durable content, and directories on the way, or replaces one. Everything pending in the
    /// whole file system becomes durable with it.
    pub fn install(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        if let Some(dir) = path.parent() {
            self.install_dir(dir)?;
        }
        self.direct(IoOp::Write, path, |shared| {
            let now = shared.now();
            let node = match shared.state.find(path) {
                Ok(node) => node,
                Err(_) => shared.state.create_file(path, now)?,
            };
            let mut content = Content::default();
            content.write(bytes, 0);
            *shared.state.file_mut(node)? = FileState {
                durable: content.clone(),
                visible: content,
                modified: now,
                ..FileState::default()
            };
            Ok(())
        })?;
        self.settle();
        Ok(())
    }

    /// Creates a durable directory and its parents. Everything pending in the whole file system becomes durable with
    /// it.
    pub fn install_dir(&self, dir: &Path) -> Result<()> {
        self.direct(IoOp::CreateDir, dir, |shared| shared.state.create_dirs(dir).map(drop))?;
        self.settle();
        Ok(())
    }

    /// Makes everything pending durable, as `sync(1)` does.
    pub fn settle(&self) {
        let units = units::collect(&self.shared.lock().state).len();
        self.write_back(&Selection::all(units));
    }

    /// Flips the bits of `xor_mask` in one byte, on the disk and in the cache: rot that has been read. Fails when the
    /// visible file ends before it.
    pub fn corrupt(&self, path: &Path, offset: u64, xor_mask: u8) -> Result<()> {
        if offset >= self.read_len(path)? {
            return Err(Error::io(IoOp::Write, path, io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        self.edit(path, IoOp::Write, |content| {
            let mut byte = [0];
            if content.read(&mut byte, offset) == 1 {
                content.write(&[byte[0] ^ xor_mask], offset);
            }
            Ok(())
        })
    }

    /// Overwrites bytes on the disk and in the cache; the file does not grow.
    pub fn overwrite(&self, path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        self.edit(path, IoOp::Write, |content| {
            let room = usize::try_from(content.len().saturating_sub(offset)).unwrap_or(usize::MAX);
            let bytes = bytes.get(..room).unwrap_or(bytes);
            if !bytes.is_empty() {
                content.write(bytes, offset);
            }
            Ok(())
        })
    }

    /// Cuts a file, on the disk and in the cache.
    pub fn truncate(&self, path: &Path, len: u64) -> Result<()> {
        self.edit(path, IoOp::SetLen, |content| {
            content.set_len(content.len().min(len));
            Ok(())
        })
    }

    /// Removes a file durably. Other pending names become durable with it.
    pub fn delete(&self, path: &Path) -> Result<()> {
        self.direct(IoOp::Remove, path, |shared| shared.state.remove(path, false))?;
        self.settle();
        Ok(())
    }

    /// Every file with a name, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        let shared = self.shared.lock();
        let visible = shared.state.visible();
        visible
            .into_iter()
            .filter(|(_, node)| shared.state.file(*node).is_ok())
            .map(|(path, _)| path)
            .collect()
    }

    /// Lengths of all files with a name or an open handle; a file with two names counts once.
    pub fn total_bytes(&self) -> u64 {
        self.shared.lock().used_bytes()
    }

    /// Visible bytes of a file that are neither durable nor pending.
    pub fn ghost_bytes(&self, path: &Path) -> Result<u64> {
        self.direct(IoOp::Read, path, |shared| {
            let file = shared.state.file(shared.state.find(path)?)?;
            let mut kept = file.durable.clone();
            file.pending.iter().for_each(|unit| unit.change.apply(&mut kept));
            kept.set_len(file.visible.len());
            let differ = kept
                .to_vec()
                .iter()
                .zip(file.visible.to_vec())
                .filter(|(kept, seen)| **kept != *seen)
                .count();
            Ok(differ as u64)
        })
    }

    fn read_len(&self, path: &Path) -> Result<u64> {
        self.direct(IoOp::Metadata, path, |shared| {
            Ok(shared.state.file(shared.state.find(path)?)?.visible.len())
        })
    }
}
