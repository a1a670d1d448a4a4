//! Compressing blocks, and getting them back.

use std::{cell::RefCell, fmt};

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::{
    block::{UnfoldRoom, unfold},
    format::{Codec, MAX_BLOCK_BYTES},
};
use crate::{
    Compression, CorruptionKind,
    codec::{Fields, Malformed},
};

/// A block must shrink to less than this many eighths to be stored compressed.
const COMPRESSED_EIGHTHS: usize = 7;
/// After this many blocks in a row that did not shrink, only every so many-th is tried.
const PATIENCE: u32 = 8;

/// The hash table of the LZ4 compressor, and a context of the other library for blocks.
const LZ4_TABLE_BYTES: usize = 8 << 10;
const COMPRESSOR_BYTES: usize = 512 << 10;

/// Compresses the blocks of one table.
pub(super) struct Packer {
    with: Compression,
    packed: Vec<u8>,
    lz4: CompressTable,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    incompressible: u32,
}

impl Packer {
    pub(super) fn new(with: Compression) -> Packer {
        // Where the library gives no context, LZ4 takes its place: every block says itself how it is compressed.
        let zstd = match with {
            Compression::Zstd(level) => zstd::bulk::Compressor::new(level).ok(),
            Compression::None | Compression::Lz4 => None,
        };
        Packer { with, packed: Vec::new(), lz4: CompressTable::small(), zstd, incompressible: 0 }
    }

    /// Bytes held, about.
    pub(super) fn held_bytes(&self) -> usize {
        self.packed.capacity() + LZ4_TABLE_BYTES + if self.zstd.is_some() { COMPRESSOR_BYTES } else { 0 }
    }

    /// The compressed payload and how it is compressed; `None` when it does not pay.
    pub(super) fn pack(&mut self, payload: &[u8]) -> Option<(Codec, &[u8])> {
        if self.with == Compression::None {
            return None;
        }
        if self.incompressible >= PATIENCE && !self.incompressible.is_multiple_of(PATIENCE) {
            self.incompressible += 1;
            return None;
        }
        let most = get_maximum_output_size(payload.len()).max(zstd::zstd_safe::compress_bound(payload.len()));
        self.packed.clear();
        self.packed.resize(4 + most, 0);
        let (length, out) = self.packed.split_at_mut_checked(4)?;
        length.copy_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
        let (codec, packed) = match &mut self.zstd {
            Some(zstd) => (Codec::Zstd, zstd.compress_to_buffer(payload, out).ok()),
            None => (Codec::Lz4, compress_into_with_table(payload, out, &mut self.lz4).ok()),
        };
        match packed.filter(|packed| *packed < payload.len() * COMPRESSED_EIGHTHS / 8) {
            Some(packed) => {
                self.incompressible = 0;
                Some((codec, self.packed.get(..4 + packed)?))
            }
            None => {
                self.incompressible += 1;
                None
            }
        }
    }
}

thread_local! {
    /// Zstandard's tables and windows, 150 KiB: one for each thread that reads, not one for each scan.
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Room for one decompressed and unfolded block, reused from block to block.
#[derive(Default)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    unfolded: Vec<u8>,
    unfold: UnfoldRoom,
    /// The blocks are read in order, so nobody needs their hash indexes.
    without_index: bool,
}

/// Where a folded block lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Folded<'a> {
    /// In the room, where it was decompressed: the first so many bytes.
    Unpacked(usize),
    /// Elsewhere.
    Stored(&'a [u8]),
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("capacity", &self.bytes.capacity()).finish_non_exhaustive()
    }
}

impl Room {
    /// Decompresses a payload; it lies in the first so many bytes then. A wild length is refused before it is allocated.
    pub(super) fn unpack(&mut self, codec: Codec, payload: &[u8]) -> Result<usize, CorruptionKind> {
        let malformed = CorruptionKind::BlockFormat;
        let bytes = Fields::new(payload).u32().map_err(|Malformed| malformed)? as usize;
        let packed = payload.get(4..).unwrap_or_default();
        // LZ4 cannot expand a byte to more than 255.
        if bytes > MAX_BLOCK_BYTES || (codec == Codec::Lz4 && bytes / 256 > packed.len()) {
            return Err(malformed);
        }
        // What an earlier block left there is overwritten: clearing it first would cost as much as copying it.
        self.bytes.resize(bytes.max(self.bytes.len()), 0);
        let room = self.bytes.get_mut(..bytes).ok_or(malformed)?;
        let unpacked = match codec {
            Codec::Lz4 => lz4_flex::block::decompress_into(packed, room).ok(),
            Codec::Zstd => ZSTD.with_borrow_mut(|zstd| {
                if zstd.is_none() {
                    *zstd = zstd::bulk::Decompressor::new().ok();
                }
                zstd.as_mut().and_then(|zstd| zstd.decompress_to_buffer(packed, room).ok())
            }),
        };
        if unpacked == Some(bytes) { Ok(bytes) } else { Err(malformed) }
    }

    /// For a reader in order, who needs no hash indexes; or for lookups, as a new room is.
    pub(crate) fn without_index(&mut self, without: bool) {
        self.without_index = without;
    }

    /// Unfolds a block: the first so many bytes of what was decompressed last, or one that was stored as it is.
    pub(super) fn unfold(&mut self, folded: Folded<'_>) -> Result<(), CorruptionKind> {
        let folded = match folded {
            Folded::Unpacked(bytes) => self.bytes.get(..bytes).unwrap_or_default(),
            Folded::Stored(bytes) => bytes,
        };
        unfold(folded, !self.without_index, &mut self.unfold, &mut self.unfolded)
            .map_err(|Malformed| CorruptionKind::BlockFormat)
    }

    /// What was unfolded last.
    pub(super) fn unfolded(&self) -> &[u8] {
        &self.unfolded
    }

    /// What was decompressed last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes held.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.unfolded.capacity() + self.unfold.held_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_what_does_not_shrink_stays() {
        let regular: Vec<u8> = (0..6_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut state = 1u64;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(5_000)
        .collect();
        let mut sizes = Vec::new();
        for with in [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(9)] {
            let mut packer = Packer::new(with);
            let mut room = Room::default();
            let (codec, packed) = packer.pack(&regular).unwrap();
            sizes.push(packed.len());
            assert_eq!(room.unpack(codec, packed), Ok(regular.len()));
            assert_eq!(&room.bytes()[..regular.len()], regular);
            let mut cut = packed.to_vec();
            cut.truncate(cut.len() - 3);
            assert_eq!(room.unpack(codec, &cut), Err(CorruptionKind::BlockFormat));
            assert!(packer.pack(&random).is_none());
            // After many that did not shrink most are not even tried; one that is brings the packer back.
            (0..PATIENCE * 2).for_each(|_| assert!(packer.pack(&random).is_none()));
            let tried = (0..PATIENCE * 2).filter(|_| packer.pack(&regular).is_some()).count();
            assert!(tried > 1);
        }
        assert!(sizes[1] < sizes[0] && sizes[2] <= sizes[1], "{sizes:?}");
        assert!(Packer::new(Compression::None).pack(&regular).is_none());
    }
}
