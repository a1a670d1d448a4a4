//! What is committed: keys of 24 bytes, values of 256 bytes.
//!
//! A key is a group number of 8 bytes, which grows by one every 100 entries, and 16 random bytes: new entries land near
//! each other but not in order. A value is 128 random bytes, twice: it shrinks to about half under LZ4.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{engine::Pair, random::SplitMix64};

/// Length of a key.
pub const KEY_BYTES: usize = 24;
/// Length of a value.
pub const VALUE_BYTES: usize = 256;
const GROUP_ENTRIES: u64 = 100;

/// Gives out the entries of one database, over all its threads and slices.
#[derive(Debug, Default)]
pub struct Source {
    given: AtomicU64,
    streams: AtomicU64,
}

impl Source {
    /// Entries for one thread. The n-th stream of every source has the same random bytes.
    pub fn stream(&self) -> Stream<'_> {
        let number = self.streams.fetch_add(1, Ordering::Relaxed);
        Stream { source: self, random: SplitMix64::of(number), key: [0; KEY_BYTES], value: [0; VALUE_BYTES] }
    }
}

/// Entries for one thread.
#[derive(Debug)]
pub struct Stream<'a> {
    source: &'a Source,
    random: SplitMix64,
    key: [u8; KEY_BYTES],
    value: [u8; VALUE_BYTES],
}

impl Stream<'_> {
    /// The next entry; it lives until the one after it.
    pub fn next_pair(&mut self) -> Pair<'_> {
        let group = self.source.given.fetch_add(1, Ordering::Relaxed) / GROUP_ENTRIES;
        let (prefix, suffix) = self.key.split_at_mut(8);
        prefix.copy_from_slice(&group.to_be_bytes());
        self.random.fill(suffix);
        let (half, other_half) = self.value.split_at_mut(VALUE_BYTES / 2);
        self.random.fill(half);
        other_half.copy_from_slice(half);
        Pair { key: &self.key, value: &self.value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_by_groups_and_values_repeat_their_half() {
        let source = Source::default();
        let mut stream = source.stream();
        for number in 0..250_u64 {
            let pair = stream.next_pair();
            assert_eq!(pair.key[..8], (number / 100).to_be_bytes());
            assert_eq!(pair.value[..128], pair.value[128..]);
        }
    }

    #[test]
    fn two_streams_of_a_source_differ_and_two_sources_agree() {
        let (one, other) = (Source::default(), Source::default());
        let first = one.stream().next_pair().value.to_vec();
        assert_ne!(first, one.stream().next_pair().value.to_vec());
        assert_eq!(first, other.stream().next_pair().value.to_vec());
    }
}
