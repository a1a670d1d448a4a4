//! Backups that are proven by restoring them, going back to a point in time, and the journal's archive.
//!
//! ```text
//! create   checkpoint ─ parts by content ─▶ blobs ─ durable ─▶ metadata ─ restored, compared ─▶ verified, latest
//! restore  view of a backup at or before the point + entries of the journal up to it ─▶ a new timeline
//! archive  released segments, packed ─ read back, proven ─▶ record;   prune: only what is archived, and more
//! ship     durable frames of the segments behind them ─▶ ranges, every few seconds;   an epoch says whose turn it is
//! ```
//!
//! Everything blocks, and works on a [`BackupTarget`]: a folder, a bucket, or memory. Formats: `docs/formats/backup.md`; why it is
//! so: `docs/design/backup.md`.

mod archive;
mod blobs;
mod catalog;
mod clean;
mod counted;
mod create;
mod document;
pub mod epoch;
mod error;
mod folder;
pub(crate) mod follow;
mod hex;
mod keep;
mod memory;
mod metadata;
mod plan;
pub(crate) mod ranges;
mod restore;
#[cfg(feature = "s3")]
mod s3;
mod ship;
mod standby_mark;
mod target;
mod verify;

pub use archive::{
    ArchiveRecord, ArchiveReport, PruneOptions, PruneReport, ReplacedSegment, archive, archived,
    prune_journal,
};
pub(crate) use archive::{index, record_of};
pub use catalog::{Catalog, CatalogEntry};
pub use clean::{CleanReport, clean};
pub use counted::{CountedTarget, RequestCounts};
pub use create::{CreateOptions, CreateReport, create, recorded_at};
pub use epoch::EpochRecord;
pub use error::{Error, Result};
pub use folder::FolderTarget;
pub use hex::Hex;
pub use keep::Keeper;
pub use memory::MemoryTarget;
pub use metadata::{FileEntry, Metadata, Part, SegmentEntry};
pub use plan::{Plan, Point, RestoreOptions};
pub use ranges::RangeRecord;
pub use restore::{RestoreReport, restore};
pub(crate) use restore::{accept_empty, timeline_name};
#[cfg(feature = "s3")]
pub use s3::S3Target;
pub use ship::{ShipOptions, ShipReport, Shipper};
pub use standby_mark::StandbyMark;
pub use target::{BackupTarget, Content, Object, check_target, open_target};
pub use verify::{VerifyReport, verify};

/// The format of all documents.
pub const FORMAT: u32 = 0;

/// Told how far something has come: bytes done, and of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);
