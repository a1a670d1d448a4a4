//! From claims that disagree to an answer.
//!
//! A lens is a pure function of a set of candidates and two parameters. Everything that decides an answer is an
//! integer or rounded to one first, every tie is broken by rules that end in the claim's id, and the candidates'
//! order never matters. The exact arithmetic is in `docs/design/lenses.md`.
//!
//! ```text
//! candidates ─ set aside ──────────────────────────────────────────┐
//!            └ considered ─ values ─ support, shares, conflict ─ lens ─ Answer
//! ```

mod answer;
mod candidate;
mod decay;
mod layers;
mod name;
mod resolve;
mod support;
mod votes;

pub use answer::{Answer, ClaimArithmetic, Explanation, LayerAnswer, Status, ValueSupport};
pub use candidate::{Candidate, LiveVote, SetAside};
pub use decay::decayed;
pub use name::Lens;
pub use resolve::{LensParams, resolve};
pub use votes::{RecordedVote, fold_votes};
