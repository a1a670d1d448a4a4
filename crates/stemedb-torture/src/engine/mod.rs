//! Suites that try to make the whole engine lie: journal, views, and the way between them.
//!
//! | suite | tries |
//! |---|---|
//! | [`crash`] | every short sequence of commits, flushes, merges, restarts, losses and repairs × every crash point × many outcomes of the crash |
//! | [`damage`] | bytes of every file of a database flipped, whole files gone, empty, cut and foreign; pairs of damage in journal and tables |
//!
//! The oracle is the list of entries: what a view must hold after entry n follows from entries 1..n alone. All of them use the
//! engine through its public interface.

pub mod crash;
pub mod damage;
mod oracle;
mod scene;

use std::path::Path;

use stemedb_env::Env;
use stemedb_hybrid::{ClaimEngine, HybridOptions, OpenReport};
use stemedb_index::Claims;

/// Where the database lies.
const DIR: &str = "/db/stemedb";

fn options() -> HybridOptions {
    let mut options = HybridOptions::tiny();
    // A handful of entries fills a segment.
    options.journal.segment_bytes = 4 << 10;
    options
}

fn create(env: &Env) -> stemedb_hybrid::Result<ClaimEngine> {
    ClaimEngine::create(env, Path::new(DIR), Claims, &options())
}

fn open(env: &Env) -> stemedb_hybrid::Result<(ClaimEngine, OpenReport)> {
    ClaimEngine::open(env, Path::new(DIR), Claims, &options())
}
