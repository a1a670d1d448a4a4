//! A frame with one changed byte: which one, and what it was.
//!
//! The checksum is linear: what a changed byte adds to it depends on its place and on the bits that changed, not on the
//! rest of the frame. So the difference of the two checksums, run backwards over as many zero bytes as the frame is long,
//! passes through every single change that would explain it. For frames of a few KiB there is one; the chain value of the
//! next frame decides, as it does for everything that fills a hole.

use stemedb_env::frame::{Chain, FileIdentity, Frame, HEADER_BYTES, MAX_FRAME_BYTES, TRAILER_BYTES, decode};

/// The CRC-32 (IEEE) of single bytes.
const TABLE: [u32; 256] = table();
/// Which entry of [`TABLE`] has a highest byte: no two have the same.
const BY_HIGHEST: [u8; 256] = by_highest();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

const fn by_highest() -> [u8; 256] {
    let mut found = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        found[(TABLE[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    found
}

fn crc(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// The state before a zero byte that led to this one.
fn before_zero(state: u32) -> u32 {
    let index = BY_HIGHEST[(state >> 24) as usize];
    ((state ^ TABLE[index as usize]) << 8) | u32::from(index)
}

/// Every single changed byte that explains the checksum: its place, and what is to be flipped. From the end to the front.
fn changes(frame: &[u8]) -> Vec<(usize, u8)> {
    let Some((content, stored)) = frame.split_last_chunk::<TRAILER_BYTES>() else { return Vec::new() };
    let mut state = crc(content) ^ u32::from_le_bytes(*stored);
    let mut found = Vec::new();
    if state == 0 {
        return found;
    }
    for at in (0..content.len()).rev() {
        let flip = BY_HIGHEST[(state >> 24) as usize];
        if flip != 0 && TABLE[flip as usize] == state {
            found.push((at, flip));
        }
        state = before_zero(state);
    }
    found
}

/// More explanations than this are not tried. A frame of 40 MiB has two or three.
const MAX_CHANGES: usize = 64;

/// Puts right what stands in `bytes`, if it is one frame of this file at this offset in which one byte has changed, or
/// anything in its padding and checksum. `before` and `after` are the chain values on both sides; `after` proves it.
/// Cost: one pass over the frame, and three for every explanation that is tried.
pub(super) fn correct(
    bytes: &mut [u8],
    identity: &FileIdentity,
    offset: u64,
    before: Option<Chain>,
    after: Chain,
) -> bool {
    if bytes.len() < HEADER_BYTES + TRAILER_BYTES || bytes.len() > MAX_FRAME_BYTES {
        return false;
    }
    let is_it = |frame: &Frame<'_>, len: usize| {
        frame.frame_bytes == len
            && frame.chain == after
            && before.is_none_or(|before| before == frame.header.chain_prev)
    };
    for (at, flip) in changes(bytes).into_iter().take(MAX_CHANGES) {
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= flip;
        }
        if decode(bytes, identity, offset).is_ok_and(|frame| is_it(&frame, bytes.len())) {
            return true;
        }
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= flip;
        }
    }
    // Nothing but padding and checksum may be wrong: both follow from the rest.
    let mut renewed = bytes.to_vec();
    let payload = renewed.get(48..52).and_then(|field| field.try_into().ok()).map(u32::from_le_bytes);
    let used = payload.map_or(usize::MAX, |payload| HEADER_BYTES.saturating_add(payload as usize));
    let end = renewed.len() - TRAILER_BYTES;
    let Some(padding) = renewed.get_mut(used..end) else { return false };
    padding.fill(0);
    let sum = crc(renewed.get(..end).unwrap_or_default());
    if let Some(trailer) = renewed.get_mut(end..) {
        trailer.copy_from_slice(&sum.to_le_bytes());
    }
    let is_whole = decode(&renewed, identity, offset).is_ok_and(|frame| is_it(&frame, renewed.len()));
    if is_whole {
        bytes.copy_from_slice(&renewed);
    }
    is_whole
}

#[cfg(test)]
mod tests {
    use stemedb_env::{
        Lsn,
        frame::{DatabaseId, FrameHeader, LogKind, encode},
    };

    use super::*;

    fn identity() -> FileIdentity {
        FileIdentity { database: DatabaseId([7; 16]), timeline: 1, log: LogKind::Journal, file: 3 }
    }

    fn frame(payload: &[u8]) -> (Vec<u8>, Chain) {
        let header = FrameHeader {
            kind: 2,
            flags: 0,
            offset: 512,
            first_lsn: Lsn(4),
            count: 2,
            watermark: 512,
            chain_prev: Chain([9; 16]),
        };
        let mut bytes = Vec::new();
        let chain = encode(&identity(), &header, payload, 512, &mut bytes).unwrap();
        (bytes, chain)
    }

    #[test]
    fn every_change_of_every_byte_is_put_right() {
        let (whole, chain) = frame(&[0xA5; 600]);
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xFF, 0x5A] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                assert!(correct(&mut bytes, &identity(), 512, Some(Chain([9; 16])), chain), "{at} {flip}");
                assert_eq!(bytes, whole);
            }
        }
    }

    #[test]
    fn a_damaged_padding_and_checksum_follow_from_the_rest() {
        let (whole, chain) = frame(b"short");
        let mut bytes = whole.clone();
        bytes[300..512].fill(0xEE);
        assert!(correct(&mut bytes, &identity(), 512, None, chain));
        assert_eq!(bytes, whole);
    }

    #[test]
    fn more_than_one_byte_and_another_chain_are_refused_and_nothing_is_changed() {
        let (whole, chain) = frame(&[0xA5; 600]);
        let mut bytes = whole.clone();
        (bytes[100], bytes[200]) = (0, 0);
        let damaged = bytes.clone();
        assert!(!correct(&mut bytes, &identity(), 512, None, chain));
        assert_eq!(bytes, damaged);
        let mut bytes = whole.clone();
        bytes[100] = 0;
        assert!(!correct(&mut bytes, &identity(), 512, None, Chain([1; 16])));
        assert!(!correct(&mut bytes, &identity(), 512, Some(Chain([1; 16])), chain));
        assert!(!correct(&mut bytes, &identity(), 1024, None, chain));
        assert!(!correct(&mut [], &identity(), 0, None, chain));
    }

    #[test]
    fn the_way_back_over_zeros_is_the_way_forth() {
        for state in [1, 0xFFFF_FFFF, 0x8000_0000, 0x1234_5678] {
            let forth = (state >> 8) ^ TABLE[(state & 0xFF) as usize];
            assert_eq!(before_zero(forth), state);
        }
    }
}
