//! Suites that try to make the LSM tree lie.
//!
//! | suite | tries |
//! |---|---|
//! | [`history`] | long random histories beside a sorted map of versions: snapshots, reopening with other options, compaction, the power cut at random calls, also inside recovery; the list of tables lost |
//! | [`options`] | the same history under many option sets, and on the reference implementation: all answers equal |
//! | [`cost`] | blocks looked at and reads from disk, counted |
//! | [`threads`] | readers beside a writer, with real threads |
//! | [`errors`] | the n-th call fails, once and from then on, for every n |
//! | [`damage`] | bytes of every file flipped, also with somebody attached who derives rows again |
//!
//! All of them use the tree through its public interface alone.

pub mod cost;
pub mod damage;
pub mod errors;
pub mod history;
mod journal;
mod model;
pub mod options;
mod shape;
mod story;
pub mod threads;
mod view;
mod wreck;

use std::path::Path;

use stemedb_env::{Env, frame::DatabaseId};
use stemedb_lsm::{LsmOptions, LsmStore};

/// The database that all trees here belong to.
const DATABASE: DatabaseId = DatabaseId(*b"torture of trees");
/// Where the tree lies.
const DIR: &str = "/db/kv";

fn create(env: &Env, options: &LsmOptions) -> stemedb_lsm::Result<LsmStore> {
    LsmStore::create(env.clone(), Path::new(DIR), DATABASE, options.clone())
}

fn recover(env: &Env, options: &LsmOptions) -> stemedb_lsm::Result<LsmStore> {
    LsmStore::recover(env.clone(), Path::new(DIR), DATABASE, options.clone()).map(|(store, _)| store)
}

fn open(env: &Env, options: &LsmOptions) -> stemedb_lsm::Result<LsmStore> {
    LsmStore::open(env.clone(), Path::new(DIR), DATABASE, options.clone())
}

/// Runs `work`, which says what it did, and fills in the time it took.
fn timed(
    suite: &'static str,
    tier: &str,
    work: impl FnOnce(&mut crate::report::Report) -> Result<(), String>,
) -> Result<crate::report::Report, String> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut report = crate::report::Report::new(suite, tier);
    work(&mut report)?;
    report.seconds += (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}
