//! How much to read at once, and how long to rest then.

use std::time::Duration;

use super::ScrubOptions;

/// Smallest and largest piece.
const LEAST_PIECE_BYTES: u64 = 64 << 10;
const MOST_PIECE_BYTES: u64 = 1 << 20;

/// What has still to be read, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bytes_per_s: u64,
    /// The ceiling is too low for the period.
    pub(super) is_late: bool,
}

impl Pace {
    /// The pace at which `left_bytes` are read within nine tenths of the period, of which `elapsed` has passed.
    pub(super) fn new(options: &ScrubOptions, left_bytes: u64, elapsed: Duration) -> Pace {
        let target = options.period / 10 * 9;
        let left_ms = u64::try_from(target.saturating_sub(elapsed).as_millis()).unwrap_or(u64::MAX).max(1);
        let wanted = u128::from(left_bytes) * 1000 / u128::from(left_ms);
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX).max(1);
        let ceiling = options.ceiling_bytes_per_s();
        Pace { bytes_per_s: wanted.min(ceiling), is_late: wanted > ceiling }
    }

    /// Bytes of the next piece.
    pub(super) fn piece_bytes(&self) -> u64 {
        self.bytes_per_s.clamp(LEAST_PIECE_BYTES, MOST_PIECE_BYTES)
    }

    /// How long to rest after a piece of `bytes` that took `took`.
    pub(super) fn rest(&self, options: &ScrubOptions, bytes: u64, took: Duration) -> Duration {
        let ms = u128::from(bytes) * 1000 / u128::from(self.bytes_per_s);
        let for_bytes = Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
        // The time of the piece is part of its second.
        for_bytes.saturating_sub(took).max(options.rest_of_time(took))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_pace_follows_what_is_left_and_stays_below_the_ceiling() {
        let options = ScrubOptions { period: 10 * HOUR, ..ScrubOptions::default() };
        let even = Pace::new(&options, 9 * 3600 * 1000, Duration::ZERO);
        assert_eq!((even.bytes_per_s, even.is_late, even.piece_bytes()), (1000, false, 64 << 10));
        assert_eq!(even.rest(&options, 64 << 10, Duration::ZERO), Duration::from_millis(65_536));
        let behind = Pace::new(&options, 9 * 3600 * 1000, 6 * HOUR);
        assert_eq!(behind.bytes_per_s, 3000);
        let late = Pace::new(&options, 9 * 3600 * 1000, 20 * HOUR);
        assert_eq!((late.bytes_per_s, late.is_late), (20 << 20, true));
        assert_eq!(late.piece_bytes(), 1 << 20);
    }

    #[test]
    fn a_slow_piece_is_followed_by_nineteen_times_its_time() {
        let options = ScrubOptions::default();
        let pace = Pace::new(&options, 1 << 40, Duration::ZERO);
        let took = Duration::from_millis(100);
        assert_eq!(pace.rest(&options, 1 << 20, took), Duration::from_millis(1900));
        let all = ScrubOptions { share_percent: 100, ..options };
        assert_eq!(all.rest_of_time(took), Duration::ZERO);
    }
}
