//! How writers are slowed down while flushes and compaction are behind.
//!
//! One score says how far behind they are: 1 is where writers stop. Up to a half nothing happens. Between a half and 1
//! each byte costs a delay that grows smoothly, until at 1 bytes come in as fast as they were last drained. Beyond 1 a
//! writer sleeps until the score has fallen; whoever changes the score wakes it. What merges under way will leave behind
//! counts as well (see `compaction::forecast`): it slows writers down so early that they need not stop.
//!
//! Flushes and compaction never wait for writers, and a writer never waits here for a batch that its caller has still to
//! publish: what it waits for depends on nobody else.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use super::core::Core;
use crate::{
    ApplyDelays, Result,
    compaction::{Outlook, l0_merge_bytes},
    stats::Histogram,
};

/// Why a writer was delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DelayCause {
    /// Too many tables in level 0.
    Level0,
    /// Too many memtables that wait for their flush.
    Memtables,
    /// Too many bytes that compaction has still to merge.
    PendingBytes,
}

impl DelayCause {
    /// All of them, in the order of their indices.
    pub const ALL: [DelayCause; 3] = [DelayCause::Level0, DelayCause::Memtables, DelayCause::PendingBytes];

    /// A word for metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            DelayCause::Level0 => "level0",
            DelayCause::Memtables => "memtables",
            DelayCause::PendingBytes => "pending_bytes",
        }
    }
}

/// Below this score, in thousandths, nobody is delayed.
const FREE_MILLI: u64 = 500;
/// At this score a writer stops.
pub(crate) const STOP_MILLI: u64 = 1000;
/// Level 0 may have this many times its trigger. A merge of everything takes as long as many flushes, and the tables that
/// come meanwhile cost reads a probe of a filter each; a writer that stands still costs more.
pub(crate) const L0_FACTOR: u64 = 6;
/// The share of the debt that is always allowed, in merges of level 0.
const PENDING_MERGES: u64 = 4;
/// No batch is delayed longer than this; the rest is paid by the next ones.
const LONGEST_DELAY: Duration = Duration::from_millis(500);
/// Shorter delays are summed up: a sleep costs about this much too much.
const SHORTEST_DELAY: Duration = Duration::from_millis(1);
/// A rate below this is no rate.
const LEAST_DRAIN: u64 = 1 << 20;
/// A writer that stands still is reported this often.
pub(super) const WARNING_EVERY: Duration = Duration::from_secs(10);

/// What the score is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) l0_tables: u64,
    pub(crate) l0_trigger: u64,
    pub(crate) sealed: u64,
    pub(crate) max_sealed: u64,
    pub(crate) pending_bytes: u64,
    pub(crate) pending_limit: u64,
    /// What level 0 will be when the merges under way have ended, in thousandths of where writers stop.
    pub(crate) outlook_milli: u64,
}

impl Load {
    /// Tables in level 0 at which writers stop.
    pub(crate) fn l0_stop(&self) -> u64 {
        self.l0_trigger.saturating_mul(L0_FACTOR)
    }

    /// Score in thousandths, and what it is due to.
    pub(crate) fn score(&self) -> (u64, DelayCause) {
        let part = |have: u64, limit: u64| have.saturating_mul(1000) / limit.max(1);
        let parts = [
            (part(self.l0_tables, self.l0_stop()).max(self.outlook_milli), DelayCause::Level0),
            (part(self.sealed, self.max_sealed + 1), DelayCause::Memtables),
            (part(self.pending_bytes, self.pending_limit), DelayCause::PendingBytes),
        ];
        parts.into_iter().max_by_key(|(score, _)| *score).unwrap_or((0, DelayCause::Level0))
    }
}

/// Nanoseconds that a byte costs at a score: nothing up to a half, then a parabola up to `1 / drain` at 1.
pub(crate) fn delay_ns_per_mib(score_milli: u64, drain_bytes_per_s: u64) -> u64 {
    let over = score_milli.saturating_sub(FREE_MILLI).min(STOP_MILLI - FREE_MILLI);
    let full = (1u64 << 20) * 1_000_000_000 / drain_bytes_per_s.max(LEAST_DRAIN);
    full.saturating_mul(over * over) / ((STOP_MILLI - FREE_MILLI) * (STOP_MILLI - FREE_MILLI))
}

/// The state of the valve.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Microseconds by cause.
    delays: [Histogram; 3],
    /// Debt of compaction, and how much of it is allowed; set by whoever changes the tables.
    pending_bytes: AtomicU64,
    pending_limit: AtomicU64,
    /// Bytes per second that left level 0, and that were flushed; 0 = not measured yet.
    l0_drain: AtomicU64,
    flush_drain: AtomicU64,
    /// How full level 0 will be, and what may come in meanwhile; 0 = unknown.
    outlook_milli: AtomicU64,
    outlook_rate: AtomicU64,
    /// Nanoseconds that were due and have not been slept yet.
    owed_ns: Mutex<u64>,
}

fn smooth(rate: &AtomicU64, bytes: u64, took: Duration) {
    // Without a measurable time (simulated clocks stand still) there is no rate.
    let Some(now) = u64::try_from(u128::from(bytes) * 1_000_000 / took.as_micros().max(1)).ok() else {
        return;
    };
    if took.is_zero() || bytes == 0 {
        return;
    }
    let old = rate.load(Ordering::Relaxed);
    rate.store(if old == 0 { now } else { (old * 3 + now) / 4 }, Ordering::Relaxed);
}

impl Admission {
    pub(crate) fn set_pending(&self, bytes: u64, limit: u64) {
        self.pending_bytes.store(bytes, Ordering::Relaxed);
        self.pending_limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    /// What compaction expects.
    pub(crate) fn set_outlook(&self, outlook: Outlook) {
        self.outlook_milli.store(outlook.milli, Ordering::Relaxed);
        self.outlook_rate.store(outlook.bytes_per_s, Ordering::Relaxed);
    }

    /// Compaction has taken so many bytes out of level 0 in so long.
    pub(crate) fn note_l0_drain(&self, bytes: u64, took: Duration) {
        smooth(&self.l0_drain, bytes, took);
    }

    /// So many bytes were flushed in so long.
    pub(crate) fn note_flush_drain(&self, bytes: u64, took: Duration) {
        smooth(&self.flush_drain, bytes, took);
    }

    /// What a batch of so many bytes has to wait now; small amounts are saved up.
    fn delay(&self, score: u64, cause: DelayCause, bytes: u64) -> Duration {
        let drain = match cause {
            DelayCause::Memtables => self.flush_drain.load(Ordering::Relaxed),
            DelayCause::PendingBytes => self.l0_drain.load(Ordering::Relaxed),
            DelayCause::Level0 => match self.outlook_rate.load(Ordering::Relaxed) {
                0 => self.l0_drain.load(Ordering::Relaxed),
                rate => rate,
            },
        };
        if score <= FREE_MILLI || drain == 0 {
            return Duration::ZERO;
        }
        let mut owed = self.owed_ns.lock();
        *owed = owed.saturating_add(delay_ns_per_mib(score, drain).saturating_mul(bytes) >> 20);
        let due = Duration::from_nanos(*owed);
        if due < SHORTEST_DELAY {
            return Duration::ZERO;
        }
        let paid = due.min(LONGEST_DELAY);
        *owed -= u64::try_from(paid.as_nanos()).unwrap_or(*owed);
        paid
    }
}

impl Core {
    /// What compaction and flushes have before them.
    pub(crate) fn load(&self) -> Load {
        let state = self.state();
        // A compaction that cannot do anything, or must not, is not worth waiting for.
        let counts = self.options.enable_auto_compaction && !self.compaction_is_blocked();
        let of_compaction = |n: u64| if counts { n } else { 0 };
        Load {
            l0_tables: of_compaction(state.version.l0.len() as u64),
            l0_trigger: self.options.l0_trigger.max(1) as u64,
            // One that holds unpublished rows waits for its writer, not the other way round.
            sealed: state.sealed.iter().filter(|memtable| memtable.upto() <= self.published_lsn()).count()
                as u64,
            max_sealed: self.options.max_sealed_memtables as u64,
            pending_bytes: of_compaction(self.admission.pending_bytes()),
            pending_limit: self.admission.pending_limit.load(Ordering::Relaxed).max(1),
            outlook_milli: of_compaction(self.admission.outlook_milli.load(Ordering::Relaxed)),
        }
    }

    /// Delays a batch before it is applied, as much as the load asks for. Called without any lock.
    pub(super) fn admit(&self, bytes: u64) -> Result<()> {
        let (score, cause) = self.load().score();
        if score <= FREE_MILLI {
            return Ok(());
        }
        // Sealed memtables have a limit of their own, which knows whether their flush can go on: `make_room`.
        if score > STOP_MILLI && cause != DelayCause::Memtables {
            return self.wait_for_compaction(cause);
        }
        let delay = self.admission.delay(score, cause, bytes);
        if !delay.is_zero() {
            self.env.clock.sleep(delay);
            self.note_delay(cause, delay);
        }
        Ok(())
    }

    pub(super) fn note_delay(&self, cause: DelayCause, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(delays) = self.admission.delays.get(cause as usize) {
            delays.add(micros);
        }
    }

    /// What was delayed so far.
    pub(super) fn apply_delays(&self) -> Vec<ApplyDelays> {
        let causes = DelayCause::ALL.iter().zip(&self.admission.delays);
        causes.map(|(cause, delays)| delays.delays(*cause)).collect()
    }

    fn wait_for_compaction(&self, cause: DelayCause) -> Result<()> {
        self.wake_compaction();
        let since = self.env.clock.monotonic();
        let outcome = self.wait_while_delayed(cause, || {
            let (score, cause) = self.load().score();
            (score <= STOP_MILLI || cause == DelayCause::Memtables).then_some(Ok(()))
        });
        self.note_delay(cause, self.env.clock.monotonic().saturating_sub(since));
        outcome
    }

    /// Waits, and says every ten seconds for what.
    pub(super) fn wait_while_delayed(
        &self,
        cause: DelayCause,
        mut ready: impl FnMut() -> Option<Result<()>>,
    ) -> Result<()> {
        let since = self.env.clock.monotonic();
        let mut next = WARNING_EVERY;
        self.wait_until(|| {
            let waited = self.env.clock.monotonic().saturating_sub(since);
            if waited >= next {
                next += WARNING_EVERY;
                tracing::warn!(
                    limiter = cause.name(),
                    waited_s = waited.as_secs(),
                    load = ?self.load(),
                    "writers stand still: flushes or compaction are behind"
                );
            }
            ready().or_else(|| self.closed())
        })
    }

    /// Computes the debt again, after tables or the horizon have changed.
    pub(crate) fn note_debt(&self, debt_bytes: u64, total_bytes: u64) {
        let limit = l0_merge_bytes(&self.options).saturating_mul(PENDING_MERGES).saturating_add(total_bytes);
        self.admission.set_pending(debt_bytes, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Load {
        Load { l0_trigger: 4, max_sealed: 2, pending_limit: 1 << 30, ..Load::default() }
    }

    #[test]
    fn the_score_is_that_of_the_worst_limiter() {
        assert_eq!(load().score().0, 0);
        assert_eq!(Load { l0_tables: 12, sealed: 1, ..load() }.score(), (500, DelayCause::Level0));
        assert_eq!(Load { l0_tables: 12, sealed: 2, ..load() }.score(), (666, DelayCause::Memtables));
        assert_eq!(Load { l0_tables: 4, outlook_milli: 900, ..load() }.score(), (900, DelayCause::Level0));
        let pending = Load { pending_bytes: 1 << 31, l0_tables: 24, ..load() };
        assert_eq!(pending.score(), (2000, DelayCause::PendingBytes));
    }

    #[test]
    fn the_delay_has_no_cliff_and_ends_at_the_drained_rate() {
        let drain = 100 << 20;
        let delays: Vec<u64> = (0..=1000).map(|score| delay_ns_per_mib(score, drain)).collect();
        assert!(delays[..=500].iter().all(|delay| *delay == 0));
        assert!(delays.is_sorted());
        // 100 MiB per second are 10 ms per MiB.
        assert_eq!(delays[1000], 10_000_000);
        let steepest = delays.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(steepest <= delays[1000] / 200, "{steepest}");
        assert_eq!(delay_ns_per_mib(5000, drain), delays[1000], "beyond 1 the writer stands still instead");
    }

    #[test]
    fn small_delays_are_saved_up_and_paid_in_full() {
        let admission = Admission::default();
        assert_eq!(admission.delay(900, DelayCause::Level0, 1 << 20), Duration::ZERO, "nothing measured yet");
        admission.note_l0_drain(100 << 20, Duration::from_secs(1));
        let mut slept = Duration::ZERO;
        for _ in 0..4096 {
            let delay = admission.delay(1000, DelayCause::Level0, 16 << 10);
            assert!(delay.is_zero() || delay >= SHORTEST_DELAY);
            slept += delay;
        }
        // 64 MiB at 100 MiB per second.
        assert!(slept >= Duration::from_millis(638) && slept <= Duration::from_millis(641), "{slept:?}");
    }

    #[test]
    fn the_drained_rate_follows_what_is_measured() {
        let admission = Admission::default();
        admission.note_flush_drain(10 << 20, Duration::from_secs(1));
        assert_eq!(admission.flush_drain.load(Ordering::Relaxed), 10 << 20);
        (0..40).for_each(|_| admission.note_flush_drain(20 << 20, Duration::from_secs(1)));
        let rate = admission.flush_drain.load(Ordering::Relaxed);
        assert!(rate > (20 << 20) - 4096 && rate <= 20 << 20, "{rate}");
        admission.note_flush_drain(1 << 20, Duration::ZERO);
        assert_eq!(admission.flush_drain.load(Ordering::Relaxed), rate, "no time, no rate");
    }
}
