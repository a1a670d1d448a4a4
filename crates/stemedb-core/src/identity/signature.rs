//! Ed25519 signatures over claims, votes and supersessions.
//!
//! A claim is signed through its id, which covers every field of it; a vote and a supersession are signed through
//! their canonical bytes. Each kind has a domain of its own, so that a signature on one can never be shown as a
//! signature on another. Verification is strict (RFC 8032 without cofactor, small-order keys and commitments
//! refused), because a signature that one node accepts must be accepted by all of them.

use std::collections::BTreeMap;
use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use super::{AgentId, ClaimId, Signature, SignatureBytes};
use crate::model::{Assertion, Cosign, Supersession, Vote};

/// What stands before a claim's id in the message that is signed.
pub const CLAIM_SIGNATURE_DOMAIN: &[u8] = b"stemedb signature v1\0";
/// What stands before a vote's canonical bytes in the message that is signed.
pub const VOTE_SIGNATURE_DOMAIN: &[u8] = b"stemedb vote v1\0";
/// What stands before a supersession's canonical bytes in the message that is signed.
pub const SUPERSESSION_SIGNATURE_DOMAIN: &[u8] = b"stemedb supersession v1\0";

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The agent's id is not the encoding of an Ed25519 public key.
    #[error("agent {agent} is not an Ed25519 public key")]
    NotAKey {
        /// The agent.
        agent: AgentId,
    },
    /// The signature was not made by this agent over this record.
    #[error("the signature of agent {agent} does not verify")]
    Invalid {
        /// The agent.
        agent: AgentId,
    },
    /// The policy requires a signature and there is none.
    #[error("a signature is required")]
    Missing,
    /// The policy requires the author's signature and only others signed.
    #[error("the signature of the author, agent {agent}, is required")]
    MissingAuthor {
        /// The author.
        agent: AgentId,
    },
    /// There is a signature, but no agent who could have made it.
    #[error("a signature needs its agent")]
    MissingAgent,
}

/// An agent's private key. Prints as its public half only and is wiped from memory when dropped.
#[derive(Clone)]
pub struct AgentKey(SigningKey);

impl AgentKey {
    /// The key that grows from 32 secret bytes (RFC 8032, section 5.1.5). Draw them from a source of randomness
    /// made for secrets; this crate has none.
    pub fn from_seed(seed: &[u8; 32]) -> AgentKey {
        AgentKey(SigningKey::from_bytes(seed))
    }

    /// The public half: the agent's id.
    pub fn agent(&self) -> AgentId {
        AgentId(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> SignatureBytes {
        SignatureBytes(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({})", self.agent())
    }
}

/// Signs a claim.
pub fn sign_claim(key: &AgentKey, claim: &ClaimId) -> Signature {
    Signature { agent: key.agent(), bytes: key.sign(&claim_message(claim)) }
}

/// Verifies a signature on a claim.
///
/// # Errors
/// [`SignatureError::NotAKey`], [`SignatureError::Invalid`].
pub fn verify_claim(claim: &ClaimId, signature: &Signature) -> Result<(), SignatureError> {
    verify_message(&parse_key(signature.agent)?, &claim_message(claim), signature)
}

/// Verifies many signatures on claims; keys that occur several times are unpacked once.
///
/// Accepts exactly what [`verify_claim`] accepts of each. The randomised batch equation of Ed25519 would be almost
/// three times as fast, but it lets the owner of a key craft signatures that it accepts and strict verification refuses (points with a
/// small-order part cancel out in the sum), so that an imported claim could fail a later audit.
///
/// # Errors
/// The index of the first signature that is refused, and why.
pub fn verify_batch(signed: &[(ClaimId, Signature)]) -> Result<(), (usize, SignatureError)> {
    let mut keys: BTreeMap<AgentId, VerifyingKey> = BTreeMap::new();
    for (index, (claim, signature)) in signed.iter().enumerate() {
        let key = match keys.get(&signature.agent) {
            Some(key) => key,
            None => {
                let key = parse_key(signature.agent).map_err(|error| (index, error))?;
                keys.entry(signature.agent).or_insert(key)
            }
        };
        verify_message(key, &claim_message(claim), signature).map_err(|error| (index, error))?;
    }
    Ok(())
}

impl Assertion {
    /// Adds the key owner's signature, or replaces the one of that agent. Sign last: every other change of the claim
    /// changes its id and voids the signature.
    pub fn sign(&mut self, key: &AgentKey) {
        let signature = sign_claim(key, &self.id());
        match self.signatures.binary_search_by_key(&signature.agent, |other| other.agent) {
            Ok(at) => self.signatures[at] = signature,
            Err(at) => self.signatures.insert(at, signature),
        }
    }
}

impl Cosign {
    /// The key owner's co-signature on a claim.
    pub fn new(key: &AgentKey, claim: ClaimId) -> Cosign {
        let signature = sign_claim(key, &claim);
        Cosign { claim, agent: signature.agent, signature: signature.bytes }
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// As [`verify_claim`].
    pub fn verify(&self) -> Result<(), SignatureError> {
        verify_claim(&self.claim, &Signature { agent: self.agent, bytes: self.signature })
    }
}

impl Vote {
    /// Makes the key owner the voter and signs.
    pub fn sign(&mut self, key: &AgentKey) {
        self.agent = key.agent();
        self.signature = Some(key.sign(&vote_message(self)));
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// As [`verify_claim`], and [`SignatureError::Missing`] for a vote without one.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let bytes = self.signature.ok_or(SignatureError::Missing)?;
        verify_message(&parse_key(self.agent)?, &vote_message(self), &Signature { agent: self.agent, bytes })
    }
}

impl Supersession {
    /// Makes the key owner the agent and signs.
    pub fn sign(&mut self, key: &AgentKey) {
        self.agent = Some(key.agent());
        self.signature = Some(key.sign(&supersession_message(self)));
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// As [`verify_claim`], [`SignatureError::Missing`] for a supersession without one and
    /// [`SignatureError::MissingAgent`] for a signature of nobody.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let bytes = self.signature.ok_or(SignatureError::Missing)?;
        let agent = self.agent.ok_or(SignatureError::MissingAgent)?;
        verify_message(&parse_key(agent)?, &supersession_message(self), &Signature { agent, bytes })
    }
}

fn claim_message(claim: &ClaimId) -> [u8; CLAIM_SIGNATURE_DOMAIN.len() + 32] {
    let mut message = [0; CLAIM_SIGNATURE_DOMAIN.len() + 32];
    let (domain, id) = message.split_at_mut(CLAIM_SIGNATURE_DOMAIN.len());
    domain.copy_from_slice(CLAIM_SIGNATURE_DOMAIN);
    id.copy_from_slice(&claim.0);
    message
}

fn vote_message(vote: &Vote) -> Vec<u8> {
    let mut message = VOTE_SIGNATURE_DOMAIN.to_vec();
    vote.encode_canonical(&mut message);
    message
}

fn supersession_message(supersession: &Supersession) -> Vec<u8> {
    let mut message = SUPERSESSION_SIGNATURE_DOMAIN.to_vec();
    supersession.encode_canonical(&mut message);
    message
}

pub(crate) fn parse_key(agent: AgentId) -> Result<VerifyingKey, SignatureError> {
    VerifyingKey::from_bytes(&agent.0).map_err(|_| SignatureError::NotAKey { agent })
}

pub(crate) fn verify_message(
    key: &VerifyingKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.bytes.0))
        .map_err(|_| SignatureError::Invalid { agent: signature.agent })
}
