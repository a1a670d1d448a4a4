//! From writes to what readers are shown of them.

use std::{ops::RangeInclusive, sync::Arc};

use stemedb_env::{
    Lsn,
    planted::{Bug, planted},
};

use crate::{
    DerivedWrite, RangeRemoval, Row,
    memory::Ledger,
    ranges::{Fragments, successor},
    table::{
        block::{Block, BlockBuilder},
        filter::filter_hash,
    },
};

/// A block's places are 32 bits wide.
const LARGEST_BLOCK_BYTES: usize = 1 << 31;
/// What a row needs in a block beside key and value, at most.
const ROW_BYTES: usize = 32;

/// Writes of a span, in table order.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// Keys ascending, and of each key LSNs descending; each once.
    pub(crate) rows: Vec<Row>,
    /// Cut to the span.
    pub(crate) ranges: Fragments,
}

impl Writes {
    /// Those within a span of keys and LSNs; a source may give more.
    pub(crate) fn within(
        writes: Vec<DerivedWrite>,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
    ) -> Writes {
        let behind = successor(keys.end());
        let mut rows: Vec<Row> = Vec::with_capacity(writes.len());
        let mut ranges = Vec::new();
        for write in writes {
            match write {
                DerivedWrite::Row(row) => {
                    if keys.contains(&row.key.as_slice()) && lsns.contains(&row.lsn) {
                        rows.push(row);
                    }
                }
                DerivedWrite::Range(RangeRemoval { start, end, lsn }) => {
                    if lsns.contains(&lsn) {
                        ranges.push(Fragments::one(&start, &end, lsn).clipped(keys.start(), Some(&behind)));
                    }
                }
            }
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key).then(b.lsn.cmp(&a.lsn)));
        rows.dedup_by(|b, a| a.lsn == b.lsn && a.key == b.key);
        if planted(Bug::LsmHealForgetsRemovals) {
            ranges.clear();
        }
        Writes { rows, ranges: Fragments::merged(ranges) }
    }

    /// Bytes of the rows, about.
    pub(crate) fn bytes(&self) -> usize {
        let value = |row: &Row| row.value.as_ref().map_or(0, Vec::len);
        self.rows.iter().map(|row| row.key.len() + value(row) + size_of::<Row>()).sum()
    }

    /// What a healed block shows of them: see the rules of [`super`]. `newest` is the greatest LSN of the table's rows.
    pub(crate) fn shown(self, newest: Lsn, oldest_reader: Lsn) -> Shown {
        let Writes { rows, ranges } = self;
        let mut shown = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter().peekable();
        while let Some(first) = rows.next() {
            let key = first.key.clone();
            let mut removals = ranges.removals(&key).iter().copied().peekable();
            let mut settled = false;
            let mut next = Some(first);
            while let Some(row) = next {
                let mut removed = None;
                while let Some(lsn) = removals.next_if(|lsn| *lsn > row.lsn) {
                    settled |= lsn <= oldest_reader;
                    removed = Some(lsn);
                }
                // In the same batch the row came later.
                let _ = removals.next_if_eq(&row.lsn);
                let is_shown = !settled && (row.lsn > oldest_reader || row.lsn <= newest);
                settled |= row.lsn <= oldest_reader;
                if is_shown {
                    if let Some(lsn) = removed.filter(|_| row.value.is_some()) {
                        shown.push(Row { key: key.clone(), lsn, value: None });
                    }
                    shown.push(row);
                }
                next = rows.next_if(|row| row.key == key);
            }
        }
        Shown { rows: shown }
    }
}

/// What readers are shown, in table order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) rows: Vec<Row>,
}

impl Shown {
    /// As a block; `None` if it is too large to be one.
    pub(crate) fn block(&self, ledger: &Arc<Ledger>) -> Option<Block> {
        let mut bytes = 0usize;
        let mut builder = BlockBuilder::default();
        let mut last: Option<&[u8]> = None;
        for Row { key, lsn, value } in &self.rows {
            bytes = bytes.saturating_add(key.len() + value.as_ref().map_or(0, Vec::len) + ROW_BYTES);
            if bytes > LARGEST_BLOCK_BYTES {
                return None;
            }
            builder.add(key, filter_hash(key), last != Some(key), *lsn, value.as_deref());
            last = Some(key);
        }
        sealed(&mut builder, ledger)
    }
}

fn sealed(builder: &mut BlockBuilder, ledger: &Arc<Ledger>) -> Option<Block> {
    if builder.is_empty() {
        return Some(Block::healed_without_rows(Some(ledger)));
    }
    let mut bytes = Vec::new();
    builder.finish(&mut bytes);
    Block::parse_healed(&bytes, Some(ledger)).ok()
}

/// The newest version of each key of a healed block at or below `lsn`.
pub(crate) fn as_of(block: &Block, lsn: Lsn, ledger: &Arc<Ledger>) -> Option<Block> {
    let mut builder = BlockBuilder::default();
    let mut last: Option<&[u8]> = None;
    for at in 0..block.rows() {
        let suffix = block.suffix(at);
        if block.lsn(at) > lsn || last == Some(suffix) {
            continue;
        }
        last = Some(suffix);
        let key = block.key(at);
        builder.add(&key, filter_hash(&key), true, block.lsn(at), block.value(at));
    }
    if builder.rows() == block.rows() {
        return Some(block.clone());
    }
    sealed(&mut builder, ledger)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn row(key: u8, lsn: u64, value: Option<u8>) -> DerivedWrite {
        DerivedWrite::Row(Row { key: vec![key], lsn: Lsn(lsn), value: value.map(|value| vec![value]) })
    }

    fn range(start: u8, end: u8, lsn: u64) -> DerivedWrite {
        DerivedWrite::Range(RangeRemoval { start: vec![start], end: vec![end], lsn: Lsn(lsn) })
    }

    fn shown(
        writes: Vec<DerivedWrite>,
        lsns: [u64; 2],
        newest: u64,
        oldest: u64,
    ) -> Vec<(u8, u64, Option<u8>)> {
        let keys = &[1u8][..]..=&[8u8][..];
        let writes = Writes::within(writes, &keys, &(Lsn(lsns[0])..=Lsn(lsns[1])));
        let rows = writes.shown(Lsn(newest), Lsn(oldest)).rows;
        rows.into_iter().map(|row| (row.key[0], row.lsn.0, row.value.map(|value| value[0]))).collect()
    }

    #[test]
    fn a_removal_that_no_table_holds_any_more_keeps_what_it_removed_away() {
        let writes = || vec![row(2, 5, Some(1)), row(2, 8, None), row(3, 6, Some(2))];
        assert_eq!(shown(writes(), [3, 9], 7, 9), [(3, 6, Some(2))]);
        // The same by a range.
        let writes = || vec![row(2, 5, Some(1)), range(1, 3, 8), row(3, 6, Some(2))];
        assert_eq!(shown(writes(), [3, 9], 7, 9), [(3, 6, Some(2))]);
    }

    #[test]
    fn what_readers_between_can_tell_apart_is_kept() {
        let writes =
            vec![row(2, 3, Some(1)), row(2, 5, Some(2)), range(2, 4, 6), row(2, 7, Some(3)), row(2, 9, None)];
        let all = shown(writes, [1, 9], 9, 4);
        assert_eq!(all, [(2, 9, None), (2, 7, Some(3)), (2, 6, None), (2, 5, Some(2)), (2, 3, Some(1))]);
    }

    #[test]
    fn outside_of_the_span_nothing_counts_and_a_batch_that_writes_what_it_removed_has_it() {
        let writes = vec![
            row(9, 5, Some(1)),
            row(2, 2, Some(1)),
            row(4, 5, Some(7)),
            range(1, 8, 5),
            row(4, 5, Some(7)),
        ];
        assert_eq!(shown(writes, [3, 9], 9, 9), [(4, 5, Some(7))]);
    }

    proptest! {
        /// A table of all that a span has, without anything else: every reader must be told what was written.
        #[test]
        fn a_reader_who_comes_here_first_is_told_what_was_written(
            rows in proptest::collection::btree_map((1u8..5, 1u64..20), proptest::option::of(any::<u8>()), 0..40),
            ranges in proptest::collection::vec((1u8..6, 1u8..6, 1u64..20), 0..4),
            oldest in 0u64..20,
        ) {
            let mut writes: Vec<DerivedWrite> = rows.iter().map(|((key, lsn), value)| row(*key, *lsn, *value)).collect();
            writes.extend(ranges.iter().map(|(start, end, lsn)| range(*start, *end, *lsn)));
            let told = shown(writes, [1, 19], 19, oldest);
            for key in 1u8..5 {
                let mut versions: BTreeMap<u64, Option<u8>> = BTreeMap::new();
                let covering = ranges.iter().filter(|(start, end, _)| (*start..*end).contains(&key));
                covering.for_each(|(_, _, lsn)| _ = versions.insert(*lsn, None));
                let written = rows.iter().filter(|((row, _), _)| *row == key);
                written.for_each(|((_, lsn), value)| _ = versions.insert(*lsn, *value));
                for lsn in oldest..20 {
                    let expected = versions.range(..=lsn).next_back().and_then(|(_, value)| *value);
                    let found = told.iter().find(|(row, version, _)| *row == key && *version <= lsn);
                    prop_assert_eq!(found.and_then(|(_, _, value)| *value), expected, "{} as of {}", key, lsn);
                }
            }
        }
    }
}
