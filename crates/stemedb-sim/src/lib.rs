//! The whole engine on a simulated machine, driven by a seed, compared with the oracle.
//!
//! ```text
//! seed ─▶ dice ─▶ a machine (SimFs under FaultFs, SimTasks, SimClock) and a model (oracle, list of entries)
//!                    │
//!   life: submit, ask, step background jobs, flush, compact, jump clocks; faults are armed, power is cut
//!                    │
//!   restart on what the power cut left ─▶ verify ─▶ next life … ─▶ a last life without faults: everything must work
//! ```
//!
//! What is checked, by the names of the invariants:
//!
//! | | |
//! |---|---|
//! | I1 durable | every acknowledged submission is in the journal after every restart, byte by byte |
//! | I2 prefix | the view's content hash equals that of a fold of the journal's entries 1..M |
//! | I3 atomic | an entry holds all that was new in its submission, or there is no such entry |
//! | I4 no phantom | every entry is a submission that was acknowledged or whose outcome was not known |
//! | I5, I6 | what was acknowledged is readable at once; every lens answers as the oracle does, for any past LSN too |
//! | I7 never silent | under I/O errors an answer is right or an error |
//! | I11 live | when the faults stop, every operation works after one restart |
//!
//! Everything follows from the seed: the same seed gives the same trace hash.
//!
//! - [`Dice`]: choices. [`claims`]: random submissions over a small vocabulary, so that claims meet.
//! - [`model`]: what must be, computed naively. [`answers`]: engine and oracle asked the same question.
//! - [`machine`]: disk, clock and jobs; arming faults, cutting power. `life.rs`: what happens between two starts.
//! - [`run_seed`]: one seed from creation to the liveness phase. [`swarm`]: many seeds, and that no class of fault stayed idle.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod answers;
pub mod claims;
mod coverage;
mod dice;
mod life;
pub mod machine;
pub mod model;
mod run;
mod swarm;
mod verify;
mod violation;

pub use coverage::{Coverage, Event};
pub use dice::Dice;
pub use run::{Outcome, run_seed, show_seed};
pub use swarm::{SwarmOptions, SwarmReport, swarm};
pub use violation::{Invariant, Violation};
