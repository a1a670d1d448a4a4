//! An atomic set of writes in one flat buffer.

use stemedb_env::Lsn;

use crate::ranges::{Fragments, GrowingRanges};

/// One operation of a batch, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets a key.
    Put {
        /// The key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Removes every key of a range.
    DeleteRange {
        /// First key of the range.
        start: &'a [u8],
        /// First key behind the range.
        end: &'a [u8],
    },
}

impl<'a> Op<'a> {
    /// The key; of a range its first one.
    pub fn key(&self) -> &'a [u8] {
        match self {
            Op::Put { key, .. } | Op::Delete { key } | Op::DeleteRange { start: key, .. } => key,
        }
    }

    /// The value; `None` for removals.
    pub fn value(&self) -> Option<&'a [u8]> {
        match self {
            Op::Put { value, .. } => Some(value),
            Op::Delete { .. } | Op::DeleteRange { .. } => None,
        }
    }
}

/// Where an operation lies in the buffer of its batch; it starts where the one before ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) key_end: usize,
    /// `None` = removal. Of a range, where its end ends.
    pub(crate) value_end: Option<usize>,
}

/// Writes that are applied together or not at all. Two allocations, whatever its size; three if it removes ranges.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Which operations remove ranges, ascending.
    ranges: Vec<usize>,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> WriteBatch {
        WriteBatch::default()
    }

    /// Sets a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.spans.push(Span { key_end, value_end: Some(self.bytes.len()) });
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.spans.push(Span { key_end: self.bytes.len(), value_end: None });
    }

    /// Removes every key from `start` on and before `end`: whatever older batches, and earlier operations of this one, have
    /// written there. One operation, however many keys that are. Nothing is added if the range is empty.
    pub fn delete_range(&mut self, start: &[u8], end: &[u8]) {
        if start < end {
            self.ranges.push(self.spans.len());
            self.put(start, end);
        }
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True without operations.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all keys and values, and of the borders of ranges.
    pub fn data_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The buffer and the places of the operations in it. Those in `ranges`, if there are any, look like puts.
    pub(crate) fn raw(&self) -> (&[u8], &[Span]) {
        (&self.bytes, &self.spans)
    }

    /// True if an operation removes a range.
    pub fn has_ranges(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// What becomes of a batch that removes ranges: the rows that no later operation removes with a range, in a batch of their
    /// own, and all ranges as of `lsn`. Rows and ranges of one LSN do not hide each other.
    pub(crate) fn without_ranges(&self, lsn: Lsn) -> (WriteBatch, Fragments) {
        let mut rows = WriteBatch::new();
        // From the last operation on: what is gone so far is what later operations remove.
        let gone = GrowingRanges::default();
        let operations: Vec<Op<'_>> = self.iter().collect();
        let mut kept = Vec::with_capacity(operations.len());
        for op in operations.iter().rev() {
            match op {
                Op::DeleteRange { start, end } => gone.add(Fragments::one(start, end, lsn)),
                Op::Put { key, .. } | Op::Delete { key } if gone.newest(key, lsn) == Lsn::ZERO => {
                    kept.push(op);
                }
                Op::Put { .. } | Op::Delete { .. } => {}
            }
        }
        for op in kept.into_iter().rev() {
            match op.value() {
                Some(value) => rows.put(op.key(), value),
                None => rows.delete(op.key()),
            }
        }
        (rows, gone.upto(lsn))
    }

    /// Empties the batch and keeps its buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.ranges.clear();
    }

    /// The operations in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = Op<'_>> {
        let mut start = 0;
        let mut ranges = self.ranges.iter().copied().peekable();
        self.spans.iter().enumerate().map(move |(at, span)| {
            let key = &self.bytes[start..span.key_end];
            start = span.value_end.unwrap_or(span.key_end);
            match span.value_end {
                Some(end) if ranges.next_if_eq(&at).is_some() => {
                    Op::DeleteRange { start: key, end: &self.bytes[span.key_end..end] }
                }
                Some(end) => Op::Put { key, value: &self.bytes[span.key_end..end] },
                None => Op::Delete { key },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DerivedWrite;

    #[test]
    fn a_range_takes_what_came_before_it_and_leaves_what_comes_after() {
        let mut batch = WriteBatch::new();
        batch.put(b"a", b"1");
        batch.put(b"c", b"2");
        batch.delete_range(b"b", b"d");
        batch.delete_range(b"d", b"d");
        batch.put(b"b", b"3");
        batch.delete(b"c");
        batch.delete_range(b"c", b"e");
        batch.put(b"d", b"4");
        assert_eq!(batch.len(), 7, "an empty range is no operation");
        let ranges = batch.iter().filter(|op| matches!(op, Op::DeleteRange { .. }));
        assert_eq!(ranges.map(|op| op.key()).collect::<Vec<_>>(), [&b"b"[..], b"c"]);
        let (rows, ranges) = batch.without_ranges(Lsn(7));
        let rows: Vec<_> =
            rows.iter().map(|op| (op.key().to_vec(), op.value().map(<[u8]>::to_vec))).collect();
        let row = |key: &[u8], value: &[u8]| (key.to_vec(), Some(value.to_vec()));
        assert_eq!(rows, [row(b"a", b"1"), row(b"b", b"3"), row(b"d", b"4")]);
        assert_eq!(ranges, Fragments::one(b"b", b"e", Lsn(7)));
        batch.clear();
        assert!(!batch.has_ranges() && batch.is_empty());
    }

    #[test]
    fn of_a_key_the_first_row_handed_over_is_the_last_operation() {
        let mut batch = WriteBatch::new();
        batch.put(b"a", b"1");
        batch.put(b"b", b"");
        batch.delete(b"a");
        batch.put(b"", b"2");
        batch.put(b"b", b"3");
        let handed_over = |batch: &WriteBatch| {
            let mut writes = Vec::new();
            DerivedWrite::each_of_batch(batch, Lsn(4), |write| writes.push(write));
            writes
        };
        let key = |write: &DerivedWrite| match write {
            DerivedWrite::Row(row) => row.key.clone(),
            DerivedWrite::Range(range) => panic!("{range:?}"),
        };
        let mut writes = handed_over(&batch);
        assert_eq!(writes.len(), 5);
        writes.sort_by_key(key);
        writes.dedup_by_key(|write| key(write));
        assert_eq!(writes, DerivedWrite::of_batch(&batch, Lsn(4)));
        batch.delete_range(b"b", b"c");
        assert_eq!(handed_over(&batch), DerivedWrite::of_batch(&batch, Lsn(4)));
    }
}
