//! Finding a key's first row in a block with one byte instead of a binary search.
//!
//! One byte per bucket: the number of a row, or "empty", or "two keys". At most 254 rows can be named, and three buckets
//! for two keys leave about half of them empty, so most absent keys end here too. The idea and the special values
//! follow RocksDB's `DataBlockHashIndex`; ours names the row itself, since every row can be addressed.

use stemedb_env::planted::{Bug, planted};

/// No key of the block falls here.
const EMPTY: u8 = 255;
/// More than one key falls here: search.
const CONFLICT: u8 = 254;
/// Rows that can be named.
pub(super) const MAX_ROWS: usize = 254;

/// What a bucket says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// The key is not in the block.
    Absent,
    /// If the key is in the block, this is its first row.
    Row(usize),
    /// Nothing.
    Search,
}

fn bucket_of(hash: u64, buckets: usize) -> usize {
    // The filters take the line from the high half of the hash and the bits from the low one; these lie across.
    let middle = (hash >> 16) as u32;
    ((u64::from(middle) * buckets as u64) >> 32) as usize
}

/// Reads the bucket of a key. `buckets` must not be empty.
pub(super) fn hint(buckets: &[u8], hash: u64) -> Hint {
    match buckets.get(bucket_of(hash, buckets.len())) {
        Some(&EMPTY) => Hint::Absent,
        Some(&CONFLICT) if planted(Bug::LsmHashConflictIsAbsent) => Hint::Absent,
        Some(&CONFLICT) | None => Hint::Search,
        Some(&row) => Hint::Row(usize::from(row)),
    }
}

/// Buckets for a block of `rows` rows with `keys` distinct keys; 0 = no index.
pub(super) fn bucket_count(rows: usize, keys: usize) -> usize {
    if !(4..=MAX_ROWS).contains(&rows) { 0 } else { keys * 4 / 3 + 1 }
}

/// Appends the buckets. `firsts` gives the hash and the first row of every distinct key.
pub(super) fn build(firsts: &[(u64, u32)], buckets: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + buckets, EMPTY);
    if let Some(table) = out.get_mut(start..) {
        fill(firsts, table);
    }
}

/// As [`build`], in buckets that are there already; what was in them is overwritten.
pub(super) fn fill(firsts: &[(u64, u32)], table: &mut [u8]) {
    let buckets = table.len();
    table.fill(EMPTY);
    for (hash, row) in firsts {
        if let Some(bucket) = table.get_mut(bucket_of(*hash, buckets)) {
            *bucket = if *bucket == EMPTY { u8::try_from(*row).unwrap_or(CONFLICT) } else { CONFLICT };
        }
    }
}

/// True if every bucket is one of the special values or names a row.
pub(super) fn is_sane(buckets: &[u8], rows: usize) -> bool {
    buckets.iter().all(|bucket| *bucket >= CONFLICT || usize::from(*bucket) < rows)
}
