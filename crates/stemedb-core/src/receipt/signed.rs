//! Receipts with their signature.

use super::Receipt;
use crate::canonical::CodecError;
use crate::identity::{
    AgentId, AgentKey, Signature, SignatureBytes, SignatureError, parse_key, verify_message,
};

/// What stands before a receipt's canonical bytes where they are hashed or signed.
pub const RECEIPT_DOMAIN: &[u8] = b"stemedb receipt v1\0";

const SIGNATURE_BYTES: usize = 64;

/// A receipt as it is handed out. Holds the bytes that were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt: Receipt,
    canonical: Vec<u8>,
    signature: SignatureBytes,
}

impl SignedReceipt {
    /// Makes the key's owner the server of the receipt, and signs.
    ///
    /// # Errors
    /// A receipt that breaks a rule of the format: it would not be read back.
    pub fn sign(mut receipt: Receipt, key: &AgentKey) -> Result<SignedReceipt, CodecError> {
        receipt.server = key.agent();
        let canonical = receipt.canonical_bytes();
        let mut rest = canonical.as_slice();
        Receipt::decode(&mut rest)?;
        let signature = key.sign(&message(&canonical));
        Ok(SignedReceipt { receipt, canonical, signature })
    }

    /// Reads a receipt. Its form is checked, its signature is not: see [`SignedReceipt::verify`].
    ///
    /// # Errors
    /// Bytes that are not exactly one receipt.
    pub fn decode(bytes: &[u8]) -> Result<SignedReceipt, CodecError> {
        let mut rest = bytes;
        let receipt = Receipt::decode(&mut rest)?;
        let (canonical, _) = bytes.split_at(bytes.len() - rest.len());
        let signature = rest.first_chunk::<SIGNATURE_BYTES>().ok_or(CodecError::Truncated {
            field: "/signature",
            needed: SIGNATURE_BYTES,
            left: rest.len(),
        })?;
        match rest.len() - SIGNATURE_BYTES {
            0 => Ok(SignedReceipt {
                receipt,
                canonical: canonical.to_vec(),
                signature: SignatureBytes(*signature),
            }),
            len => Err(CodecError::TrailingBytes { len }),
        }
    }

    /// The receipt in bytes: the canonical ones, then the signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.canonical.as_slice(), &self.signature.0].concat()
    }

    /// Verifies the signature by the key that the receipt names. Whose key that is, the caller must know.
    ///
    /// # Errors
    /// [`SignatureError::NotAKey`], [`SignatureError::Invalid`].
    pub fn verify(&self) -> Result<AgentId, SignatureError> {
        let agent = self.receipt.server;
        let signature = Signature { agent, bytes: self.signature };
        verify_message(&parse_key(agent)?, &message(&self.canonical), &signature).map(|()| agent)
    }

    /// The receipt's id.
    pub fn id(&self) -> [u8; 32] {
        *blake3::hash(&message(&self.canonical)).as_bytes()
    }

    /// What it says.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The bytes that were signed.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The signature.
    pub fn signature(&self) -> SignatureBytes {
        self.signature
    }
}

fn message(canonical: &[u8]) -> Vec<u8> {
    [RECEIPT_DOMAIN, canonical].concat()
}
