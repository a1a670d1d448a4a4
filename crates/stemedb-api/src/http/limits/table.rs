//! What is remembered of callers: a table of a fixed size.
//!
//! Each caller has one number, the *theoretical arrival time* of the generic cell rate algorithm (ITU-T I.371): when it would
//! have got everything back. A request of `n` units moves it on by `n` intervals, and is refused if it then lay further ahead than
//! the window.
//!
//! A caller's place is one of eight in a set that a keyed hash chooses. Where all eight are taken the one that has got
//! the most back gives way: one whose time is over has nothing to be remembered, so that a flood of callers who come once
//! pushes out those who come once, and not the one who has used up everything.

use std::time::Duration;

use parking_lot::Mutex;

use super::Rate;

const WAYS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Tells callers of one set apart.
    fingerprint: u64,
    /// The theoretical arrival time, in nanoseconds of the clock; 0: free.
    arrival_ns: u64,
}

type Set = Mutex<[Slot; WAYS]>;

/// The table.
#[derive(Debug)]
pub(super) struct RateTable {
    sets: Box<[Set]>,
    secret: [u8; 32],
}

impl RateTable {
    /// A table of at most so many bytes, and at least one set.
    pub fn new(memory_bytes: usize, secret: [u8; 32]) -> RateTable {
        let sets = (memory_bytes / size_of::<Set>()).max(1);
        RateTable { sets: (0..sets).map(|_| Set::default()).collect(), secret }
    }

    /// Takes units for a caller. Returns what is left, or how long until they would be there.
    pub fn take(&self, caller: &[u8], rate: Rate, units: u32, now_ns: u64) -> Result<u32, Duration> {
        let hash = blake3::keyed_hash(&self.secret, caller);
        let (words, _) = hash.as_bytes().as_chunks::<8>();
        let word = |at: usize| words.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (place, fingerprint) = (word(0) % self.sets.len() as u64, word(1));
        let Some(set) = self.sets.get(place as usize) else { return Ok(0) };
        let mut set = set.lock();
        let found = set.iter().position(|slot| slot.arrival_ns > 0 && slot.fingerprint == fingerprint);
        let at = found.or_else(|| (0..WAYS).min_by_key(|at| set.get(*at).map_or(0, |slot| slot.arrival_ns)));
        let Some(slot) = at.and_then(|at| set.get_mut(at)) else { return Ok(0) };
        let before = if found.is_some() { slot.arrival_ns.max(now_ns) } else { now_ns };
        let interval = rate.interval_ns();
        // What costs more than there ever is would otherwise never pass.
        let units = units.clamp(1, rate.quota.max(1));
        let window = interval.saturating_mul(u64::from(rate.quota.max(1)));
        let after = before.saturating_add(interval.saturating_mul(u64::from(units)));
        let ahead = after.saturating_sub(now_ns);
        if ahead > window {
            return Err(Duration::from_nanos(ahead - window));
        }
        *slot = Slot { fingerprint, arrival_ns: after };
        Ok(u32::try_from((window - ahead) / interval).unwrap_or(u32::MAX))
    }

    /// What the table takes, in bytes.
    #[cfg(test)]
    fn memory_bytes(&self) -> usize {
        self.sets.len() * size_of::<Set>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { quota: 100, window_seconds: 10 };

    /// As many callers as an address space has, each asking once.
    fn flood(callers: u64) {
        let budget = 1 << 20;
        let table = RateTable::new(budget, [7; 32]);
        let before = table.memory_bytes();
        assert!(before <= budget && before > budget / 2);
        let hot = b"somebody who has used up everything";
        for left in (0..100).rev() {
            assert_eq!(table.take(hot, RATE, 1, 1), Ok(left));
        }
        for caller in 0..callers {
            assert!(table.take(&caller.to_le_bytes(), RATE, 1, 1).is_ok(), "caller {caller} came once");
        }
        assert!(table.take(hot, RATE, 1, 1).is_err(), "it cannot be pushed out by those");
        assert_eq!(table.memory_bytes(), before);
    }

    #[test]
    fn a_million_callers_fit_into_a_mebibyte_and_do_not_push_out_the_one_who_is_limited() {
        let callers = std::env::var("STEMEDB_RATE_CALLERS").map(|text| text.parse().unwrap());
        flood(callers.unwrap_or(1_000_000));
    }

    #[test]
    fn what_costs_more_than_the_quota_passes_when_nothing_was_used() {
        let table = RateTable::new(0, [7; 32]);
        assert_eq!(table.take(b"a", RATE, 5000, 1), Ok(0));
        assert_eq!(table.take(b"a", RATE, 5000, 1), Err(Duration::from_secs(10)));
        assert_eq!(table.take(b"a", RATE, 5000, 1 + 10_000_000_000), Ok(0));
    }
}
