//! Claims on a key-value store: derivation, admission, reading.
//!
//! ```text
//! Submission ─ admit ─▶ journal entry ─ derive ─▶ rows        (write)
//!                            ▲                      │
//!                            └────── invert ────────┤
//!                                                   └─ ClaimReader ─▶ candidates ─▶ a lens of stemedb-core   (read)
//! ```

mod admission;
mod authority;
mod chain;
mod derivation;
mod entry;
mod guard;
mod impact;
mod lineage;
mod reader;
mod replay;
mod submission;
mod tally;
mod touched;
mod wanted;

pub use admission::InFlightClaims;
pub use authority::CHAIN_MAX;
pub use chain::{Chain, ChainEnd, History, Remark, Remarked};
pub use entry::{Entry, MAX_ENTRY_BYTES};
pub use guard::{KnownGuard, Used};
pub use impact::{IMPACT_MAX, Impact};
pub use lineage::{LINEAGE_MAX, Lineage};
pub use reader::{ClaimReader, QuestionKey, QuestionScan, StoredClaim};
pub(crate) use reader::{decode as command_of_row, stored, stored_ref};
pub use replay::{Recorded, Replay, Wanted};
pub use submission::{Outcome, Submission};

/// The product's derivation: claims, votes, supersessions, epochs, sources, cosignatures, agents.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims;
