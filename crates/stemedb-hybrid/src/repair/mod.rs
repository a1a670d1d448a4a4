//! Deriving again what was lost: one table, or a whole view; and keeping what cannot be derived.

mod entries;
mod journal;
mod rebuild;
mod salvage;
mod table;

pub(crate) use entries::ViewEntries;
pub(crate) use journal::{HealJob, Healer, tell_healed};
pub use journal::{JournalRepair, Unhealed};
pub use rebuild::{RebuildProgress, RebuildReport, rebuild};
pub use salvage::salvage;
