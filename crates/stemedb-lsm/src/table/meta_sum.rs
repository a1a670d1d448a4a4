//! Adding up a table's rows again, to compare with what its description says.

use stemedb_env::Lsn;

use super::{block::Block, filter::filter_hash, meta::TableMeta};
use crate::{kv::RowDigester, ranges::Fragments};

/// Adds removed ranges to the description of a table that has all of its rows; `last` is the last row's key, and the
/// table's greatest key then.
pub(crate) fn add_ranges(
    meta: &mut TableMeta,
    last: &mut Vec<u8>,
    ranges: &Fragments,
    digester: &mut RowDigester,
) {
    let (Some((smallest, greatest)), Some((first, newest))) = (ranges.bounds(), ranges.lsns()) else {
        return;
    };
    let has_rows = meta.rows > 0;
    if !has_rows || smallest < meta.smallest.as_slice() {
        meta.smallest = smallest.to_vec();
    }
    if !has_rows || greatest > last.as_slice() {
        *last = greatest.to_vec();
    }
    meta.min_lsn = if has_rows { meta.min_lsn.min(first) } else { first };
    meta.max_lsn = meta.max_lsn.max(newest);
    meta.ranges = ranges.len() as u64;
    meta.data_bytes += ranges.data_bytes();
    meta.digest = meta.digest.wrapping_add(ranges.digest(digester));
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct MetaSum {
    key: Vec<u8>,
    last: Vec<u8>,
    last_lsn: Lsn,
    hashes: Vec<u64>,
    digester: RowDigester,
    meta: TableMeta,
}

impl MetaSum {
    /// Adds the next block; false if a row is out of order.
    pub(crate) fn add_block(&mut self, block: &Block) -> bool {
        self.hashes.clear();
        for at in 0..block.rows() {
            self.key.clear();
            self.key.extend_from_slice(block.prefix());
            self.key.extend_from_slice(block.suffix(at));
            let (lsn, value) = (block.lsn(at), block.value(at));
            let first = self.meta.rows == 0;
            let new_key = first || self.key > self.last;
            if !new_key && (self.key != self.last || self.last_lsn <= lsn) {
                return false;
            }
            self.meta.min_lsn = if first { lsn } else { self.meta.min_lsn.min(lsn) };
            self.meta.max_lsn = self.meta.max_lsn.max(lsn);
            self.meta.rows += 1;
            self.meta.tombstones += u64::from(value.is_none());
            self.meta.data_bytes += (self.key.len() + value.map_or(0, <[u8]>::len)) as u64;
            self.meta.digest = self.meta.digest.wrapping_add(self.digester.digest(&self.key, lsn, value));
            self.last_lsn = lsn;
            if first {
                self.meta.smallest = self.key.clone();
            }
            if new_key {
                self.meta.keys += 1;
                self.hashes.push(filter_hash(&self.key));
                std::mem::swap(&mut self.key, &mut self.last);
            }
        }
        true
    }

    /// Adds the removed ranges, when all blocks have been added.
    pub(crate) fn add_ranges(&mut self, ranges: &Fragments) {
        add_ranges(&mut self.meta, &mut self.last, ranges, &mut self.digester);
    }

    /// The last key added.
    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last
    }

    /// Hashes of the keys that began in the block added last.
    pub(crate) fn block_key_hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// True if the rows add up to the description.
    pub(crate) fn matches(&self, meta: &TableMeta) -> bool {
        let sum = &self.meta;
        sum.rows == meta.rows
            && sum.keys == meta.keys
            && sum.tombstones == meta.tombstones
            && sum.ranges == meta.ranges
            && sum.data_bytes == meta.data_bytes
            && sum.digest == meta.digest
            && sum.min_lsn == meta.min_lsn
            && sum.max_lsn == meta.max_lsn
            && sum.smallest == meta.smallest
            && self.last == meta.largest
    }
}
