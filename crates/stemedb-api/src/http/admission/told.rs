//! What the log says of refusals: that there are some, not each.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts refusals between lines of the log. A line for each would cost more than the refusal, just when there is no time for it:
/// the counter `stemedb_http_refused_total` has all of them.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// When the next line may be written, in nanoseconds of the monotonic clock.
    next: AtomicU64,
    untold: AtomicU64,
}

impl Told {
    /// Counts a refusal; says how many there were since the last line, this one included, if it is time for another.
    pub(crate) fn note(&self, now: Duration) -> Option<u64> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.untold.fetch_add(1, Ordering::Relaxed);
        let next = self.next.load(Ordering::Relaxed);
        if nanoseconds(now) < next {
            return None;
        }
        let then = nanoseconds(now + PAUSE);
        // Of several at once, one tells it.
        self.next.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_those_after_it_together_a_second_later() {
        let told = Told::default();
        let at = |milliseconds| Duration::from_millis(milliseconds);
        assert_eq!(told.note(at(0)), Some(1));
        for moment in 1..1000 {
            assert_eq!(told.note(at(moment)), None);
        }
        assert_eq!(told.note(at(1000)), Some(1000));
        assert_eq!(told.note(at(1001)), None);
        assert_eq!(told.note(at(10_000)), Some(2));
    }
}
