//! Why bytes are not a record.

/// Bytes that are not the canonical encoding of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("{field}: {needed} bytes needed, {left} left")]
    Truncated {
        /// The field that is cut off.
        field: &'static str,
        /// Bytes the field needs (at least).
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A variable-length integer that is not in its shortest form or does not fit 64 bits.
    #[error("{field}: malformed variable-length integer")]
    Varint {
        /// The field it belongs to.
        field: &'static str,
    },
    /// A tag, code or presence bit that version 1 does not know.
    #[error("{field}: unknown code {code}")]
    UnknownCode {
        /// The field it belongs to.
        field: &'static str,
        /// What was found.
        code: u64,
    },
    /// A text that is not UTF-8.
    #[error("{field}: not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// A length or a count above its bound; refused before anything is allocated for it.
    #[error("{field}: length {len} above {max}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Length or count found.
        len: u64,
        /// Largest allowed.
        max: usize,
    },
    /// A number outside its range.
    #[error("{field}: out of range")]
    OutOfRange {
        /// The field.
        field: &'static str,
    },
    /// A list that is not strictly ascending.
    #[error("{field}: not sorted without duplicates")]
    NotSorted {
        /// The field.
        field: &'static str,
    },
    /// A field is marked as present but has the value that stands for its absence.
    #[error("{field}: marked present but empty")]
    EmptyPresent {
        /// The field.
        field: &'static str,
    },
    /// Bytes follow where the record should end ([`Command::decode_exact`](crate::Command::decode_exact)).
    #[error("{len} bytes after the end of the record")]
    TrailingBytes {
        /// How many.
        len: usize,
    },
}
