//! How long a read takes, as a moving average.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// One part of so many of a new measurement goes into the average.
const WEIGHT: u64 = 16;

/// An exponentially weighted average of durations. Threads may overwrite each other's measurement: one more or less says
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Pace {
    nanoseconds: AtomicU64,
}

impl Pace {
    /// Takes a duration in.
    pub(super) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = self.nanoseconds.load(Ordering::Relaxed);
        // Rounded up, so that the average reaches what is measured; a single outlier moves it by a sixteenth.
        let after = match took.checked_sub(before) {
            Some(more) => before.saturating_add(more.div_ceil(WEIGHT)),
            None => before - (before - took).div_ceil(WEIGHT),
        };
        self.nanoseconds.store(after, Ordering::Relaxed);
    }

    /// The average; zero before the first measurement.
    pub(super) fn typical(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_reaches_what_is_measured_from_both_sides_and_an_outlier_moves_it_little() {
        let pace = Pace::default();
        assert_eq!(pace.typical(), Duration::ZERO);
        let millisecond = Duration::from_millis(1);
        (0..500).for_each(|_| pace.note(millisecond));
        assert_eq!(pace.typical(), millisecond);
        pace.note(Duration::from_millis(17));
        assert_eq!(pace.typical(), Duration::from_millis(2));
        (0..500).for_each(|_| pace.note(Duration::ZERO));
        assert_eq!(pace.typical(), Duration::ZERO);
    }
}
