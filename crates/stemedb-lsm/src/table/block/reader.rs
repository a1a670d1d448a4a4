//! A block in memory: validated once, then read in place.

use std::{cmp::Ordering, sync::Arc};

use stemedb_env::Lsn;

use super::{FIXED_BYTES, FLAG_TOMBSTONES};
use crate::{
    Value,
    codec::{Fields, Malformed},
};

/// A validated block. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    bytes: Arc<[u8]>,
    rows: u32,
    prefix_end: u32,
    tombstones_at: u32,
    key_ends_at: u32,
    value_ends_at: u32,
    keys_at: u32,
    values_at: u32,
    min_lsn: u64,
    lsn_width: u8,
    offset_width: u8,
    has_tombstones: bool,
}

impl Block {
    /// Checks that every offset of the block lies inside of it and that ends never go back.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Block, Malformed> {
        let mut fields = Fields::new(&bytes);
        let rows = fields.u32()?;
        let prefix_bytes = fields.u32()?;
        let key_bytes = fields.u32()?;
        let lsn_width = fields.u8()?;
        let offset_width = fields.u8()?;
        let flags = fields.u8()?;
        let zero = fields.u8()?;
        let min_lsn = fields.u64()?;
        let sane = matches!(lsn_width, 0 | 1 | 2 | 4 | 8)
            && matches!(offset_width, 2 | 4)
            && flags <= FLAG_TOMBSTONES
            && zero == 0
            && rows > 0;
        if !sane {
            return Err(Malformed);
        }
        let has_tombstones = flags & FLAG_TOMBSTONES != 0;
        let add = |at: u32, n: u32| at.checked_add(n).ok_or(Malformed);
        let times = |n: u32| rows.checked_mul(n).ok_or(Malformed);
        let prefix_end = add(FIXED_BYTES as u32, prefix_bytes)?;
        let tombstones_at = add(prefix_end, times(u32::from(lsn_width))?)?;
        let key_ends_at = add(tombstones_at, if has_tombstones { rows.div_ceil(8) } else { 0 })?;
        let value_ends_at = add(key_ends_at, times(u32::from(offset_width))?)?;
        let keys_at = add(value_ends_at, times(u32::from(offset_width))?)?;
        let values_at = add(keys_at, key_bytes)?;
        let total = u32::try_from(bytes.len()).map_err(|_| Malformed)?;
        let value_bytes = total.checked_sub(values_at).ok_or(Malformed)?;
        let block = Block {
            bytes: Arc::from(bytes),
            rows,
            prefix_end,
            tombstones_at,
            key_ends_at,
            value_ends_at,
            keys_at,
            values_at,
            min_lsn,
            lsn_width,
            offset_width,
            has_tombstones,
        };
        for (ends_at, total) in [(key_ends_at, key_bytes), (value_ends_at, value_bytes)] {
            let mut before = 0;
            for at in 0..rows as usize {
                let end = block.end(ends_at, at);
                if end < before {
                    return Err(Malformed);
                }
                before = end;
            }
            if before != total {
                return Err(Malformed);
            }
        }
        Ok(block)
    }

    /// Number of rows, at least one.
    pub(crate) fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Bytes held in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.bytes.len() + size_of::<Block>()) as u64
    }

    /// What all keys of the block start with.
    pub(crate) fn prefix(&self) -> &[u8] {
        self.bytes.get(FIXED_BYTES..self.prefix_end as usize).unwrap_or_default()
    }

    fn end(&self, ends_at: u32, at: usize) -> u32 {
        if self.offset_width == 2 {
            let at = ends_at as usize + at * 2;
            match self.bytes.get(at..at + 2) {
                Some(&[a, b]) => u32::from(u16::from_le_bytes([a, b])),
                _ => 0,
            }
        } else {
            let at = ends_at as usize + at * 4;
            match self.bytes.get(at..at + 4) {
                Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
                _ => 0,
            }
        }
    }

    fn span(&self, ends_at: u32, base: u32, at: usize) -> (usize, usize) {
        let start = if at == 0 { 0 } else { self.end(ends_at, at - 1) };
        let end = self.end(ends_at, at);
        ((base + start) as usize, (base + end) as usize)
    }

    /// The key of row `at` without the block's prefix.
    pub(crate) fn suffix(&self, at: usize) -> &[u8] {
        let (start, end) = self.span(self.key_ends_at, self.keys_at, at);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The LSN of row `at`.
    pub(crate) fn lsn(&self, at: usize) -> Lsn {
        let width = usize::from(self.lsn_width);
        let start = self.prefix_end as usize + at * width;
        let column = self.bytes.get(start..start + width).unwrap_or_default();
        let delta = column.iter().rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        Lsn(self.min_lsn.wrapping_add(delta))
    }

    /// True when row `at` is a removal.
    pub(crate) fn is_tombstone(&self, at: usize) -> bool {
        self.has_tombstones
            && self
                .bytes
                .get(self.tombstones_at as usize + at / 8)
                .is_some_and(|bits| bits >> (at % 8) & 1 == 1)
    }

    /// The value of row `at`; `None` for a removal.
    pub(crate) fn value(&self, at: usize) -> Option<&[u8]> {
        if self.is_tombstone(at) {
            return None;
        }
        let (start, end) = self.span(self.value_ends_at, self.values_at, at);
        Some(self.bytes.get(start..end).unwrap_or_default())
    }

    /// The value of row `at` as a part of this block that stays readable on its own.
    pub(crate) fn pinned(&self, at: usize) -> Option<Value> {
        if self.is_tombstone(at) {
            return None;
        }
        let (start, end) = self.span(self.value_ends_at, self.values_at, at);
        Value::part(Arc::clone(&self.bytes), start, end)
    }

    /// True if row `at` has exactly this key.
    pub(crate) fn key_is(&self, at: usize, key: &[u8]) -> bool {
        at < self.rows() && key.strip_prefix(self.prefix()).is_some_and(|suffix| suffix == self.suffix(at))
    }

    /// The first row that is not before `(key, lsn)` in the order key ascending, LSN descending; [`Block::rows`] if
    /// all are before.
    pub(crate) fn lower_bound(&self, key: &[u8], lsn: Lsn) -> usize {
        let prefix = self.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            // No key of the block can lie between two strings that differ from it before its prefix ends.
            return if key < prefix { 0 } else { self.rows() };
        };
        let (mut low, mut high) = (0, self.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            let before = match self.suffix(middle).cmp(suffix) {
                Ordering::Less => true,
                Ordering::Equal => self.lsn(middle) > lsn,
                Ordering::Greater => false,
            };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
