//! A file system that counts every call and fails some of them.
//!
//! [`FaultFs`] wraps any other one, real or simulated. Without rules it only counts, which is how tests check how
//! many syncs a commit costs or how many blocks a lookup reads. Errors look like those of the kernel.

mod count;
mod rule;

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

pub use count::{CallCount, CallCounts, FaultCounts};
use parking_lot::Mutex;
pub use rule::{Fault, FaultClass, FaultRule};

use self::rule::Call;
use super::{DirEntry, File, FileLock, Fs, Metadata, OpenMode, Space, sim::eio};
use crate::{Clock, Error, IoOp, Random, Result, random::SeededRandom};

/// A counting and failing file system over another one. Clones are handles to the same one.
#[derive(Clone)]
pub struct FaultFs {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn Fs>,
    clock: Option<Arc<dyn Clock>>,
    random: SeededRandom,
    state: Mutex<FaultState>,
}

#[derive(Default)]
struct FaultState {
    rules: Vec<ActiveRule>,
    paused: bool,
    calls: u64,
    counts: CallCounts,
    hits: FaultCounts,
}

struct ActiveRule {
    rule: FaultRule,
    matched: u64,
    hits: u64,
}

/// What is left to do after the rules have been asked.
enum Verdict {
    Pass,
    /// Do at most this many bytes.
    Part(usize),
    /// Lose what was pending, then fail.
    Lose,
}

impl fmt::Debug for FaultFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultFs").field("inner", &self.shared.inner).finish_non_exhaustive()
    }
}

impl FaultFs {
    /// No rules yet. `seed` decides the hits of rules with a chance and the lengths of short transfers.
    pub fn new(inner: Arc<dyn Fs>, seed: u64) -> FaultFs {
        FaultFs::build(inner, None, seed)
    }

    /// As [`FaultFs::new`], for rules with [`Fault::Latency`], which pass the time on `clock`.
    pub fn with_clock(inner: Arc<dyn Fs>, clock: Arc<dyn Clock>, seed: u64) -> FaultFs {
        FaultFs::build(inner, Some(clock), seed)
    }

    /// For counting calls only.
    pub fn counting(inner: Arc<dyn Fs>) -> FaultFs {
        FaultFs::new(inner, 0)
    }

    fn build(inner: Arc<dyn Fs>, clock: Option<Arc<dyn Clock>>, seed: u64) -> FaultFs {
        let (random, state) = (SeededRandom::new(seed), Mutex::default());
        FaultFs { shared: Arc::new(Shared { inner, clock, random, state }) }
    }

    /// Adds a rule. Of several that match a call the earliest added one hits; latency alone adds up.
    pub fn add(&self, rule: FaultRule) {
        self.shared.state.lock().rules.push(ActiveRule { rule, matched: 0, hits: 0 });
    }

    /// Forgets all rules; counts stay.
    pub fn clear(&self) {
        self.shared.state.lock().rules.clear();
    }

    /// While paused, rules neither hit nor count what they would match.
    pub fn pause(&self, paused: bool) {
        self.shared.state.lock().paused = paused;
    }

    /// All calls so far: the range of `n` in a sweep that fails the `n`-th one.
    pub fn calls(&self) -> u64 {
        self.shared.state.lock().calls
    }

    /// Calls per kind and path.
    pub fn call_counts(&self) -> CallCounts {
        self.shared.state.lock().counts.clone()
    }

    /// Injected faults.
    pub fn fault_counts(&self) -> FaultCounts {
        self.shared.state.lock().hits.clone()
    }

    /// Sets call counts back to nothing, so that a test can count one phase.
    pub fn reset_call_counts(&self) {
        let mut state = self.shared.state.lock();
        state.calls = 0;
        state.counts = CallCounts::default();
    }

    /// Counts the call and asks the rules.
    fn enter(&self, call: &Call<'_>) -> Result<Verdict> {
        let (fault, latency) = {
            let mut state = self.shared.state.lock();
            state.calls += 1;
            state.counts.counts.entry((call.op, call.path.to_path_buf())).or_default().calls += 1;
            if state.paused { (None, Duration::ZERO) } else { self.ask(&mut state, call) }
        };
        // Outside of the lock: others go on while this call is slow.
        if let (Some(clock), true) = (&self.shared.clock, latency > Duration::ZERO) {
            clock.sleep(latency);
        }
        let fail = |source| Err(Error::io(call.op, call.path, source));
        match fault {
            None | Some(Fault::Latency(_)) => Ok(Verdict::Pass),
            Some(Fault::Eio) => fail(eio()),
            Some(Fault::StorageFull) => fail(io::Error::from(rustix::io::Errno::NOSPC)),
            Some(Fault::TooManyOpenFiles) => fail(io::Error::from(rustix::io::Errno::MFILE)),
            Some(Fault::Interrupted) => fail(io::Error::from(rustix::io::Errno::INTR)),
            Some(Fault::SyncFailsThenLies) => Ok(Verdict::Lose),
            Some(Fault::Short) => {
                let limit = call.bytes.saturating_sub(1).max(1) as u64;
                Ok(Verdict::Part(1 + usize::try_from(self.shared.random.next_u64() % limit).unwrap_or(0)))
            }
        }
    }

    fn ask(&self, state: &mut FaultState, call: &Call<'_>) -> (Option<Fault>, Duration) {
        let mut latency = Duration::ZERO;
        for active in &mut state.rules {
            let rule = &active.rule;
            let on_path = |part: &String| {
                let contains = |path: &Path| path.to_string_lossy().contains(part.as_str());
                contains(call.path) || call.other.is_some_and(contains)
            };
            if rule.op.is_some_and(|op| op != call.op)
                || !rule.path_part.as_ref().is_none_or(on_path)
                || !rule.fault.applies_to(call)
            {
                continue;
            }
            active.matched += 1;
            let due = active.matched > rule.skip && active.hits < rule.times;
            if !due
                || (rule.per_million < 1_000_000
                    && self.shared.random.next_u64() % 1_000_000 >= u64::from(rule.per_million))
            {
                continue;
            }
            active.hits += 1;
            *state.hits.hits.entry((rule.fault.class(), call.op)).or_insert(0) += 1;
            match rule.fault {
                Fault::Latency(duration) => latency += duration,
                fault => return (Some(fault), latency),
            }
        }
        (None, latency)
    }

    fn moved(&self, op: IoOp, path: &Path, bytes: usize) {
        let mut state = self.shared.state.lock();
        if let Some(count) = state.counts.counts.get_mut(&(op, path.to_path_buf())) {
            count.bytes += bytes as u64;
        }
    }
}

impl Fs for FaultFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        self.enter(&Call { creates: mode == OpenMode::CreateNew, ..Call::new(IoOp::Open, path) })?;
        let inner = self.shared.inner.open(path, mode)?;
        Ok(Arc::new(FaultFile { fs: self.clone(), inner }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.enter(&Call { other: Some(to), ..Call::new(IoOp::Rename, from) })?;
        self.shared.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.enter(&Call::new(IoOp::Remove, path))?;
        self.shared.inner.remove(path)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.enter(&Call { other: Some(from), ..Call::new(IoOp::Link, to) })?;
        self.shared.inner.link(from, to)
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>> {
        self.enter(&Call::new(IoOp::List, dir))?;
        self.shared.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        self.enter(&Call::new(IoOp::CreateDir, dir))?;
        self.shared.inner.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        self.enter(&Call::new(IoOp::Remove, dir))?;
        self.shared.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        match self.enter(&Call::new(IoOp::SyncDir, dir))? {
            Verdict::Lose => {
                self.shared.inner.lose_unsynced_names(dir);
                Err(Error::io(IoOp::SyncDir, dir, eio()))
            }
            Verdict::Pass | Verdict::Part(_) => self.shared.inner.sync_dir(dir),
        }
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        self.enter(&Call::new(IoOp::Metadata, path))?;
        self.shared.inner.metadata(path)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn FileLock>> {
        self.enter(&Call::new(IoOp::Lock, path))?;
        self.shared.inner.lock(path, holder)
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        self.enter(&Call::new(IoOp::Metadata, dir))?;
        self.shared.inner.space(dir)
    }

    fn lose_unsynced_names(&self, dir: &Path) -> bool {
        self.shared.inner.lose_unsynced_names(dir)
    }

    fn make_private(&self, path: &Path) -> Result<()> {
        self.enter(&Call::new(IoOp::Metadata, path))?;
        self.shared.inner.make_private(path)
    }
}

struct FaultFile {
    fs: FaultFs,
    inner: Arc<dyn File>,
}

impl fmt::Debug for FaultFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultFile").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl File for FaultFile {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let call = Call { bytes: buffer.len(), ..Call::new(IoOp::Read, self.path()) };
        let limit = match self.fs.enter(&call)? {
            Verdict::Part(limit) => limit.min(buffer.len()),
            Verdict::Pass | Verdict::Lose => buffer.len(),
        };
        let n = self.inner.read_at(&mut buffer[..limit], offset)?;
        self.fs.moved(IoOp::Read, self.path(), n);
        Ok(n)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let call = Call { bytes: data.len(), ..Call::new(IoOp::Write, self.path()) };
        let limit = match self.fs.enter(&call)? {
            Verdict::Part(limit) => limit.min(data.len()),
            Verdict::Pass | Verdict::Lose => data.len(),
        };
        let n = self.inner.write_at(&data[..limit], offset)?;
        self.fs.moved(IoOp::Write, self.path(), n);
        Ok(n)
    }

    fn sync_data(&self) -> Result<()> {
        match self.fs.enter(&Call::new(IoOp::SyncData, self.path()))? {
            Verdict::Lose => {
                self.inner.lose_unsynced();
                Err(Error::io(IoOp::SyncData, self.path(), eio()))
            }
            Verdict::Pass | Verdict::Part(_) => self.inner.sync_data(),
        }
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        self.inner.start_writeback(offset, len);
    }

    fn len(&self) -> Result<u64> {
        self.fs.enter(&Call::new(IoOp::Metadata, self.path()))?;
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.fs.enter(&Call::new(IoOp::SetLen, self.path()))?;
        self.inner.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.fs.enter(&Call::new(IoOp::SetLen, self.path()))?;
        self.inner.allocate(len)
    }

    fn lose_unsynced(&self) -> bool {
        self.inner.lose_unsynced()
    }
}
