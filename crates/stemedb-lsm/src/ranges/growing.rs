//! The range removals of a memtable.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use stemedb_env::Lsn;

use super::Fragments;
use crate::memory::{Charge, Kind, Memory};

/// Removals that come while they are read: one writer at a time, readers without locks.
///
/// A list of layers, each less than half as large as the one behind it, replaced as a whole when a removal comes: a removal is
/// copied about as often as there are layers, and a lookup asks each of them once. A memtable without any costs its readers
/// one load.
#[derive(Debug, Default)]
pub(crate) struct GrowingRanges {
    has_any: AtomicBool,
    layers: ArcSwap<Vec<Arc<Fragments>>>,
    bytes: AtomicUsize,
    /// None where nobody counts.
    charge: Mutex<Option<Charge>>,
}

impl GrowingRanges {
    /// Charges what it holds.
    pub(crate) fn charged(memory: &Arc<Memory>) -> GrowingRanges {
        let charge = Charge::new(memory, Kind::Memtables, 0);
        GrowingRanges { charge: Mutex::new(Some(charge)), ..GrowingRanges::default() }
    }

    /// Adds removals. They are visible to whoever sees their LSN published after this.
    pub(crate) fn add(&self, removals: Fragments) {
        if removals.is_empty() {
            return;
        }
        let mut layers = Vec::clone(&self.layers.load());
        let mut newest = removals;
        while let Some(last) = layers.pop_if(|last| last.spans().len() <= 2 * newest.spans().len()) {
            newest = last.with(&newest);
        }
        layers.push(Arc::new(newest));
        let bytes = layers.iter().map(|layer| layer.memory_bytes()).sum();
        if let Some(charge) = &mut *self.charge.lock() {
            charge.set(bytes);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        self.layers.store(Arc::new(layers));
        self.has_any.store(true, Ordering::Release);
    }

    /// True if there are any, visible or not.
    pub(crate) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Acquire)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The newest removal of a key at or below `upto`; 0 without one.
    pub(crate) fn newest(&self, key: &[u8], upto: Lsn) -> Lsn {
        let layers = self.layers.load();
        layers.iter().map(|layer| layer.newest(key, upto)).max().unwrap_or(Lsn::ZERO)
    }

    /// All of them, up to an LSN.
    pub(crate) fn upto(&self, upto: Lsn) -> Fragments {
        let layers = self.layers.load();
        Fragments::merged(layers.iter().map(|layer| (**layer).clone()))
            .with_lsns(|lsns| lsns.iter().filter(|lsn| **lsn <= upto).copied().collect())
    }

    /// Hands over, layer by layer, what hides keys from `start` on and before `end` as of an LSN.
    pub(crate) fn each_as_of(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        upto: Lsn,
        mut take: impl FnMut(Fragments),
    ) {
        self.layers.load().iter().for_each(|layer| take(layer.as_of(start, end, upto)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_say_what_one_list_would_and_stay_few() {
        let ranges = GrowingRanges::default();
        assert!(!ranges.has_any());
        let mut all = Fragments::default();
        for n in 1..400u64 {
            let (start, end) = ((n * 7 % 101) as u8, (n * 13 % 103) as u8);
            let one = Fragments::one(&[start], &[start.max(end) + 1], Lsn(n));
            ranges.add(one.clone());
            all = all.with(&one);
        }
        assert!(ranges.has_any() && ranges.layers.load().len() < 9);
        for key in 0..=255u8 {
            for upto in (0..400).step_by(7) {
                assert_eq!(ranges.newest(&[key], Lsn(upto)), all.newest(&[key], Lsn(upto)));
            }
        }
        assert_eq!(ranges.upto(Lsn::MAX), all);
        assert_eq!(ranges.upto(Lsn(5)).lsns().map(|(_, newest)| newest), Some(Lsn(5)));
    }
}
