//! The calls that a program makes.

use std::{io, path::Path, sync::Arc};

use super::{
    FileState, Node, NodeId, SimFs,
    content::Content,
    eio,
    file::{SimFile, SimLock},
};
use crate::{
    Error, IoOp, Result,
    clock::Micros,
    fs::{DirEntry, File, FileLock, Fs, Metadata, OpenMode, Space},
};

fn describe(node: &Node) -> Metadata {
    match node {
        Node::File(file) => Metadata { len: file.visible.len(), is_dir: false, modified: file.modified },
        Node::Dir(_) => Metadata { len: 0, is_dir: true, modified: Micros(0) },
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let node = self.operate(IoOp::Open, path, &[mode as u64], |shared| {
            let node = match mode {
                OpenMode::Read | OpenMode::ReadWrite => shared.state.find(path)?,
                OpenMode::CreateNew => {
                    let now = shared.now();
                    let node = shared.state.create_file(path, now)?;
                    shared.changed = true;
                    node
                }
            };
            shared.state.file(node)?;
            *shared.open.entry(node).or_insert(0) += 1;
            Ok(node)
        })?;
        Ok(Arc::new(SimFile::new(self.clone(), node, path, mode != OpenMode::Read)))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.operate(IoOp::Rename, from, &[], |shared| {
            shared.changed = shared.state.rename(from, to)?;
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.operate(IoOp::Remove, path, &[], |shared| {
            shared.state.remove(path, false)?;
            shared.changed = true;
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.operate(IoOp::Link, to, &[], |shared| {
            shared.state.link(from, to)?;
            shared.changed = true;
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        self.operate(IoOp::List, dir, &[], |shared| {
            let names = &shared.state.dir(shared.state.find(dir)?)?.visible;
            let entry = |(name, node): (&Arc<str>, &NodeId)| {
                let metadata = describe(shared.state.nodes.get(node)?);
                Some(DirEntry { name: name.to_string(), metadata })
            };
            Ok(names.iter().filter_map(entry).collect())
        })
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        self.operate(IoOp::CreateDir, dir, &[], |shared| {
            shared.changed = shared.state.create_dirs(dir)?;
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        self.operate(IoOp::Remove, dir, &[], |shared| {
            shared.state.remove(dir, true)?;
            shared.changed = true;
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.operate(IoOp::SyncDir, dir, &[], |shared| {
            let node = shared.state.find(dir)?;
            shared.state.dir(node)?;
            shared.changed = true;
            if shared.failing_syncs.remove(&node) {
                shared.state.lose_names(node)?;
                return Err(eio());
            }
            shared.state.sync_names(node)?;
            shared.sweep();
            Ok(())
        })
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        self.operate(IoOp::Metadata, path, &[], |shared| match shared.state.find(path) {
            Ok(node) => Ok(shared.state.nodes.get(&node).map(describe)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn FileLock>> {
        let taken = self.operate(IoOp::Lock, path, &[], |shared| {
            let now = shared.now();
            let node = match shared.state.find(path) {
                Ok(node) => node,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    shared.state.create_file(path, now)?
                }
                Err(error) => return Err(error),
            };
            shared.state.file(node)?;
            if let Some(holder) = shared.locks.get(&node) {
                return Ok(Err(holder.clone()));
            }
            // Durable at once: what stands in a lock file is a courtesy to the reader of a message, and pending
            // units of it would only multiply the crash states of everything else. Its name does stay pending.
            let mut content = Content::default();
            content.write(holder.as_bytes(), 0);
            *shared.state.file_mut(node)? = FileState {
                durable: content.clone(),
                visible: content,
                modified: now,
                ..FileState::default()
            };
            shared.locks.insert(node, holder.to_owned());
            *shared.open.entry(node).or_insert(0) += 1;
            shared.changed = true;
            Ok(Ok(node))
        })?;
        match taken {
            Ok(node) => Ok(Box::new(SimLock::new(self.clone(), node))),
            Err(holder) => Err(Error::Locked { path: path.to_path_buf(), holder }),
        }
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        self.operate(IoOp::Metadata, dir, &[], |shared| {
            shared.state.find(dir)?;
            let total_bytes = shared.capacity_bytes.unwrap_or(u64::MAX);
            Ok(Space { available_bytes: shared.available_bytes(), total_bytes })
        })
    }

    fn lose_unsynced_names(&self, dir: &Path) -> bool {
        self.direct(IoOp::SyncDir, dir, |shared| {
            let node = shared.state.find(dir)?;
            shared.state.lose_names(node)
        })
        .is_ok()
    }
}
