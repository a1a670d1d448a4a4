//! Backups that are proven by restoring them, going back to a point in time, and the journal's archive.
//!
//! ```text
//! create   checkpoint ─ parts by content ─▶ blobs ─ durable ─▶ metadata ─ restored, compared ─▶ verified, latest
//! restore  view of a backup at or before the point + entries of the journal up to it ─▶ a new timeline
//! archive  released segments, packed ─ read back, proven ─▶ record;   prune: only what is archived, and more
//! ```
//!
//! Everything blocks, and works on a [`BackupTarget`]: a folder, a bucket, or memory. Formats: `docs/formats/backup.md`; why it is
//! so: `docs/design/backup.md`.

mod archive;
mod blobs;
mod catalog;
mod clean;
mod create;
mod document;
mod error;
mod folder;
mod hex;
mod memory;
mod metadata;
mod plan;
mod restore;
#[cfg(feature = "s3")]
mod s3;
mod target;
mod verify;

pub use archive::{
    ArchiveRecord, ArchiveReport, PruneOptions, PruneReport, ReplacedSegment, archive, archived,
    prune_journal,
};
pub use catalog::{Catalog, CatalogEntry};
pub use clean::{CleanReport, clean};
pub use create::{CreateOptions, CreateReport, create};
pub use error::{Error, Result};
pub use folder::FolderTarget;
pub use hex::Hex;
pub use memory::MemoryTarget;
pub use metadata::{FileEntry, Metadata, Part, SegmentEntry};
pub use plan::{Plan, Point, RestoreOptions};
pub use restore::{RestoreReport, restore};
#[cfg(feature = "s3")]
pub use s3::S3Target;
pub use target::{BackupTarget, Content, Object, check_target, open_target};
pub use verify::{VerifyReport, verify};

/// The format of all documents.
pub const FORMAT: u32 = 0;

/// Told how far something has come: bytes done, and of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);
