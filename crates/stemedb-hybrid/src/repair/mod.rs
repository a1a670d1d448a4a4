//! Deriving again what was lost: one table, or a whole view; and keeping what cannot be derived.

mod aside;
mod entries;
mod job;
mod journal;
mod primary;
mod rebuild;
mod salvage;
mod table;
mod upgrading;

pub(crate) use aside::{put_aside, put_content_aside};
pub(crate) use entries::ViewEntries;
pub(crate) use job::RepairJob;
pub(crate) use journal::{HealJob, tell_healed};
pub use journal::{JournalRepair, Unhealed};
pub(crate) use primary::{PrimaryKeeper, health_of};
pub use rebuild::{RebuildProgress, RebuildReport, rebuild};
pub use salvage::salvage;
