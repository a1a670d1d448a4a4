//! A Bloom filter that grows: keys and declared prefixes of a memtable.
//!
//! All bits of a hash lie in one cache line, so an absent key costs one miss instead of a search. Nobody knows beforehand
//! how many rows a memtable will get: it starts with a small filter, and when that is full adds one for the number of
//! rows to be expected from those that have come. A lookup asks all of them; there are seldom more than two.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use crate::{
    PrefixExtractor,
    memory::{Charge, Kind, Memory},
    table::filter::filter_hash,
};

/// Hashes that the first filter is made for: 12 KiB.
const FIRST_HASHES: usize = 8 << 10;
/// At twelve bits per hash about 0.6 % of absent keys pass.
const BITS_PER_HASH: usize = 12;
const PROBES: u32 = 7;
const SPREAD: u32 = 0x9E37_79B9;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

#[derive(Debug)]
struct Layer {
    lines: Box<[Line]>,
    most: usize,
    next: OnceLock<Box<Layer>>,
    _charge: Charge,
}

impl Layer {
    fn new(most: usize, memory: &Arc<Memory>) -> Layer {
        let lines = (most * BITS_PER_HASH).div_ceil(512).max(1);
        Layer {
            _charge: Charge::new(memory, Kind::Memtables, lines * size_of::<Line>()),
            lines: (0..lines).map(|_| Line::default()).collect(),
            most,
            next: OnceLock::new(),
        }
    }

    fn line(&self, hash: u64) -> &[AtomicU64; 8] {
        // Multiply-shift: uniform over the lines, and always one of them.
        let at = ((hash >> 32) * self.lines.len() as u64) >> 32;
        &self.lines[at as usize].0
    }

    /// False means certainly absent.
    fn may_contain(&self, hash: u64) -> bool {
        let line = self.line(hash);
        bits(hash).all(|(word, bit)| line[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// True if the filter has changed. One writer at a time.
    fn add(&self, hash: u64) -> bool {
        let line = self.line(hash);
        let mut changed = false;
        for (word, bit) in bits(hash) {
            // No other writer can come between the two; readers see the word with or without the bit.
            let before = line[word].load(Ordering::Relaxed);
            if before & bit == 0 {
                line[word].store(before | bit, Ordering::Relaxed);
                changed = true;
            }
        }
        changed
    }
}

/// Words of a line and bits in them; the same multiplicative probing as in tables' filters.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut rest = hash as u32;
    (0..PROBES).map(move |_| {
        let bit = rest >> (32 - 9);
        rest = rest.wrapping_mul(SPREAD);
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

/// The filter of one memtable. Written under the lock of its writer; whoever may see a row sees its bits too, because
/// they are set before the row is published.
#[derive(Debug)]
pub(super) struct GrowingFilter {
    first: Layer,
    memory: Arc<Memory>,
    extract: Option<PrefixExtractor>,
    /// Hashes in the newest layer, in all of them, and the prefix added last.
    in_newest: AtomicUsize,
    last_prefix: AtomicU64,
}

impl GrowingFilter {
    pub(super) fn new(extract: Option<PrefixExtractor>, memory: &Arc<Memory>) -> GrowingFilter {
        GrowingFilter {
            first: Layer::new(FIRST_HASHES, memory),
            memory: Arc::clone(memory),
            extract,
            in_newest: AtomicUsize::new(0),
            last_prefix: AtomicU64::new(0),
        }
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::successors(Some(&self.first), |layer| layer.next.get().map(Box::as_ref))
    }

    /// Bytes of all layers.
    pub(super) fn held_bytes(&self) -> usize {
        self.layers().map(|layer| size_of_val(&*layer.lines)).sum()
    }

    /// False means that no row has a key or declared prefix with this hash.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        self.layers().any(|layer| layer.may_contain(hash))
    }

    /// Adds a key and its declared prefix. `expected` says how many rows are to be expected in all, from those so far.
    pub(super) fn add_key(&self, key: &[u8], expected: impl Fn() -> usize) {
        self.add(filter_hash(key), &expected);
        let Some(extract) = self.extract else { return };
        let declared = extract(key).min(key.len());
        if let Some(prefix) = key.get(..declared).filter(|prefix| !prefix.is_empty()) {
            let hash = filter_hash(prefix);
            // Rows of a batch come sorted: most have the prefix of the one before.
            if self.last_prefix.swap(hash, Ordering::Relaxed) != hash {
                self.add(hash, &expected);
            }
        }
    }

    fn add(&self, hash: u64, expected: &impl Fn() -> usize) {
        let Some(mut newest) = self.layers().last() else { return };
        if self.in_newest.load(Ordering::Relaxed) >= newest.most {
            let most = expected().clamp(newest.most * 2, newest.most * 64);
            newest = newest.next.get_or_init(|| Box::new(Layer::new(most, &self.memory)));
            self.in_newest.store(0, Ordering::Relaxed);
        }
        // What is there already, as a version of the same key or by chance, needs no room.
        if newest.add(hash) {
            self.in_newest.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_prefix_passes_and_few_others_do_while_it_grows() {
        let filter = GrowingFilter::new(Some(|key| if key.len() > 3 { 3 } else { 0 }), &Memory::unlimited(0));
        let key = |n: u32| [&b"key"[..], &n.to_be_bytes()].concat();
        for n in 0..100_000 {
            filter.add_key(&key(n), || 60_000);
        }
        assert_eq!(filter.layers().count(), 3, "the first, the expected, and one more because more came");
        assert!((0..100_000).all(|n| filter.may_contain(filter_hash(&key(n)))));
        assert!(filter.may_contain(filter_hash(b"key")));
        let wrong = (100_000..200_000).filter(|n| filter.may_contain(filter_hash(&key(*n)))).count();
        assert!(wrong < 2_500, "{wrong} of 100,000");
        assert!((0..1_000u32).filter(|n| filter.may_contain(filter_hash(&n.to_le_bytes()))).count() < 40);
    }

    #[test]
    fn versions_of_one_key_take_no_room() {
        let filter = GrowingFilter::new(None, &Memory::unlimited(0));
        (0..100_000).for_each(|_| filter.add_key(b"the same", || 100_000));
        assert_eq!(filter.layers().count(), 1);
        assert_eq!(filter.in_newest.load(Ordering::Relaxed), 1);
    }
}
