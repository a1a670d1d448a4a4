//! Fields, checksums, header and footer. See `docs/formats/sidecar.md`.

use std::ops::RangeInclusive;

use stemedb_env::{Lsn, frame::DatabaseId};

pub(super) const HEADER_BYTES: usize = 52;
pub(super) const FOOTER_BYTES: usize = 76;
/// Behind the payload of a block.
pub(super) const CHECKSUM_BYTES: usize = 4;
/// Longest payload of a block of keys or removals.
pub(super) const MAX_BLOCK_BYTES: usize = 64 << 10;
/// Most rows of a block of keys.
pub(super) const MAX_BLOCK_ROWS: u32 = 4096;
/// Longest payload of marks or index: refused beyond it before anything is allocated.
pub(super) const MAX_LIST_BYTES: u64 = 256 << 20;

const MAGIC: &[u8; 8] = b"STEMSDC\0";
const END_MAGIC: &[u8; 8] = b"\0CDSMETS";
const FORMAT: u32 = 0;

/// What a sidecar must be of to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The database.
    pub database: DatabaseId,
    /// Its timeline: after a restore the same LSNs are other entries.
    pub timeline: u32,
    /// Of the function that derived the rows.
    pub derivation: u32,
}

/// What a sidecar was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MadeFrom {
    /// A table on its way into the tree: rows that it does not have are not listed.
    Table = 1,
    /// The journal: everything is listed.
    Journal = 2,
}

/// Why the bytes of a sidecar are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// They are not what was written.
    #[error("it is damaged")]
    Damaged,
    /// Another database, timeline, derivation or format.
    #[error("it belongs elsewhere, or was made by another version")]
    Foreign,
    /// Its name does not say what it covers, or it covers what the journal does not have.
    #[error("it does not cover what it should")]
    Stale,
}

/// Appends a number in groups of 7 bits, lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7F) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Length of the common prefix of two keys.
#[inline]
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (a_words, b_words) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let mut at = 0;
    for (x, y) in a_words.iter().zip(b_words) {
        let differs = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differs != 0 {
            return at + differs.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let (a_rest, b_rest) = (a.get(at..).unwrap_or_default(), b.get(at..).unwrap_or_default());
    at + a_rest.iter().zip(b_rest).take_while(|(x, y)| x == y).count()
}

/// Takes fields off the front of bytes. `None` where they end too early.
pub(super) struct Fields<'a> {
    pub rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    pub fn length(&mut self) -> Option<usize> {
        self.number().and_then(|n| usize::try_from(n).ok())
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.length()?;
        self.take(n)
    }
}

/// The front of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub origin: Origin,
    pub made_from: MadeFrom,
    pub nonce: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[12..16].copy_from_slice(&self.origin.derivation.to_le_bytes());
        out[16..32].copy_from_slice(&self.origin.database.0);
        out[32..36].copy_from_slice(&self.origin.timeline.to_le_bytes());
        out[36..40].copy_from_slice(&(self.made_from as u32).to_le_bytes());
        out[40..48].copy_from_slice(&self.nonce.to_le_bytes());
        let crc = crc32fast::hash(&out[..48]);
        out[48..52].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// With the checksum that those of the blocks are over.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(Header, Seal), Unfit> {
        let (fields, crc) = bytes.split_last_chunk::<4>().ok_or(Unfit::Damaged)?;
        if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
            return Err(Unfit::Damaged);
        }
        let mut fields = Fields { rest: fields };
        let decoded = (|| {
            let (magic, format) = (fields.array::<8>()?, fields.u32()?);
            let derivation = fields.u32()?;
            let database = DatabaseId(fields.array()?);
            let timeline = fields.u32()?;
            let made_from = match fields.u32()? {
                1 => MadeFrom::Table,
                2 => MadeFrom::Journal,
                _ => return None,
            };
            let nonce = fields.u64()?;
            let origin = Origin { database, timeline, derivation };
            let known = &magic == MAGIC && format == FORMAT;
            known.then_some((Header { origin, made_from, nonce }, Seal { header: *crc }))
        })();
        decoded.ok_or(Unfit::Foreign)
    }
}

/// Makes and checks the checksums of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    /// The header's own.
    header: [u8; 4],
}

impl Seal {
    pub fn of(header: &[u8; HEADER_BYTES]) -> Seal {
        let mut crc = [0; 4];
        crc.copy_from_slice(&header[48..52]);
        Seal { header: crc }
    }

    pub fn checksum(&self, offset: u64, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.header);
        hasher.update(&offset.to_le_bytes());
        hasher.update(payload);
        hasher.finalize().to_le_bytes()
    }

    /// The payload of a block with its checksum behind it, which begins at `offset`.
    pub fn open<'a>(&self, offset: u64, block: &'a [u8]) -> Result<&'a [u8], Unfit> {
        let (payload, checksum) = block.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Unfit::Damaged)?;
        if self.checksum(offset, payload) == *checksum { Ok(payload) } else { Err(Unfit::Damaged) }
    }
}

/// Where a list lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub offset: u64,
    /// Of the payload.
    pub bytes: u32,
}

impl Place {
    /// Where the next block begins; `None` if that is nowhere.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.bytes))?.checked_add(CHECKSUM_BYTES as u64)
    }
}

/// The end of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub lsns: RangeInclusive<Lsn>,
    pub rows: u64,
    pub removals: u64,
    pub marks: Place,
    pub index: Place,
    pub file_bytes: u64,
}

impl Footer {
    pub fn encode(&self, seal: &Seal) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        let numbers = [self.lsns.start().0, self.lsns.end().0, self.rows, self.removals, self.marks.offset];
        numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        out.extend_from_slice(&self.marks.bytes.to_le_bytes());
        out.extend_from_slice(&self.index.offset.to_le_bytes());
        out.extend_from_slice(&self.index.bytes.to_le_bytes());
        out.extend_from_slice(&self.file_bytes.to_le_bytes());
        let crc = seal.checksum(self.file_bytes.saturating_sub(FOOTER_BYTES as u64), &out);
        out.extend_from_slice(&crc);
        out.extend_from_slice(END_MAGIC);
        let mut footer = [0; FOOTER_BYTES];
        footer.copy_from_slice(&out);
        footer
    }

    /// The footer of a file of `file_bytes`, whose places are those of lists that fill the end of the file.
    pub fn decode(bytes: &[u8; FOOTER_BYTES], seal: &Seal, file_bytes: u64) -> Result<Footer, Unfit> {
        let (fields, magic) = bytes.split_last_chunk::<8>().ok_or(Unfit::Damaged)?;
        let start = file_bytes.checked_sub(FOOTER_BYTES as u64).ok_or(Unfit::Damaged)?;
        let mut fields = Fields { rest: seal.open(start, fields)? };
        let decoded = (|| {
            let (first, last) = (fields.u64()?, fields.u64()?);
            let (rows, removals) = (fields.u64()?, fields.u64()?);
            let marks = Place { offset: fields.u64()?, bytes: fields.u32()? };
            let index = Place { offset: fields.u64()?, bytes: fields.u32()? };
            let footer = Footer {
                lsns: Lsn(first)..=Lsn(last),
                rows,
                removals,
                marks,
                index,
                file_bytes: fields.u64()?,
            };
            let whole = magic == END_MAGIC
                && 0 < first
                && first <= last
                && footer.file_bytes == file_bytes
                && HEADER_BYTES as u64 <= marks.offset
                && marks.end() == Some(index.offset)
                && index.end() == Some(start)
                && u64::from(marks.bytes) <= MAX_LIST_BYTES
                && u64::from(index.bytes) <= MAX_LIST_BYTES;
            whole.then_some(footer)
        })();
        decoded.ok_or(Unfit::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let origin = Origin { database: DatabaseId([3; 16]), timeline: 2, derivation: 7 };
        Header { origin, made_from: MadeFrom::Table, nonce: 99 }
    }

    #[test]
    fn every_flipped_bit_of_header_and_footer_is_noticed() {
        let bytes = header().encode();
        let (decoded, seal) = Header::decode(&bytes).unwrap();
        assert_eq!(decoded, header());
        let footer = Footer {
            lsns: Lsn(5)..=Lsn(9),
            rows: 17,
            removals: 2,
            marks: Place { offset: 100, bytes: 20 },
            index: Place { offset: 124, bytes: 30 },
            file_bytes: 124 + 34 + 76,
        };
        let end = footer.encode(&seal);
        assert_eq!(Footer::decode(&end, &seal, footer.file_bytes).unwrap(), footer);
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit} of the header");
        }
        for bit in 0..FOOTER_BYTES * 8 {
            let mut damaged = end;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&damaged, &seal, footer.file_bytes).is_err(), "bit {bit} of the footer");
        }
        let other = Header { nonce: 98, ..header() }.encode();
        assert!(Footer::decode(&end, &Seal::of(&other), footer.file_bytes).is_err(), "another file's");
    }

    #[test]
    fn numbers_come_back_and_impossible_ones_are_refused() {
        for n in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, n);
            let mut fields = Fields { rest: &bytes };
            assert_eq!(fields.number(), Some(n));
            assert!(fields.rest.is_empty());
            assert_eq!(Fields { rest: &bytes[..bytes.len() - 1] }.number(), None);
        }
        assert_eq!(Fields { rest: &[0xFF; 11] }.number(), None);
        assert_eq!(
            Fields { rest: &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2] }.number(),
            None
        );
    }

    #[test]
    fn the_common_prefix_is_that_of_the_bytes() {
        let a = b"0123456789abcdefghijk";
        for shared in 0..=a.len() {
            for len in shared..=a.len() {
                let mut b = a[..len].to_vec();
                if let Some(byte) = b.get_mut(shared) {
                    *byte ^= 0x80;
                }
                assert_eq!(common_prefix(a, &b), shared.min(len));
                assert_eq!(common_prefix(&b, a), shared.min(len));
            }
        }
    }
}
