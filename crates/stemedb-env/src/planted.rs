//! Defects on purpose, to test the tests.
//!
//! A suite that cannot fail proves nothing. With the feature `planted` (never in a release, never in the workspace's
//! ordinary builds) the environment variable `STEMEDB_PLANTED` names one defect, which the code at the marked
//! places then has; `cargo xtask torture --planted` checks that the suites notice each. Without the feature
//! [`planted`] is `false` at compile time and costs nothing.

/// A defect that the code can be given. The names are those of `STEMEDB_PLANTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Entries are acknowledged before their group is synced.
    AckBeforeSync,
    /// A new segment's name is not made durable.
    SkipDirSyncAfterRotate,
    /// After a change of segment, the old file is synced instead of the new one.
    SyncTheOldSegment,
    /// A write that was cut short counts as whole.
    IgnoreShortWrite,
    /// A failed sync is tried again on the same file, and believed.
    RetryFailedSync,
    /// Frames carry no watermark.
    WatermarkStuckAtZero,
    /// Frames promise the durability of themselves.
    WatermarkOneFrameTooHigh,
    /// The checksum leaves the header out.
    CrcSkipsHeader,
    /// The checksum leaves the padding out.
    CrcSkipsPadding,
    /// A frame of another file or place is accepted.
    AcceptStaleFrame,
    /// With the torn tail, the whole group before it is dropped.
    DropTornTailsPredecessor,
    /// A segment gets its name before its content is durable.
    RenameBeforeSync,
    /// Recovery goes on behind what may not be durable, without writing it again.
    AppendToUnsyncedTail,
    /// Readers see a group before its sync has returned.
    ReadBeforeDurable,
    /// A recycled file is written before its old name is durably gone.
    ReuseBeforeDirSync,
    /// The original is removed before its compressed copy is durable.
    RemoveBeforePackedIsDurable,
}

/// Every defect, for a driver that goes through them.
pub const ALL: [Bug; 16] = [
    Bug::AckBeforeSync,
    Bug::SkipDirSyncAfterRotate,
    Bug::SyncTheOldSegment,
    Bug::IgnoreShortWrite,
    Bug::RetryFailedSync,
    Bug::WatermarkStuckAtZero,
    Bug::WatermarkOneFrameTooHigh,
    Bug::CrcSkipsHeader,
    Bug::CrcSkipsPadding,
    Bug::AcceptStaleFrame,
    Bug::DropTornTailsPredecessor,
    Bug::RenameBeforeSync,
    Bug::AppendToUnsyncedTail,
    Bug::ReadBeforeDurable,
    Bug::ReuseBeforeDirSync,
    Bug::RemoveBeforePackedIsDurable,
];

impl Bug {
    /// The name by which the environment variable knows it.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Whether this process has the defect.
#[cfg(feature = "planted")]
pub fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("STEMEDB_PLANTED").ok()?;
        let found = ALL.into_iter().find(|bug| bug.name() == name);
        assert!(found.is_some(), "STEMEDB_PLANTED={name}: no such defect");
        found
    });
    *chosen == Some(bug)
}

/// Whether this process has the defect: no, this build has none.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_bug: Bug) -> bool {
    false
}
