//! Comparing and sorting keys with long common beginnings.

use std::{
    cmp::{Ordering, Reverse},
    ops::Range,
    sync::Arc,
};

use crate::memory::{Charge, Kind, Memory};

/// Bytes compared at once.
const WORD: usize = 8;
/// Groups up to this size are sorted by comparing keys.
const SMALL_GROUP: usize = 16;

fn word(key: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(at..)?.first_chunk()?))
}

/// Compares two keys that are known to share their first `at` bytes; also says how many they share.
pub(super) fn compare_from(a: &[u8], b: &[u8], mut at: usize) -> (Ordering, usize) {
    while let (Some(left), Some(right)) = (word(a, at), word(b, at)) {
        let differing = left ^ right;
        if differing != 0 {
            return (left.cmp(&right), at + differing.leading_zeros() as usize / 8);
        }
        at += WORD;
    }
    let shorter = a.len().min(b.len());
    while at < shorter {
        if a[at] != b[at] {
            return (a[at].cmp(&b[at]), at);
        }
        at += 1;
    }
    (a.len().cmp(&b.len()), shorter)
}

/// The next eight bytes as a number that orders like them; missing ones are 0.
fn tag(key: &[u8], at: usize) -> u64 {
    word(key, at).unwrap_or_else(|| {
        let mut bytes = [0; WORD];
        let rest = key.get(at..).unwrap_or_default();
        bytes[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(bytes)
    })
}

#[derive(Clone, Copy, Debug)]
struct Item {
    tag: u64,
    at: u32,
}

/// Sorts rows by key, and rows with the same key from the last to the first. Keeps its buffers between calls.
///
/// A string sort over cached bytes: rows are sorted by the eight bytes behind what all of them share; those that have the
/// same eight are a group, sorted in the same way behind what *it* shares. Each row is looked at once per branching of its
/// group instead of once per comparison. (After Ng and Kakehi, "Cache Efficient Radix Sort for String Sorting", 2007, with
/// common beginnings skipped.)
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    items: Vec<Item>,
    groups: Vec<(Range<usize>, usize)>,
    charge: Option<Charge>,
}

/// More than this is given back after a batch that needed it.
const KEPT_BYTES: usize = 1 << 20;

impl Sorter {
    /// One whose buffers are charged.
    pub(crate) fn charged(memory: &Arc<Memory>) -> Sorter {
        Sorter { charge: Some(Charge::new(memory, Kind::Buffers, 0)), ..Sorter::default() }
    }

    /// Gives back what an unusually large batch needed.
    pub(crate) fn trim(&mut self) {
        if self.items.capacity() * size_of::<Item>() > KEPT_BYTES {
            self.items = Vec::new();
            self.groups = Vec::new();
            self.note();
        }
    }

    fn note(&mut self) {
        let bytes = self.items.capacity() * size_of::<Item>()
            + self.groups.capacity() * size_of::<(Range<usize>, usize)>();
        if let Some(charge) = &mut self.charge {
            charge.set(bytes);
        }
    }

    /// The rows `0..rows` in order.
    pub(crate) fn sort<'k>(
        &mut self,
        rows: u32,
        key: &impl Fn(u32) -> &'k [u8],
    ) -> impl Iterator<Item = u32> + '_ {
        self.items.clear();
        self.items.extend((0..rows).map(|at| Item { tag: 0, at }));
        self.note();
        self.groups.clear();
        self.groups.push((0..self.items.len(), 0));
        while let Some((range, depth)) = self.groups.pop() {
            let start = range.start;
            let Some(group) = self.items.get_mut(range) else { continue };
            if group.len() <= SMALL_GROUP {
                let rest = |item: &Item| key(item.at).get(depth..).unwrap_or_default();
                group.sort_unstable_by(|a, b| rest(a).cmp(rest(b)).then(b.at.cmp(&a.at)));
                continue;
            }
            let shared = shared_bytes(group, depth, key);
            let ended = ended_first(group, shared, key);
            group[..ended].sort_unstable_by_key(|item| Reverse(item.at));
            let longer = &mut group[ended..];
            longer.iter_mut().for_each(|item| item.tag = tag(key(item.at), shared));
            longer.sort_unstable_by_key(|item| item.tag);
            // Whoever ends within these eight bytes has the same tag as a key with zeros there: the group sorts it out.
            let mut from = start + ended;
            for same in longer.chunk_by(|a, b| a.tag == b.tag) {
                if same.len() > 1 {
                    self.groups.push((from..from + same.len(), shared));
                }
                from += same.len();
            }
        }
        self.note();
        self.items.iter().map(|item| item.at)
    }
}

/// How many bytes all keys of a group share; `depth` of them are known.
fn shared_bytes<'k>(group: &[Item], depth: usize, key: &impl Fn(u32) -> &'k [u8]) -> usize {
    let Some((first, others)) = group.split_first() else { return depth };
    let mut shared = key(first.at);
    for item in others {
        let (_, bytes) = compare_from(shared, key(item.at), depth);
        shared = &shared[..bytes];
    }
    shared.len()
}

/// Moves keys of exactly this length to the front; they are all the same. Returns their number.
fn ended_first<'k>(group: &mut [Item], bytes: usize, key: &impl Fn(u32) -> &'k [u8]) -> usize {
    let mut ended = 0;
    for at in 0..group.len() {
        if key(group[at].at).len() == bytes {
            group.swap(at, ended);
            ended += 1;
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few different bytes, so that beginnings are shared and keys are beginnings of others.
    fn keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let part =
            prop::sample::select(vec![&b""[..], b"\0", b"\0\0\0\0\0\0\0\0", b"a", b"subject/12345", b"\xff"]);
        let key = prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat());
        prop::collection::vec(key, 0..200)
    }

    proptest! {
        #[test]
        fn keys_are_sorted_and_equal_ones_come_latest_first(keys in keys()) {
            let mut sorter = Sorter::default();
            let order: Vec<u32> =
                sorter.sort(keys.len() as u32, &|at| keys[at as usize].as_slice()).collect();
            let mut expected: Vec<u32> = (0..keys.len() as u32).collect();
            expected.sort_by(|a, b| keys[*a as usize].cmp(&keys[*b as usize]).then(b.cmp(a)));
            prop_assert_eq!(order, expected);
        }

        #[test]
        fn comparing_behind_what_is_shared_is_comparing(keys in keys()) {
            for pair in keys.windows(2) {
                let shared = pair[0].iter().zip(&pair[1]).take_while(|(a, b)| a == b).count();
                for known in 0..=shared {
                    prop_assert_eq!(compare_from(&pair[0], &pair[1], known), (pair[0].cmp(&pair[1]), shared));
                }
            }
        }
    }
}
