//! How fast compaction may write while somebody commits.
//!
//! A sync of the journal waits for whatever else the disk has to write. So compaction slows down while syncs take longer
//! than they do on their own, and does what it can as soon as nobody commits or its own debt becomes the greater evil.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stemedb_env::Clock;

/// Syncs may take this many times as long as on their own, in tenths.
const TOLERANCE_TENTHS: u64 = 15;
/// Without a commit for this long nobody is disturbed.
const QUIET: Duration = Duration::from_millis(50);
/// Rates are in bytes per second; at the highest there is no limit any more.
pub(crate) const MOST_RATE: u64 = 1 << 30;
pub(crate) const LEAST_RATE: u64 = 8 << 20;
/// What may be written at once after a pause.
const BURST: Duration = Duration::from_millis(20);
/// Weight of a new latency in the average: one eighth.
const SMOOTHING: u64 = 8;
/// The figure for a sync on its own creeps up by one part in so many per second, so that it can follow a disk that gets
/// slower while compaction never rests.
const FORGETTING: u64 = 64;
const FORGETTING_EVERY: Duration = Duration::from_secs(1);

/// What the controller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// See [`crate::store::admission`]; in thousandths: 1000 = writers must wait.
    pub(crate) debt_milli: u64,
    /// Smoothed latency of a sync.
    pub(crate) sync_us: u64,
    /// The same when compaction is not writing.
    pub(crate) lone_sync_us: u64,
}

/// The next rate: a fifth less while syncs are slow, a quarter more while they are not, and never less than what the debt
/// calls for.
pub(crate) fn next_rate(rate: u64, reading: Reading) -> u64 {
    let limit_us = reading.lone_sync_us.saturating_mul(TOLERANCE_TENTHS) / 10;
    let moved = if reading.sync_us > limit_us { rate / 5 * 4 } else { rate.saturating_add(rate / 4) };
    // From half of the debt on, where writers begin to be delayed, the least rate rises steeply up to no limit at all.
    let pressing = reading.debt_milli.saturating_sub(500).min(500);
    let least = LEAST_RATE + (MOST_RATE - LEAST_RATE) / 250_000 * pressing * pressing;
    if pressing == 500 { MOST_RATE } else { moved.clamp(least.min(MOST_RATE), MOST_RATE) }
}

/// The tree's ear for the commits of whoever owns the journal: tell it how long each durable write took. It also says when
/// the tree cannot get rid of what it holds.
#[derive(Debug)]
pub struct Pressure {
    clock: Arc<dyn Clock>,
    flushes: AtomicU8,
    state: Mutex<State>,
}

/// What became of the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FlushState {
    Works,
    Fails,
    DiskFull,
}

#[derive(Debug)]
struct State {
    /// Of the latest report.
    at: Option<Duration>,
    sync_us: u64,
    lone_sync_us: u64,
    /// When the latter crept up last.
    crept_at: Duration,
    /// A report since the rate was decided last.
    is_news: bool,
    /// A compaction is writing: what is reported is not a sync on its own.
    is_disturbed: bool,
    rate: u64,
    /// When the bytes charged so far will have been written at the present rate.
    paid_until: Duration,
}

impl Pressure {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Pressure {
        let state = State {
            at: None,
            sync_us: 0,
            lone_sync_us: 0,
            crept_at: Duration::ZERO,
            is_news: false,
            is_disturbed: false,
            rate: MOST_RATE,
            paid_until: Duration::ZERO,
        };
        Pressure { clock, flushes: AtomicU8::new(FlushState::Works as u8), state: Mutex::new(state) }
    }

    /// True while a flush has failed because the disk is full: what is written now would have to stay in memory. Ask before
    /// a group is taken on. Cost: a load.
    pub fn is_out_of_room(&self) -> bool {
        self.flushes.load(Ordering::Relaxed) == FlushState::DiskFull as u8
    }

    /// True while a flush has failed for whatever reason, and has not been tried again yet. Cost: a load.
    pub fn flush_fails(&self) -> bool {
        self.flushes.load(Ordering::Relaxed) != FlushState::Works as u8
    }

    pub(crate) fn set_flushes(&self, state: FlushState) {
        self.flushes.store(state as u8, Ordering::Relaxed);
    }

    /// A durable write of the journal took so long. Cost: a lock and a clock reading; call it once per group.
    pub fn report_sync(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(60_000_000);
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let mix = |old: u64| if old == 0 { took } else { (old * (SMOOTHING - 1) + took) / SMOOTHING };
        state.sync_us = mix(state.sync_us);
        state.lone_sync_us = match state.lone_sync_us {
            0 => took,
            lone if took < lone || !state.is_disturbed => mix(lone),
            lone if now.saturating_sub(state.crept_at) >= FORGETTING_EVERY => {
                state.crept_at = now;
                lone + lone.div_ceil(FORGETTING)
            }
            lone => lone,
        };
        state.at = Some(now);
        state.is_news = true;
    }

    /// How long compaction has to wait before it writes on. Zero without commits.
    pub(crate) fn pause(&self, debt_milli: u64) -> Duration {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let quiet = state.at.is_none_or(|at| now.saturating_sub(at) >= QUIET);
        if quiet {
            state.rate = MOST_RATE;
            state.paid_until = now;
            return Duration::ZERO;
        }
        if std::mem::take(&mut state.is_news) {
            let reading = Reading { debt_milli, sync_us: state.sync_us, lone_sync_us: state.lone_sync_us };
            state.rate = next_rate(state.rate, reading);
        }
        if state.rate >= MOST_RATE {
            state.paid_until = now;
            return Duration::ZERO;
        }
        state.paid_until.saturating_sub(now + BURST)
    }

    /// Compaction has written this much.
    pub(crate) fn charge(&self, bytes: u64) {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        state.is_disturbed = true;
        let micros = bytes.saturating_mul(1_000_000) / state.rate.max(1);
        state.paid_until = state.paid_until.max(now) + Duration::from_micros(micros);
    }

    /// Compaction has nothing to do.
    pub(crate) fn rest(&self) {
        self.state.lock().is_disturbed = false;
    }

    /// Microseconds that a durable write takes of late, and on its own; 0 before the first report.
    pub(crate) fn sync_us(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.sync_us, state.lone_sync_us)
    }

    /// Bytes per second that compaction may write now; `None` without a limit.
    pub(crate) fn rate(&self) -> Option<u64> {
        let rate = self.state.lock().rate;
        (rate < MOST_RATE).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use stemedb_env::{Micros, clock::SimClock};

    use super::*;

    fn reading(debt_milli: u64, sync_us: u64) -> Reading {
        Reading { debt_milli, sync_us, lone_sync_us: 1000 }
    }

    fn settled(debt_milli: u64, sync_us: u64, from: u64) -> u64 {
        (0..200).fold(from, |rate, _| next_rate(rate, reading(debt_milli, sync_us)))
    }

    #[test]
    fn slow_syncs_lower_the_rate_and_quick_ones_raise_it() {
        assert_eq!(next_rate(100 << 20, reading(0, 1500)), (100 << 20) / 4 * 5, "still tolerated");
        assert_eq!(next_rate(100 << 20, reading(0, 1501)), (100 << 20) / 5 * 4);
        assert_eq!(settled(0, 5000, MOST_RATE), LEAST_RATE);
        assert_eq!(settled(0, 900, LEAST_RATE), MOST_RATE);
    }

    #[test]
    fn debt_raises_the_least_rate_without_a_cliff() {
        let least: Vec<u64> = (0..=1000).step_by(10).map(|debt| settled(debt, 9000, MOST_RATE)).collect();
        assert!(least.is_sorted(), "{least:?}");
        assert_eq!((least[0], least[50]), (LEAST_RATE, LEAST_RATE));
        assert_eq!(least[100], MOST_RATE);
        assert!(least.windows(2).all(|pair| pair[1] - pair[0] <= MOST_RATE / 20), "{least:?}");
    }

    fn pressure() -> (Pressure, Arc<SimClock>) {
        let clock = Arc::new(SimClock::new(Micros(0)));
        (Pressure::new(Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    #[test]
    fn without_commits_there_is_no_limit() {
        let (pressure, clock) = pressure();
        pressure.charge(1 << 30);
        assert_eq!(pressure.pause(0), Duration::ZERO);
        // Syncs got slow under a compaction, and then nobody commits any more.
        (0..50).for_each(|_| pressure.report_sync(Duration::from_millis(1)));
        (0..50).for_each(|_| {
            pressure.report_sync(Duration::from_millis(9));
            pressure.pause(0);
            pressure.charge(1 << 20);
        });
        assert!(pressure.pause(0) > Duration::ZERO && pressure.rate().is_some());
        clock.advance(QUIET);
        assert_eq!(pressure.pause(0), Duration::ZERO);
        assert_eq!(pressure.rate(), None);
    }

    #[test]
    fn the_bucket_holds_the_rate_that_was_decided() {
        let (pressure, clock) = pressure();
        pressure.report_sync(Duration::from_millis(1));
        let mut written = 0u64;
        let mut last = Duration::ZERO;
        for tick in 0..4_000 {
            // Slow syncs throughout: the rate ends at its least.
            if tick % 10 == 0 {
                pressure.charge(0);
                pressure.report_sync(Duration::from_millis(20));
            }
            if pressure.pause(0).is_zero() {
                pressure.charge(64 << 10);
                written += 64 << 10;
            }
            clock.advance(Duration::from_millis(1));
            if tick == 1_000 {
                (written, last) = (0, clock.monotonic());
            }
        }
        let seconds = (clock.monotonic() - last).as_secs_f64();
        let rate = written as f64 / seconds;
        let wanted = LEAST_RATE as f64;
        assert!((rate - wanted).abs() < wanted / 20.0, "{rate} instead of {wanted}");
    }

    #[test]
    fn what_a_sync_takes_on_its_own_is_not_learnt_from_disturbed_ones() {
        let (pressure, clock) = pressure();
        (0..20).for_each(|_| pressure.report_sync(Duration::from_micros(1000)));
        pressure.charge(1);
        // Ten seconds of a busy server.
        for _ in 0..10_000 {
            clock.advance(Duration::from_millis(1));
            pressure.report_sync(Duration::from_micros(9000));
        }
        let state = pressure.state.lock();
        assert!(state.sync_us > 8_000 && state.lone_sync_us < 1_200, "{state:?}");
    }
}
