//! Deriving again what was lost: one table, or a whole view; and keeping what cannot be derived.

mod rebuild;
mod salvage;
mod table;

pub use rebuild::{RebuildProgress, RebuildReport, rebuild};
pub use salvage::salvage;
