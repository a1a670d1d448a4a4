//! Deriving again what was lost: one table, or a whole view; and keeping what cannot be derived.

mod aside;
mod job;
mod primary;
mod rebuild;
mod salvage;
mod table;

pub(crate) use aside::{put_aside, put_content_aside};
pub(crate) use job::RepairJob;
pub(crate) use primary::{PrimaryKeeper, health_of};
pub use rebuild::{RebuildProgress, RebuildReport, rebuild};
pub use salvage::salvage;
