//! A journal that tells a torn tail from corruption.
//!
//! Every change of a database is one *entry* of its journal, and everything else on disk can be rebuilt from it. So
//! the journal has one promise that matters: **what was acknowledged is there, or you are told exactly what is not.**
//! Most logs stop at the first bad record and call that the end. After a power cut that is right; after bit rot in the
//! middle it silently throws acknowledged data away. Here every frame carries a watermark (everything below it had
//! been synced when the frame was written) and a hash chain, so that the two cases can be told apart: a bad frame at or
//! above the highest watermark is a torn tail and is cut, one below it is corruption and is an error.
//!
//! - [`Journal`], [`JournalReader`]: the boundary that the engine is written against; [`MemJournal`] is its reference.
//! - [`SegmentedJournal`]: segment files, rotation, recovery, tail readers. `docs/formats/journal.md` is its format.
//! - [`CommitQueue`]: leader/follower group commit in two overlapping stages; [`SegmentedJournal::append`] uses it,
//!   and so can an engine that has its own work to do per group.
//!
//! The way of a write: [`commit`] gathers a group, `segmented/writer.rs` frames, writes and syncs it. The way of an open:
//! `segmented/recover.rs` decides where the journal ends. The way of a read: `segmented/reader.rs` over
//! `segment/cursor.rs`; single entries, by LSN: `segmented/pick.rs`.
#![doc = include_str!("../README.md")]
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]
#![forbid(unsafe_code)]

pub mod commit;
mod error;
mod head;
pub mod histogram;
pub mod inspect;
mod journal;
mod mem;
mod options;
pub mod packed;
mod segment;
mod segmented;

pub use commit::{
    CommitOptions, CommitProgress, CommitQueue, CommitStage, CommitStages, CommitStats, Leader, QueueWatch,
    SubmitError, Ticket,
};
pub use error::{Damage, Error, ReadOnlyCause, Result};
pub use journal::{Entry, Journal, JournalReader};
pub use mem::{MemJournal, MemReader};
pub use options::{JournalIdentity, JournalOptions, MAX_ENTRY_BYTES, MAX_GROUP_BYTES, Prepare, Retention};
pub use segmented::{
    AppendTicket, Cut, DurableFrames, EntrySource, FrameRange, HealError, Healed, Healing, Hole,
    JournalCheckpoint, JournalMark, JournalStats, LostHole, LsnRange, NoEntries, PickedEntries,
    RecoveredEntry, RecoveryReport, SegmentCheck, SegmentContent, SegmentEnd, SegmentFile, SegmentInfo,
    SegmentOrigin, SegmentPiece, SegmentState, SegmentedJournal, SegmentedReader, Unrecoverable,
    VerifyReport, WriteUnderWay, read_frames, segment_origin,
};
