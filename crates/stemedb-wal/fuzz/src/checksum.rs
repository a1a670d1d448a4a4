//! Makes damaged frames verify, so that what stands behind the checksum is reached.

use std::ops::Range;

use stemedb_env::frame::{HEADER_BYTES, MAGIC, TRAILER_BYTES};

/// Frames start on multiples of this.
pub const SECTOR_BYTES: usize = 512;
const CHAIN: Range<usize> = 80..96;

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(field)).ok()
}

/// The frame at the start of `bytes`, as long as it says.
fn claimed(bytes: &mut [u8]) -> Option<&mut [u8]> {
    let total = u32_at(bytes, 52).filter(|&total| total >= HEADER_BYTES + TRAILER_BYTES)?;
    bytes.get_mut(..total)
}

/// Writes the checksum that the frame at the start of `bytes` should have, if its length allows one.
pub fn fix(bytes: &mut [u8]) {
    let Some(frame) = claimed(bytes) else { return };
    let (covered, trailer) = frame.split_at_mut(frame.len() - TRAILER_BYTES);
    let mut crc = flate2::Crc::new();
    crc.update(covered);
    trailer.copy_from_slice(&crc.sum().to_le_bytes());
}

/// Where the frame starts that `at` lies in, by the magic numbers on sector boundaries.
pub fn start_of_frame(file: &[u8], at: usize) -> Option<usize> {
    let sector = at.min(file.len()) / SECTOR_BYTES;
    (0..=sector).rev().map(|sector| sector * SECTOR_BYTES).find(|&start| {
        let magic = file.get(start..start + MAGIC.len());
        magic == Some(&MAGIC[..])
    })
}

/// Fixes the frame that starts at `start` of a segment; with `followers` also those behind it, whose chain values change.
pub fn fix_from(file: &mut [u8], start: usize, followers: bool) {
    let mut at = start;
    let mut chain = None;
    while let Some(frame) = file.get_mut(at..).and_then(claimed) {
        if let Some(chain) = chain {
            frame[CHAIN].copy_from_slice(chain_bytes(&chain));
        }
        fix(frame);
        let used = u32_at(frame, 48).and_then(|payload| frame.get(..HEADER_BYTES.checked_add(payload)?));
        chain = used.map(blake3::hash);
        at += frame.len();
        if !followers || chain.is_none() {
            return;
        }
    }
}

fn chain_bytes(hash: &blake3::Hash) -> &[u8] {
    &hash.as_bytes()[..CHAIN.len()]
}
