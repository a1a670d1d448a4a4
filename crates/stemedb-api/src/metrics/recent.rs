//! What happened of late: the rate of errors that an operator asks for without a Prometheus beside him.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;

/// How many minutes count as of late, the present one included.
const MINUTES: u64 = 5;

/// Operations by minute.
#[derive(Debug, Default)]
pub(super) struct Recent {
    minutes: Mutex<VecDeque<Minute>>,
}

#[derive(Debug)]
struct Minute {
    number: u64,
    operations: u64,
    errors: u64,
}

fn minute(now: Duration) -> u64 {
    now.as_secs() / 60
}

impl Recent {
    /// Counts an operation.
    pub fn note(&self, now: Duration, failed: bool) {
        let number = minute(now);
        let mut minutes = self.minutes.lock();
        if minutes.back().is_none_or(|last| last.number < number) {
            minutes.push_back(Minute { number, operations: 0, errors: 0 });
            if minutes.len() as u64 > MINUTES {
                minutes.pop_front();
            }
        }
        // Whoever took its time before it came here counts for the newest minute.
        if let Some(last) = minutes.back_mut() {
            last.operations += 1;
            last.errors += u64::from(failed);
        }
    }

    /// Operations and errors of the last minutes.
    pub fn sums(&self, now: Duration) -> (u64, u64) {
        let oldest = (minute(now) + 1).saturating_sub(MINUTES);
        let minutes = self.minutes.lock();
        let counted = minutes.iter().filter(|minute| minute.number >= oldest);
        counted.fold((0, 0), |(operations, errors), minute| {
            (operations + minute.operations, errors + minute.errors)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_five_minutes_does_not_count() {
        let recent = Recent::default();
        let at = Duration::from_secs;
        recent.note(at(10), true);
        recent.note(at(70), false);
        assert_eq!(recent.sums(at(299)), (2, 1));
        assert_eq!(recent.sums(at(300)), (1, 0));
        for minute in 5..20 {
            recent.note(at(minute * 60), true);
        }
        assert_eq!(recent.sums(at(19 * 60)), (5, 5));
        assert_eq!(recent.sums(at(100 * 60)), (0, 0));
    }
}
