//! Claims on a key-value store: derivation, admission, reading.
//!
//! ```text
//! Submission ─ admit ─▶ journal entry ─ derive ─▶ rows        (write)
//!                            ▲                      │
//!                            └────── invert ────────┤
//!                                                   └─ ClaimReader ─▶ candidates ─▶ a lens of stemedb-core   (read)
//! ```

mod admission;
mod derivation;
mod entry;
mod reader;
mod submission;

pub use admission::InFlightClaims;
pub use entry::{Entry, MAX_ENTRY_BYTES};
pub use reader::{ClaimReader, QuestionKey, QuestionScan, StoredClaim};
pub(crate) use reader::{decode as command_of_row, stored, stored_ref};
pub use submission::{Outcome, Submission};

/// The product's derivation: claims, votes, supersessions, epochs, sources, cosignatures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims;
