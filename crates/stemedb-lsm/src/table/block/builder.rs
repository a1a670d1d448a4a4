//! Collecting rows until a block is full.

use stemedb_env::Lsn;

use super::{FIXED_BYTES, FLAG_TOMBSTONES, hash_index};
use crate::codec::common_prefix;

/// One row that has been added.
#[derive(Clone, Copy, Debug)]
struct Place {
    key_end: u32,
    value_end: u32,
    lsn: Lsn,
    removed: bool,
}

/// Collects rows in order and encodes them. Reused from block to block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    keys: Vec<u8>,
    values: Vec<u8>,
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

/// Width of a column of starts, given where each part ends: none if all are equally long.
fn start_width(mut ends: impl Iterator<Item = u32> + Clone, total: usize) -> u8 {
    let first = ends.clone().next().unwrap_or_default();
    let mut before = 0;
    let equal = ends.all(|end| end - std::mem::replace(&mut before, end) == first);
    match equal {
        true => 0,
        false if total <= 0xFFFF => 2,
        false => 4,
    }
}

fn put_starts(out: &mut Vec<u8>, ends: impl Iterator<Item = u32>, width: u8) {
    let mut start = 0;
    for end in ends.filter(|_| width > 0) {
        put(out, u64::from(start), width);
        start = end;
    }
}

impl BlockBuilder {
    /// Adds a row behind all others. `hash` is the key's filter hash; `new_key` says that the row before has another key.
    pub(crate) fn add(&mut self, key: &[u8], hash: u64, new_key: bool, lsn: Lsn, value: Option<&[u8]>) {
        let row = narrow(self.places.len());
        if row == 0 {
            self.prefix_bytes = key.len();
        } else {
            let shared = self.keys.get(..self.prefix_bytes).unwrap_or_default();
            if !key.starts_with(shared) {
                self.prefix_bytes = common_prefix(shared, key);
            }
        }
        if new_key || row == 0 {
            self.firsts.push((hash, row));
        }
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value.unwrap_or_default());
        self.removals += usize::from(value.is_none());
        let (key_end, value_end) = (narrow(self.keys.len()), narrow(self.values.len()));
        self.places.push(Place { key_end, value_end, lsn, removed: value.is_none() });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// About what [`BlockBuilder::finish`] will write.
    pub(crate) fn estimated_bytes(&self) -> usize {
        let rows = self.places.len();
        let suffixes = self.keys.len() - rows * self.prefix_bytes;
        FIXED_BYTES + self.prefix_bytes + suffixes + self.values.len() + rows * 4
    }

    /// Appends the encoded block to `out` and empties the builder.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let rows = self.places.len();
        let prefix = self.prefix_bytes;
        let suffix_bytes = self.keys.len() - rows * prefix;
        let lsns = self.places.iter().map(|place| place.lsn.0);
        let min = lsns.clone().min().unwrap_or_default();
        let lsn_width = width_of(lsns.max().unwrap_or_default() - min);
        let key_ends =
            self.places.iter().enumerate().map(|(at, place)| place.key_end - narrow((at + 1) * prefix));
        let value_ends = self.places.iter().map(|place| place.value_end);
        let key_width = start_width(key_ends.clone(), suffix_bytes);
        let value_width = start_width(value_ends.clone(), self.values.len());
        let buckets = hash_index::bucket_count(rows, self.firsts.len());
        out.reserve(FIXED_BYTES + buckets + rows * 17 + prefix + suffix_bytes + self.values.len());
        for field in [rows, prefix, suffix_bytes] {
            out.extend_from_slice(&narrow(field).to_le_bytes());
        }
        out.extend_from_slice(&u16::try_from(buckets).unwrap_or_default().to_le_bytes());
        let flags = if self.removals > 0 { FLAG_TOMBSTONES } else { 0 };
        out.extend_from_slice(&[lsn_width, key_width, value_width, flags]);
        out.extend_from_slice(&min.to_le_bytes());
        hash_index::build(&self.firsts, buckets, out);
        put_starts(out, key_ends, key_width);
        put_starts(out, value_ends, value_width);
        if lsn_width > 0 {
            self.places.iter().for_each(|place| put(out, place.lsn.0 - min, lsn_width));
        }
        if self.removals > 0 {
            for group in self.places.chunks(8) {
                let bits = group.iter().enumerate();
                out.push(bits.fold(0, |bits, (at, place)| bits | (u8::from(place.removed) << at)));
            }
        }
        out.extend_from_slice(self.keys.get(..prefix).unwrap_or_default());
        let mut start = 0;
        for place in &self.places {
            let end = place.key_end as usize;
            out.extend_from_slice(self.keys.get(start + prefix..end).unwrap_or_default());
            start = end;
        }
        out.extend_from_slice(&self.values);
        self.clear();
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.places.clear();
        self.firsts.clear();
        self.prefix_bytes = 0;
        self.removals = 0;
    }
}
