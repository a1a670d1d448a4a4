//! An ordered key-value store that keeps no log of its own.
//!
//! It is told the LSN of every batch and says up to which LSN it has flushed; whoever owns the journal replays the rest
//! after a crash. What upper crates see is the narrow [`KvStore`] trait, with two implementations: [`LsmStore`], a
//! log-structured merge tree in a folder, and [`MemStore`], its tiny in-memory twin for tests.
//!
//! - [`kv`]: the boundary.
//! - `memtable`: rows that are not in a table yet.
//! - `table`: sorted string tables: blocks, filters, index, builder, reader.
//! - `manifest`: which tables are live, as durable edits.
//! - `ranges`: removals of whole ranges of keys.
//! - `version`: one immutable arrangement of the tables.
//! - `compaction`: merging tables downwards.
//! - `iter`: many sources as one.
//! - `cache`: decompressed blocks.
//! - `memory`: what all of them hold, counted against one budget.
//! - `store`: what ties them together.
//! - `sum`: one number for all that a snapshot shows, table by table.
//! - `bulk`: loading many unsorted rows at once.
//! - `salvage`: a new tree from what is readable of a damaged one.
// Files that need it say so and prove it.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, unsafe_code)]

mod bulk;
mod cache;
mod codec;
mod compaction;
mod derivation;
pub mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod iter;
pub mod kv;
mod manifest;
mod memory;
mod memtable;
mod options;
mod prefetch;
mod ranges;
mod salvage;
mod stats;
mod store;
mod sum;
mod table;
mod version;

pub use bulk::{BulkLoader, BulkOptions};
pub use compaction::{CompactionProgress, Pressure};
pub use derivation::DerivedBy;
pub use error::{CorruptionKind, Error, Result};
pub use iter::LsmIter;
pub use kv::{
    DerivedWrite, Direction, KeyRange, KvIter, KvSnapshot, KvStore, MemStore, ObservedTable, Op,
    RangeRemoval, Row, SortedRows, TableInfo, TableObserver, TableRepair, Value, WriteBatch, WriteSource,
};
pub use manifest::{ManifestSummary, TableSummary, describe_manifest};
pub use options::{Compression, LsmOptions, PrefixExtractor};
pub use salvage::{Loss, ManifestUse, SalvageOptions, SalvageReport, salvage};
pub use stats::{ApplyDelays, LevelStats, MemoryStats, RECENT_COMPACTIONS, Stats, ThreadReads};
pub use stemedb_env::Lsn;
pub use store::{
    AsideReason, Damage, DelayCause, Ingested, LsmSnapshot, LsmStore, RecoveredManifest, RecoveryBasis,
    Replay, RowIter, Versions,
};
pub use sum::{RowHash, RowSum};
pub use table::{CheckEnd, CheckedPiece, TableCheck};

/// The example of the README must compile and hold.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct DocumentedExamples;
