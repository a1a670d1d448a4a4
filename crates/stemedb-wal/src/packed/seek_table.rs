//! Where the frames of a seekable zstd file are.
//!
//! Source of the format: facebook/zstd, `contrib/seekable_format/zstd_seekable_compression_format.md`, 0.1.0. A file of
//! ours starts with a skippable frame, [`HEAD`], which promises the table, so that a file cut between two frames is not
//! taken for a shorter one.
//!
//! ```text
//! head │ frame │ frame │ … │ 5E 2A 4D 18 │ size │ entry per frame │ frames │ flags │ B1 EA 92 8F
//!                            └─ skippable frame: 8 bytes, 12 each, 4 + 1 + 4 bytes ──────────┘
//! entry: packed bytes (u32), plain bytes (u32), low half of the plain bytes' XXH64 (u32)
//! ```
//!
//! The frame itself ends with the same half of the same hash, so the table's is copied from there.

use stemedb_env::{Error, File, error::IoOp};

use super::{
    FRAME_BYTES, MAX_FRAMES, PackedError,
    frame_header::{FrameStart, MAX_HEADER_BYTES, SKIPPABLE_HEADER_BYTES, frame_start},
};

/// First bytes of a file of ours: skippable magic, its size (16); name, format 0, plain bytes per frame (1 MiB).
pub(super) const HEAD: [u8; 24] = *b"\x5D\x2A\x4D\x18\x10\0\0\0stemedb\0\0\0\0\0\0\0\x10\0";

const TABLE_MAGIC: [u8; 4] = 0x184D_2A5E_u32.to_le_bytes();
const SEEKABLE_MAGIC: [u8; 4] = 0x8F92_EAB1_u32.to_le_bytes();
const CHECKSUM_FLAG: u8 = 0x80;
const RESERVED_BITS: u8 = 0x7C;
const ENTRY_BYTES: usize = 12;
const FOOTER_BYTES: usize = 9;
/// Of the checksum at the end of a frame.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// One line of the table, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub packed_bytes: u32,
    pub plain_bytes: u32,
    pub checksum: [u8; CHECKSUM_BYTES],
}

impl Entry {
    /// The skippable frame at the beginning.
    pub const HEAD: Entry =
        Entry { packed_bytes: HEAD.len() as u32, plain_bytes: 0, checksum: [0; CHECKSUM_BYTES] };
}

/// A frame with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramePlace {
    pub packed_start: u64,
    pub plain_start: u64,
    pub entry: Entry,
}

/// The frames with data, in order and without gaps in the plain bytes.
#[derive(Debug)]
pub(super) struct SeekTable {
    frames: Vec<FramePlace>,
    /// Length of the plain bytes.
    pub plain_bytes: u64,
}

/// The bytes of the table: the last frame of a file.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let size = entries.len() * ENTRY_BYTES + FOOTER_BYTES;
    let mut out = Vec::with_capacity(SKIPPABLE_HEADER_BYTES + size);
    out.extend_from_slice(&TABLE_MAGIC);
    out.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.packed_bytes.to_le_bytes());
        out.extend_from_slice(&entry.plain_bytes.to_le_bytes());
        out.extend_from_slice(&entry.checksum);
    }
    out.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.push(CHECKSUM_FLAG);
    out.extend_from_slice(&SEEKABLE_MAGIC);
    out
}

fn decode_entry(bytes: &[u8]) -> Option<Entry> {
    Some(Entry {
        packed_bytes: u32::from_le_bytes(bytes.get(0..4)?.try_into().ok()?),
        plain_bytes: u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?),
        checksum: bytes.get(8..12)?.try_into().ok()?,
    })
}

/// The last `N` bytes before `end`; `None` if there are not as many.
fn read_before<const N: usize>(file: &dyn File, end: u64) -> Result<Option<[u8; N]>, Error> {
    let mut bytes = [0; N];
    let Some(start) = end.checked_sub(N as u64) else { return Ok(None) };
    file.read_exact_at(&mut bytes, start)?;
    Ok(Some(bytes))
}

impl SeekTable {
    /// Reads the table and compares it with the frames' own headers and checksums, so that its lengths can be relied
    /// on. `None` if the file has none, or one that seeking cannot use (frames that are larger than ours, or carry no length
    /// or no checksum): such a file can still be read from the start. Cost: one small read per frame.
    pub fn load(file: &dyn File, len: u64) -> Result<Option<SeekTable>, Error> {
        let Some((entries, end)) = read_entries(file, len)? else { return Ok(None) };
        let contradiction = || PackedError::SeekTable.at(IoOp::Read, file.path());
        let mut frames = Vec::with_capacity(entries.len());
        let (mut packed_start, mut plain_start) = (0, 0);
        for entry in entries {
            let packed_end = packed_start + u64::from(entry.packed_bytes);
            if packed_end > end {
                return Err(contradiction());
            }
            match check_frame(file, packed_start, packed_end, &entry)? {
                Fit::Contradicts => return Err(contradiction()),
                Fit::Unusable => return Ok(None),
                Fit::Empty => {}
                Fit::Data => frames.push(FramePlace { packed_start, plain_start, entry }),
            }
            packed_start = packed_end;
            plain_start += u64::from(entry.plain_bytes);
        }
        if packed_start != end {
            return Err(contradiction());
        }
        Ok(Some(SeekTable { frames, plain_bytes: plain_start }))
    }

    /// The frame that holds the plain byte at `offset`.
    pub fn frame_at(&self, offset: u64) -> Option<FramePlace> {
        let behind = self.frames.partition_point(|frame| frame.plain_start <= offset);
        self.frames.get(behind.checked_sub(1)?).copied().filter(|_| offset < self.plain_bytes)
    }
}

/// The lines of the table, and where it begins.
fn read_entries(file: &dyn File, len: u64) -> Result<Option<(Vec<Entry>, u64)>, Error> {
    let Some(footer) = read_before::<FOOTER_BYTES>(file, len)? else { return Ok(None) };
    let [n0, n1, n2, n3, flags, magic @ ..] = footer;
    let count = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
    if magic != SEEKABLE_MAGIC
        || flags & RESERVED_BITS != 0
        || flags & CHECKSUM_FLAG == 0
        || count > MAX_FRAMES
    {
        return Ok(None);
    }
    let size = count * ENTRY_BYTES + FOOTER_BYTES;
    let Some(entries_start) = len.checked_sub(size as u64) else { return Ok(None) };
    let Some(header) = read_before::<SKIPPABLE_HEADER_BYTES>(file, entries_start)? else { return Ok(None) };
    let [magic @ .., s0, s1, s2, s3] = header;
    if magic != TABLE_MAGIC || u32::from_le_bytes([s0, s1, s2, s3]) as usize != size {
        return Ok(None);
    }
    let mut bytes = vec![0; count * ENTRY_BYTES];
    file.read_exact_at(&mut bytes, entries_start)?;
    let entries = bytes.chunks_exact(ENTRY_BYTES).filter_map(decode_entry).collect();
    Ok(Some((entries, entries_start - SKIPPABLE_HEADER_BYTES as u64)))
}

/// How a line of the table and the frame that it names go together.
enum Fit {
    Data,
    /// Nothing in it.
    Empty,
    /// The two agree, but a seek would not be safe or not be cheap.
    Unusable,
    Contradicts,
}

fn check_frame(file: &dyn File, start: u64, end: u64, entry: &Entry) -> Result<Fit, Error> {
    let mut head = [0; MAX_HEADER_BYTES];
    let read = file.read_up_to_at(&mut head, start)?;
    let header = match frame_start(head.get(..read).unwrap_or_default()) {
        FrameStart::Skippable { total_bytes } => {
            let fits = start + total_bytes == end && entry.plain_bytes == 0;
            return Ok(if fits { Fit::Empty } else { Fit::Contradicts });
        }
        FrameStart::Foreign | FrameStart::Short => return Ok(Fit::Contradicts),
        FrameStart::Data(header) => header,
    };
    let packed_limit = zstd::zstd_safe::compress_bound(FRAME_BYTES);
    if header.content_bytes.is_none()
        || !header.checksum
        || header.dictionary
        || entry.plain_bytes as usize > FRAME_BYTES
        || entry.packed_bytes as usize > packed_limit
    {
        return Ok(Fit::Unusable);
    }
    let checksum = read_before::<CHECKSUM_BYTES>(file, end)?;
    if header.content_bytes != Some(u64::from(entry.plain_bytes)) || checksum != Some(entry.checksum) {
        return Ok(Fit::Contradicts);
    }
    Ok(if entry.plain_bytes == 0 { Fit::Empty } else { Fit::Data })
}
