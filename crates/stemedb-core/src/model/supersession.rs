//! Setting a claim aside, with a successor or without.

use std::fmt;
use std::str::FromStr;

use super::text::{REASON_MAX_BYTES, check_text};
use super::{ModelError, Problem};
use crate::identity::{AgentId, ClaimId, SignatureBytes};

/// One claim takes the place of another, or a claim is retracted. Nothing is removed: the old claim stays readable
/// and is listed as set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supersession {
    /// The claim set aside.
    pub old: ClaimId,
    /// Its successor; `None` exactly for a retraction.
    pub new: Option<ClaimId>,
    /// What the successor does to it.
    pub kind: SupersessionKind,
    /// Why: at most 4 KiB without NUL.
    pub reason: Option<String>,
    /// Who says so.
    pub agent: Option<AgentId>,
    /// The agent's signature over all of the above.
    pub signature: Option<SignatureBytes>,
}

impl Supersession {
    /// `new` takes the place of `old`.
    pub fn replace(old: ClaimId, new: ClaimId, kind: SupersessionKind) -> Supersession {
        Supersession { old, new: Some(new), kind, reason: None, agent: None, signature: None }
    }

    /// `old` is withdrawn without a successor.
    pub fn retract(old: ClaimId) -> Supersession {
        let kind = SupersessionKind::Retracts;
        Supersession { old, new: None, kind, reason: None, agent: None, signature: None }
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ModelError> {
        if self.new == Some(self.old) {
            return Err(ModelError::at("/new", Problem::SelfReference));
        }
        if (self.kind == SupersessionKind::Retracts) != self.new.is_none() {
            return Err(ModelError::at("/kind", Problem::KindMismatch));
        }
        if let Some(reason) = &self.reason {
            check_text("/reason", reason, REASON_MAX_BYTES)?;
        }
        if self.signature.is_some() && self.agent.is_none() {
            return Err(ModelError::at("/agent", Problem::MissingAgent));
        }
        Ok(())
    }
}

/// What a supersession does to the old claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SupersessionKind {
    /// A new claim takes its place.
    Replaces,
    /// It was wrong, this is right.
    Corrects,
    /// It is withdrawn without a successor.
    Retracts,
    /// It was right, this is more exact.
    Refines,
}

impl SupersessionKind {
    /// All kinds, in the order of their canonical codes 0 to 3.
    pub const ALL: [SupersessionKind; 4] = [
        SupersessionKind::Replaces,
        SupersessionKind::Corrects,
        SupersessionKind::Retracts,
        SupersessionKind::Refines,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            SupersessionKind::Replaces => "replaces",
            SupersessionKind::Corrects => "corrects",
            SupersessionKind::Retracts => "retracts",
            SupersessionKind::Refines => "refines",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<SupersessionKind> {
        SupersessionKind::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for SupersessionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SupersessionKind {
    type Err = Problem;

    fn from_str(text: &str) -> Result<SupersessionKind, Problem> {
        SupersessionKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or(Problem::UnknownName)
    }
}
