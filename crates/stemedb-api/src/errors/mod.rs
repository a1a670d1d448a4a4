//! Errors: one table of codes, errors of fields, and the crate's error.
//!
//! Every refusal carries a [`Code`] from one table; the same table gives the HTTP status, the title of the problem and
//! the page in `docs/errors/`. Refusals of requests name the member or parameter ([`FieldError`]).

mod code;
mod field;

pub use code::Code;
pub(crate) use field::of_signature;
pub use field::{FieldError, Invalid, Place};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a database refused or could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request breaks a rule; nothing was applied.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(stemedb_hybrid::Error),
    /// The server's key cannot be used.
    #[error(transparent)]
    ServerKey(#[from] crate::database::ServerKeyError),
    /// An answer does not fit into a receipt.
    #[error("the answer does not fit into a receipt: {0}")]
    Receipt(#[source] stemedb_core::CodecError),
    /// The board of conflicts is being made; ask again.
    #[error("the questions are being looked through: {questions} of them so far, {claims} claims")]
    Building {
        /// Questions resolved.
        questions: u64,
        /// Claims read.
        claims: u64,
    },
    /// The watches cannot be read.
    #[error(transparent)]
    Watches(#[from] crate::database::WatchesDamaged),
    /// The database follows another server, which is the writer.
    #[error("this is a standby: it takes no writes")]
    Standby,
    /// The database was the writer; another server is now, and what is written here would be lost.
    #[error("this server is not the writer any more: {reason}")]
    Fenced {
        /// How that is known.
        reason: String,
    },
    /// The file that makes a folder a standby's cannot be read.
    #[error(transparent)]
    StandbyMark(Box<crate::backup::Error>),
    /// Reading the input of an import failed.
    #[error("cannot read the input: {0}")]
    Input(#[source] std::io::Error),
    /// Writing the output of an export failed.
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
}

impl Error {
    /// The stable code of the error.
    pub fn code(&self) -> Code {
        match self {
            Error::Invalid(invalid) => invalid.code(),
            Error::Engine(error) => crate::store_helpers::code_of(error),
            Error::Building { .. } => Code::ConflictsBuilding,
            Error::Input(_) => Code::InvalidEncoding,
            Error::ServerKey(_) => Code::ServerKey,
            Error::Watches(_) => Code::Corruption,
            Error::Standby => Code::Standby,
            Error::Fenced { .. } => Code::Fenced,
            Error::StandbyMark(error) if error.is_damage() => Code::Corruption,
            Error::StandbyMark(_) => Code::IoError,
            Error::Receipt(stemedb_core::CodecError::TooLong { .. }) => Code::TooLarge,
            Error::Receipt(_) => Code::InternalError,
            Error::Output(_) => Code::IoError,
        }
    }
}

impl From<stemedb_hybrid::Error> for Error {
    fn from(error: stemedb_hybrid::Error) -> Error {
        match error {
            stemedb_hybrid::Error::Index(error) => error.into(),
            other => Error::Engine(other),
        }
    }
}

/// A command that names the wrong claim in one of its members.
fn refused(field: &'static str, code: Code, error: &stemedb_index::Error) -> Error {
    Error::Invalid(FieldError::in_body(field, code, error.to_string()).into())
}

impl From<stemedb_index::Error> for Error {
    fn from(error: stemedb_index::Error) -> Error {
        match error {
            // A field of the request is at fault, not the store.
            stemedb_index::Error::UnknownClaim { field, ref id } => {
                let detail = format!("there is no claim {id}");
                Error::Invalid(FieldError::in_body(field, Code::UnknownClaim, detail).into())
            }
            stemedb_index::Error::AuthorityTooLow { .. } => refused("/old", Code::AuthorityTooLow, &error),
            stemedb_index::Error::SupersessionCycle { .. } => {
                refused("/new", Code::SupersessionCycle, &error)
            }
            stemedb_index::Error::ChainTooLong { .. } => refused("/new", Code::ChainTooLong, &error),
            stemedb_index::Error::NotReached { .. } => {
                let detail = error.to_string();
                Error::Invalid(FieldError::in_parameter("as_of", Code::LsnNotReached, detail).into())
            }
            stemedb_index::Error::ForeignMark => {
                let detail = "does not lie in what is listed";
                Error::Invalid(FieldError::in_parameter("cursor", Code::InvalidParameter, detail).into())
            }
            other => Error::Engine(stemedb_hybrid::Error::from(other)),
        }
    }
}

impl From<stemedb_core::ModelError> for Error {
    fn from(error: stemedb_core::ModelError) -> Error {
        Error::Invalid(error.into())
    }
}
