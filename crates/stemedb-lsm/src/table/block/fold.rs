//! The folded form of a data block, for the disk alone.
//!
//! In memory every key stands for itself, so that each row can be reached at once. On disk a key is what it does not share
//! with the one before, lengths take a byte, LSNs as many bits as they need, and the hash index is left out: it can be
//! made again from the keys. Folding what a general compressor would have to find out leaves it less to write and less to
//! read; see "Folded data block" in `docs/formats/sst.md`.

use super::{
    BlockBuilder, FIXED_BYTES, FLAG_TOMBSTONES,
    hash_index::{self, MAX_ROWS},
};
use crate::{
    codec::{Fields, Malformed, common_prefix, put_varint},
    table::{filter::filter_hash, format::MAX_BLOCK_BYTES},
};

/// Most bytes that a key can share with the one before: what a byte can say.
const MAX_SHARED: usize = 255;
/// Rows that are looked at to tell whether folding pays.
const LOOKED_AT: usize = 16;
/// It pays from so many shared bytes per row on: a byte says so, and a start of two bytes is saved already.
const LEAST_SHARED: usize = 3;

/// Numbers of `bits` bits each, one behind the other, lowest bit first.
fn put_bits(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>, bits: u32) {
    let (mut held, mut holds) = (0_u128, 0);
    for number in numbers {
        held |= u128::from(number) << holds;
        holds += bits;
        while holds >= 8 {
            out.push(held as u8);
            held >>= 8;
            holds -= 8;
        }
    }
    if holds > 0 {
        out.push(held as u8);
    }
}

/// Number `at` of a column of [`put_bits`].
fn number_at(column: &[u8], bits: u32, at: usize) -> u64 {
    let bit = at * bits as usize;
    let mut bytes = [0; 16];
    let from = column.get(bit / 8..).unwrap_or_default();
    let n = from.len().min(9);
    if let (Some(to), Some(from)) = (bytes.get_mut(..n), from.get(..n)) {
        to.copy_from_slice(from);
    }
    let shifted = (u128::from_le_bytes(bytes) >> (bit % 8)) as u64;
    if bits == 64 { shifted } else { shifted & ((1 << bits) - 1) }
}

impl BlockBuilder {
    /// True if the folded form will be much smaller.
    pub(crate) fn folds_well(&self) -> bool {
        let rows = self.rows().min(LOOKED_AT);
        if rows < 2 {
            return false;
        }
        let shared = (1..rows).map(|at| common_prefix(self.suffix(at - 1), self.suffix(at)));
        shared.sum::<usize>() >= (rows - 1) * LEAST_SHARED
    }

    /// Appends the folded block. The builder keeps its rows.
    pub(crate) fn encode_folded(&self, out: &mut Vec<u8>) {
        let columns = self.columns();
        let rows = self.rows();
        columns.put_fixed(out);
        let most = self.lsns().max().unwrap_or_default() - columns.min_lsn;
        let bits = if columns.lsn_width == 0 { 0 } else { u64::BITS - most.leading_zeros() };
        out.push(bits as u8);
        out.extend_from_slice(self.prefix());
        let shared: Vec<u8> = (0..rows)
            .map(|at| match at.checked_sub(1) {
                None => 0,
                Some(before) => common_prefix(self.suffix(before), self.suffix(at)).min(MAX_SHARED) as u8,
            })
            .collect();
        out.extend_from_slice(&shared);
        let rest = |at: usize| {
            let shared = shared.get(at).copied().unwrap_or_default();
            self.suffix(at).get(usize::from(shared)..).unwrap_or_default()
        };
        if columns.key_width > 0 {
            (0..rows).for_each(|at| put_varint(out, rest(at).len()));
        }
        if columns.value_width > 0 {
            (0..rows).for_each(|at| put_varint(out, self.value_bytes(at)));
        }
        if bits > 0 {
            put_bits(out, self.lsns().map(|lsn| lsn - columns.min_lsn), bits);
        }
        self.put_removals(out);
        (0..rows).for_each(|at| out.extend_from_slice(rest(at)));
        out.extend_from_slice(self.values());
    }
}

/// Room for [`unfold`], kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct UnfoldRoom {
    key: Vec<u8>,
    firsts: Vec<(u64, u32)>,
    rests: Vec<u32>,
}

impl UnfoldRoom {
    /// Bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.key.capacity()
            + self.firsts.capacity() * size_of::<(u64, u32)>()
            + self.rests.capacity() * size_of::<u32>()
    }
}

/// Turns a folded block into a plain one in `out`, whose old content is replaced. Without `with_index` the hash index is
/// left out: who reads rows in order does not look them up.
///
/// Everything is checked before it is allocated or read; the result is as well formed as what a builder makes.
pub(crate) fn unfold(
    folded: &[u8],
    with_index: bool,
    room: &mut UnfoldRoom,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(folded);
    let head = fields.take(FIXED_BYTES)?;
    let mut fixed = Fields::new(head);
    let (rows, prefix_bytes, suffix_bytes) = (fixed.u32()?, fixed.u32()?, fixed.u32()?);
    let buckets = usize::from(fixed.u16()?);
    let (lsn_width, key_width, value_width, flags) = (fixed.u8()?, fixed.u8()?, fixed.u8()?, fixed.u8()?);
    let (rows, prefix_bytes, suffix_bytes) = (rows as usize, prefix_bytes as usize, suffix_bytes as usize);
    let bits = u32::from(fields.u8()?);
    let sane = matches!(lsn_width, 0 | 1 | 2 | 4 | 8)
        && matches!((key_width, value_width), (0 | 2 | 4, 0 | 2 | 4))
        && flags <= FLAG_TOMBSTONES
        && bits <= u32::from(lsn_width) * 8
        && (bits == 0) == (lsn_width == 0)
        && rows > 0
        && suffix_bytes <= MAX_BLOCK_BYTES;
    if !sane {
        return Err(Malformed);
    }
    let prefix = fields.take(prefix_bytes)?;
    let shared = fields.take(rows)?;

    // How long each key's own part is. The lengths are read before anything is made of them.
    room.rests.clear();
    let mut own_bytes = 0;
    if key_width == 0 {
        if !suffix_bytes.is_multiple_of(rows) {
            return Err(Malformed);
        }
        for shared in shared {
            let own = (suffix_bytes / rows).checked_sub(usize::from(*shared)).ok_or(Malformed)?;
            room.rests.push(own as u32);
            own_bytes += own;
        }
    } else {
        let mut total = 0;
        for shared in shared {
            let own = fields.varint()?;
            room.rests.push(own as u32);
            own_bytes += own;
            total += own + usize::from(*shared);
        }
        if total != suffix_bytes {
            return Err(Malformed);
        }
    }

    let index_bytes = if with_index { buckets } else { 0 };
    let key_starts_at = FIXED_BYTES + index_bytes;
    let value_starts_at = key_starts_at + rows * usize::from(key_width);
    let lsns_at = value_starts_at + rows * usize::from(value_width);
    let removals_at = lsns_at + rows * usize::from(lsn_width);
    let removal_bytes = if flags & FLAG_TOMBSTONES != 0 { rows.div_ceil(8) } else { 0 };
    let prefix_at = removals_at + removal_bytes;
    let keys_at = prefix_at + prefix_bytes;
    let values_at = keys_at + suffix_bytes;
    if values_at > MAX_BLOCK_BYTES {
        return Err(Malformed);
    }
    // What an earlier block left there is overwritten: clearing it first would cost as much as copying it.
    if out.len() > values_at {
        out.truncate(values_at)
    } else {
        out.resize(values_at, 0)
    }
    put_at(out, 0, head)?;
    if !with_index {
        put_at(out, BUCKETS_AT, &0_u16.to_le_bytes())?;
    }

    let mut value_bytes = 0;
    if value_width > 0 {
        for at in 0..rows {
            put_start(out, value_starts_at, value_width, at, value_bytes)?;
            value_bytes += fields.varint()?;
        }
    }
    if bits > 0 {
        let column = fields.take((rows * bits as usize).div_ceil(8))?;
        let width = usize::from(lsn_width);
        for at in 0..rows {
            let bytes = number_at(column, bits, at).to_le_bytes();
            put_at(out, lsns_at + at * width, bytes.get(..width).ok_or(Malformed)?)?;
        }
    }
    put_at(out, removals_at, fields.take(removal_bytes)?)?;
    put_at(out, prefix_at, prefix)?;
    let mut own = fields.take(own_bytes)?;
    let values = fields.rest();
    if value_width > 0 && value_bytes != values.len() {
        return Err(Malformed);
    }

    let is_indexed = with_index && buckets > 0;
    // No more rows than an index can name: a wild count gathers nothing.
    if is_indexed && rows > MAX_ROWS {
        return Err(Malformed);
    }
    room.firsts.clear();
    room.key.clear();
    room.key.extend_from_slice(prefix);
    let (mut before, mut start) = (keys_at..keys_at, keys_at);
    for (at, (shared, rest)) in shared.iter().zip(&room.rests).enumerate() {
        let shared = usize::from(*shared);
        if shared > before.len() {
            return Err(Malformed);
        }
        let (mine, others) = own.split_at_checked(*rest as usize).ok_or(Malformed)?;
        own = others;
        if key_width > 0 {
            put_start(out, key_starts_at, key_width, at, start - keys_at)?;
        }
        let end = start + shared + mine.len();
        // Inside of the suffixes: their lengths add up to `suffix_bytes`.
        out.copy_within(before.start..before.start + shared, start);
        put_at(out, start + shared, mine)?;
        if is_indexed {
            let suffix = out.get(start..end).ok_or(Malformed)?;
            let is_new = at == 0 || out.get(before.clone()) != Some(suffix);
            if is_new {
                room.key.truncate(prefix_bytes);
                room.key.extend_from_slice(suffix);
                room.firsts.push((filter_hash(&room.key), at as u32));
            }
        }
        before = start..end;
        start = end;
    }
    if is_indexed {
        if buckets != hash_index::bucket_count(rows, room.firsts.len()) {
            return Err(Malformed);
        }
        let table = out.get_mut(FIXED_BYTES..FIXED_BYTES + buckets).ok_or(Malformed)?;
        hash_index::fill(&room.firsts, table);
    }
    out.extend_from_slice(values);
    Ok(())
}

/// Where the number of buckets stands among the fixed fields.
const BUCKETS_AT: usize = 12;

fn put_at(out: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), Malformed> {
    out.get_mut(at..at + bytes.len()).ok_or(Malformed)?.copy_from_slice(bytes);
    Ok(())
}

fn put_start(out: &mut [u8], column: usize, width: u8, at: usize, start: usize) -> Result<(), Malformed> {
    let width = usize::from(width);
    let bytes = start.to_le_bytes();
    // A start that needs more bytes than the column has would come out as another one.
    if width < 4 && start > 0xFFFF {
        return Err(Malformed);
    }
    put_at(out, column + at * width, bytes.get(..width).ok_or(Malformed)?)
}
