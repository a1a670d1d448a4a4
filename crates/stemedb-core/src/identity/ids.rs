//! Ids of claims and agents.

use std::fmt;
use std::str::FromStr;

use super::hex;
use crate::model::Problem;

/// What a claim's id is hashed under.
pub const CLAIM_DOMAIN: &[u8] = b"stemedb claim v1\0";

/// A claim's identity: `blake3("stemedb claim v1\0" ‖ canonical bytes)`. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub [u8; 32]);

impl ClaimId {
    /// The id of the claim with these canonical bytes ([`Assertion::canonical_bytes`](crate::Assertion::canonical_bytes)
    /// or [`AssertionRef::canonical`](crate::AssertionRef::canonical)).
    pub fn of(canonical_bytes: &[u8]) -> ClaimId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(CLAIM_DOMAIN);
        hasher.update(canonical_bytes);
        ClaimId(*hasher.finalize().as_bytes())
    }
}

/// An agent's identity: its Ed25519 public key. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub [u8; 32]);

/// The 64 bytes of an Ed25519 signature. Written as 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignatureBytes(pub [u8; 64]);

/// A signature together with the agent who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// Who signed.
    pub agent: AgentId,
    /// The signature.
    pub bytes: SignatureBytes,
}

macro_rules! hexadecimal {
    ($name:ident, $bytes:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::write(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        /// Exactly the digits, of either case.
        impl FromStr for $name {
            type Err = Problem;

            fn from_str(text: &str) -> Result<$name, Problem> {
                hex::read(text).map($name).ok_or(Problem::NotHex { digits: 2 * $bytes })
            }
        }
    };
}

hexadecimal!(ClaimId, 32);
hexadecimal!(AgentId, 32);
hexadecimal!(SignatureBytes, 64);
