//! StemeDB beside its peers: the same work, on the same disk, in the same run.
//!
//! Figures of two runs on a shared machine differ by a third within an hour, so nothing here is compared with a figure
//! of another run. All contenders take turns in short *slices*; what is reported is the median of a contender's slices,
//! and ratios between contenders of one run.
//!
//! - [`engine`]: what a contender must be able to do. Small on purpose; each workload adds what it needs.
//! - [`engines`]: RocksDB, fjall, redb, LMDB, SQLite, sled, StemeDB, and the bare disk as the limit.
//! - [`commits`]: the workload "durable commits of one entry", its slices, its statistics, what is required of us.
//! - [`workloads`]: everything else: loads, reads, scans, mixed work, sizes, memory, openings.
//! - [`questions`]: questions about claims, beside databases that a user would have taken instead.
//! - [`random`]: the same random bytes in every run.
//! - [`report`]: tables, JSON and plots, for every workload.
#![deny(missing_docs)]

pub mod commits;
pub mod engine;
pub mod engines;
pub mod questions;
pub mod random;
pub mod report;
pub mod workloads;
