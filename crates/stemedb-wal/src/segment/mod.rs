//! What a segment file consists of. See `docs/formats/journal.md`.
//!
//! ```text
//! live.000002.wal
//! ┌────────┬───────┬───────┬────────┬───────┬──────┐
//! │ header │ group │ group │ marker │ group │ seal │   every frame padded to whole sectors
//! └────────┴───────┴───────┴────────┴───────┴──────┘
//!   names the predecessor                    names the successor
//! ```

mod behind;
mod cursor;
mod dir;
mod group;
mod header;

pub(crate) use behind::{Behind, look_behind};
pub(crate) use cursor::{Cursor, Next, misfit};
pub(crate) use dir::{
    Form, Listed, LoadedHeader, Location, Place, SegmentDir, is_unpack_damage, quarantine_default,
};
pub(crate) use group::{COMPRESS_FROM_BYTES, Encoding, GroupEntries, decode_group, encode_group, pack};
pub(crate) use header::{HEADER_PAYLOAD_BYTES, Replaced, SEAL_PAYLOAD_BYTES, Seal, SegmentHeader};

/// First frame of a segment.
pub(crate) const KIND_HEADER: u8 = 1;
/// One group commit.
pub(crate) const KIND_GROUP: u8 = 2;
/// No entries: only a newer watermark.
pub(crate) const KIND_MARKER: u8 = 3;
/// Last frame of a segment that was rotated.
pub(crate) const KIND_SEAL: u8 = 4;
/// A slot of `HEAD`.
pub(crate) const KIND_HEAD: u8 = 5;

/// Flag of a marker frame: the journal was closed here, so the file may end behind it.
pub(crate) const FLAG_CLOSED: u16 = 1;
/// Flag of a group frame: the payload is LZ4.
pub(crate) const FLAG_LZ4: u16 = 1;
