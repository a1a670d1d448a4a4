//! Merging tables downwards, so that reads have few places to look and old versions disappear.
//!
//! Leveled, with a base that moves: the last level holds nearly everything, each level above it a `level_fanout`-th,
//! and level 0 is merged into the first level of that staircase. Nothing is ever merged past older rows of the same key.

mod gc;
mod job;
mod pick;

pub(crate) use gc::Gc;
pub(crate) use job::CompactionJob;
pub(crate) use pick::{pending_bytes, targets};
