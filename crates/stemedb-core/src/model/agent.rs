//! What is known about an agent.

use super::text::{NAME_MAX_BYTES, check_name};
use super::{ModelError, Nano, Problem, SourceClass};
use crate::identity::AgentId;

/// What is known about an agent. The newest record of an id counts as a whole: what it does not say is not known any
/// more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The agent: its public key.
    pub id: AgentId,
    /// What people call it: 1–512 bytes of UTF-8 without control characters.
    pub name: Option<String>,
    /// Its rank, which decides whose claims it may set aside; the lowest when not said.
    pub class: Option<SourceClass>,
    /// How far its claims are trusted, 0 to 1; [`Nano::HALF`] when not said.
    pub trust: Option<Nano>,
}

impl Agent {
    /// An agent about whom nothing is known.
    pub fn new(id: AgentId) -> Agent {
        Agent { id, name: None, class: None, trust: None }
    }

    /// Its rank: as recorded, else the lowest.
    pub fn rank(&self) -> SourceClass {
        self.class.unwrap_or(SourceClass::ANECDOTAL)
    }

    /// Trust in it: as recorded, else one half.
    pub fn trusted(&self) -> Nano {
        self.trust.unwrap_or(Nano::HALF)
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ModelError> {
        if let Some(name) = &self.name {
            check_name("/name", name, NAME_MAX_BYTES)?;
        }
        match self.trust {
            Some(trust) if !(Nano::ZERO..=Nano::ONE).contains(&trust) => {
                Err(ModelError::at("/trust", Problem::OutOfRange { min: 0, max: 1 }))
            }
            _ => Ok(()),
        }
    }
}
