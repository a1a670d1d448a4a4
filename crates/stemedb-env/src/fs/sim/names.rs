//! Directories: paths, changes of names, and making them durable.

use std::{
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::{
    Profile,
    state::{FileState, NameChange, NameUnit, Node, NodeId, ROOT, State, error},
};
use crate::clock::Micros;

/// The names along a path. Relative paths start at the root: a simulated file system has no current directory.
fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(name) => {
                parts.push(name.to_str().ok_or_else(|| error(io::ErrorKind::InvalidFilename))?);
            }
        }
    }
    Ok(parts)
}

impl State {
    fn walk(&self, parts: &[&str]) -> io::Result<NodeId> {
        parts.iter().try_fold(ROOT, |node, name| {
            self.dir(node)?.visible.get(*name).copied().ok_or_else(|| error(io::ErrorKind::NotFound))
        })
    }

    /// The node behind a path.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.walk(&components(path)?)
    }

    /// The directory of a path and the name in it, which need not exist.
    pub(super) fn place(&self, path: &Path) -> io::Result<(NodeId, Arc<str>)> {
        let parts = components(path)?;
        let (name, parents) = parts.split_last().ok_or_else(|| error(io::ErrorKind::InvalidInput))?;
        let dir = self.walk(parents)?;
        self.dir(dir)?;
        Ok((dir, Arc::from(*name)))
    }

    pub(super) fn lookup(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        self.dir(dir).ok()?.visible.get(name).copied()
    }

    fn change_names(&mut self, change: NameChange) {
        let operation = self.begin();
        change.apply(|dir, edit| {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
                edit(Arc::make_mut(&mut Arc::make_mut(dir).visible));
            }
        });
        self.names.push(NameUnit { operation, change });
    }

    fn insert(&mut self, dir: NodeId, name: Arc<str>, node: Node) -> NodeId {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        self.change_names(NameChange::Link { dir, name, node: id });
        id
    }

    pub(super) fn create_file(&mut self, path: &Path, modified: Micros) -> io::Result<NodeId> {
        let (dir, name) = self.place(path)?;
        if self.lookup(dir, &name).is_some() {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        Ok(self.insert(dir, name, Node::File(Arc::new(FileState { modified, ..FileState::default() }))))
    }

    /// Creates what is missing along the path; returns whether anything was.
    pub(super) fn create_dirs(&mut self, path: &Path) -> io::Result<bool> {
        let mut node = ROOT;
        let mut created = false;
        for name in components(path)? {
            node = match self.dir(node)?.visible.get(name) {
                Some(next) => *next,
                None => {
                    created = true;
                    self.insert(node, Arc::from(name), Node::Dir(Arc::default()))
                }
            };
        }
        self.dir(node)?;
        Ok(created)
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        if self.file(node).is_err() {
            return Err(error(io::ErrorKind::PermissionDenied));
        }
        let (dir, name) = self.place(to)?;
        if self.lookup(dir, &name).is_some() {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        self.change_names(NameChange::Link { dir, name, node });
        Ok(())
    }

    /// Returns whether anything changed.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<bool> {
        let node = self.find(from)?;
        let (from_dir, from) = self.place(from)?;
        let (to_dir, to) = self.place(to)?;
        let is_dir = self.dir(node).is_ok();
        if is_dir && self.is_below(to_dir, node) {
            return Err(error(io::ErrorKind::InvalidInput));
        }
        if let Some(target) = self.lookup(to_dir, &to) {
            if target == node {
                // POSIX: two names of one file, nothing happens.
                return Ok(false);
            }
            match (is_dir, self.dir(target)) {
                (true, Ok(target)) if !target.visible.is_empty() => {
                    return Err(error(io::ErrorKind::DirectoryNotEmpty));
                }
                (true, Err(_)) => return Err(error(io::ErrorKind::NotADirectory)),
                (false, Ok(_)) => return Err(error(io::ErrorKind::IsADirectory)),
                (true, Ok(_)) | (false, Err(_)) => {}
            }
        }
        self.change_names(NameChange::Rename { from_dir, from, to_dir, to, node });
        Ok(true)
    }

    /// Is `node` the directory `above` or inside it?
    fn is_below(&self, node: NodeId, above: NodeId) -> bool {
        if node == above {
            return true;
        }
        let Ok(dir) = self.dir(above) else { return false };
        dir.visible.values().any(|child| self.dir(*child).is_ok() && self.is_below(node, *child))
    }

    pub(super) fn remove(&mut self, path: &Path, directory: bool) -> io::Result<()> {
        let node = self.find(path)?;
        let (dir, name) = self.place(path)?;
        match (directory, self.dir(node)) {
            (false, Ok(_)) => return Err(error(io::ErrorKind::IsADirectory)),
            (true, Err(_)) => return Err(error(io::ErrorKind::NotADirectory)),
            (true, Ok(dir)) if !dir.visible.is_empty() => {
                return Err(error(io::ErrorKind::DirectoryNotEmpty));
            }
            (true, Ok(_)) | (false, Err(_)) => {}
        }
        self.change_names(NameChange::Unlink { dir, name });
        Ok(())
    }

    pub(super) fn persist_names(&mut self, change: &NameChange) {
        change.apply(|dir, edit| {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
                edit(Arc::make_mut(&mut Arc::make_mut(dir).durable));
            }
        });
    }

    /// Makes the names in one directory durable.
    pub(super) fn sync_names(&mut self, dir: NodeId) -> io::Result<()> {
        self.dir(dir)?;
        self.begin();
        if self.profile == Profile::Liar {
            return Ok(());
        }
        let mut kept = Vec::new();
        for unit in std::mem::take(&mut self.names) {
            if !unit.change.touches(dir) {
                kept.push(unit);
                continue;
            }
            match unit.change {
                // Without a journal underneath, the target's directory says nothing about the source's: the file
                // may come back under both names. The other way round both halves go, so that it is never lost.
                NameChange::Rename { from_dir, from, to_dir, to, node }
                    if to_dir == dir && from_dir != dir && self.profile.tears_renames() =>
                {
                    self.persist_names(&NameChange::Link { dir: to_dir, name: to, node });
                    let change = NameChange::Unlink { dir: from_dir, name: from };
                    kept.push(NameUnit { operation: unit.operation, change });
                }
                change => self.persist_names(&change),
            }
        }
        self.names = kept;
        Ok(())
    }

    /// A failed directory sync: its pending names stay visible and are lost.
    pub(super) fn lose_names(&mut self, dir: NodeId) -> io::Result<()> {
        self.dir(dir)?;
        self.begin();
        self.names.retain(|unit| !unit.change.touches(dir));
        Ok(())
    }

    /// Every file and directory that has a visible name, with its paths in order. The root is left out.
    pub(super) fn visible(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, node)) = open.pop() {
            let Ok(dir) = self.dir(node) else { continue };
            for (name, child) in dir.visible.iter() {
                let path = path.join(&**name);
                found.push((path.clone(), *child));
                open.push((path, *child));
            }
        }
        found.sort();
        found
    }
}
