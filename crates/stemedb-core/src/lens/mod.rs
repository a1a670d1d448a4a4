//! From claims that disagree to an answer.
//!
//! A lens is a pure function of a set of candidates and a few parameters ([`LensParams`]). Everything that decides an answer is an
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
mod explain;
mod fragility;
mod independence;
mod key;
mod layers;
mod name;
mod params;
mod resolve;
mod stages;
mod support;
mod tolerance;
mod votes;

pub use answer::{Answer, LayerAnswer, Status, ValueSupport};
pub use candidate::{Candidate, LiveVote, SetAside};
pub use decay::decayed;
pub use explain::{ClaimArithmetic, Explanation, LayerArithmetic, ValueArithmetic, explain};
pub use fragility::{FRAGILITY_WORK_MAX, Fragility, Removable, fragility, fragility_with, fragility_within};
pub use independence::{Copied, CopyReason, ECHO_QUESTIONS_MIN, Evidence, Origin, Voice};
pub use name::Lens;
pub use params::{Counterfactual, LensParams, fingerprint};
pub use resolve::{resolve, resolve_with};
pub use tolerance::Tolerance;
pub use votes::{RecordedVote, fold_votes};
