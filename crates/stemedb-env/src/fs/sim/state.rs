//! What a simulated disk and its page cache hold. Cloning a [`State`] is a snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::{Profile, content::Content};
use crate::clock::Micros;

/// Number of a file or directory, never reused.
pub(super) type NodeId = u64;
/// The directory that always exists and is always durable.
pub(super) const ROOT: NodeId = 0;

/// Names of one directory.
pub(super) type Names = Arc<BTreeMap<Arc<str>, NodeId>>;

#[derive(Clone)]
pub(super) enum Node {
    File(Arc<FileState>),
    Dir(Arc<DirState>),
}

/// One file: what is on the disk, what is on its way, what programs see.
#[derive(Clone, Default)]
pub(super) struct FileState {
    pub(super) durable: Content,
    pub(super) visible: Content,
    /// In the order of issue.
    pub(super) pending: Vec<FileUnit>,
    /// A sync failed: some visible bytes are neither durable nor pending.
    pub(super) ghosts: bool,
    pub(super) modified: Micros,
}

#[derive(Clone, Default)]
pub(super) struct DirState {
    pub(super) durable: Names,
    pub(super) visible: Names,
}

/// The smallest part of a file's change that reaches the disk wholly or not at all.
#[derive(Clone)]
pub(super) struct FileUnit {
    /// Which mutating operation issued it; ascending.
    pub(super) operation: u64,
    pub(super) change: Change,
}

#[derive(Clone)]
pub(super) enum Change {
    /// One sector, or the part of it that was written.
    Data {
        offset: u64,
        bytes: Arc<[u8]>,
        start: usize,
        end: usize,
        /// It ends beyond the length that the file had when it was issued.
        extends: bool,
    },
    /// A write past the end made the file this long.
    Grow { len: u64 },
    /// An explicit change of length.
    SetLen { len: u64 },
}

impl Change {
    pub(super) fn apply(&self, content: &mut Content) {
        match self {
            Change::Data { offset, bytes, start, end, .. } => content.write(&bytes[*start..*end], *offset),
            Change::Grow { len } if *len > content.len() => content.set_len(*len),
            Change::Grow { .. } => {}
            Change::SetLen { len } => content.set_len(*len),
        }
    }
}

/// One change of directory entries that reaches the disk wholly or not at all.
#[derive(Clone)]
pub(super) struct NameUnit {
    pub(super) operation: u64,
    pub(super) change: NameChange,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Link { dir: NodeId, name: Arc<str>, node: NodeId },
    Unlink { dir: NodeId, name: Arc<str> },
    Rename { from_dir: NodeId, from: Arc<str>, to_dir: NodeId, to: Arc<str>, node: NodeId },
}

impl NameChange {
    pub(super) fn touches(&self, wanted: NodeId) -> bool {
        match self {
            NameChange::Link { dir, .. } | NameChange::Unlink { dir, .. } => *dir == wanted,
            NameChange::Rename { from_dir, to_dir, .. } => *from_dir == wanted || *to_dir == wanted,
        }
    }

    /// Calls `edit` with each directory and what to do to its names.
    pub(super) fn apply(&self, mut edit: impl FnMut(NodeId, &dyn Fn(&mut BTreeMap<Arc<str>, NodeId>))) {
        match self {
            NameChange::Link { dir, name, node } => edit(*dir, &|names| {
                names.insert(Arc::clone(name), *node);
            }),
            NameChange::Unlink { dir, name } => edit(*dir, &|names| {
                names.remove(name);
            }),
            NameChange::Rename { from_dir, from, to_dir, to, node } => {
                edit(*from_dir, &|names| {
                    names.remove(from);
                });
                edit(*to_dir, &|names| {
                    names.insert(Arc::clone(to), *node);
                });
            }
        }
    }
}

/// Everything that a power cut, or the lack of one, can show.
#[derive(Clone)]
pub(super) struct State {
    pub(super) profile: Profile,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// In the order of issue.
    pub(super) names: Vec<NameUnit>,
    pub(super) next_node: NodeId,
    pub(super) next_operation: u64,
}

pub(super) fn error(kind: io::ErrorKind) -> io::Error {
    io::Error::from(kind)
}

impl State {
    pub(super) fn new(profile: Profile) -> State {
        State {
            profile,
            nodes: BTreeMap::from([(ROOT, Node::Dir(Arc::default()))]),
            names: Vec::new(),
            next_node: ROOT + 1,
            next_operation: 0,
        }
    }

    pub(super) fn begin(&mut self) -> u64 {
        self.next_operation += 1;
        self.next_operation
    }

    pub(super) fn dir(&self, node: NodeId) -> io::Result<&Arc<DirState>> {
        match self.nodes.get(&node) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(error(io::ErrorKind::NotADirectory)),
            None => Err(error(io::ErrorKind::NotFound)),
        }
    }

    pub(super) fn file(&self, node: NodeId) -> io::Result<&Arc<FileState>> {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(error(io::ErrorKind::IsADirectory)),
            None => Err(error(io::ErrorKind::NotFound)),
        }
    }

    pub(super) fn file_mut(&mut self, node: NodeId) -> io::Result<&mut FileState> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(Arc::make_mut(file)),
            Some(Node::Dir(_)) => Err(error(io::ErrorKind::IsADirectory)),
            None => Err(error(io::ErrorKind::NotFound)),
        }
    }

    /// Splits a write at sector boundaries into units and makes it visible.
    pub(super) fn write(&mut self, node: NodeId, data: &[u8], offset: u64, now: Micros) -> io::Result<()> {
        let sector_bytes = self.profile.sector_bytes() as u64;
        let operation = self.begin();
        let file = self.file_mut(node)?;
        let old_len = file.visible.len();
        let bytes: Arc<[u8]> = Arc::from(data);
        let mut start = 0;
        while start < bytes.len() {
            let at = offset + start as u64;
            let room = (sector_bytes - at % sector_bytes) as usize;
            let end = bytes.len().min(start + room);
            let extends = offset + end as u64 > old_len;
            let change = Change::Data { offset: at, bytes: Arc::clone(&bytes), start, end, extends };
            file.pending.push(FileUnit { operation, change });
            start = end;
        }
        file.visible.write(&bytes, offset);
        let len = file.visible.len();
        if len > old_len {
            file.pending.push(FileUnit { operation, change: Change::Grow { len } });
        }
        file.modified = now;
        Ok(())
    }

    pub(super) fn set_len(&mut self, node: NodeId, len: u64, now: Micros) -> io::Result<()> {
        let operation = self.begin();
        let file = self.file_mut(node)?;
        file.visible.set_len(len);
        file.pending.push(FileUnit { operation, change: Change::SetLen { len } });
        file.modified = now;
        Ok(())
    }

    /// Makes content and length of one file durable.
    pub(super) fn sync_file(&mut self, node: NodeId) -> io::Result<()> {
        let lies = self.profile == Profile::Liar;
        self.begin();
        let file = self.file_mut(node)?;
        if lies {
            return Ok(());
        }
        let pending = std::mem::take(&mut file.pending);
        if file.ghosts {
            pending.iter().for_each(|unit| unit.change.apply(&mut file.durable));
        } else {
            file.durable = file.visible.clone();
        }
        Ok(())
    }

    /// A failed sync: pending bytes stay visible and are lost; pending lengths stay pending, because file systems
    /// were seen to persist the new length over zeros after such a failure.
    pub(super) fn lose_file(&mut self, node: NodeId) -> io::Result<()> {
        self.begin();
        let file = self.file_mut(node)?;
        let before = file.pending.len();
        file.pending.retain(|unit| !matches!(unit.change, Change::Data { .. }));
        file.ghosts |= file.pending.len() < before;
        Ok(())
    }

    /// Forgets ghosts: reads show what is durable or pending, as after the eviction of clean pages. The length that
    /// programs see stays.
    pub(super) fn evict(&mut self, node: NodeId) -> io::Result<()> {
        let file = self.file_mut(node)?;
        let mut content = file.durable.clone();
        file.pending.iter().for_each(|unit| unit.change.apply(&mut content));
        content.set_len(file.visible.len());
        file.visible = content;
        Ok(())
    }

    /// Makes some units durable, as the kernel's write-back does when it likes; the others stay pending.
    pub(super) fn write_back(&mut self, selected: &BTreeSet<UnitKey>) {
        let mut kept = Vec::new();
        for (index, unit) in std::mem::take(&mut self.names).into_iter().enumerate() {
            if selected.contains(&UnitKey::Name(index)) {
                self.persist_names(&unit.change);
            } else {
                kept.push(unit);
            }
        }
        self.names = kept;
        for (id, node) in &mut self.nodes {
            let Node::File(file) = node else { continue };
            if file.pending.is_empty() {
                continue;
            }
            let file = Arc::make_mut(file);
            for (index, unit) in std::mem::take(&mut file.pending).into_iter().enumerate() {
                if selected.contains(&UnitKey::File(*id, index)) {
                    unit.change.apply(&mut file.durable);
                } else {
                    file.pending.push(unit);
                }
            }
        }
    }

    /// Forgets nodes that no name, no pending change and no handle can reach any more.
    pub(super) fn sweep(&mut self, open: &BTreeMap<NodeId, usize>) {
        let mut live: BTreeSet<NodeId> = open.keys().copied().collect();
        live.insert(ROOT);
        for unit in &self.names {
            match &unit.change {
                NameChange::Link { node, .. } | NameChange::Rename { node, .. } => {
                    live.insert(*node);
                }
                NameChange::Unlink { .. } => {}
            }
        }
        let mut queue: Vec<NodeId> = live.iter().copied().collect();
        while let Some(node) = queue.pop() {
            let Ok(dir) = self.dir(node) else { continue };
            for child in dir.visible.values().chain(dir.durable.values()) {
                if live.insert(*child) {
                    queue.push(*child);
                }
            }
        }
        self.nodes.retain(|node, _| live.contains(node));
    }
}

/// Where a pending unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UnitKey {
    /// Index into [`State::names`].
    Name(usize),
    /// File, and index into its pending list.
    File(NodeId, usize),
}
