//! Header, footer and the envelope of every block of a table. See `docs/formats/sst.md`.

use std::{path::Path, sync::Arc};

use stemedb_env::{
    File,
    aligned::{ALIGNMENT_BYTES, AlignedBuffer},
    frame::DatabaseId,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::pack::{Folded, Room};
use crate::{
    CorruptionKind, Error, Result,
    codec::{Fields, Malformed},
    memory::{Charge, Kind, Memory},
};

/// First bytes of a table.
pub(crate) const HEADER_MAGIC: [u8; 8] = *b"STEMSST\0";
/// Last bytes of a table.
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"\0TSSMETS";
/// The format this build writes and reads.
pub(crate) const FORMAT: u32 = 0;
/// Length of the header.
pub(crate) const HEADER_BYTES: usize = 48;
/// Length of the footer.
pub(crate) const FOOTER_BYTES: usize = 104;
/// Bytes behind each block: tag and checksum.
pub(crate) const TRAILER_BYTES: usize = 9;
/// No block is longer than the longest row with generous overhead. A length beyond it is damage.
pub(crate) const MAX_BLOCK_BYTES: usize = 64 << 20;

/// What a block holds; under its checksum, so that one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockKind {
    Data = 1,
    Index = 2,
    KeyFilter = 3,
    PrefixFilter = 4,
    Properties = 5,
    RangeRemovals = 6,
}

/// How a block's payload is compressed; the bit that says so in its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Codec {
    Lz4 = 0x80,
    Zstd = 0x40,
}

/// Set in the tag of a data block that is folded: see [`super::block::unfold`].
const FOLDED: u8 = 0x20;

/// In which form a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Packing {
    /// How it is compressed.
    pub(crate) codec: Option<Codec>,
    /// Whether it is folded, below the compression.
    pub(crate) folded: bool,
}

impl Packing {
    /// As it is in memory.
    pub(crate) const PLAIN: Packing = Packing { codec: None, folded: false };

    fn tag(self, kind: BlockKind) -> u8 {
        kind as u8 | self.codec.map_or(0, |codec| codec as u8) | if self.folded { FOLDED } else { 0 }
    }

    /// `None` for a tag that no block of this kind can have.
    pub(crate) fn of_tag(tag: u8, kind: BlockKind) -> Option<Packing> {
        let codecs = [None, Some(Codec::Lz4), Some(Codec::Zstd)];
        let mut all =
            codecs.into_iter().flat_map(|codec| [false, true].map(|folded| Packing { codec, folded }));
        all.find(|packing| packing.tag(kind) == tag && (!packing.folded || kind == BlockKind::Data))
    }
}

/// Where a block lies, trailer included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
}

/// The identity of a table, mixed into every checksum so that a block of another table, or one that a disk put
/// elsewhere, does not verify.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableIdentity {
    pub(crate) database: DatabaseId,
    pub(crate) file: u64,
}

impl TableIdentity {
    fn seed(&self, offset: u64) -> u64 {
        let file = xxh3_64_with_seed(&self.database.0, self.file);
        file ^ offset.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn checksum(&self, offset: u64, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed(offset))
    }
}

/// Appends a block and its trailer to `out`; `offset` is where the block begins in the file. A compressed `payload` starts
/// with its uncompressed length.
pub(crate) fn seal_block(
    identity: &TableIdentity,
    kind: BlockKind,
    packing: Packing,
    payload: &[u8],
    offset: u64,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(payload);
    out.push(packing.tag(kind));
    let checksum = identity.checksum(offset, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Where an opened block's payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// It was stored as it is: the first so many bytes of the sealed block.
    Stored(usize),
    /// It was compressed: the first so many bytes of the room for it.
    Unpacked(usize),
    /// It was folded: all of the room for that.
    Unfolded,
}

impl Payload {
    /// The bytes, given where they may lie.
    pub(crate) fn of<'a>(self, sealed: &'a [u8], room: &'a Room) -> &'a [u8] {
        match self {
            Payload::Stored(n) => sealed.get(..n).unwrap_or_default(),
            Payload::Unpacked(n) => room.bytes().get(..n).unwrap_or_default(),
            Payload::Unfolded => room.unfolded(),
        }
    }
}

/// Verifies a block, and decompresses and unfolds it into `room` if need be.
pub(crate) fn open_block(
    identity: &TableIdentity,
    kind: BlockKind,
    sealed: &[u8],
    offset: u64,
    room: &mut Room,
) -> std::result::Result<Payload, CorruptionKind> {
    let split = sealed.len().checked_sub(8).ok_or(CorruptionKind::BlockChecksum)?;
    let (covered, stored) = sealed.split_at_checked(split).ok_or(CorruptionKind::BlockChecksum)?;
    if identity.checksum(offset, covered).to_le_bytes() != stored {
        return Err(CorruptionKind::BlockChecksum);
    }
    let (tag, payload) = covered.split_last().ok_or(CorruptionKind::BlockFormat)?;
    let packing = Packing::of_tag(*tag, kind).ok_or(CorruptionKind::BlockFormat)?;
    let unpacked = match packing.codec {
        Some(codec) => Some(room.unpack(codec, payload)?),
        None => None,
    };
    if !packing.folded {
        return Ok(unpacked.map_or(Payload::Stored(payload.len()), Payload::Unpacked));
    }
    room.unfold(unpacked.map_or(Folded::Stored(payload), Folded::Unpacked))?;
    Ok(Payload::Unfolded)
}

/// The content of a block on its way into another table.
#[derive(Debug, Default)]
pub(crate) struct BlockCopy {
    pub(crate) content: Vec<u8>,
    pub(crate) packing: Packing,
}

/// What of a sealed block goes into another table as it is, and in which form it is. Says nothing of its checksum.
pub(crate) fn content_of(sealed: &[u8], kind: BlockKind) -> Option<(&[u8], Packing)> {
    let (content, trailer) = sealed.split_at_checked(sealed.len().checked_sub(TRAILER_BYTES)?)?;
    Some((content, Packing::of_tag(*trailer.first()?, kind)?))
}

/// Room for one block on its way from the file into memory. Reused: memory that is asked for anew costs more than the
/// read.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    sealed: AlignedBuffer,
    /// Bytes before the block in `sealed`.
    lead: usize,
    room: Room,
    /// To the tree that used it last.
    charge: Option<Charge>,
}

/// Larger rooms are not kept.
const SCRATCH_BYTES: usize = 1 << 20;

impl Scratch {
    /// What [`read_block`] left here last.
    pub(crate) fn payload(&self, payload: Payload) -> &[u8] {
        payload.of(self.sealed(), &self.room)
    }

    /// The same as it stands in the file, trailer included.
    pub(crate) fn sealed(&self) -> &[u8] {
        self.sealed.get(self.lead..).unwrap_or_default()
    }

    /// Charges what it holds to a tree. Cost: two comparisons when nothing has changed.
    pub(crate) fn note(&mut self, memory: &Arc<Memory>) {
        let held = self.sealed.held_bytes() + self.room.held_bytes();
        match &mut self.charge {
            Some(charge) if charge.is_of(memory) => charge.set(held),
            _ => self.charge = Some(Charge::new(memory, Kind::Buffers, held)),
        }
    }

    /// Gives back what an unusually large block needed.
    pub(crate) fn trim(&mut self) {
        if self.sealed.held_bytes() > SCRATCH_BYTES || self.room.held_bytes() > SCRATCH_BYTES {
            *self = Scratch::default();
        }
    }
}

/// Reads and verifies one block; its uncompressed payload lies in `scratch` then.
pub(crate) fn read_block(
    file: &dyn File,
    identity: &TableIdentity,
    kind: BlockKind,
    handle: BlockHandle,
    scratch: &mut Scratch,
) -> Result<Payload> {
    // At the same place within a page as in the file: copies from the page cache are several times slower between
    // places that differ by a few bytes (see `AlignedBuffer`).
    let lead = usize::try_from(handle.offset % ALIGNMENT_BYTES as u64).unwrap_or(0);
    scratch.lead = lead;
    scratch.sealed.resize_stale(lead + handle.bytes as usize);
    let sealed = scratch.sealed.get_mut(lead..).unwrap_or_default();
    file.read_exact_at(sealed, handle.offset)
        .map_err(|error| short_read(error, file.path(), CorruptionKind::TableMismatch, handle.offset))?;
    open_block(identity, kind, sealed, handle.offset, &mut scratch.room).map_err(|kind| Error::Corruption {
        kind,
        file: file.path().to_path_buf(),
        offset: handle.offset,
    })
}

/// A file that ends before the bytes that must be in it is damaged; everything else is the system's error.
pub(crate) fn short_read(error: stemedb_env::Error, path: &Path, kind: CorruptionKind, offset: u64) -> Error {
    if error.kind() == Some(std::io::ErrorKind::UnexpectedEof) {
        Error::Corruption { kind, file: path.to_path_buf(), offset }
    } else {
        Error::Env(error)
    }
}

/// The first bytes of a table.
pub(crate) fn encode_header(identity: &TableIdentity, derivation_version: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&HEADER_MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&derivation_version.to_le_bytes());
    out.extend_from_slice(&identity.database.0);
    out.extend_from_slice(&identity.file.to_le_bytes());
    out.extend_from_slice(&identity.checksum(0, &out).to_le_bytes());
    out
}

/// Checks the first bytes of a table.
pub(crate) fn check_header(identity: &TableIdentity, derivation_version: u32, bytes: &[u8]) -> bool {
    bytes == encode_header(identity, derivation_version)
}

/// What the end of a table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Footer {
    pub(crate) key_filter: BlockHandle,
    pub(crate) prefix_filter: BlockHandle,
    pub(crate) index: BlockHandle,
    pub(crate) properties: BlockHandle,
    /// Length of the block of removed ranges, which ends where the key filter begins; 0 without one.
    pub(crate) ranges_bytes: u32,
    /// Length of the whole file.
    pub(crate) file_bytes: u64,
}

impl Footer {
    fn handles(&self) -> [BlockHandle; 4] {
        [self.key_filter, self.prefix_filter, self.index, self.properties]
    }

    /// For a table of which nothing is known but where its data blocks end.
    pub(crate) fn of_data(end: u64) -> Footer {
        let nothing = BlockHandle { offset: end, bytes: 0 };
        Footer {
            key_filter: nothing,
            prefix_filter: nothing,
            index: nothing,
            properties: nothing,
            ranges_bytes: 0,
            file_bytes: end,
        }
    }

    /// Where the data blocks end.
    pub(crate) fn data_end(&self) -> u64 {
        self.key_filter.offset - u64::from(self.ranges_bytes)
    }

    /// The block of removed ranges, if there is one.
    pub(crate) fn ranges(&self) -> Option<BlockHandle> {
        let handle = BlockHandle { offset: self.data_end(), bytes: self.ranges_bytes };
        (self.ranges_bytes > 0).then_some(handle)
    }

    pub(crate) fn encode(&self, identity: &TableIdentity) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        for handle in self.handles() {
            out.extend_from_slice(&handle.offset.to_le_bytes());
            out.extend_from_slice(&handle.bytes.to_le_bytes());
        }
        out.extend_from_slice(&self.file_bytes.to_le_bytes());
        out.extend_from_slice(&identity.database.0);
        out.extend_from_slice(&identity.file.to_le_bytes());
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.ranges_bytes.to_le_bytes());
        let offset = self.file_bytes - FOOTER_BYTES as u64;
        out.extend_from_slice(&identity.checksum(offset, &out).to_le_bytes());
        out.extend_from_slice(&FOOTER_MAGIC);
        out
    }

    /// Decodes the last [`FOOTER_BYTES`] of a file of `file_bytes` bytes; `None` if they are not a footer of this
    /// table. The blocks that it names are checked to follow each other up to the footer.
    pub(crate) fn decode(identity: &TableIdentity, bytes: &[u8], file_bytes: u64) -> Option<Footer> {
        let mut fields = Fields::new(bytes);
        let mut handle = || -> std::result::Result<BlockHandle, Malformed> {
            Ok(BlockHandle { offset: fields.u64()?, bytes: fields.u32()? })
        };
        let mut footer = Footer {
            key_filter: handle().ok()?,
            prefix_filter: handle().ok()?,
            index: handle().ok()?,
            properties: handle().ok()?,
            ranges_bytes: 0,
            file_bytes: 0,
        };
        footer.file_bytes = fields.u64().ok()?;
        fields.take(28).ok()?;
        footer.ranges_bytes = fields.u32().ok()?;
        let tiled = footer
            .handles()
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.offset.checked_add(u64::from(a.bytes)) == Some(b.offset)));
        let end = footer.properties.offset.checked_add(u64::from(footer.properties.bytes))?;
        let whole = footer.file_bytes == file_bytes
            && file_bytes.checked_sub(FOOTER_BYTES as u64) == Some(end)
            && footer.key_filter.offset >= HEADER_BYTES as u64 + u64::from(footer.ranges_bytes);
        // Comparing with its own encoding covers every remaining byte, the checksum included.
        (tiled && whole && footer.encode(identity) == bytes).then_some(footer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compression, table::pack::Packer};

    const HOME: TableIdentity = TableIdentity { database: DatabaseId([1; 16]), file: 7 };

    #[test]
    fn a_block_verifies_only_at_its_own_place_and_as_its_own_kind() {
        let mut sealed = Vec::new();
        seal_block(&HOME, BlockKind::Data, Packing::PLAIN, b"rows", 48, &mut sealed);
        let open = |identity: &TableIdentity, kind, sealed: &[u8], offset| {
            open_block(identity, kind, sealed, offset, &mut Room::default())
        };
        assert_eq!(open(&HOME, BlockKind::Data, &sealed, 48), Ok(Payload::Stored(4)));
        let other_file = TableIdentity { file: 8, ..HOME };
        let other_database = TableIdentity { database: DatabaseId([2; 16]), ..HOME };
        for (identity, offset) in [(HOME, 49), (HOME, 48 + 4096), (other_file, 48), (other_database, 48)] {
            let refused = open(&identity, BlockKind::Data, &sealed, offset);
            assert_eq!(refused, Err(CorruptionKind::BlockChecksum), "{identity:?} {offset}");
        }
        assert_eq!(open(&HOME, BlockKind::Index, &sealed, 48), Err(CorruptionKind::BlockFormat));
    }

    #[test]
    fn a_compressed_block_comes_back_and_a_wild_length_is_refused_before_it_is_allocated() {
        let rows = b"abc".repeat(500);
        let mut room = Room::default();
        for with in [Compression::Lz4, Compression::Zstd(3)] {
            let mut packer = Packer::new(with);
            let (codec, payload) = packer.pack(&rows).unwrap();
            let mut payload = payload.to_vec();
            let packing = Packing { codec: Some(codec), folded: false };
            let mut sealed = Vec::new();
            seal_block(&HOME, BlockKind::Data, packing, &payload, 48, &mut sealed);
            // In a room that an earlier, larger block has used.
            assert_eq!(
                open_block(&HOME, BlockKind::Data, &sealed, 48, &mut room),
                Ok(Payload::Unpacked(rows.len()))
            );
            assert_eq!(&room.bytes()[..rows.len()], rows);
            for wild in [u32::MAX, 65 << 20, 1501] {
                payload[..4].copy_from_slice(&wild.to_le_bytes());
                let mut sealed = Vec::new();
                seal_block(&HOME, BlockKind::Data, packing, &payload, 48, &mut sealed);
                let refused = open_block(&HOME, BlockKind::Data, &sealed, 48, &mut room);
                assert_eq!(refused, Err(CorruptionKind::BlockFormat));
            }
        }
        let mut sealed = Vec::new();
        seal_block(&HOME, BlockKind::Data, Packing::PLAIN, b"rows", 48, &mut sealed);
        let tag = sealed.len() - 9;
        sealed.truncate(tag);
        sealed.push(BlockKind::Data as u8 | Codec::Lz4 as u8 | Codec::Zstd as u8);
        let checksum = HOME.checksum(48, &sealed);
        sealed.extend_from_slice(&checksum.to_le_bytes());
        let refused = open_block(&HOME, BlockKind::Data, &sealed, 48, &mut room);
        assert_eq!(refused, Err(CorruptionKind::BlockFormat), "two codecs at once");
    }

    #[test]
    fn every_flipped_bit_of_header_and_footer_is_noticed() {
        let header = encode_header(&HOME, 3);
        assert_eq!(header.len(), HEADER_BYTES);
        let handle = |offset| BlockHandle { offset, bytes: 100 };
        let footer = Footer {
            key_filter: handle(1000),
            prefix_filter: handle(1100),
            index: handle(1200),
            properties: handle(1300),
            ranges_bytes: 70,
            file_bytes: 1400 + FOOTER_BYTES as u64,
        };
        let encoded = footer.encode(&HOME);
        assert_eq!(encoded.len(), FOOTER_BYTES);
        assert_eq!(Footer::decode(&HOME, &encoded, footer.file_bytes), Some(footer));
        for bit in 0..FOOTER_BYTES * 8 {
            let mut rotten = encoded.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(&HOME, &rotten, footer.file_bytes), None, "bit {bit}");
        }
        for bit in 0..HEADER_BYTES * 8 {
            let mut rotten = header.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert!(!check_header(&HOME, 3, &rotten), "bit {bit}");
        }
    }
}
