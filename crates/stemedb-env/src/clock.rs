//! Time as an input. Order in StemeDB is the [`crate::Lsn`], never a clock.

use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Microseconds since 1970-01-01T00:00:00Z; negative before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

/// Wall and monotonic time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time. May jump in both directions; callers that record it clamp it themselves.
    fn wall(&self) -> Micros;
    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
    /// Blocks the caller (real) or advances time (simulated).
    fn sleep(&self, duration: Duration);
}

/// The system's clocks.
#[derive(Debug)]
pub struct RealClock {
    origin: Instant,
}

impl RealClock {
    /// A clock whose monotonic origin is now.
    pub fn new() -> RealClock {
        RealClock { origin: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn wall(&self) -> Micros {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => {
                Micros(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros))
            }
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct SimClock {
    wall_us: AtomicI64,
    monotonic_us: AtomicU64,
}

impl SimClock {
    /// A clock that shows `wall`.
    pub fn new(wall: Micros) -> SimClock {
        SimClock { wall_us: AtomicI64::new(wall.0), monotonic_us: AtomicU64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.monotonic_us.fetch_add(micros, Ordering::SeqCst);
        self.wall_us.fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock alone, in either direction: the jump of a bad time server.
    pub fn set_wall(&self, wall: Micros) {
        self.wall_us.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Micros {
        Micros(self.wall_us.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic_us.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}
