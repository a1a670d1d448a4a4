//! A further signature on a claim that exists.

use crate::identity::{AgentId, ClaimId, SignatureBytes};

/// Another agent signs an existing claim. The same claim said again by another agent is this, not a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosign {
    /// The claim signed.
    pub claim: ClaimId,
    /// Who signs.
    pub agent: AgentId,
    /// The signature, the same as in [`Assertion::signatures`](crate::Assertion::signatures).
    pub signature: SignatureBytes,
}
