//! Claims to keys and back, on any ordered key-value store.
//!
//! This crate knows what a journal entry means and how its claims are laid out as rows; it does not know who keeps the
//! journal or which store holds the rows. It speaks to stores only through [`stemedb_lsm::KvStore`]'s narrow traits, and
//! runs its tests on the in-memory twin as well as on the tree.
//!
//! - [`keys`]: the key codec, the one place where keys are made and taken apart.
//! - [`mod@derive`]: the contract between the engine and what it stores ([`Derive`], [`Admit`]).
//! - [`claims`]: the product's implementation of that contract, and the reader that turns a question into candidates.
//! - [`cache`]: candidates, tallies and answers in memory, never stale.
//! - [`questions`]: listings in pages, and the board of the most contested questions.
//! - [`watches`]: answers that somebody wants to be told about, and what there is to tell.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod cache;
pub mod claims;
pub mod derive;
pub mod error;
pub mod keys;
pub mod questions;
pub mod watches;

pub use cache::{CacheCounts, CacheStats, CandidateSet, ClaimCache, memory_of_answer};
pub use claims::{ClaimReader, Claims, Outcome, QuestionKey, StoredClaim, Submission};
pub use derive::{Admit, Admitted, AppliedRows, Derive, KeyValues, Observers, ViewRow};
pub use error::{EntryProblem, Error, Result};
pub use keys::{Family, Position, SortedValue, ValueRange};

/// The crate's README, whose example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
