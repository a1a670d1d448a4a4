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
    /// Lookups of many keys do not ask the filters: right answers, many blocks.
    LsmMultiGetSkipsFilter,
    /// A merge above the bottom drops removals, and what they hid comes back.
    LsmDropsTombstonesEarly,
    /// Two keys of a block that share a bucket count as absent.
    LsmHashConflictIsAbsent,
    /// A lookup is given the cached block of the neighbouring slot.
    LsmCacheServesAnotherSlot,
    /// A window of read-ahead is used for the next table too: right answers, many reads.
    LsmReadAheadKeepsAnotherFile,
    /// Lookups of many keys leave out the oldest run.
    LsmMultiGetSkipsARun,
    /// Of two versions of a key in different sources the older one comes first.
    LsmMergeShowsOlderFirst,
    /// Merges do not say which snapshots they make impossible.
    LsmHorizonNotRecorded,
    /// Opening leaves tables that nobody names where they are.
    LsmOrphansStay,
    /// A damaged edit counts as a torn tail although a mark proves that it was durable.
    LsmMarkIgnored,
    /// Blocks of a batch of reads are used without their checksum.
    LsmBatchReadsUnchecked,
    /// A snapshot's LSN is read without making sure that its state knows that LSN's rows.
    LsmSnapshotNewerThanState,
    /// The manifest names tables whose names are not durable.
    LsmTableNamesNotSynced,
    /// A change of the set of tables takes effect before it is durable.
    LsmEditNotSynced,
    /// Batches that may still be abandoned are flushed.
    LsmFlushesUnpublished,
    /// The manifest does not say which snapshots merges have made impossible: they are served again after a reopen.
    LsmHorizonForgotten,
    /// A lookup believes a filter's no, although the same table removes a range with the key.
    LsmFilterHidesRangeRemoval,
    /// A merge that begins another table forgets the rest of a removed range.
    LsmRangeRemovalCutShort,
    /// Rows that are ingested are put below older ones that still lie in level 0.
    LsmIngestBelowLevel0,
    /// What takes the place of a damaged block knows nothing of removals behind the table's rows, nor of removed ranges.
    LsmHealForgetsRemovals,
    /// A recovered list of tables has a table that was replaced beside the one that replaced it.
    LsmRecoveryKeepsInputs,
    /// The fallback view answers although it has not come to what is acknowledged.
    FallbackBehind,
    /// A view goes on answering after entries have been acknowledged that it could not take.
    StaleViewCovers,
}

/// A part of the engine that has suites of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The journal.
    Journal,
    /// The LSM tree.
    Lsm,
}

impl Part {
    /// `journal` or `lsm`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Journal => "journal",
            Part::Lsm => "lsm",
        }
    }
}

/// Every defect of the journal and the tree, for a driver that goes through them.
pub const ALL: [Bug; 37] = [
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
    Bug::LsmMultiGetSkipsFilter,
    Bug::LsmDropsTombstonesEarly,
    Bug::LsmHashConflictIsAbsent,
    Bug::LsmCacheServesAnotherSlot,
    Bug::LsmReadAheadKeepsAnotherFile,
    Bug::LsmMultiGetSkipsARun,
    Bug::LsmMergeShowsOlderFirst,
    Bug::LsmHorizonNotRecorded,
    Bug::LsmOrphansStay,
    Bug::LsmMarkIgnored,
    Bug::LsmBatchReadsUnchecked,
    Bug::LsmSnapshotNewerThanState,
    Bug::LsmTableNamesNotSynced,
    Bug::LsmEditNotSynced,
    Bug::LsmFlushesUnpublished,
    Bug::LsmHorizonForgotten,
    Bug::LsmFilterHidesRangeRemoval,
    Bug::LsmRangeRemovalCutShort,
    Bug::LsmIngestBelowLevel0,
    Bug::LsmHealForgetsRemovals,
    Bug::LsmRecoveryKeepsInputs,
];

/// The defects of the engine's views, which its own tests go through.
pub const VIEWS: [Bug; 2] = [Bug::FallbackBehind, Bug::StaleViewCovers];

impl Bug {
    /// The name by which the environment variable knows it.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The part whose suites must notice it.
    pub fn part(self) -> Part {
        if self.name().starts_with("Lsm") { Part::Lsm } else { Part::Journal }
    }
}

/// Whether this process has the defect.
#[cfg(feature = "planted")]
pub fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("STEMEDB_PLANTED").ok()?;
        let found = ALL.into_iter().chain(VIEWS).find(|bug| bug.name() == name);
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
