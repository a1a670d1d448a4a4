//! An ordered key-value store that keeps no log of its own.
//!
//! It is told the LSN of every batch and says up to which LSN it has flushed; whoever owns the journal replays the rest
//! after a crash. What upper crates see is the narrow [`KvStore`] trait and its tiny in-memory twin [`MemStore`].
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod error;
pub mod kv;

pub use error::{CorruptionKind, Error, Result};
pub use kv::{
    Direction, KeyRange, KvIter, KvSnapshot, KvStore, MemStore, Op, Row, TableInfo, TableRepair, Value,
    WriteBatch,
};
pub use stemedb_env::Lsn;
