//! What can be wrong with a record, as closed enums that name the field.

/// A record breaks a rule of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ModelError {
    /// The field, as a JSON pointer into the record (`/subject`, `/object/value`, `/parents`).
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

impl ModelError {
    /// Names `field` as the place of `problem`.
    pub const fn at(field: &'static str, problem: Problem) -> ModelError {
        ModelError { field, problem }
    }
}

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A required text is empty.
    #[error("must not be empty")]
    Empty,
    /// A text or a list exceeds its bound.
    #[error("has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
        /// Largest length allowed, in bytes.
        max: usize,
    },
    /// A list has too many members.
    #[error("has {count} members, at most {max} are allowed")]
    TooMany {
        /// Members found.
        count: usize,
        /// Most members allowed.
        max: usize,
    },
    /// A name contains a control character.
    #[error("contains a control character at byte {at}")]
    ControlCharacter {
        /// Byte offset of the character.
        at: usize,
    },
    /// A text contains U+0000.
    #[error("contains a NUL character at byte {at}")]
    Nul {
        /// Byte offset of the character.
        at: usize,
    },
    /// A number lies outside its range.
    #[error("is outside {min}..={max}")]
    OutOfRange {
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
    /// The text is not a number of the JSON grammar (RFC 8259, section 6).
    #[error("is not a JSON number")]
    NotANumber,
    /// A number has too many significant digits.
    #[error("has more than {max} significant digits")]
    TooManyDigits {
        /// Most digits allowed.
        max: usize,
    },
    /// A number's exponent is out of range.
    #[error("has a decimal exponent outside -{max}..={max}")]
    ExponentOutOfRange {
        /// Largest magnitude allowed.
        max: i32,
    },
    /// The text is not an RFC 3339 date and time.
    #[error("is not an RFC 3339 date and time with an offset")]
    NotATime,
    /// The text is not JSON (RFC 8259).
    #[error("is not JSON at byte {at}")]
    NotJson {
        /// Byte offset of the first byte that does not fit.
        at: usize,
    },
    /// JSON that is well formed, but not in canonical form.
    #[error("is not canonical JSON (sorted keys, no spaces, shortest escapes)")]
    NotCanonicalJson,
    /// A JSON object names a key twice.
    #[error("names a key twice, at byte {at}")]
    DuplicateKey {
        /// Byte offset of the second naming.
        at: usize,
    },
    /// JSON nested too deeply.
    #[error("is nested deeper than {max} levels")]
    TooDeep {
        /// Deepest nesting allowed.
        max: usize,
    },
    /// JSON `null` is not a value that can be claimed.
    #[error("is null, which is not a value")]
    Null,
    /// A list is not strictly ascending.
    #[error("is not sorted without duplicates")]
    NotSorted,
    /// A span of time that ends before it starts, or at its start.
    #[error("ends at or before its start")]
    EmptyInterval,
    /// A signature without the agent who made it.
    #[error("is missing: a signature needs its agent")]
    MissingAgent,
    /// A supersession that names a successor although it retracts, or none although it does not.
    #[error("a retraction has no successor, every other kind has one")]
    KindMismatch,
    /// A record that refers to itself.
    #[error("refers to itself")]
    SelfReference,
    /// A word that is not one of the names known.
    #[error("is not a known name")]
    UnknownName,
    /// Not the expected number of hexadecimal digits.
    #[error("is not {digits} hexadecimal digits")]
    NotHex {
        /// Digits expected.
        digits: usize,
    },
}
