//! The claims oracle: what a question must answer, computed in the plainest way.
//!
//! A [`World`] is a set of append-only lists: claims, votes, supersessions, epochs, sources,
//! agents and co-signatures, each record at a position `(lsn, ordinal)`. [`World::ask`] filters the lists by the
//! position asked for and does the arithmetic of the six lenses word for word, without caches, key
//! encodings or incremental state. It is the executable specification that the engine is compared
//! with, so it shares no code with any other crate of the workspace: ids are opaque strings, exact
//! decimals are strings of digits, times are parsed here once more.
//!
//! Read it in this order:
//! 1. `world` — the records and how they are appended;
//! 2. `value` — when two objects are the same value;
//! 3. `question`, `ask` — what is asked; candidates, what is set aside, support, decay, lenses;
//!    `near` — when two numbers are within a tolerance;
//! 4. `lineage` — what a claim derives from: how far that is trusted, what of it is retracted;
//! 5. `jsonl` — how a file of plain claims becomes a world.
//!
//! What it leaves out: who copies whom (independence), and on purpose computing ids, checking signatures, and refusing malformed records.
//! It is given only what an engine has accepted.
//!
//! Fixed point: names that end in `_nano` are integers in units of 1e-9, and every comparison that
//! decides an answer compares integers. Names that end in `_us` are microseconds since 1970-01-01 UTC.

#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod answer;
mod ask;
mod jsonl;
mod lineage;
mod near;
mod question;
mod value;
mod world;

pub use answer::Answer;
pub use ask::LENSES;
pub use jsonl::ReadError;
pub use question::Question;
pub use value::{Key, Value};
pub use world::{Agent, Claim, Cosign, Epoch, Source, Supersession, Vote, World};
