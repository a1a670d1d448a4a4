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
//! Each directory has durable names and pending changes of names, which [`crate::Fs::sync_dir`] makes durable. Creating a
//! directory is such a change in its parent: a file is safe only when every name on its path is. Closing and
//! dropping persist nothing. A rename within a directory is one unit; between two directories it may survive as both
//! names, never as neither.
//!
//! [`SimFs::crash_states`] visits what a power cut at this moment can leave. [`SimFs::record`] keeps a snapshot after
//! every mutating operation, so that one run of a workload yields all crash points; snapshots share their pages.
//!
//! Paths are taken as absolute. Names must be UTF-8.

mod calls;
mod content;
mod crash;
mod direct;
mod file;
mod names;
mod power;
mod state;
mod units;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::Path,
    sync::Arc,
};

pub use crash::{CrashOptions, CrashPoint, CrashState, CrashStates, Operation};
use parking_lot::Mutex;
pub use units::{PendingUnit, Profile, Selection, UnitKind};

use self::state::{FileState, Node, NodeId, State};
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
