//! Claims that disagree: the model, the identity and the meaning of StemeDB, as pure functions.
//!
//! A claim is never overwritten here. It is a fact that *someone said something*, it has an identity of its own, and
//! contradicting claims stand next to each other; a lens turns them into an answer when a question is asked, and says
//! how much the sources disagree.
//!
//! This crate has no input, no output, no clock and no randomness. The time of an evaluation is an argument, keys
//! grow from seeds that the caller draws, and the same claims give the same answer again.
//!
//! - [`model`]: the records ([`Assertion`], [`Vote`], [`Supersession`], [`Epoch`], [`Source`], [`Cosign`],
//!   [`Agent`]) and their rules.
//! - [`object`]: claimed values, exact decimals, and when two spellings are the same value.
//! - [`canonical`]: the one encoding of a record, which ids and signatures cover.
//! - [`identity`]: ids of claims and agents, signatures.
//! - [`lens`]: from candidates to an answer.
//! - [`receipt`]: one answer as a signed document.
//! - [`command`]: what can be said to the database, and its bytes in the journal.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod canonical;
pub mod command;
pub mod identity;
pub mod lens;
pub mod model;
pub mod object;
pub mod receipt;

pub use canonical::{AssertionRef, CodecError, SourceRef};
pub use command::{Command, CommandRef};
pub use identity::{
    AgentId, AgentKey, AuthorityPolicy, ClaimId, Signature, SignatureBytes, SignatureError, SignaturePolicy,
    Standing,
};
pub use lens::{Answer, Candidate, Lens, LensParams, LiveVote, SetAside, Status, resolve};
pub use model::{
    Agent, Assertion, Cosign, Epoch, Lifecycle, Micros, ModelError, Nano, Problem, Source, SourceClass,
    Supersession, SupersessionKind, Vote,
};
pub use object::{Decimal, Object, ObjectRef, Value, ValueKey};
pub use receipt::{Receipt, SignedReceipt};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
