//! What is wrong with which part of a request.

use std::{borrow::Cow, fmt};

use stemedb_core::{ModelError, Problem, SignatureError};

use super::Code;

/// Where in a request an error lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the body: a JSON pointer (RFC 6901); empty = the whole.
    Body(Cow<'static, str>),
    /// A path or query parameter.
    Parameter(Cow<'static, str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Body(pointer) if pointer.is_empty() => f.write_str("the record"),
            Place::Body(pointer) => f.write_str(pointer),
            Place::Parameter(name) => write!(f, "parameter {name}"),
        }
    }
}

/// One error of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where.
    pub place: Place,
    /// What, for programs.
    pub code: Code,
    /// What, for people.
    pub detail: String,
}

impl FieldError {
    /// An error in a body.
    pub fn in_body(
        pointer: impl Into<Cow<'static, str>>,
        code: Code,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError { place: Place::Body(pointer.into()), code, detail: detail.into() }
    }

    /// An error in a parameter.
    pub fn in_parameter(
        name: impl Into<Cow<'static, str>>,
        code: Code,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError { place: Place::Parameter(name.into()), code, detail: detail.into() }
    }

    /// A rule of the model that a member breaks.
    pub fn of_problem(pointer: impl Into<Cow<'static, str>>, problem: Problem) -> FieldError {
        FieldError::in_body(pointer, code_of_problem(problem), problem.to_string())
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)
    }
}

/// A request that was refused, with every reason found. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    first: FieldError,
    others: Vec<FieldError>,
}

impl Invalid {
    /// A request with one error.
    pub fn new(error: FieldError) -> Invalid {
        Invalid { first: error, others: Vec::new() }
    }

    /// A request with these errors; `None` without any.
    pub fn all(errors: impl IntoIterator<Item = FieldError>) -> Option<Invalid> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Invalid { first, others: errors.collect() })
    }

    /// The code of the first error: that of the whole.
    pub fn code(&self) -> Code {
        self.first.code
    }

    /// The errors, in the order they were found.
    pub fn errors(&self) -> impl Iterator<Item = &FieldError> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

impl std::error::Error for Invalid {}

impl From<FieldError> for Invalid {
    fn from(error: FieldError) -> Invalid {
        Invalid::new(error)
    }
}

impl From<ModelError> for Invalid {
    fn from(error: ModelError) -> Invalid {
        Invalid::new(FieldError::of_problem(error.field, error.problem))
    }
}

/// The code of a broken rule.
pub(crate) fn code_of_problem(problem: Problem) -> Code {
    match problem {
        Problem::Empty => Code::Empty,
        Problem::TooLong { .. } => Code::TooLong,
        Problem::TooMany { .. } => Code::TooMany,
        Problem::ControlCharacter { .. } => Code::ControlCharacter,
        Problem::Nul { .. } => Code::NulCharacter,
        Problem::OutOfRange { .. } => Code::OutOfRange,
        Problem::NotANumber => Code::NotANumber,
        Problem::TooManyDigits { .. } => Code::TooManyDigits,
        Problem::ExponentOutOfRange { .. } => Code::ExponentOutOfRange,
        Problem::NotATime => Code::NotATime,
        Problem::NotJson { .. } => Code::InvalidJson,
        Problem::NotCanonicalJson | Problem::NotSorted => Code::NotCanonical,
        Problem::DuplicateKey { .. } => Code::DuplicateKey,
        Problem::TooDeep { .. } => Code::TooDeep,
        Problem::Null => Code::NullValue,
        Problem::EmptyInterval => Code::EmptyInterval,
        Problem::MissingAgent => Code::MissingAgent,
        Problem::KindMismatch => Code::KindMismatch,
        Problem::SelfReference => Code::SelfReference,
        Problem::UnknownName => Code::UnknownName,
        Problem::NotHex { .. } => Code::NotHex,
    }
}

/// The error of a signature, at the member that carries it.
pub(crate) fn of_signature(pointer: impl Into<Cow<'static, str>>, error: SignatureError) -> FieldError {
    let code = match error {
        SignatureError::NotAKey { .. } | SignatureError::Invalid { .. } => Code::SignatureInvalid,
        SignatureError::Missing | SignatureError::MissingAuthor { .. } => Code::SignatureRequired,
        SignatureError::MissingAgent => Code::MissingAgent,
    };
    FieldError::in_body(pointer, code, error.to_string())
}
