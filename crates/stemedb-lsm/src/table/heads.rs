//! Binary search over sorted byte strings that usually touches one short column only.
//!
//! Behind the prefix that all of them share, the first eight bytes of each stand in a column of `u64`: nearly every
//! comparison ends there, in memory that lies together, without following a pointer.

use crate::codec::common_prefix;

/// The column over strings that somebody else keeps.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    prefix: Box<[u8]>,
    heads: Box<[u64]>,
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
        Heads { prefix: prefix.into(), heads: suffixes.map(head).collect() }
    }

    /// What all strings share.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.prefix.len() + size_of_val(&*self.heads)
    }

    /// The number of strings less than `key`. `suffix` gives a string without the shared prefix.
    pub(crate) fn lower_bound<'a>(&self, key: &[u8], suffix: impl Fn(usize) -> &'a [u8]) -> usize {
        let Some(rest) = key.strip_prefix(&*self.prefix) else {
            return if *key < *self.prefix { 0 } else { self.len() };
        };
        let wanted = head(rest);
        let first = self.heads.partition_point(|head| *head < wanted);
        // Ties of the first eight bytes: a second search over the whole suffixes of that run.
        let tied = self.heads.get(first..).unwrap_or_default().partition_point(|head| *head == wanted);
        let (mut low, mut high) = (first, first + tied);
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
            mut strings in proptest::collection::vec(proptest::collection::vec(0u8..2, 0..14), 0..40),
            probe in proptest::collection::vec(0u8..2, 0..14),
        ) {
            strings.sort();
            let heads = Heads::of_sorted(strings.iter().map(Vec::as_slice));
            let suffix = |at: usize| &strings[at][heads.prefix().len()..];
            prop_assert_eq!(heads.lower_bound(&probe, suffix), strings.partition_point(|string| *string < probe));
        }
    }
}
