//! Deriving again what was lost: one table, or a whole view.

mod rebuild;
mod table;

pub use rebuild::{RebuildProgress, RebuildReport, rebuild};
