//! Rows that may have been in a lost table, millions of them, and their order.
//!
//! They come in the order of the journal and are wanted in that of the table. To fetch a row from anywhere in hundreds of
//! megabytes costs more than to derive it, and sorting, reading and writing would each do so. So rows are put into shelves by
//! key as they come, as many as it takes for one to fit into the cache of a core, and from then on the work goes on shelf by shelf.

use std::cmp::Ordering;

use stemedb_env::Lsn;

use crate::{Error, Result, Row, ranges::Fragments};

/// Bytes are kept in pieces of this size: what is kept is never moved.
const PIECE_BYTES: usize = 32 << 10;
/// Rows of a shelf for which there is room from the beginning, at most.
const MOST_RESERVED: usize = 16 << 10;
/// Shelves, at most.
pub(super) const MOST_SHELVES: usize = 512;
/// Bytes of a key that are compared at once.
const HEAD_BYTES: usize = 16;
/// So few rows are compared as they are.
const FEW: usize = 12;
/// Behind so many heads that are alike keys are compared as they are.
const DEEPEST: usize = 64;

/// A row that may have been in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The part of the key that decides about its place just now.
    head: u128,
    pub(super) digest: u128,
    pub(super) lsn: Lsn,
    piece: u32,
    at: u32,
    key_bytes: u32,
    value_bytes: u32,
    has_value: bool,
    /// A newer version of the key, old enough to have superseded this one, lies elsewhere.
    pub(super) passed: bool,
    /// The first of its key, once they are in order.
    is_first: bool,
}

impl Candidate {
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    pub(super) fn is_removal(&self) -> bool {
        !self.has_value
    }
}

/// Candidates and their bytes.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pieces: Vec<Vec<u8>>,
    rows: Vec<Candidate>,
}

impl Candidates {
    fn push(&mut self, row: &Row, digest: u128, passed: bool) -> Result<()> {
        let value = row.value.as_deref().unwrap_or_default();
        let narrow = |what, bytes: usize| {
            let too_large = |_| Error::TooLarge { what, bytes, limit_bytes: u32::MAX as usize };
            u32::try_from(bytes).map_err(too_large)
        };
        let (key_bytes, value_bytes) = (narrow("key", row.key.len())?, narrow("value", value.len())?);
        let bytes = row.key.len() + value.len();
        if self.pieces.last().is_none_or(|piece| piece.capacity() - piece.len() < bytes) {
            self.pieces.push(Vec::with_capacity(bytes.max(PIECE_BYTES)));
        }
        let piece = narrow("table", self.pieces.len() - 1)?;
        let Some(last) = self.pieces.last_mut() else { return Ok(()) };
        let at = narrow("table", last.len())?;
        last.extend_from_slice(&row.key);
        last.extend_from_slice(value);
        self.rows.push(Candidate {
            head: 0,
            digest,
            lsn: row.lsn,
            piece,
            at,
            key_bytes,
            value_bytes,
            has_value: row.value.is_some(),
            passed,
            is_first: false,
        });
        Ok(())
    }

    /// Puts them in table order: keys ascending, and of each key LSNs descending. Of one version that came twice the first stays.
    fn sort(&mut self) {
        let Candidates { pieces, rows } = self;
        sort(pieces, rows, 0, 0);
        let mut last: Option<Candidate> = None;
        rows.retain_mut(|row| {
            row.is_first = last.is_none_or(|last| key(pieces, &last) != key(pieces, row));
            let is_again = !row.is_first && last.is_some_and(|last| last.lsn == row.lsn);
            last = Some(*row);
            !is_again
        });
    }

    pub(super) fn key(&self, row: &Candidate) -> &[u8] {
        key(&self.pieces, row)
    }

    /// `None` for a removal.
    pub(super) fn value(&self, row: &Candidate) -> Option<&[u8]> {
        let at = row.at as usize + row.key_bytes as usize;
        row.has_value.then(|| bytes(&self.pieces, row.piece, at, row.value_bytes))
    }

    /// Bytes that they hold, about.
    fn bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum::<usize>() + self.rows.len() * size_of::<Candidate>()
    }
}

fn bytes(pieces: &[Vec<u8>], piece: u32, at: usize, len: u32) -> &[u8] {
    pieces.get(piece as usize).and_then(|piece| piece.get(at..at + len as usize)).unwrap_or_default()
}

fn key<'a>(pieces: &'a [Vec<u8>], row: &Candidate) -> &'a [u8] {
    bytes(pieces, row.piece, row.at as usize, row.key_bytes)
}

/// Sorts rows whose keys have their first `skip` bytes in common.
///
/// Keys of a table begin alike, and lie anywhere in memory. So what all have in common is left out, the next bytes decide
/// from within the rows themselves, and only rows that are alike so far go on in the same way: each key is fetched a few times
/// instead of once for every comparison.
fn sort(pieces: &[Vec<u8>], rows: &mut [Candidate], skip: usize, depth: usize) {
    let compare = |a: &Candidate, b: &Candidate| -> Ordering {
        let newer_first = || b.lsn.cmp(&a.lsn);
        let as_they_came = || (a.piece, a.at).cmp(&(b.piece, b.at));
        key(pieces, a).cmp(key(pieces, b)).then_with(newer_first).then_with(as_they_came)
    };
    let Some((first, others)) = rows.split_first() else { return };
    if others.len() < FEW || depth >= DEEPEST {
        rows.sort_unstable_by(compare);
        return;
    }
    let of_first = key(pieces, first);
    let mut common = of_first.len();
    let mut longest = of_first.len();
    for row in others {
        let key = key(pieces, row);
        let (a, b) = (of_first.get(skip..common), key.get(skip..common.min(key.len())));
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        common = skip + a.iter().zip(b).take_while(|(a, b)| a == b).count();
        longest = longest.max(key.len());
    }
    // Where a key has ended zeros stand in the head, as they may in another key that goes on: heads say no more of them.
    let is_stuck = depth > 0 && common < skip + HEAD_BYTES;
    if common >= longest || is_stuck {
        rows.sort_unstable_by(compare);
        return;
    }
    for row in rows.iter_mut() {
        let tail = key(pieces, row).get(common..).unwrap_or_default();
        let mut head = [0; HEAD_BYTES];
        let len = tail.len().min(HEAD_BYTES);
        head[..len].copy_from_slice(&tail[..len]);
        row.head = u128::from_be_bytes(head);
    }
    rows.sort_unstable_by_key(|row| row.head);
    for alike in rows.chunk_by_mut(|a, b| a.head == b.head) {
        if alike.len() > 1 {
            sort(pieces, alike, common, depth + 1);
        }
    }
}

/// What may have been in the table.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Greatest keys of the shelves, ascending; what is greater than all lies on one more.
    separators: Vec<Vec<u8>>,
    shelves: Vec<Candidates>,
    pub(super) ranges: Fragments,
}

impl Evidence {
    /// Nothing yet. `separators` should ascend, and cut the rows that will come, about `rows`, into equal parts.
    pub(super) fn new(mut separators: Vec<Vec<u8>>, rows: usize) -> Evidence {
        separators.dedup_by(|next, last| next <= last);
        // Shelves are never equal, and one that has to grow is copied.
        let each = rows / (separators.len() + 1);
        let each = each.saturating_add(each / 8).min(MOST_RESERVED);
        let shelf = || Candidates { pieces: Vec::new(), rows: Vec::with_capacity(each) };
        let shelves = (0..=separators.len()).map(|_| shelf()).collect();
        Evidence { separators, shelves, ranges: Fragments::default() }
    }

    pub(super) fn push(&mut self, row: &Row, digest: u128, passed: bool) -> Result<()> {
        let at = self.separators.partition_point(|separator| *separator < row.key);
        match self.shelves.get_mut(at) {
            Some(shelf) => shelf.push(row, digest, passed),
            None => Ok(()),
        }
    }

    /// Puts the rows in table order.
    pub(super) fn sort(&mut self) {
        self.shelves.iter_mut().for_each(Candidates::sort);
    }

    /// Every row in table order, with the shelf that knows its bytes.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Candidates, &Candidate)> {
        self.shelves.iter().flat_map(|shelf| shelf.rows.iter().map(move |row| (shelf, row)))
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.rows.len()).sum()
    }

    /// True if there are writes behind these LSNs of a table.
    pub(super) fn is_behind(&self, max_lsn: Lsn) -> bool {
        self.rows().any(|(_, row)| row.lsn > max_lsn)
            || self.ranges.lsns().is_some_and(|(_, newest)| newest > max_lsn)
    }

    /// Bytes of its rows, about.
    pub(super) fn bytes(&self) -> usize {
        self.shelves.iter().map(Candidates::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Key, LSN, value.
    type Plain = (Vec<u8>, u64, Option<Vec<u8>>);

    /// Keys that begin alike for longer than a head, end with zeros, or are each other's beginning.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let long = (0_usize..4, vec(0_u8..2, 0..4), 0_usize..3).prop_map(|(repeated, middle, zeros)| {
            let mut key = b"a common beginning ".repeat(repeated);
            key.extend(middle);
            key.resize(key.len() + zeros, 0);
            key
        });
        prop_oneof![long, vec(0_u8..2, 0..40)]
    }

    fn sorted(rows: &[Plain], separators: Vec<Vec<u8>>) -> Vec<(Plain, bool)> {
        let mut evidence = Evidence::new(separators, rows.len());
        for (key, lsn, value) in rows {
            let row = Row { key: key.clone(), lsn: Lsn(*lsn), value: value.clone() };
            evidence.push(&row, 0, false).unwrap();
        }
        evidence.sort();
        assert_eq!(evidence.len(), evidence.rows().count());
        let plain = evidence.rows().map(|(shelf, row)| {
            let value = shelf.value(row).map(<[u8]>::to_vec);
            assert_eq!(row.is_removal(), value.is_none());
            ((shelf.key(row).to_vec(), row.lsn.0, value), row.is_first())
        });
        plain.collect()
    }

    proptest! {
        #[test]
        fn rows_come_in_table_order_and_each_version_once(
            mut rows in vec((key(), 1_u64..4, proptest::option::of(vec(any::<u8>(), 0..3))), 0..200),
            separators in proptest::collection::btree_set(key(), 0..5),
        ) {
            // A version that is told twice is the same both times.
            for at in 0..rows.len() {
                let same = |row: &&Plain| row.0 == rows[at].0 && row.1 == rows[at].1;
                let value = rows.iter().find(same).and_then(|row| row.2.clone());
                rows[at].2 = value;
            }
            let mut expected = rows.clone();
            expected.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            expected.dedup_by(|b, a| a.0 == b.0 && a.1 == b.1);
            let firsts = expected.iter().enumerate().map(|(at, row)| at == 0 || expected[at - 1].0 != row.0);
            let expected: Vec<_> = expected.iter().cloned().zip(firsts).collect();
            prop_assert_eq!(sorted(&rows, separators.into_iter().collect()), expected);
        }
    }

    #[test]
    fn rows_of_any_size_are_kept() {
        let large = |byte: u8| (vec![byte; PIECE_BYTES / 2 + 1], 1, Some(vec![byte; 2 * PIECE_BYTES]));
        let rows = [large(3), (vec![2], 1, None), large(1)];
        let expected = [(rows[2].clone(), true), (rows[1].clone(), true), (rows[0].clone(), true)];
        assert!(sorted(&rows, Vec::new()) == expected);
    }
}
