//! Collecting rows until a block is full.

use stemedb_env::Lsn;

use super::{FIXED_BYTES, FLAG_TOMBSTONES, hash_index};
use crate::codec::common_prefix;

/// One row that has been added.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Behind its value in `data`.
    end: u32,
    key_bytes: u32,
    lsn: Lsn,
    removed: bool,
}

/// Collects rows in order and encodes them. Reused from block to block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    /// Keys and values, one behind the other.
    data: Vec<u8>,
    places: Vec<Place>,
    /// Hash and row of the first version of each key.
    firsts: Vec<(u64, u32)>,
    prefix_bytes: usize,
    removals: usize,
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The least of 0, 1, 2, 4 and 8 bytes that hold `n`.
fn width_of(n: u64) -> u8 {
    match n {
        0 => 0,
        1..=0xFF => 1,
        0x100..=0xFFFF => 2,
        0x1_0000..=0xFFFF_FFFF => 4,
        _ => 8,
    }
}

fn put(out: &mut Vec<u8>, n: u64, width: u8) {
    let bytes = n.to_le_bytes();
    out.extend_from_slice(bytes.get(..usize::from(width)).unwrap_or_default());
}

impl BlockBuilder {
    /// Adds a row behind all others. `hash` is the key's filter hash; `new_key` says that the row before has another key.
    pub(crate) fn add(&mut self, key: &[u8], hash: u64, new_key: bool, lsn: Lsn, value: Option<&[u8]>) {
        let row = narrow(self.places.len());
        if row == 0 {
            self.prefix_bytes = key.len();
        } else {
            let shared = self.data.get(..self.prefix_bytes).unwrap_or_default();
            if !key.starts_with(shared) {
                self.prefix_bytes = common_prefix(shared, key);
            }
        }
        if new_key || row == 0 {
            self.firsts.push((hash, row));
        }
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value.unwrap_or_default());
        self.removals += usize::from(value.is_none());
        self.places.push(Place {
            end: narrow(self.data.len()),
            key_bytes: narrow(key.len()),
            lsn,
            removed: value.is_none(),
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// About what [`BlockBuilder::finish`] will write.
    pub(crate) fn estimated_bytes(&self) -> usize {
        let rows = self.places.len();
        FIXED_BYTES + self.prefix_bytes + self.data.len() - rows * self.prefix_bytes + rows * 4
    }

    /// Appends the encoded block to `out` and empties the builder.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let rows = self.places.len();
        let prefix = self.prefix_bytes;
        let row_bytes = self.data.len() - rows * prefix;
        let lsns = self.places.iter().map(|place| place.lsn.0);
        let min = lsns.clone().min().unwrap_or_default();
        let lsn_width = width_of(lsns.max().unwrap_or_default() - min);
        let start_width: u8 = if row_bytes <= 0xFFFF { 2 } else { 4 };
        let suffix = |place: &Place| place.key_bytes as usize - prefix;
        let longest = self.places.iter().map(suffix).max().unwrap_or_default();
        let shortest = self.places.iter().map(suffix).min().unwrap_or_default();
        let length_width = if longest == shortest { 0 } else { width_of(longest as u64) };
        let buckets = hash_index::bucket_count(rows, self.firsts.len());
        out.reserve(FIXED_BYTES + buckets + rows * 17 + prefix + row_bytes);
        for field in [rows, prefix, if length_width == 0 { longest } else { 0 }] {
            out.extend_from_slice(&narrow(field).to_le_bytes());
        }
        out.extend_from_slice(&u16::try_from(buckets).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&[lsn_width, start_width, length_width, u8::from(self.removals > 0)]);
        const { assert!(FLAG_TOMBSTONES == 1) }
        out.extend_from_slice(&min.to_le_bytes());
        hash_index::build(&self.firsts, buckets, out);
        let mut start = 0;
        for (at, place) in self.places.iter().enumerate() {
            put(out, start, start_width);
            start = u64::from(place.end) - ((at + 1) * prefix) as u64;
        }
        if length_width > 0 {
            self.places.iter().for_each(|place| put(out, suffix(place) as u64, length_width));
        }
        if lsn_width > 0 {
            self.places.iter().for_each(|place| put(out, place.lsn.0 - min, lsn_width));
        }
        if self.removals > 0 {
            for group in self.places.chunks(8) {
                let bits = group.iter().enumerate();
                out.push(bits.fold(0, |bits, (at, place)| bits | (u8::from(place.removed) << at)));
            }
        }
        out.extend_from_slice(self.data.get(..prefix).unwrap_or_default());
        if prefix == 0 {
            out.extend_from_slice(&self.data);
        } else {
            let mut start = 0;
            for place in &self.places {
                let end = place.end as usize;
                out.extend_from_slice(self.data.get(start + prefix..end).unwrap_or_default());
                start = end;
            }
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.data.clear();
        self.places.clear();
        self.firsts.clear();
        self.prefix_bytes = 0;
        self.removals = 0;
    }
}
