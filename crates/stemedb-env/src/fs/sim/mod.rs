//! A file system in memory that forgets what was not synced.
//!
//! Each file has three layers of bytes:
//!
//! ```text
//!   durable   what is on the disk; survives every power cut
//!   pending   written since the last sync; each sector and each change of length is a unit that may survive alone
//!   ghost     visible, neither durable nor pending: what a failed sync leaves. Later syncs say "done", reads show
//!             the bytes, and after a power cut they are gone
//! ```
//!
//! Each directory has durable names and pending changes of names, which [`Fs::sync_dir`] makes durable. Creating a
//! directory is such a change in its parent: a file is safe only when every name on its path is. Closing and
//! dropping persist nothing. A rename within a directory is one unit; between two directories it may survive as both
//! names, never as neither.
//!
//! [`SimFs::crash_states`] visits what a power cut at this moment can leave. [`SimFs::record`] keeps a snapshot after
//! every mutating operation, so that one run of a workload yields all crash points; snapshots share their pages.
//!
//! Paths are taken as absolute. Names must be UTF-8.

mod content;
mod crash;
mod file;
mod state;
mod units;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use crash::{CrashOptions, CrashPoint, CrashState, CrashStates, Operation};
use parking_lot::Mutex;
pub use units::{PendingUnit, Profile, Selection, UnitKind};

use self::{
    content::Content,
    file::{SimFile, SimLock},
    state::{FileState, Node, NodeId, State},
};
use super::{DirEntry, File, FileLock, Fs, Metadata, OpenMode, Space};
use crate::{
    Clock, Error, IoOp, Result,
    clock::{Micros, SimClock},
};

/// A simulated file system. Clones are handles to the same one.
#[derive(Clone)]
pub struct SimFs {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    state: State,
    clock: Option<Arc<SimClock>>,
    capacity_bytes: Option<u64>,
    /// How many handles are open on a node.
    open: BTreeMap<NodeId, usize>,
    /// Held locks and who holds them.
    locks: BTreeMap<NodeId, String>,
    /// Files and directories whose next sync fails.
    failing_syncs: BTreeSet<NodeId>,
    /// Mutating operations done.
    mutations: u64,
    stop_after: Option<u64>,
    note: u64,
    recording: bool,
    points: Vec<CrashPoint>,
    trace: blake3::Hasher,
    /// Set by an operation that changed something.
    changed: bool,
}

impl Shared {
    fn new(state: State) -> Shared {
        Shared {
            state,
            clock: None,
            capacity_bytes: None,
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
            failing_syncs: BTreeSet::new(),
            mutations: 0,
            stop_after: None,
            note: 0,
            recording: false,
            points: Vec::new(),
            trace: blake3::Hasher::new(),
            changed: false,
        }
    }

    fn now(&self) -> Micros {
        self.clock.as_ref().map_or(Micros(0), |clock| clock.wall())
    }

    /// Bytes of files that have a name or an open handle.
    fn used_bytes(&self) -> u64 {
        let mut nodes: BTreeSet<NodeId> = self.open.keys().copied().collect();
        nodes.extend(self.state.visible().into_iter().map(|(_, node)| node));
        nodes.iter().filter_map(|node| self.state.file(*node).ok()).map(|file| file.visible.len()).sum()
    }

    fn available_bytes(&self) -> u64 {
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    fn sweep(&mut self) {
        self.state.sweep(&self.open);
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared.lock();
        f.debug_struct("SimFs")
            .field("profile", &shared.state.profile)
            .field("nodes", &shared.state.nodes.len())
            .field("mutations", &shared.mutations)
            .finish_non_exhaustive()
    }
}

impl Default for SimFs {
    fn default() -> Self {
        SimFs::new()
    }
}

/// `EIO`, as the kernel reports a failed disk operation.
pub(crate) fn eio() -> io::Error {
    io::Error::from(rustix::io::Errno::IO)
}

impl SimFs {
    /// An empty file system with the adversarial profile.
    pub fn new() -> SimFs {
        SimFs::with_profile(Profile::default())
    }

    /// An empty file system.
    pub fn with_profile(profile: Profile) -> SimFs {
        SimFs { shared: Arc::new(Mutex::new(Shared::new(State::new(profile)))) }
    }

    /// Takes modification times from this clock; without one they are 0.
    pub fn set_clock(&self, clock: Arc<SimClock>) {
        self.shared.lock().clock = Some(clock);
    }

    /// A fresh, running file system on another disk.
    fn with_state(&self, state: State) -> SimFs {
        let mut fresh = Shared::new(state);
        {
            let shared = self.shared.lock();
            fresh.clock.clone_from(&shared.clock);
            fresh.capacity_bytes = shared.capacity_bytes;
        }
        SimFs { shared: Arc::new(Mutex::new(fresh)) }
    }

    /// Runs one operation: refuses when the power is off, then counts, traces and records it.
    fn operate<T>(
        &self,
        op: IoOp,
        path: &Path,
        detail: &[u64],
        run: impl FnOnce(&mut Shared) -> io::Result<T>,
    ) -> Result<T> {
        let mut shared = self.shared.lock();
        if shared.stop_after.is_some_and(|limit| shared.mutations >= limit) {
            return Err(Error::PowerOff { op, path: path.to_path_buf() });
        }
        shared.changed = false;
        let result = run(&mut shared);
        shared.trace(op, path, detail, result.is_ok());
        if shared.changed {
            shared.mutations += 1;
            self.point(&mut shared, Some(Operation { op, path: path.to_path_buf() }));
        }
        result.map_err(|source| Error::io(op, path, source))
    }

    fn point(&self, shared: &mut Shared, operation: Option<Operation>) {
        if !shared.recording {
            return;
        }
        let mut snapshot = Shared::new(shared.state.clone());
        snapshot.clock.clone_from(&shared.clock);
        snapshot.capacity_bytes = shared.capacity_bytes;
        let point = CrashPoint {
            mutations: shared.mutations,
            operation,
            note: shared.note,
            fs: SimFs { shared: Arc::new(Mutex::new(snapshot)) },
        };
        shared.points.push(point);
    }
}

impl Shared {
    /// One line of the event trace: call, path, numbers, outcome.
    fn trace(&mut self, op: IoOp, path: &Path, detail: &[u64], ok: bool) {
        let name = path.as_os_str().as_encoded_bytes();
        self.trace.update(&[op as u8, u8::from(ok)]);
        self.trace.update(&(name.len() as u64).to_le_bytes());
        self.trace.update(name);
        for number in detail {
            self.trace.update(&number.to_le_bytes());
        }
    }
}

/// Power cuts.
impl SimFs {
    /// What has not reached the disk, in the order of issue. Cost: one walk over all names.
    pub fn pending_units(&self) -> Vec<PendingUnit> {
        let shared = self.shared.lock();
        units::describe(&shared.state, &units::collect(&shared.state))
    }

    /// The disk after a power cut now, if exactly the selected units survive. Selections that the profile does not
    /// allow are reduced to the nearest one that it does.
    pub fn crash_image(&self, selection: &Selection) -> SimFs {
        let image = {
            let shared = self.shared.lock();
            crash::image(&shared.state, &units::collect(&shared.state), selection)
        };
        self.with_state(image)
    }

    /// The worst power cut: nothing pending survives.
    pub fn crash_losing_all(&self) -> SimFs {
        let units = units::collect(&self.shared.lock().state).len();
        self.crash_image(&Selection::none(units))
    }

    /// The kindest one: everything pending survives, as when the process alone is killed. Ghosts are lost.
    pub fn crash_keeping_all(&self) -> SimFs {
        let units = units::collect(&self.shared.lock().state).len();
        self.crash_image(&Selection::all(units))
    }

    /// Visits what a power cut now can leave. The file system itself is not changed and may go on.
    pub fn crash_states(&self, options: &CrashOptions) -> CrashStates {
        let state = self.shared.lock().state.clone();
        CrashStates::new(self.clone(), state, options)
    }

    /// Makes the selected units durable, as the kernel's write-back may at any time.
    pub fn write_back(&self, selection: &Selection) {
        let mut shared = self.shared.lock();
        let located = units::collect(&shared.state);
        let selection = units::allowed(shared.state.profile, &located, selection);
        let selected: BTreeSet<_> = located
            .iter()
            .enumerate()
            .filter(|(index, _)| selection.contains(*index))
            .map(|(_, unit)| unit.key)
            .collect();
        shared.state.write_back(&selected);
    }

    /// Equal for file systems on which a program finds the same names, lengths and bytes.
    pub fn image_hash(&self) -> u128 {
        crash::hash(&self.shared.lock().state)
    }

    /// Starts or stops keeping a [`CrashPoint`] after every mutating operation. Starting keeps one of the present.
    pub fn record(&self, on: bool) {
        let mut shared = self.shared.lock();
        let starts = on && !shared.recording;
        shared.recording = on;
        if starts {
            self.point(&mut shared, None);
        }
    }

    /// The crash points recorded so far, which the caller takes over.
    pub fn take_crash_points(&self) -> Vec<CrashPoint> {
        std::mem::take(&mut self.shared.lock().points)
    }

    /// Says how far the workload has come, for example how many entries it has seen acknowledged. Recorded crash
    /// points carry the latest note; a new note is a crash point of its own, since after it less may be lost.
    pub fn note(&self, note: u64) {
        let mut shared = self.shared.lock();
        if shared.note != note {
            shared.note = note;
            self.point(&mut shared, None);
        }
    }

    /// How many mutating operations have been done.
    pub fn mutations(&self) -> u64 {
        self.shared.lock().mutations
    }

    /// Cuts the power after `mutations` mutating operations in all: every later call, reads too, fails with
    /// [`Error::PowerOff`]. `None` switches it on again. Crash images of a stopped file system run.
    pub fn stop_after(&self, mutations: Option<u64>) {
        self.shared.lock().stop_after = mutations;
    }

    /// Hash over every call so far with its numbers and whether it succeeded. Two runs with the same seed must agree.
    pub fn trace_hash(&self) -> u128 {
        content::fold(self.shared.lock().trace.finalize().as_bytes())
    }
}

/// Faults while running.
impl SimFs {
    /// The next [`File::sync_data`] of this file, or [`Fs::sync_dir`] of this directory, fails with `EIO` and loses
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
    fn direct<T>(&self, op: IoOp, path: &Path, run: impl FnOnce(&mut Shared) -> io::Result<T>) -> Result<T> {
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
