//! Which faults there are and when they happen.

use std::{path::Path, time::Duration};

use crate::IoOp;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `EIO`; the call has no effect. A sync that fails so leaves its data pending: trying again would work.
    Eio,
    /// `ENOSPC`, for calls that need room and for syncs, where delayed allocation reports it; no effect.
    StorageFull,
    /// `EMFILE` or `ENFILE` on opening and locking.
    TooManyOpenFiles,
    /// A read or write of more than one byte does a part and says so.
    Short,
    /// `EINTR` on a read or write; no effect.
    Interrupted,
    /// `EIO` on a sync, and what it should have persisted is gone while it can still be read; later syncs succeed.
    /// Over a real file system only the error can be had.
    SyncFailsThenLies,
    /// The call works and takes this long.
    Latency(Duration),
}

/// A [`Fault`] without its numbers, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultClass {
    /// [`Fault::Eio`]
    Eio,
    /// [`Fault::StorageFull`]
    StorageFull,
    /// [`Fault::TooManyOpenFiles`]
    TooManyOpenFiles,
    /// [`Fault::Short`]
    Short,
    /// [`Fault::Interrupted`]
    Interrupted,
    /// [`Fault::SyncFailsThenLies`]
    SyncFailsThenLies,
    /// [`Fault::Latency`]
    Latency,
}

impl Fault {
    /// The class it is counted under.
    pub fn class(self) -> FaultClass {
        match self {
            Fault::Eio => FaultClass::Eio,
            Fault::StorageFull => FaultClass::StorageFull,
            Fault::TooManyOpenFiles => FaultClass::TooManyOpenFiles,
            Fault::Short => FaultClass::Short,
            Fault::Interrupted => FaultClass::Interrupted,
            Fault::SyncFailsThenLies => FaultClass::SyncFailsThenLies,
            Fault::Latency(_) => FaultClass::Latency,
        }
    }

    pub(super) fn applies_to(self, call: &Call<'_>) -> bool {
        match self {
            Fault::Eio | Fault::Latency(_) => true,
            Fault::StorageFull => match call.op {
                IoOp::Open => call.creates,
                op => matches!(
                    op,
                    IoOp::Write
                        | IoOp::SetLen
                        | IoOp::SyncData
                        | IoOp::SyncDir
                        | IoOp::Rename
                        | IoOp::Link
                        | IoOp::CreateDir
                        | IoOp::Lock
                ),
            },
            Fault::TooManyOpenFiles => matches!(call.op, IoOp::Open | IoOp::Lock | IoOp::List),
            Fault::Short => matches!(call.op, IoOp::Read | IoOp::Write) && call.bytes > 1,
            Fault::Interrupted => matches!(call.op, IoOp::Read | IoOp::Write),
            Fault::SyncFailsThenLies => matches!(call.op, IoOp::SyncData | IoOp::SyncDir),
        }
    }
}

/// When which [`Fault`] happens. A fresh rule hits every call that its fault can happen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    pub(super) fault: Fault,
    pub(super) op: Option<IoOp>,
    pub(super) path_part: Option<String>,
    pub(super) skip: u64,
    pub(super) times: u64,
    pub(super) per_million: u32,
}

impl FaultRule {
    /// A rule without conditions.
    pub fn new(fault: Fault) -> FaultRule {
        FaultRule { fault, op: None, path_part: None, skip: 0, times: u64::MAX, per_million: 1_000_000 }
    }

    /// Only this kind of call.
    #[must_use]
    pub fn on(mut self, op: IoOp) -> FaultRule {
        self.op = Some(op);
        self
    }

    /// Only paths that contain this text. For a rename and a link either path counts.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> FaultRule {
        self.path_part = Some(part.into());
        self
    }

    /// Lets the first `calls` matching calls pass.
    #[must_use]
    pub fn after(mut self, calls: u64) -> FaultRule {
        self.skip = calls;
        self
    }

    /// Hits at most this often.
    #[must_use]
    pub fn times(mut self, hits: u64) -> FaultRule {
        self.times = hits;
        self
    }

    /// Hits one matching call in so many, drawn from the seed.
    #[must_use]
    pub fn chance_per_million(mut self, chance: u32) -> FaultRule {
        self.per_million = chance;
        self
    }
}

/// One call, as rules look at it.
pub(super) struct Call<'a> {
    pub(super) op: IoOp,
    pub(super) path: &'a Path,
    /// The other path of a rename or link.
    pub(super) other: Option<&'a Path>,
    pub(super) bytes: usize,
    pub(super) creates: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(op: IoOp, path: &'a Path) -> Call<'a> {
        Call { op, path, other: None, bytes: 0, creates: false }
    }
}
