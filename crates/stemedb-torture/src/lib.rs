//! Suites that try to make the journal lie.
//!
//! | suite | tries |
//! |---|---|
//! | [`crash`] | every short sequence of operations × every crash point × every outcome of the crash; crashes inside recovery |
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, unsafe_code)]

pub mod allocations;
mod client;
pub mod crash;
pub mod damage;
mod dice;
pub mod entries;
pub mod errors;
pub mod ledger;
pub mod machine;
pub mod planted;
mod progress;
pub mod quick;
mod recovery;
pub mod report;
pub mod subject;
pub mod swarm;
pub mod violation;
mod workers;

pub use dice::Dice;
