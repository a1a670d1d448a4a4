//! Backups: only what has been proven counts, and a restore is exactly the past that was asked for.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod archives;
mod contested;
mod cuts;
mod damage;
mod increments;
mod points;
mod promotions;
mod pruned;
mod receipts;
mod setup;
mod shipping;
mod standbys;
mod stores;
mod targets;
