//! A block of truncated keys with their LSNs.

use stemedb_env::Lsn;
use stemedb_lsm::kv::MAX_KEY_BYTES;

use super::format::{Fields, MAX_BLOCK_BYTES, MAX_BLOCK_ROWS, Unfit, put_number};

/// A block is closed when its keys have this many bytes: one read of a repair.
const TARGET_BYTES: usize = 6 << 10;
/// In half of a byte: a number follows.
const MORE: usize = 15;
/// Rows, smallest LSN, LSN bits.
const FIXED_BYTES: usize = 13;

/// Gathers the rows of a block.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    keys: Vec<u8>,
    lsns: Vec<u64>,
    /// First key of the block.
    first: Vec<u8>,
    /// Length of the key that was added last.
    last_bytes: usize,
}

impl BlockBuilder {
    pub fn is_empty(&self) -> bool {
        self.lsns.is_empty()
    }

    /// True when the block should be closed before another key. Versions of a key may be added on up to the format's limit.
    pub fn is_full(&self) -> bool {
        self.keys.len() >= TARGET_BYTES || self.lsns.len() >= MAX_BLOCK_ROWS as usize / 2
    }

    /// True when not even another version of the last key has room.
    pub fn has_most_rows(&self) -> bool {
        self.lsns.len() >= MAX_BLOCK_ROWS as usize
    }

    /// A row whose key begins with `shared` bytes of the one before. `shared` counts for nothing in the first row.
    #[inline]
    pub fn add(&mut self, key: &[u8], shared: usize, lsn: Lsn) {
        let shared = match self.lsns.is_empty() {
            true => {
                self.first.clear();
                self.first.extend_from_slice(key);
                self.last_bytes = 0;
                0
            }
            false => shared.min(self.last_bytes).min(key.len()),
        };
        let rest = key.get(shared..).unwrap_or_default();
        // Prefixes end just behind where keys differ, so less is dropped of one than is shared with it.
        let dropped = self.last_bytes - shared;
        self.keys.push((dropped.min(MORE) << 4 | rest.len().min(MORE)) as u8);
        if dropped >= MORE {
            put_number(&mut self.keys, (dropped - MORE) as u64);
        }
        if rest.len() >= MORE {
            put_number(&mut self.keys, (rest.len() - MORE) as u64);
        }
        self.keys.extend_from_slice(rest);
        self.last_bytes = key.len();
        self.lsns.push(lsn.0);
    }

    /// First key, rows and payload of the block, which is empty then.
    pub fn finish(&mut self, payload: &mut Vec<u8>) -> (&[u8], u64) {
        payload.clear();
        let rows = self.lsns.len() as u64;
        let smallest = self.lsns.iter().copied().min().unwrap_or(0);
        let greatest = self.lsns.iter().copied().max().unwrap_or(0);
        let bits = u64::BITS - (greatest - smallest).leading_zeros();
        payload.extend_from_slice(&(rows as u32).to_le_bytes());
        payload.extend_from_slice(&smallest.to_le_bytes());
        payload.push(bits as u8);
        pack(&self.lsns, smallest, bits, payload);
        payload.extend_from_slice(&self.keys);
        self.lsns.clear();
        self.keys.clear();
        self.last_bytes = 0;
        (&self.first, rows)
    }
}

fn pack(lsns: &[u64], smallest: u64, bits: u32, out: &mut Vec<u8>) {
    if bits == 0 {
        return;
    }
    // At most 7 bits wait, so that 64 more have room.
    let (mut waiting, mut held) = (0u128, 0);
    for lsn in lsns {
        waiting |= u128::from(lsn - smallest) << held;
        held += bits;
        while held >= 8 {
            out.push(waiting as u8);
            waiting >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push(waiting as u8);
    }
}

/// The rows of a block, one after the other.
#[derive(Debug)]
pub(super) struct BlockRows<'a> {
    packed: &'a [u8],
    smallest: u64,
    bits: u32,
    keys: Fields<'a>,
    rows: u32,
    next: u32,
    key: Vec<u8>,
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields").field("bytes", &self.rest.len()).finish()
    }
}

impl<'a> BlockRows<'a> {
    /// Before the first row.
    pub fn new(payload: &'a [u8]) -> Result<BlockRows<'a>, Unfit> {
        let mut fields = Fields { rest: payload };
        let begun = (|| {
            let (rows, smallest, bits) = (fields.u32()?, fields.u64()?, u32::from(fields.byte()?));
            if rows == 0 || rows > MAX_BLOCK_ROWS || bits > u64::BITS || payload.len() > MAX_BLOCK_BYTES {
                return None;
            }
            let packed = fields.take((rows as usize * bits as usize).div_ceil(8))?;
            Some(BlockRows { packed, smallest, bits, keys: fields, rows, next: 0, key: Vec::new() })
        })();
        begun.ok_or(Unfit::Damaged)
    }

    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Moves to the next row; false at the end, where every byte must have been used.
    pub fn advance(&mut self) -> Result<bool, Unfit> {
        if self.next == self.rows {
            return if self.keys.rest.is_empty() { Ok(false) } else { Err(Unfit::Damaged) };
        }
        self.next += 1;
        self.step().ok_or(Unfit::Damaged)?;
        Ok(true)
    }

    fn step(&mut self) -> Option<()> {
        let head = usize::from(self.keys.byte()?);
        let (mut dropped, mut rest) = (head >> 4, head & 0x0F);
        if dropped == MORE {
            dropped = dropped.checked_add(self.keys.length()?)?;
        }
        if rest == MORE {
            rest = rest.checked_add(self.keys.length()?)?;
        }
        let shared = self.key.len().checked_sub(dropped)?;
        let rest = self.keys.take(rest)?;
        self.key.truncate(shared);
        self.key.extend_from_slice(rest);
        Some(())
    }

    /// The truncated key of the row.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its LSN.
    pub fn lsn(&self) -> Lsn {
        if self.bits == 0 {
            return Lsn(self.smallest);
        }
        let from = (self.next - 1) as usize * self.bits as usize;
        let bytes = self.packed.get(from / 8..).unwrap_or_default().iter().take(9);
        let value = bytes.rev().fold(0u128, |value, &byte| value << 8 | u128::from(byte));
        let mask = (1u128 << self.bits) - 1;
        let offset = (value >> (from % 8) & mask) as u64;
        Lsn(self.smallest.saturating_add(offset))
    }
}

// The widest LSNs; keys up to the target, and one more; and versions of that one, of three bytes each.
const _: () =
    assert!(FIXED_BYTES + MAX_BLOCK_ROWS as usize * (8 + 3) + TARGET_BYTES + MAX_KEY_BYTES < MAX_BLOCK_BYTES);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows_of(payload: &[u8]) -> Result<Vec<(Vec<u8>, u64)>, Unfit> {
        let mut rows = BlockRows::new(payload)?;
        let mut all = Vec::new();
        while rows.advance()? {
            all.push((rows.key().to_vec(), rows.lsn().0));
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn rows_come_back(
            keys in proptest::collection::btree_set(proptest::collection::vec(0u8..3, 0..40), 1..60),
            lsns in proptest::collection::vec(any::<u64>(), 60), shift in 0u32..64,
        ) {
            let rows: Vec<(Vec<u8>, u64)> = keys.into_iter().zip(lsns.iter().map(|lsn| lsn >> shift)).collect();
            let (mut builder, mut payload) = (BlockBuilder::default(), Vec::new());
            for (at, (key, lsn)) in rows.iter().enumerate() {
                let before = at.checked_sub(1).map_or(&[][..], |at| &rows[at].0);
                builder.add(key, super::super::format::common_prefix(before, key), Lsn(*lsn));
            }
            let (first, count) = builder.finish(&mut payload);
            prop_assert_eq!((first, count), (&rows[0].0[..], rows.len() as u64));
            prop_assert!(builder.is_empty());
            prop_assert_eq!(rows_of(&payload).unwrap(), rows);
            prop_assert!(rows_of(&payload[..payload.len() - 1]).is_err());
            payload.push(0);
            prop_assert!(rows_of(&payload).is_err());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), rows in 1u32..20) {
            let mut with_rows = rows.to_le_bytes().to_vec();
            with_rows.extend_from_slice(&bytes);
            let _ = (rows_of(&bytes), rows_of(&with_rows));
        }
    }
}
