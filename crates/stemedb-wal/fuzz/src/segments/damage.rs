//! What is done to the files of a journal.
//!
//! ```text
//! 0  1  which damage; with bit 7 to the plain bytes of a packed file, which is then packed again
//! 1  1  the file, counted round and round
//! 2  2  the place
//! 4  4  numbers that mean something to the damage
//! ```
//!
//! Without forging, nothing writes bytes of the input's choice side by side: rot, stale sectors, cuts and confused files, but
//! not a checksum that somebody computed.

use stemedb_env::frame::{HEADER_BYTES, MAGIC};
use stemedb_wal::packed::PackedFormat;

use super::{
    super::{
        checksum::{SECTOR_BYTES, fix_from, start_of_frame},
        packed,
    },
    Files,
};

/// Frames that were hit are made to verify again.
#[derive(Clone, Copy)]
pub struct Forging {
    /// The frames behind them get new chain values.
    pub followers: bool,
}

/// Names that a file can be given.
const NAMES: [&str; 24] = [
    "HEAD",
    "HEAD.tmp",
    "live.000001.wal",
    "live.000002.wal",
    "live.000003.wal",
    "live.000005.wal",
    "live.000007.wal",
    "live.000008.wal",
    "live.000009.wal",
    "live.000010.wal",
    "live.1000000.wal",
    "live.18446744073709551614.wal",
    "live.18446744073709551615.wal",
    "segment.000001.wal",
    "segment.000003.wal",
    "segment.000007.wal",
    "segment.000009.wal",
    "segment.000001.wal.zst",
    "segment.000002.wal.gz",
    "segment.000004.wal.zst",
    "segment.18446744073709551614.wal",
    "segment.18446744073709551615.wal",
    "next.000009.tmp",
    "spare.000001.tmp",
];
/// No file grows beyond this.
const FILE_BYTES: usize = 256 << 10;

/// One damage.
pub fn apply(files: &mut Files, recipe: [u8; 8], forging: Option<Forging>) {
    let [damage, file, low, high, b, c, d, e] = recipe;
    let names: Vec<String> = files.keys().cloned().collect();
    let pick = |at: u8| names.get(usize::from(at) % names.len().max(1)).cloned();
    let Some(name) = pick(file) else { return };
    let place = usize::from(u16::from_le_bytes([low, high]));
    let wide = u32::from_le_bytes([b, c, d, e]);
    match damage & 0x7F {
        // Names.
        0 => drop(files.remove(&name)),
        1 | 2 => {
            let target = NAMES[place % NAMES.len()].to_owned();
            let bytes = if damage & 1 == 0 { files.get(&name).cloned() } else { files.remove(&name) };
            files.insert(target, bytes.unwrap_or_default());
        }
        3 => {
            let Some(other) = pick(b) else { return };
            let (one, two) = (files[&name].clone(), files[&other].clone());
            files.insert(name, two);
            files.insert(other, one);
        }
        // Content.
        other => {
            let source = pick(b).and_then(|source| files.get(&source).cloned()).unwrap_or_default();
            let format = PackedFormat::of_name(&name).filter(|_| damage & 0x80 != 0);
            let Some(content) = files.get_mut(&name) else { return };
            let plain = format.and_then(|format| Some((format, packed::unpack(content, format)?)));
            match plain {
                Some((format, mut plain)) => {
                    content_damage(&mut plain, other, place, wide, &source, forging);
                    *content = match format {
                        PackedFormat::Zstd => packed::zstd(&plain),
                        PackedFormat::Gzip => packed::gzip(&plain),
                    };
                }
                None => content_damage(content, other, place, wide, &source, forging),
            }
        }
    }
}

fn content_damage(
    bytes: &mut Vec<u8>,
    damage: u8,
    place: usize,
    wide: u32,
    source: &[u8],
    forging: Option<Forging>,
) {
    let [_, c, d, e] = wide.to_le_bytes();
    let at = place % bytes.len().max(1);
    let mut hit = Some(at);
    match damage % 8 {
        4 | 0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= c.max(1);
            }
        }
        // The same byte over and over.
        5 => {
            let end = bytes.len().min(at + 1 + usize::from(d) * 8);
            bytes[at.min(end)..end].fill(c);
        }
        6 => bytes.truncate(at),
        7 => {
            let len = bytes.len();
            bytes.resize(FILE_BYTES.max(len).min(len + 1 + usize::from(d) * 64), c);
            hit = None;
        }
        // A piece of a file in another place.
        1 => {
            let (sector, from) = (place % (bytes.len() / SECTOR_BYTES + 1), usize::from(c));
            let piece = source.get(from * SECTOR_BYTES..).unwrap_or_default();
            let piece = &piece[..piece.len().min((1 + usize::from(d % 8)) * SECTOR_BYTES)];
            let start = sector * SECTOR_BYTES;
            if start + piece.len() > FILE_BYTES || piece.is_empty() {
                return;
            }
            bytes.resize(bytes.len().max(start + piece.len()), 0);
            bytes[start..start + piece.len()].copy_from_slice(piece);
            hit = Some(start);
        }
        // Numbers of the input's choice, anywhere or in a field of a frame.
        2 if forging.is_some() => {
            let end = bytes.len().min(at + 4);
            bytes[at..end].copy_from_slice(&wide.to_le_bytes()[..end - at]);
        }
        3 if forging.is_some() => hit = field(bytes, at, c, d, e),
        _ => hit = None,
    }
    if let (Some(forging), Some(start)) = (forging, hit.and_then(|hit| start_of_frame(bytes, hit))) {
        fix_from(bytes, start, forging.followers);
    }
}

/// Sets a field of the frame around `at` to a number that is likely to be mishandled. Returns where the frame starts.
fn field(bytes: &mut [u8], at: usize, field: u8, value: u8, small: u8) -> Option<usize> {
    /// Offset and width of a header's fields, then of the numbers in the payload.
    const FIELDS: [(usize, usize); 20] = [
        (5, 1),
        (6, 2),
        (28, 4),
        (32, 8),
        (40, 8),
        (48, 4),
        (52, 4),
        (56, 8),
        (64, 4),
        (72, 8),
        (HEADER_BYTES, 4),
        (HEADER_BYTES, 8),
        (HEADER_BYTES + 4, 4),
        (HEADER_BYTES + 8, 8),
        (HEADER_BYTES + 16, 8),
        (HEADER_BYTES + 24, 8),
        (HEADER_BYTES + 32, 8),
        (HEADER_BYTES + 40, 8),
        (HEADER_BYTES + 56, 8),
        (HEADER_BYTES + 64, 8),
    ];
    let start = start_of_frame(bytes, at)?;
    let (offset, width) = FIELDS[usize::from(field) % FIELDS.len()];
    let len = bytes.len() as u64;
    let place = bytes.get_mut(start + offset..start + offset + width)?;
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(place);
    let now = u64::from_le_bytes(wide);
    let small = u64::from(small);
    let number = match value % 8 {
        0 => small,
        1 => u64::MAX - small,
        2 => now.wrapping_add(small),
        3 => now.wrapping_sub(small),
        4 => len.wrapping_sub(small),
        5 => small * SECTOR_BYTES as u64,
        6 => u64::from(u32::MAX >> (small % 32)),
        _ => u64::MAX >> (small % 64),
    };
    place.copy_from_slice(&number.to_le_bytes()[..width]);
    // Last LSN and base LSN of a segment's header belong together.
    if offset == HEADER_BYTES + 32 && bytes.get(start..start + 4) == Some(&MAGIC[..]) {
        let base = bytes.get_mut(start + HEADER_BYTES + 40..start + HEADER_BYTES + 48)?;
        base.copy_from_slice(&number.saturating_add(1).to_le_bytes());
    }
    Some(start)
}
