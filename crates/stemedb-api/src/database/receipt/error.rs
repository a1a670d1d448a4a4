//! Why a receipt does not hold.

use stemedb_core::{AgentId, ClaimId, CodecError, SignatureError};
use stemedb_env::Lsn;

use crate::errors::Error;

/// Why a receipt does not hold, or could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The bytes are no receipt.
    #[error("the bytes are not a receipt: {0}")]
    NotAReceipt(#[source] CodecError),
    /// The text is not the JSON of a receipt.
    #[error("the text is not the JSON of a receipt: {0}")]
    NotJson(String),
    /// What the JSON says to people is not what was signed.
    #[error("the JSON is not what was signed: it differs from byte {at} on, white space not counted")]
    JsonDiffers {
        /// The first byte that is different.
        at: usize,
    },
    /// The signature does not verify: something was changed, or it never was a receipt.
    #[error("the receipt was not signed like this: {0}")]
    Signature(#[source] SignatureError),
    /// It is signed by another key than asked for.
    #[error("the receipt is signed by {found}, not by {wanted}")]
    OtherKey {
        /// The key that was asked for.
        wanted: AgentId,
        /// The key that signed.
        found: AgentId,
    },
    /// The hash of the lens is not that of its name, version and parameters.
    #[error("the hash of the lens does not fit its name, version and parameters")]
    LensHash,
    /// Its question is not one that this version can ask.
    #[error("the question cannot be asked again by this version: {0}")]
    Question(String),
    /// It is about another database.
    #[error("the receipt is of database {receipt}, this is {here}")]
    OtherDatabase {
        /// The receipt's.
        receipt: String,
        /// The one at hand.
        here: String,
    },
    /// The database has not come as far as the receipt.
    #[error("the receipt is of LSN {receipt}, the database has come to {here}")]
    NotReached {
        /// The receipt's.
        receipt: Lsn,
        /// The last entry of the database.
        here: Lsn,
    },
    /// A claim is not there, not in that place, or its content has another hash.
    #[error("claim {id}: {problem}")]
    Claim {
        /// The claim.
        id: ClaimId,
        /// What is wrong.
        problem: &'static str,
    },
    /// The same question has another answer.
    #[error("{what} is {receipt} in the receipt and {here} in the database")]
    Differs {
        /// What differs.
        what: String,
        /// As the receipt has it.
        receipt: String,
        /// As the database has it.
        here: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}
