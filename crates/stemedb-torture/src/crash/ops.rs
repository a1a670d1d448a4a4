//! What a sequence consists of.

/// One step of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// One short entry.
    Small,
    /// Three entries in one group; the last one is empty.
    Group,
    /// One entry over many sectors.
    Large,
    /// The next segment.
    Rotate,
    /// The views have flushed everything.
    Release,
    /// Time passes: the idle marker and whatever else the journal does when nobody writes.
    Idle,
    /// Background jobs run, without time passing.
    Settle,
    /// Closed and opened.
    Close,
    /// The process dies and starts again; the page cache stays.
    Kill,
    /// The power goes and takes everything that was not synced.
    PowerCut,
    /// The power goes before the sync of an append, and every second unit survives.
    TornAppend,
    /// The sync of an append fails; what it should have persisted is gone, and later syncs say "done".
    FailedSync,
    /// As [`Op::FailedSync`], of the folder when the next segment gets its name.
    FailedDirSync,
    /// The disk fills up in the middle of an append, and is freed.
    FullDisk,
}

/// All of them; their order is that of the enumeration.
pub const OPS: [Op; 14] = [
    Op::Small,
    Op::Group,
    Op::Large,
    Op::Rotate,
    Op::Release,
    Op::Idle,
    Op::Settle,
    Op::Close,
    Op::Kill,
    Op::PowerCut,
    Op::TornAppend,
    Op::FailedSync,
    Op::FailedDirSync,
    Op::FullDisk,
];

impl Op {
    /// The class of fault that it injects, if any.
    pub fn class(self) -> Option<&'static str> {
        match self {
            Op::Kill => Some("kill_between"),
            Op::PowerCut => Some("power_cut_between"),
            Op::TornAppend => Some("torn_append"),
            Op::FailedSync => Some("failed_sync"),
            Op::FailedDirSync => Some("failed_dir_sync"),
            Op::FullDisk => Some("disk_full"),
            _ => None,
        }
    }
}
