//! The one record format of every log: the journal and the manifest.
//!
//! A frame carries its own identity (database, timeline, log, file number, offset) under its checksum, so that a stale
//! frame of a recycled file, or one that a disk put in the wrong place, is never accepted; a hash chain, so that a
//! missing, repeated or re-ordered frame is noticed; and a watermark, so that a reader can tell a torn tail (may be
//! cut) from corruption of something that had been durable (must never be cut). See `docs/formats/frame.md`.
//!
//! ```text
//! offset size  field            all integers little-endian
//!      0    4  magic            "STEM"
//!      4    1  format           0
//!      5    1  kind             meaning belongs to the log
//!      6    2  flags            meaning belongs to the log
//!      8   16  database id
//!     24    4  timeline
//!     28    1  log              1 journal, 2 manifest
//!     29    3  zero
//!     32    8  file number
//!     40    8  offset           of this frame in its file
//!     48    4  payload length
//!     52    4  frame length     header + payload + padding + checksum, a multiple of the sector
//!     56    8  first LSN
//!     64    4  count            entries in the payload
//!     68    4  zero
//!     72    8  watermark        every byte of this file below it was durable when the frame was built
//!     80   16  chain            of the previous frame
//!     96    …  payload, then zeros
//!     -4    4  CRC-32 (IEEE) of everything before
//! ```
//!
//! The chain value of a frame is the first 16 bytes of BLAKE3 over its header and payload.

mod reader;

use std::fmt;

pub use reader::{FrameBuf, FrameReader, ReadError, find_frames};

use crate::{
    Lsn,
    planted::{Bug, planted},
};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 96;
/// Bytes after the padding.
pub const TRAILER_BYTES: usize = 4;
/// No frame is longer. A length beyond it in a file is damage, and is refused before anything is allocated.
pub const MAX_FRAME_BYTES: usize = 40 << 20;
/// First four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"STEM";
/// The format this build writes and reads.
pub const FORMAT: u8 = 0;

/// Which database a file belongs to. Chosen at random when the database is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct DatabaseId(pub [u8; 16]);

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseId({self})")
    }
}

/// Which log a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LogKind {
    /// The journal.
    Journal = 1,
    /// The list of files of an LSM tree.
    Manifest = 2,
}

/// The file that a frame claims to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The database.
    pub database: DatabaseId,
    /// Its timeline; a new one starts at each point-in-time restore or promotion.
    pub timeline: u32,
    /// The log.
    pub log: LogKind,
    /// The number in the file's name.
    pub file: u64,
}

/// Running hash over the frames of a file (and, through segment headers, of a whole journal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Chain(pub [u8; 16]);

/// What stands in front of a payload, without the fields that the codec fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Meaning belongs to the log.
    pub kind: u8,
    /// Meaning belongs to the log.
    pub flags: u16,
    /// Offset of the frame in its file.
    pub offset: u64,
    /// LSN of the first entry; 0 when the frame has none.
    pub first_lsn: Lsn,
    /// Number of entries.
    pub count: u32,
    /// Every byte of this file below it was durable when the frame was built.
    pub watermark: u64,
    /// Chain value of the frame before.
    pub chain_prev: Chain,
}

/// A verified frame, borrowed from a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The header.
    pub header: FrameHeader,
    /// The payload.
    pub payload: &'a [u8],
    /// Length on disk, padding and checksum included.
    pub frame_bytes: usize,
    /// Chain value of this frame: what the next one must carry as `chain_prev`.
    pub chain: Chain,
}

/// Why bytes are not an acceptable frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error("the frame is cut short")]
    Truncated,
    /// No magic: zeros, or something else.
    #[error("no frame starts here")]
    NotAFrame,
    /// A format that this build does not know.
    #[error("frame format {0} is not known")]
    UnknownFormat(u8),
    /// A frame of another database, timeline, log, file or offset.
    #[error("the frame belongs elsewhere")]
    Foreign,
    /// A length field that cannot be right.
    #[error("the frame's length is impossible")]
    BadLength,
    /// The checksum does not match.
    #[error("the frame's checksum does not match")]
    Checksum,
}

/// Length on disk of a frame with this payload; `None` if it would exceed [`MAX_FRAME_BYTES`].
pub fn frame_bytes(payload_bytes: usize, sector_bytes: usize) -> Option<usize> {
    let sector = sector_bytes.max(1);
    let used = payload_bytes.checked_add(HEADER_BYTES + TRAILER_BYTES)?;
    let total = used.checked_next_multiple_of(sector)?;
    (total <= MAX_FRAME_BYTES).then_some(total)
}

/// Appends a frame to `out` and returns its chain value.
///
/// The padding is zeros up to a multiple of `sector_bytes`, so that a later frame never shares a sector with this one.
/// Fails with [`FrameError::BadLength`] if the payload is too long. Cost: one CRC-32 and one BLAKE3 pass.
pub fn encode(
    identity: &FileIdentity,
    header: &FrameHeader,
    payload: &[u8],
    sector_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<Chain, FrameError> {
    let total = frame_bytes(payload.len(), sector_bytes).ok_or(FrameError::BadLength)?;
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    out.extend_from_slice(payload);
    out.resize(start + total, 0);
    seal(identity, header, payload.len(), &mut out[start..])
}

/// Makes a frame of a buffer that has the payload at [`HEADER_BYTES`] already: writes the header, clears the padding,
/// computes the checksum, and returns the chain value. So a payload is written once, where the disk will take it from.
///
/// `frame.len()` is the length on disk, as [`frame_bytes`] gives it for `payload_bytes`. Fails with
/// [`FrameError::BadLength`] if the payload does not fit. Cost: one CRC-32 and one BLAKE3 pass.
pub fn seal(
    identity: &FileIdentity,
    header: &FrameHeader,
    payload_bytes: usize,
    frame: &mut [u8],
) -> Result<Chain, FrameError> {
    let total = frame.len();
    let used = payload_bytes.checked_add(HEADER_BYTES).ok_or(FrameError::BadLength)?;
    if total > MAX_FRAME_BYTES || used.checked_add(TRAILER_BYTES).is_none_or(|least| least > total) {
        return Err(FrameError::BadLength);
    }
    let payload_field = u32::try_from(payload_bytes).map_err(|_| FrameError::BadLength)?;
    let total_field = u32::try_from(total).map_err(|_| FrameError::BadLength)?;
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&MAGIC);
    put(&[FORMAT, header.kind]);
    put(&header.flags.to_le_bytes());
    put(&identity.database.0);
    put(&identity.timeline.to_le_bytes());
    put(&[identity.log as u8, 0, 0, 0]);
    put(&identity.file.to_le_bytes());
    put(&header.offset.to_le_bytes());
    put(&payload_field.to_le_bytes());
    put(&total_field.to_le_bytes());
    put(&header.first_lsn.0.to_le_bytes());
    put(&header.count.to_le_bytes());
    put(&[0; 4]);
    put(&header.watermark.to_le_bytes());
    put(&header.chain_prev.0);
    debug_assert_eq!(at, HEADER_BYTES);
    let chain = chain_of(&frame[..used]);
    let (content, trailer) = frame.split_at_mut(total - TRAILER_BYTES);
    content[used..].fill(0);
    trailer.copy_from_slice(&crc32fast::hash(covered(content, payload_bytes)).to_le_bytes());
    Ok(chain)
}

/// What the checksum is over: everything before it.
fn covered(before_checksum: &[u8], payload_bytes: usize) -> &[u8] {
    if planted(Bug::CrcSkipsHeader) {
        return before_checksum.get(HEADER_BYTES..).unwrap_or_default();
    }
    if planted(Bug::CrcSkipsPadding) {
        return before_checksum.get(..HEADER_BYTES + payload_bytes).unwrap_or_default();
    }
    before_checksum
}

fn chain_of(header_and_payload: &[u8]) -> Chain {
    let mut chain = Chain::default();
    chain.0.copy_from_slice(&blake3::hash(header_and_payload).as_bytes()[..16]);
    chain
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], FrameError> {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or(FrameError::Truncated)
}

/// Length on disk that the frame at the start of `bytes` claims, after its identity has been checked but before its
/// checksum has. At least [`HEADER_BYTES`] bytes must be given. Cheap enough to call at every sector of a file.
pub fn claimed_bytes(bytes: &[u8], identity: &FileIdentity, offset: u64) -> Result<usize, FrameError> {
    if field::<4>(bytes, 0)? != MAGIC {
        return Err(FrameError::NotAFrame);
    }
    let [format] = field::<1>(bytes, 4)?;
    if format != FORMAT {
        return Err(FrameError::UnknownFormat(format));
    }
    let same = field::<16>(bytes, 8)? == identity.database.0
        && u32::from_le_bytes(field(bytes, 24)?) == identity.timeline
        && field::<4>(bytes, 28)? == [identity.log as u8, 0, 0, 0]
        && u64::from_le_bytes(field(bytes, 32)?) == identity.file
        && u64::from_le_bytes(field(bytes, 40)?) == offset;
    if !same && !planted(Bug::AcceptStaleFrame) {
        return Err(FrameError::Foreign);
    }
    let payload = u32::from_le_bytes(field(bytes, 48)?) as usize;
    let total = u32::from_le_bytes(field(bytes, 52)?) as usize;
    let fits = total <= MAX_FRAME_BYTES
        && payload.checked_add(HEADER_BYTES + TRAILER_BYTES).is_some_and(|used| used <= total);
    if fits { Ok(total) } else { Err(FrameError::BadLength) }
}

/// Verifies the frame at the start of `bytes`, which must lie at `offset` of the file that `identity` names.
pub fn decode<'a>(bytes: &'a [u8], identity: &FileIdentity, offset: u64) -> Result<Frame<'a>, FrameError> {
    let total = claimed_bytes(bytes, identity, offset)?;
    let bytes = bytes.get(..total).ok_or(FrameError::Truncated)?;
    let stored = u32::from_le_bytes(field(bytes, total - TRAILER_BYTES)?);
    let payload_bytes = u32::from_le_bytes(field(bytes, 48)?) as usize;
    if crc32fast::hash(covered(&bytes[..total - TRAILER_BYTES], payload_bytes)) != stored {
        return Err(FrameError::Checksum);
    }
    let used = HEADER_BYTES + payload_bytes;
    let header = FrameHeader {
        kind: field::<1>(bytes, 5)?[0],
        flags: u16::from_le_bytes(field(bytes, 6)?),
        offset,
        first_lsn: Lsn(u64::from_le_bytes(field(bytes, 56)?)),
        count: u32::from_le_bytes(field(bytes, 64)?),
        watermark: u64::from_le_bytes(field(bytes, 72)?),
        chain_prev: Chain(field(bytes, 80)?),
    };
    let used_bytes = bytes.get(..used).ok_or(FrameError::BadLength)?;
    Ok(Frame {
        header,
        payload: &used_bytes[HEADER_BYTES..],
        frame_bytes: total,
        chain: chain_of(used_bytes),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity() -> FileIdentity {
        FileIdentity { database: DatabaseId([7; 16]), timeline: 1, log: LogKind::Journal, file: 3 }
    }

    fn header(offset: u64) -> FrameHeader {
        FrameHeader {
            kind: 2,
            flags: 9,
            offset,
            first_lsn: Lsn(41),
            count: 5,
            watermark: 4096,
            chain_prev: Chain([3; 16]),
        }
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let mut bytes = Vec::new();
        encode(&identity(), &header(8192), b"some payload", 512, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 512);
        assert!(decode(&bytes, &identity(), 8192).is_ok());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                assert!(decode(&bytes, &identity(), 8192).is_err(), "byte {at} bit {bit}");
                bytes[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn a_frame_of_another_place_is_foreign() {
        let mut bytes = Vec::new();
        encode(&identity(), &header(8192), b"x", 512, &mut bytes).unwrap();
        let elsewhere = [
            FileIdentity { database: DatabaseId([8; 16]), ..identity() },
            FileIdentity { timeline: 2, ..identity() },
            FileIdentity { log: LogKind::Manifest, ..identity() },
            FileIdentity { file: 4, ..identity() },
        ];
        for other in elsewhere {
            assert_eq!(decode(&bytes, &other, 8192).unwrap_err(), FrameError::Foreign);
        }
        assert_eq!(decode(&bytes, &identity(), 4096).unwrap_err(), FrameError::Foreign);
    }

    #[test]
    fn the_chain_depends_on_the_frame_before() {
        let mut out = Vec::new();
        let a = encode(&identity(), &header(0), b"x", 512, &mut out).unwrap();
        let changed = FrameHeader { chain_prev: Chain([4; 16]), ..header(0) };
        let b = encode(&identity(), &changed, b"x", 512, &mut out).unwrap();
        assert_ne!(a, b);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(payload in proptest::collection::vec(any::<u8>(), 0..3000), sector in 0usize..3) {
            let sector = [1, 512, 4096][sector];
            let mut bytes = Vec::new();
            let chain = encode(&identity(), &header(512), &payload, sector, &mut bytes).unwrap();
            prop_assert_eq!(bytes.len() % sector, 0);
            let frame = decode(&bytes, &identity(), 512).unwrap();
            prop_assert_eq!(frame.payload, &payload[..]);
            prop_assert_eq!(frame.header, header(512));
            prop_assert_eq!(frame.chain, chain);
            prop_assert_eq!(frame.frame_bytes, bytes.len());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut framed = MAGIC.to_vec();
            framed.extend_from_slice(&bytes);
            prop_assert!(decode(&bytes, &identity(), 0).is_err());
            prop_assert!(decode(&framed, &identity(), 0).is_err());
        }
    }
}
