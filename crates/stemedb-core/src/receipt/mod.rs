//! Receipts: one answer as a signed document of its own.
//!
//! ```text
//! Receipt ─ encode ─▶ canonical bytes ─ sign ─▶ SignedReceipt ─▶ bytes, JSON
//! bytes ─ decode (the only encoding, all references inside) ─▶ SignedReceipt ─ verify ─▶ who said so
//! ```
//!
//! The byte tables and what a check proves are in `docs/formats/receipt.md`. Nothing here knows lenses: what a lens
//! reports and what it was asked are names with values, so that a later lens needs no other receipt.

mod decode;
mod encode;
mod signed;

pub use signed::{RECEIPT_DOMAIN, SignedReceipt};

use crate::identity::{AgentId, ClaimId};
use crate::model::{Micros, Nano, SourceClass};
use crate::object::Object;

/// First byte of a receipt.
pub const RECEIPT_VERSION: u8 = 1;
/// Most claims in a receipt.
pub const RECEIPT_CLAIMS_MAX: usize = 1 << 20;
/// Most parameters, and most figures of one thing.
pub const RECEIPT_NAMED_MAX: usize = 64;
/// Longest name of a lens, status, reason, parameter or figure, in bytes.
pub const RECEIPT_NAME_MAX_BYTES: usize = 64;
/// Longest value of a parameter, in bytes.
pub const RECEIPT_PARAMETER_MAX_BYTES: usize = 65_536;

/// Named amounts in units of 10⁻⁹, strictly ascending by name.
pub type Figures = Vec<(String, Nano)>;

/// One answer, with everything it was made from. Lists must be in the order that the format asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The server's public key.
    pub server: AgentId,
    /// Which database answered.
    pub database: [u8; 16],
    /// The timeline of its LSNs.
    pub timeline: u32,
    /// Which version of the rows the root is of.
    pub derivation: u32,
    /// The state that answered.
    pub state: ReceiptState,
    /// When, by the server's clock.
    pub made_at: Micros,
    /// What was asked.
    pub question: ReceiptQuestion,
    /// The newest knowledge that was used; `None` if nothing was.
    pub latest_used: Option<LatestUsed>,
    /// What was answered.
    pub answer: ReceiptAnswer,
    /// Every claim about the question, the newest entry first.
    pub claims: Vec<ReceiptClaim>,
}

/// The content of a database after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptState {
    /// The entry.
    pub lsn: u64,
    /// Number of rows.
    pub rows: u64,
    /// Their root, in 32 bytes.
    pub root: [u8; 32],
}

/// A question as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptQuestion {
    /// The subject.
    pub subject: String,
    /// The predicate.
    pub predicate: String,
    /// The lens by name.
    pub lens: String,
    /// The version of its arithmetic.
    pub lens_version: u32,
    /// The hash of the lens, its version and its parameters.
    pub lens_hash: [u8; 32],
    /// All parameters, strictly ascending by name.
    pub parameters: Vec<(String, String)>,
    /// The last entry whose knowledge was used.
    pub as_of: u64,
    /// The instant that validity and age were measured at.
    pub evaluated_at: Micros,
}

/// The newest of what was used for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestUsed {
    /// The newest entry of which a row was used.
    pub lsn: u64,
    /// The latest time at which a row that was used had been recorded.
    pub recorded_at: Micros,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptAnswer {
    /// The conflict in one word.
    pub status: String,
    /// The winning value.
    pub value: Option<Object>,
    /// Confidence, margin and the like.
    pub figures: Figures,
    /// Every value claimed, in the order of the answer.
    pub values: Vec<ReceiptValue>,
    /// The claims of the winning value, in the order of the answer, as indices into [`Receipt::claims`].
    pub winners: Vec<u32>,
    /// Answers of single classes, the best class first.
    pub layers: Vec<ReceiptLayer>,
}

/// One value claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptValue {
    /// The value.
    pub object: Object,
    /// Support and the like.
    pub figures: Figures,
}

/// The answer of one class of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptLayer {
    /// The class.
    pub class: SourceClass,
    /// Its value, as an index into [`ReceiptAnswer::values`].
    pub value: u32,
    /// Support and the like, inside the class.
    pub figures: Figures,
    /// The class's claims of that value, as indices into [`Receipt::claims`].
    pub winners: Vec<u32>,
}

/// One claim about the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptClaim {
    /// Its id.
    pub id: ClaimId,
    /// The entry that brought it.
    pub lsn: u64,
    /// Its place in the entry.
    pub ordinal: u32,
    /// When the entry was recorded.
    pub recorded_at: Micros,
    /// Its source.
    pub source: String,
    /// Its class, as it counted.
    pub class: SourceClass,
    /// What became of it.
    pub standing: ClaimStanding,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimStanding {
    /// It counted.
    Counted {
        /// Its value, as an index into [`ReceiptAnswer::values`].
        value: u32,
        /// What entered the answer.
        figures: Figures,
    },
    /// It did not, for this reason.
    SetAside(String),
}
