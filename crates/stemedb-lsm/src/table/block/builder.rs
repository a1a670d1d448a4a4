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

/// The fixed fields of a block.
pub(super) struct Columns {
    rows: usize,
    prefix_bytes: usize,
    suffix_bytes: usize,
    pub(super) buckets: usize,
    pub(super) lsn_width: u8,
    pub(super) key_width: u8,
    pub(super) value_width: u8,
    flags: u8,
    pub(super) min_lsn: u64,
}

impl Columns {
    pub(super) fn put_fixed(&self, out: &mut Vec<u8>) {
        for field in [self.rows, self.prefix_bytes, self.suffix_bytes] {
            out.extend_from_slice(&narrow(field).to_le_bytes());
        }
        out.extend_from_slice(&u16::try_from(self.buckets).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&[self.lsn_width, self.key_width, self.value_width, self.flags]);
        out.extend_from_slice(&self.min_lsn.to_le_bytes());
    }
}

impl BlockBuilder {
    /// Bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.keys.capacity()
            + self.values.capacity()
            + self.places.capacity() * size_of::<Place>()
            + self.firsts.capacity() * size_of::<(u64, u32)>()
    }

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

    /// Number of rows so far.
    pub(crate) fn rows(&self) -> usize {
        self.places.len()
    }

    /// Appends the encoded block to `out` and empties the builder.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.encode(out);
        self.clear();
    }

    /// Appends the encoded block. The builder keeps its rows.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let columns = self.columns();
        let rows = self.rows();
        out.reserve(FIXED_BYTES + columns.buckets + rows * 17 + self.keys.len() + self.values.len());
        columns.put_fixed(out);
        hash_index::build(&self.firsts, columns.buckets, out);
        put_starts(out, self.suffix_ends(), columns.key_width);
        put_starts(out, self.value_ends(), columns.value_width);
        if columns.lsn_width > 0 {
            self.lsns().for_each(|lsn| put(out, lsn - columns.min_lsn, columns.lsn_width));
        }
        self.put_removals(out);
        out.extend_from_slice(self.prefix());
        (0..rows).for_each(|row| out.extend_from_slice(self.suffix(row)));
        out.extend_from_slice(&self.values);
    }

    pub(super) fn columns(&self) -> Columns {
        let rows = self.places.len();
        let min_lsn = self.lsns().min().unwrap_or_default();
        let suffix_bytes = self.keys.len() - rows * self.prefix_bytes;
        Columns {
            rows,
            prefix_bytes: self.prefix_bytes,
            suffix_bytes,
            buckets: hash_index::bucket_count(rows, self.firsts.len()),
            lsn_width: width_of(self.lsns().max().unwrap_or_default() - min_lsn),
            key_width: start_width(self.suffix_ends(), suffix_bytes),
            value_width: start_width(self.value_ends(), self.values.len()),
            flags: if self.removals > 0 { FLAG_TOMBSTONES } else { 0 },
            min_lsn,
        }
    }

    pub(super) fn lsns(&self) -> impl Iterator<Item = u64> + '_ {
        self.places.iter().map(|place| place.lsn.0)
    }

    fn suffix_ends(&self) -> impl Iterator<Item = u32> + Clone + '_ {
        let prefix = self.prefix_bytes;
        self.places.iter().enumerate().map(move |(at, place)| place.key_end - narrow((at + 1) * prefix))
    }

    fn value_ends(&self) -> impl Iterator<Item = u32> + Clone + '_ {
        self.places.iter().map(|place| place.value_end)
    }

    /// What all keys share.
    pub(super) fn prefix(&self) -> &[u8] {
        self.keys.get(..self.prefix_bytes).unwrap_or_default()
    }

    /// Where row `at` begins, given where each ends.
    fn start(&self, at: usize, end: impl Fn(&Place) -> u32) -> usize {
        at.checked_sub(1).and_then(|before| self.places.get(before)).map_or(0, |place| end(place) as usize)
    }

    /// The key of row `at` without what all keys share.
    pub(super) fn suffix(&self, at: usize) -> &[u8] {
        let start = self.start(at, |place| place.key_end) + self.prefix_bytes;
        let end = self.places.get(at).map_or(0, |place| place.key_end as usize);
        self.keys.get(start..end).unwrap_or_default()
    }

    /// Length of the value of row `at`.
    pub(super) fn value_bytes(&self, at: usize) -> usize {
        let end = self.places.get(at).map_or(0, |place| place.value_end as usize);
        end.saturating_sub(self.start(at, |place| place.value_end))
    }

    /// All values.
    pub(super) fn values(&self) -> &[u8] {
        &self.values
    }

    /// Appends a bit per row, if there are removals at all.
    pub(super) fn put_removals(&self, out: &mut Vec<u8>) {
        if self.removals > 0 {
            for group in self.places.chunks(8) {
                let bits = group.iter().enumerate();
                out.push(bits.fold(0, |bits, (at, place)| bits | (u8::from(place.removed) << at)));
            }
        }
    }

    /// Forgets all rows and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.places.clear();
        self.firsts.clear();
        self.prefix_bytes = 0;
        self.removals = 0;
    }
}
