//! An agent's weight for or against a claim.

use super::text::{REASON_MAX_BYTES, check_text};
use super::{ModelError, Nano, Problem};
use crate::identity::{AgentId, ClaimId, SignatureBytes};

/// An agent's weight on one claim. The newest vote of an agent on a claim is the one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The claim voted on.
    pub assertion: ClaimId,
    /// Who votes.
    pub agent: AgentId,
    /// −1 (entirely against) to 1 (entirely for).
    pub weight: Nano,
    /// Why: at most 4 KiB without NUL.
    pub reason: Option<String>,
    /// The agent's signature over all of the above.
    pub signature: Option<SignatureBytes>,
}

impl Vote {
    /// An unsigned vote without a reason.
    pub fn new(assertion: ClaimId, agent: AgentId, weight: Nano) -> Vote {
        Vote { assertion, agent, weight, reason: None, signature: None }
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ModelError> {
        if !(Nano::MINUS_ONE..=Nano::ONE).contains(&self.weight) {
            return Err(ModelError::at("/weight", Problem::OutOfRange { min: -1, max: 1 }));
        }
        match &self.reason {
            Some(reason) => check_text("/reason", reason, REASON_MAX_BYTES),
            None => Ok(()),
        }
    }
}
