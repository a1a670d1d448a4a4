//! Suites that try to make the journal lie, the LSM tree, and the engine that is made of both.
//!
//! A journal is believed because of what has been tried against it. Each suite tries something else, and each has been seen to
//! fail (`docs/proof/README.md` says what each proves, and which planted defect which suite notices):
//!
//! | suite | tries |
//! |---|---|
//! | [`crash`] | every short sequence of operations × every crash point × every outcome of the crash, and crashes inside recovery; also on a disk that lies |
//! | [`swarm`] | long random histories under classes of faults that a seed switches on and off, and a liveness phase |
//! | [`errors`] | the n-th call fails, once and from then on, for every n |
//! | [`damage`] | every byte, sector and file damaged |
//! | [`heal`] | damaged segments are written again, from the truth and from a lie |
//! | [`lsm`] | the same ideas for the tree: histories beside a model, option sets, errors, damage, counts, threads |
//! | [`engine`] | the same ideas for the whole engine: crashes anywhere, damage in every file |
//! | [`answers`] | every answer of a sample of questions beside a naive oracle, over a history of every kind of record |
//! | [`planted`] | defects on purpose, which [`quick`] (all suites in small) must notice |
//!
//! What they share:
//!
//! ```text
//!   machine  SimFs under FaultFs, SimClock, SimTasks         the disk that forgets
//!   subject  the journal; the one module that names its types, and says what it promises by now
//!   ledger   the oracle, outside of the machine: what must be there, what may be, nothing else
//!   client   appends and writes the answer into the ledger     recovery  after an open, compares everything with it
//!   report   counts per class of fault and outcome; a class that never happened fails the suite
//! ```
//!
//! Nothing here is a part of the product. The binary is `torture`; `cargo xtask torture` runs it in the sizes of a push or of
//! the deep tier.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, unsafe_code)]

pub mod allocations;
pub mod answers;
mod client;
pub mod crash;
pub mod damage;
mod dice;
pub mod engine;
pub mod entries;
pub mod errors;
pub mod heal;
pub mod ledger;
pub mod lsm;
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
