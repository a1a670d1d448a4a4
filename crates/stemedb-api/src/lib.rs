//! StemeDB embedded and as a server.
//!
//! A database of claims that disagree: sources *assert*, agents *vote*, newer claims *supersede* older ones, and a
//! reader chooses the *lens* that decides what the answer is, how contested it is, and why.
//!
//! - [`Database`] is the embedding facade: synchronous, without a runtime.
//! - [`json`] is the one JSON model of requests, import lines and answers.
//! - [`errors`] is the one table of error codes, from which HTTP problems, import verdicts and the documentation come.
//! - [`exchange`]: the formats of import and export.
//! - [`backup`]: backups that are proven by restoring them, points in time, the journal's archive.
//! - [`config`] (feature `cli`, on by default) is the server's configuration: every key, its layers, its checks.
//! - [`http`] (feature `server`, on by default) is a router that any axum application can mount.
//! - [`replication`]: the journal archived as it is written, a standby that follows, and promotion.
//! - [`metrics`] are the Prometheus names that operators rely on.
//!
//! ```no_run
//! use stemedb_api::{Database, DatabaseOptions, Query};
//! use stemedb_core::{Assertion, Lens, Object};
//!
//! let db = Database::create("/tmp/claims", DatabaseOptions::default())?;
//! let boils_at = |kelvin: &str, source| {
//!     Assertion::new("cas:50-00-0", "boiling_point_K", Object::Number(kelvin.into()), source)
//! };
//! db.assert(boils_at("254.05", "WEBBOOK"))?;
//! db.assert(boils_at("252.9", "CRC_ORG"))?;
//! let answer = db.query(Query::new("cas:50-00-0", "boiling_point_K", Lens::Consensus))?;
//! println!("{:?}, conflict {}", answer.answer.value, answer.answer.conflict_score);
//! # Ok::<(), stemedb_api::Error>(())
//! ```
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod backup;
#[cfg(feature = "cli")]
pub mod config;
pub mod database;
pub mod errors;
pub mod exchange;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod jobs;
pub mod json;
#[cfg(feature = "server")]
pub mod load;
#[cfg(feature = "server")]
pub mod metrics;
pub mod replication;
pub(crate) mod store_helpers;

pub use database::{
    AnswerDifference, ArchiveStatus, Arrived, AsOf, ConflictQuery, Conflicts, Database, DatabaseOptions,
    Difference, DifferenceQuery, Feed, FeedEntry, ImportFailed, ImportOptions, ImportReport, ImportSink,
    ListPage, ListQuery, Notices, OnError, Pending, Query, QueryCost, QuestionDifference, ReceiptCheck,
    ReceiptError, Resolved, Role, RootCheck, Selection, ServerKeyError, Snapshot, StandbyStatus, WATCHES_MAX,
    WatchPage, Watched, WatchesDamaged, check_document, leave_out, read_receipt,
};
pub use errors::{Code, Error, FieldError, Invalid, Result};
pub use exchange::{ExportOptions, ExportReport, Filter, Format, ReadOptions};
#[cfg(feature = "server")]
pub use http::{RouterOptions, RouterParts, router, router_with, router_with_backups};
pub use stemedb_core as core;
pub use stemedb_hybrid as hybrid;
pub use stemedb_index::{
    CacheCounts, CacheStats, CandidateSet, Outcome, Position, QuestionKey,
    watches::{Brief, Crossed, Notice, Registered, Watch},
};

/// The crate's README, whose example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
