//! The payload of a group frame: per entry its length (u32) and its bytes; LZ4 over all of it when that pays.
//!
//! An LZ4 payload starts with its uncompressed length (u32).

use bytes::Bytes;
use stemedb_env::{
    AlignedBuffer,
    frame::{Frame, HEADER_BYTES},
};

use super::{FLAG_LZ4, KIND_GROUP};
use crate::options::MAX_GROUP_BYTES;

/// Below this, compressing costs more than the sector it might save.
pub(crate) const COMPRESS_FROM_BYTES: usize = 4 << 10;

/// Whether LZ4 may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Lz4IfSmaller,
}

/// Puts the payload of a group into `frame` (cleared first) behind the room for a header; returns the frame's flags and
/// the payload's length. The caller has checked the sizes.
pub(crate) fn encode_group(entries: &[&[u8]], encoding: Encoding, frame: &mut AlignedBuffer) -> (u16, usize) {
    frame.clear();
    let plain_bytes: usize = entries.iter().map(|entry| entry.len() + 4).sum();
    frame.reserve_total(HEADER_BYTES + plain_bytes);
    frame.resize_stale(HEADER_BYTES);
    for entry in entries {
        frame.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
        frame.extend_from_slice(entry);
    }
    if encoding == Encoding::Lz4IfSmaller
        && let Some(packed) = pack(&frame[HEADER_BYTES..])
    {
        frame.resize_stale(HEADER_BYTES);
        frame.extend_from_slice(&packed);
        return (FLAG_LZ4, packed.len());
    }
    (0, plain_bytes)
}

/// The payload of a group as LZ4, if that is to be used.
pub(crate) fn pack(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < COMPRESS_FROM_BYTES {
        return None;
    }
    let packed = lz4_flex::block::compress_prepend_size(plain);
    (packed.len() <= plain.len() - plain.len() / 8).then_some(packed)
}

/// The entries of a verified group frame; `None` if the payload has the wrong shape. One copy for the whole group.
pub(crate) fn decode_group(frame: &Frame<'_>) -> Option<GroupEntries> {
    if frame.header.kind != KIND_GROUP || frame.header.count == 0 {
        return None;
    }
    let payload = match frame.header.flags {
        0 => Bytes::copy_from_slice(frame.payload),
        FLAG_LZ4 => {
            let size = u32::from_le_bytes(frame.payload.get(..4)?.try_into().ok()?) as usize;
            if size > MAX_GROUP_BYTES {
                return None;
            }
            let plain = lz4_flex::block::decompress(frame.payload.get(4..)?, size).ok()?;
            if plain.len() != size {
                return None;
            }
            Bytes::from(plain)
        }
        _ => return None,
    };
    // Walked once here, so that taking the entries one by one cannot fail half-way.
    let mut rest: &[u8] = &payload;
    for _ in 0..frame.header.count {
        let len = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        rest = rest.get(4..)?.get(len..)?;
    }
    rest.is_empty().then_some(GroupEntries { payload })
}

/// The entries of a group that have not been taken yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupEntries {
    payload: Bytes,
}

impl GroupEntries {
    /// The next entry, sharing the group's memory.
    pub fn take(&mut self) -> Option<Bytes> {
        let len = u32::from_le_bytes(self.payload.get(..4)?.try_into().ok()?) as usize;
        if self.payload.len() < 4 + len {
            return None;
        }
        let mut entry = self.payload.split_to(4 + len);
        Some(entry.split_off(4))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stemedb_env::{
        Lsn,
        frame::{Chain, FrameHeader},
    };

    use super::*;

    fn frame(payload: &[u8], flags: u16, count: u32) -> Frame<'_> {
        let header = FrameHeader {
            kind: KIND_GROUP,
            flags,
            offset: 0,
            first_lsn: Lsn(1),
            count,
            watermark: 0,
            chain_prev: Chain::default(),
        };
        Frame { header, payload, frame_bytes: 0, chain: Chain::default() }
    }

    proptest! {
        #[test]
        fn entries_come_back_as_they_went_in(
            entries in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..900), 1..30),
            compress: bool,
        ) {
            let borrowed: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            let mut buffer = AlignedBuffer::new();
            let encoding = if compress { Encoding::Lz4IfSmaller } else { Encoding::Plain };
            let (flags, len) = encode_group(&borrowed, encoding, &mut buffer);
            prop_assert_eq!(buffer.len(), HEADER_BYTES + len);
            let mut group = decode_group(&frame(&buffer[HEADER_BYTES..], flags, entries.len() as u32)).unwrap();
            for entry in &entries {
                prop_assert_eq!(group.take().unwrap(), &entry[..]);
            }
            prop_assert!(group.take().is_none());
        }

        #[test]
        fn no_payload_makes_the_decoder_panic(
            payload in proptest::collection::vec(any::<u8>(), 0..200), flags in 0u16..3, count in 0u32..5,
        ) {
            if let Some(mut group) = decode_group(&frame(&payload, flags, count)) {
                for _ in 0..count {
                    prop_assert!(group.take().is_some());
                }
            }
        }
    }

    #[test]
    fn a_payload_is_compressed_only_when_it_saves_an_eighth() {
        let zeros = vec![0; 8 << 10];
        let mut buffer = AlignedBuffer::new();
        let (flags, len) = encode_group(&[&zeros], Encoding::Lz4IfSmaller, &mut buffer);
        assert!(flags == FLAG_LZ4 && len < 200);
        assert_eq!(encode_group(&[&zeros], Encoding::Plain, &mut buffer).0, 0);
        assert_eq!(encode_group(&[&zeros[..1000]], Encoding::Lz4IfSmaller, &mut buffer).0, 0);
        let mut noise = vec![0; 8 << 10];
        stemedb_env::Random::fill(&stemedb_env::random::SeededRandom::new(1), &mut noise);
        assert_eq!(encode_group(&[&noise], Encoding::Lz4IfSmaller, &mut buffer), (0, noise.len() + 4));
    }

    #[test]
    fn a_compressed_size_beyond_the_limit_is_refused_before_it_is_allocated() {
        let mut payload = u32::MAX.to_le_bytes().to_vec();
        payload.extend_from_slice(&[0; 16]);
        assert!(decode_group(&frame(&payload, FLAG_LZ4, 1)).is_none());
    }
}
