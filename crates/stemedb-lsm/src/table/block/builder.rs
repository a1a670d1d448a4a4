//! Collecting rows until a block is full.

use stemedb_env::Lsn;

use super::{FIXED_BYTES, FLAG_TOMBSTONES};
use crate::codec::common_prefix;

/// Collects rows in order and encodes them. Reused from block to block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    keys: Vec<u8>,
    values: Vec<u8>,
    key_ends: Vec<u32>,
    value_ends: Vec<u32>,
    lsns: Vec<Lsn>,
    tombstones: Vec<bool>,
    prefix_bytes: usize,
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl BlockBuilder {
    pub(crate) fn add(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) {
        self.prefix_bytes = match self.key_ends.first() {
            None => key.len(),
            Some(first) => {
                let shared = self.keys.get(..self.prefix_bytes.min(*first as usize)).unwrap_or_default();
                common_prefix(shared, key)
            }
        };
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value.unwrap_or_default());
        self.key_ends.push(narrow(self.keys.len()));
        self.value_ends.push(narrow(self.values.len()));
        self.lsns.push(lsn);
        self.tombstones.push(value.is_none());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.key_ends.is_empty()
    }

    /// About what [`BlockBuilder::finish`] will write.
    pub(crate) fn estimated_bytes(&self) -> usize {
        let rows = self.key_ends.len();
        let suffixes = self.keys.len() - rows * self.prefix_bytes;
        FIXED_BYTES + self.prefix_bytes + suffixes + self.values.len() + rows * 5
    }

    /// Appends the encoded block to `out` and empties the builder.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let rows = self.key_ends.len();
        let prefix = self.prefix_bytes;
        let suffix_bytes = self.keys.len() - rows * prefix;
        let min = self.lsns.iter().min().copied().unwrap_or_default().0;
        let spread = self.lsns.iter().max().copied().unwrap_or_default().0 - min;
        let lsn_width: u8 = match spread {
            0 => 0,
            1..=0xFF => 1,
            0x100..=0xFFFF => 2,
            0x1_0000..=0xFFFF_FFFF => 4,
            _ => 8,
        };
        let offset_width: u8 = if suffix_bytes.max(self.values.len()) <= 0xFFFF { 2 } else { 4 };
        let deletes = self.tombstones.contains(&true);
        out.reserve(self.estimated_bytes() + rows * 8);
        for field in [rows, prefix, suffix_bytes] {
            out.extend_from_slice(&narrow(field).to_le_bytes());
        }
        out.extend_from_slice(&[lsn_width, offset_width, if deletes { FLAG_TOMBSTONES } else { 0 }, 0]);
        out.extend_from_slice(&min.to_le_bytes());
        out.extend_from_slice(self.keys.get(..prefix).unwrap_or_default());
        for lsn in &self.lsns {
            let delta = (lsn.0 - min).to_le_bytes();
            out.extend_from_slice(delta.get(..usize::from(lsn_width)).unwrap_or_default());
        }
        if deletes {
            for group in self.tombstones.chunks(8) {
                out.push(group.iter().enumerate().fold(0, |bits, (at, set)| bits | (u8::from(*set) << at)));
            }
        }
        let mut put_end = |end: u32| {
            let bytes = end.to_le_bytes();
            out.extend_from_slice(bytes.get(..usize::from(offset_width)).unwrap_or_default());
        };
        for (at, end) in self.key_ends.iter().enumerate() {
            put_end(end - narrow((at + 1) * prefix));
        }
        self.value_ends.iter().copied().for_each(&mut put_end);
        let mut start = 0;
        for end in &self.key_ends {
            let end = *end as usize;
            out.extend_from_slice(self.keys.get(start + prefix..end).unwrap_or_default());
            start = end;
        }
        out.extend_from_slice(&self.values);
        self.clear();
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.key_ends.clear();
        self.value_ends.clear();
        self.lsns.clear();
        self.tombstones.clear();
        self.prefix_bytes = 0;
    }
}
