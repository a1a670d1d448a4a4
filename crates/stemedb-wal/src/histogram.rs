//! Counts by power of two: cheap enough for every commit.

use std::sync::atomic::{AtomicU64, Ordering};

const BUCKETS: usize = 40;

/// A histogram that many threads may add to. Bucket `i > 0` counts values from `2^(i-1)` to `2^i - 1`; bucket 0
/// counts zeros; the last one everything larger.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn add(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.max.fetch_max(value, Ordering::Relaxed);
    }

    /// What has been counted so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

/// A copy of a [`Histogram`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Counts; see [`Histogram`] for the bounds.
    pub buckets: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
    /// Largest value.
    pub max: u64,
}

impl HistogramSnapshot {
    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// An upper bound of the `per_mille`-th quantile: the end of its bucket.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = (self.count() * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return if bucket == 0 { 0 } else { ((1u64 << bucket) - 1).min(self.max) };
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_an_upper_bound_within_a_factor_of_two() {
        let histogram = Histogram::default();
        (0..1000).for_each(|value| histogram.add(value));
        let counted = histogram.snapshot();
        assert_eq!((counted.count(), counted.sum, counted.max), (1000, 499_500, 999));
        let median = counted.quantile(500);
        assert!((499..998).contains(&median), "{median}");
        assert_eq!(counted.quantile(1000), 999);
        assert_eq!(HistogramSnapshot::default().quantile(500), 0);
    }
}
