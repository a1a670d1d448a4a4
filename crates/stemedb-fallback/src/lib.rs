//! A second view of the journal that shares no code with the first.
//!
//! A bug in the LSM tree must not be able to damage what answers when the tree cannot. So the fallback view stands on
//! another engine: [redb](https://docs.rs/redb), a copy-on-write B-tree in one file. [`RedbStore`] makes a
//! [`stemedb_lsm::KvStore`] of it.
//!
//! - [`RedbStore`]: batches in LSN order, one transaction for what is published together; the LSN it has reached is written in
//!   the same transaction as the rows.
//! - `backend`: redb's file through [`stemedb_env`], so that the simulator can take its power away as well.
//! - [`RedbSnapshot`], [`RedbIter`]: a read transaction.
//!
//! It keeps the newest version of each key alone: a snapshot of an earlier LSN exists only as long as somebody holds it.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, unsafe_code)]

mod backend;
mod error;
mod snapshot;
mod store;

pub use snapshot::{RedbIter, RedbSnapshot};
pub use store::{RedbOptions, RedbStore};
