//! Canonical bytes, version 1: one encoding per record, one record per encoding.
//!
//! ```text
//! record    = version(1) fields-in-fixed-order [signatures]
//! text      = varint length, UTF-8 bytes
//! presence  = varint of bits, one per optional field; the fields follow in the order of their bits
//! varint    = LEB128 of at most 64 bits, shortest form only
//! fraction  = 4 bytes, two's complement, big-endian, in units of 10^-9
//! instant   = 8 bytes, two's complement, big-endian, microseconds since the epoch
//! ```
//!
//! The canonical bytes that an id or a signature covers are a prefix of the record's encoding, so both are computed
//! from stored bytes without encoding anything again. The byte tables are in `docs/formats/claims.md`.

mod assertion;
mod error;
pub(crate) mod reader;
mod records;
pub(crate) mod writer;

pub use assertion::{AssertionRef, CANONICAL_VERSION};
pub(crate) use assertion::{class, decode_object, encode_object};
pub use error::CodecError;
pub use records::SourceRef;
