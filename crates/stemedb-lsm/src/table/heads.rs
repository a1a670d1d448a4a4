//! Binary search over sorted byte strings that usually touches one short column only.
//!
//! Behind the prefix that all of them share, the first eight bytes of each stand in a column of `u64`: nearly every
//! comparison ends there, in memory that lies together, without following a pointer. Where several strings have these eight
//! bytes in common, as names with the same beginning do, the next eight stand in a second column.

use std::ops::Range;

use crate::codec::common_prefix;

/// The column over strings that somebody else keeps.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    prefix: Box<[u8]>,
    heads: Box<[u64]>,
    /// The eight bytes behind each head; empty where all heads differ.
    seconds: Box<[u64]>,
}

/// The first eight bytes as a number that orders as they do; missing ones count as zeros.
pub(crate) fn head(suffix: &[u8]) -> u64 {
    match suffix.first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(suffix).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(bytes)
        }
    }
}

/// Bytes of a head.
const HEAD_BYTES: usize = size_of::<u64>();

/// Where `wanted` stands, or would stand, in the part `within` of a column that is sorted there.
fn equal(column: &[u64], within: Range<usize>, wanted: u64) -> Range<usize> {
    let part = column.get(within.clone()).unwrap_or_default();
    let first = part.partition_point(|head| *head < wanted);
    let equal = part.get(first..).unwrap_or_default().partition_point(|head| *head == wanted);
    within.start + first..within.start + first + equal
}

impl Heads {
    /// A column over sorted strings.
    pub(crate) fn of_sorted<'a>(
        mut strings: impl DoubleEndedIterator<Item = &'a [u8]> + Clone + 'a,
    ) -> Heads {
        let all = strings.clone();
        // What the first and the last of a sorted sequence share, all between them share too.
        let prefix = match (strings.next(), strings.next_back()) {
            (Some(first), Some(last)) => first.get(..common_prefix(first, last)).unwrap_or_default(),
            (Some(only), None) => only,
            (None, _) => &[],
        };
        let suffixes = all.map(|string| string.get(prefix.len()..).unwrap_or_default());
        Heads::of_suffixes(prefix, suffixes)
    }

    /// A column over sorted strings that share a prefix and are given without it.
    pub(crate) fn of_suffixes<'a>(prefix: &[u8], suffixes: impl Iterator<Item = &'a [u8]>) -> Heads {
        let second = |suffix: &[u8]| head(suffix.get(HEAD_BYTES..).unwrap_or_default());
        let (heads, seconds): (Vec<u64>, Vec<u64>) =
            suffixes.map(|suffix| (head(suffix), second(suffix))).unzip();
        let has_ties = heads.windows(2).any(|pair| pair.first() == pair.last());
        let seconds = if has_ties { seconds } else { Vec::new() };
        Heads { prefix: prefix.into(), heads: heads.into(), seconds: seconds.into() }
    }

    /// What all strings share.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.prefix.len() + size_of_val(&*self.heads) + size_of_val(&*self.seconds)
    }

    /// The number of strings less than `key`. `suffix` gives a string without the shared prefix.
    pub(crate) fn lower_bound<'a>(&self, key: &[u8], suffix: impl Fn(usize) -> &'a [u8]) -> usize {
        let Some(rest) = key.strip_prefix(&*self.prefix) else {
            return if *key < *self.prefix { 0 } else { self.len() };
        };
        let range = equal(&self.heads, 0..self.len(), head(rest));
        let second = head(rest.get(HEAD_BYTES..).unwrap_or_default());
        let range = if self.seconds.is_empty() { range } else { equal(&self.seconds, range, second) };
        // Ties of both: a last search over the whole suffixes of that run.
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if suffix(middle) < rest {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bound_is_the_number_of_lesser_strings(
            mut strings in proptest::collection::vec(proptest::collection::vec(0u8..2, 0..20), 0..40),
            probe in proptest::collection::vec(0u8..2, 0..20),
        ) {
            // Random bytes alone hardly ever share sixteen.
            for string in &mut strings {
                if string.len() > 12 {
                    string.get_mut(..9).unwrap().fill(1);
                }
            }
            strings.sort();
            let heads = Heads::of_sorted(strings.iter().map(Vec::as_slice));
            let suffix = |at: usize| &strings[at][heads.prefix().len()..];
            prop_assert_eq!(heads.lower_bound(&probe, suffix), strings.partition_point(|string| *string < probe));
        }
    }
}
