//! Merging tables downwards.
//!
//! Below level 0 the keys are divided into columns; within a column whole runs are merged, lazily: see [`column`], and
//! `docs/design/compaction.md` for what it was measured against.
//!
//! - [`column`]: the shape of the tree.
//! - [`claims`]: where merges under way will write.
//! - [`task`]: what one compaction does; [`pick`], [`idle`], [`request`]: which one is next, and why.
//! - [`merge`]: a compaction under way; [`Gc`] decides which versions may be forgotten.
//! - [`job`]: the background job; [`pace`], [`removal`], [`reserve`]: its manners towards the disk;
//!   [`forecast`]: what writers are told.

mod claims;
mod column;
mod forecast;
mod gc;
mod idle;
mod job;
mod merge;
mod pace;
mod pick;
#[cfg(test)]
mod pick_tests;
mod removal;
mod request;
mod reserve;
mod task;

pub(crate) use self::pace::FlushState;
pub(crate) use self::{
    claims::{Claims, deepest_beside},
    column::{columns, l0_merge_bytes},
    forecast::Outlook,
    gc::Gc,
    job::CompactionJob,
    pick::{Facts, debt_bytes},
    request::{Request, Requests},
    task::target_bytes,
};
pub use self::{pace::Pressure, request::CompactionProgress};
