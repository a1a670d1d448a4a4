//! Which signatures a database asks for.

use std::fmt;
use std::str::FromStr;

use super::signature::verify_claim;
use super::{AgentId, ClaimId, Signature, SignatureError};
use crate::command::Command;
use crate::model::Problem;

/// Which signatures a database asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignaturePolicy {
    /// Signatures are stored, not looked at.
    Off,
    /// A record may be unsigned; a signature that is there must verify.
    #[default]
    Optional,
    /// A claim, a vote and a supersession must be signed, a claim that names its author by that author.
    Required,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The record carries no signature.
    Unsigned,
    /// Every signature of the record was verified.
    Verified,
    /// The record carries signatures that nobody looked at.
    NotChecked,
}

impl SignaturePolicy {
    /// All policies.
    pub const ALL: [SignaturePolicy; 3] =
        [SignaturePolicy::Off, SignaturePolicy::Optional, SignaturePolicy::Required];

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            SignaturePolicy::Off => "off",
            SignaturePolicy::Optional => "optional",
            SignaturePolicy::Required => "required",
        }
    }

    /// Checks a command. Epochs, sources and agents carry no signatures and always pass.
    ///
    /// # Errors
    /// The first signature that is missing or does not verify.
    pub fn check(self, command: &Command) -> Result<Standing, SignatureError> {
        match command {
            Command::Assert(claim) if claim.signatures.is_empty() && self != SignaturePolicy::Required => {
                Ok(Standing::Unsigned)
            }
            Command::Assert(claim) => {
                self.check_claim(&claim.id(), claim.author, claim.signatures.iter().copied())
            }
            Command::Vote(vote) => self.check_one(vote.signature.is_some(), || vote.verify()),
            Command::Supersede(change) => self.check_one(change.signature.is_some(), || change.verify()),
            Command::Cosign(cosign) => self.check_one(true, || cosign.verify()),
            Command::Epoch(_) | Command::Source(_) | Command::Agent(_) => Ok(Standing::Unsigned),
        }
    }

    /// Checks the signatures of a claim whose id is known.
    ///
    /// # Errors
    /// As [`check`](SignaturePolicy::check).
    pub fn check_claim(
        self,
        claim: &ClaimId,
        author: Option<AgentId>,
        signatures: impl ExactSizeIterator<Item = Signature>,
    ) -> Result<Standing, SignatureError> {
        let signed = signatures.len() > 0;
        let mut by_author = false;
        self.check_one(signed, || {
            for signature in signatures {
                verify_claim(claim, &signature)?;
                by_author |= author == Some(signature.agent);
            }
            match author {
                Some(agent) if self == SignaturePolicy::Required && !by_author => {
                    Err(SignatureError::MissingAuthor { agent })
                }
                _ => Ok(()),
            }
        })
    }

    fn check_one(
        self,
        signed: bool,
        verify: impl FnOnce() -> Result<(), SignatureError>,
    ) -> Result<Standing, SignatureError> {
        match (self, signed) {
            (SignaturePolicy::Off, true) => Ok(Standing::NotChecked),
            (SignaturePolicy::Off | SignaturePolicy::Optional, false) => Ok(Standing::Unsigned),
            (SignaturePolicy::Required, false) => Err(SignatureError::Missing),
            (_, true) => verify().map(|()| Standing::Verified),
        }
    }
}

impl fmt::Display for SignaturePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SignaturePolicy {
    type Err = Problem;

    fn from_str(text: &str) -> Result<SignaturePolicy, Problem> {
        SignaturePolicy::ALL.into_iter().find(|policy| policy.name() == text).ok_or(Problem::UnknownName)
    }
}
