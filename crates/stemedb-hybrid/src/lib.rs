//! The engine: one journal, derived views, and the way between them.
//!
//! ```text
//! commit ─▶ commit/   admit ─▶ journal frame ─▶ sync ─▶ derive ─▶ apply ─▶ publish ─▶ ack(LSN)
//! open   ─▶ recovery/ identity, lock, journal, views, replay of what the views have not flushed
//! repair ─▶ repair/   a damaged table from the journal, or every view; a damaged journal segment from the views
//! scrub  ─▶ scrub/    every byte of every file, read back and checked
//! read   ─▶ view/     a snapshot of the first healthy view that has reached the LSN
//! ```
//!
//! The journal is the truth; a view is a pure function of it that stores how far it has come in the same atomic step as
//! its data. Whatever is lost of a view is derived again. An acknowledged request is durable *and* readable: its group's
//! sync has returned, and every read that starts after the acknowledgement sees it.
//!
//! The engine does not know claims. It is generic over [`stemedb_index::Admit`]: the product stores
//! [`stemedb_index::Claims`], benchmarks and tests also store plain rows.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod checkpoint;
mod commit;
mod disk;
mod error;
mod events;
mod health;
mod identity;
mod layout;
mod options;
mod recovery;
mod repair;
mod root;
mod scrub;
mod shared;
mod sidecar;
mod stats;
mod store;
mod upgrade;
mod view;

pub use checkpoint::{Checkpoint, CheckpointView, finish_restored};
pub use commit::CommitTicket;
pub use disk::{DiskOptions, Line, SpaceHealth, SpaceLevel, SpaceLines, Stall, StallKind};
pub use error::{Error, Result};
pub use events::{EVENTS_KEPT, Event, EventKind, Events};
pub use health::{FallbackHealth, Health, ViewHealth};
pub use identity::Identity;
pub use layout::Layout;
pub use options::{FallbackMode, HybridOptions, OpenDamaged};
pub use recovery::{DamagedJournal, OpenReport, OpenedStore};
pub use repair::{JournalRepair, RebuildProgress, RebuildReport, Unhealed, rebuild, salvage};
pub use root::StateRoot;
pub use scrub::{
    ClassCount, FINDINGS_KEPT, FileClass, Finding, ScrubOptions, ScrubProgress, ScrubReport, ScrubStatus,
};
pub use stats::Stats;
pub use stemedb_env::Lsn;
pub use stemedb_fallback::RedbStore;
pub use stemedb_lsm::DerivedBy;
pub use stemedb_wal::{CommitProgress, CommitStage};
pub use store::{ClaimEngine, HybridStore, LsmEngine, Verified};
pub use upgrade::UpgradeHealth;
pub use view::{NextBatch, TransactionFill, TreeFill, ViewIter, ViewSnapshot, ViewStore};

/// The crate's README, whose example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
