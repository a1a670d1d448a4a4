//! Keys of 24 bytes, values of 256 bytes, computed from their number.
//!
//! A key is the number of its group (8 bytes, ascending, 100 rows each) and 16 random bytes; a value is 128 random bytes,
//! twice, so that it shrinks to about half under LZ4.

use super::{Expected, Keys, Order, RowBatch, Walk, part_of};
use crate::{
    engine::Result,
    random::{Shuffle, SplitMix64},
};

/// Length of a key.
pub const KEY_BYTES: usize = 24;
/// Length of a value.
pub const VALUE_BYTES: usize = 256;
/// Length of a group's prefix.
pub const GROUP_BYTES: usize = 8;
const GROUP_ROWS: u64 = 100;
const ORDER_SEED: u64 = 0x5EED;
/// So that a key, its value and a key that is not there have nothing in common.
const VALUE_STREAM: u64 = 1 << 62;
const ABSENT_STREAM: u64 = 1 << 61;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct SmallRows {
    rows: u64,
}

fn key_of(row: u64, stream: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (prefix, suffix) = key.split_at_mut(GROUP_BYTES);
    prefix.copy_from_slice(&(row / GROUP_ROWS).to_be_bytes());
    SplitMix64::of(row | stream).fill(suffix);
    key
}

fn value_of(row: u64) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    let (half, other_half) = value.split_at_mut(VALUE_BYTES / 2);
    SplitMix64::of(row | VALUE_STREAM).fill(half);
    other_half.copy_from_slice(half);
    value
}

/// What [`touch`] says of the value of a row, for the price of two words.
fn touch_of(row: u64) -> u64 {
    let mut random = SplitMix64::of(row | VALUE_STREAM);
    let first = random.word();
    random.skip(VALUE_BYTES as u64 / 16 - 2);
    let last = random.word();
    first.wrapping_mul(3).wrapping_add(last).wrapping_add(VALUE_BYTES as u64)
}

impl SmallRows {
    /// So many rows.
    pub fn new(rows: u64) -> SmallRows {
        SmallRows { rows }
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn walk(&self, order: Order) -> SmallWalk {
        SmallWalk {
            next: 0,
            end: self.rows,
            shuffle: (order == Order::Random).then(|| Shuffle::of(self.rows, ORDER_SEED)),
            group: Vec::new(),
        }
    }

    pub(super) fn more(&self, seed: u64) -> SmallWalk {
        // New groups behind the old ones; runs with other seeds do not meet.
        let start = self.rows.next_multiple_of(GROUP_ROWS) + (seed << 32);
        SmallWalk { next: start, end: u64::MAX >> 4, shuffle: None, group: Vec::new() }
    }

    pub(super) fn keys(&self, part: f64, seed: u64) -> SmallKeys {
        SmallKeys { random: SplitMix64::of(seed), rows: part_of(self.rows, part), absent: false }
    }

    pub(super) fn absent_keys(&self, seed: u64) -> SmallKeys {
        SmallKeys { random: SplitMix64::of(seed), rows: self.rows, absent: true }
    }
}

/// Rows in an order.
#[derive(Debug)]
pub(super) struct SmallWalk {
    next: u64,
    end: u64,
    shuffle: Option<Shuffle>,
    /// Keys of the group under way in ascending order, the last one first.
    group: Vec<([u8; KEY_BYTES], u64)>,
}

impl Walk for SmallWalk {
    fn next_batch(&mut self, count: usize, batch: &mut RowBatch) -> Result<bool> {
        batch.clear();
        while batch.len() < count {
            let (key, row) = match &self.shuffle {
                Some(shuffle) if self.next < self.end => {
                    let row = shuffle.at(self.next);
                    self.next += 1;
                    (key_of(row, 0), row)
                }
                Some(_) => break,
                None => {
                    if self.group.is_empty() {
                        let end = (self.next + GROUP_ROWS).min(self.end);
                        self.group.extend((self.next..end).map(|row| (key_of(row, 0), row)));
                        self.group.sort_unstable_by(|one, other| other.cmp(one));
                        self.next = end;
                    }
                    let Some(row) = self.group.pop() else { break };
                    row
                }
            };
            batch.push(&key, &value_of(row));
        }
        Ok(!batch.is_empty())
    }
}

/// Keys in random order.
#[derive(Debug)]
pub(super) struct SmallKeys {
    random: SplitMix64,
    rows: u64,
    absent: bool,
}

impl Keys for SmallKeys {
    #[inline]
    fn next_key(&mut self, key: &mut Vec<u8>) -> Expected {
        let row = self.random.below(self.rows);
        key.clear();
        if self.absent {
            key.extend_from_slice(&key_of(row, ABSENT_STREAM));
            None
        } else {
            key.extend_from_slice(&key_of(row, 0));
            Some(touch_of(row))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::touch;

    fn all(rows: &SmallRows, order: Order) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (mut walk, mut batch, mut found) = (rows.walk(order), RowBatch::default(), Vec::new());
        while walk.next_batch(33, &mut batch).unwrap() {
            found.extend(batch.pairs().map(|pair| (pair.key.to_vec(), pair.value.to_vec())));
        }
        found
    }

    #[test]
    fn both_orders_have_the_same_rows_and_one_of_them_ascends() {
        let rows = SmallRows::new(250);
        let (sorted, mut random) = (all(&rows, Order::Sorted), all(&rows, Order::Random));
        assert!(sorted.is_sorted_by(|one, other| one.0 < other.0) && sorted.len() == 250);
        assert_ne!(sorted, random);
        random.sort();
        assert_eq!(sorted, random);
    }

    #[test]
    fn groups_have_a_hundred_rows_and_values_repeat_their_half() {
        for (at, (key, value)) in all(&SmallRows::new(250), Order::Sorted).iter().enumerate() {
            assert_eq!(key[..8], (at as u64 / 100).to_be_bytes());
            assert_eq!((key.len(), value.len()), (24, 256));
            assert_eq!(value[..128], value[128..]);
        }
    }

    #[test]
    fn keys_say_what_lies_under_them_and_absent_ones_lie_in_a_group_but_are_no_row() {
        let rows = SmallRows::new(250);
        let found = all(&rows, Order::Sorted);
        let (mut keys, mut absent, mut key) = (rows.keys(0.5, 1), rows.absent_keys(2), Vec::new());
        for _ in 0..500 {
            let expected = keys.next_key(&mut key);
            let row = found.iter().position(|row| row.0 == key).unwrap();
            assert!(row < 200, "the first half lies in the first two groups");
            assert_eq!(expected, Some(touch(&found[row].1)));
            assert_eq!(absent.next_key(&mut key), None);
            assert!(found.iter().all(|row| row.0 != key) && found.iter().any(|row| row.0[..8] == key[..8]));
        }
    }

    #[test]
    fn more_rows_are_new_and_come_behind() {
        let rows = SmallRows::new(250);
        let mut batch = RowBatch::default();
        let mut firsts = Vec::new();
        for seed in 0..3 {
            assert!(rows.more(seed).next_batch(10, &mut batch).unwrap());
            firsts.push(batch.pairs().next().unwrap().key.to_vec());
        }
        assert!(firsts.is_sorted() && firsts[0][..8] > *2_u64.to_be_bytes().as_slice());
    }
}
