//! Import and export: what goes out comes back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod foreign;
mod refusals;
mod round_trips;
#[path = "../../../stemedb-core/tests/strategies/mod.rs"]
mod strategies;
mod support;
