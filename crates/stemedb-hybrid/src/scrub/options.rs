//! How often, and at what price.

use std::time::Duration;

/// Options of the background reading of every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Whether there is any. [`crate::HybridStore::scrub_now`] works all the same.
    pub enabled: bool,
    /// Every byte is read at least once in it, if the two below allow that.
    pub period: Duration,
    /// The part of the time, and of the bandwidth, that it may take: 1 to 100 percent.
    pub share_percent: u32,
    /// What the disk can read, in bytes per second. Stated, not measured.
    pub bandwidth_bytes_per_s: u64,
}

impl Default for ScrubOptions {
    fn default() -> ScrubOptions {
        ScrubOptions {
            enabled: true,
            period: Duration::from_secs(24 * 60 * 60),
            share_percent: 5,
            bandwidth_bytes_per_s: 400 << 20,
        }
    }
}

impl ScrubOptions {
    /// None at all.
    pub fn off() -> ScrubOptions {
        ScrubOptions { enabled: false, ..ScrubOptions::default() }
    }

    fn share(&self) -> u32 {
        self.share_percent.clamp(1, 100)
    }

    /// Never more than so many bytes per second.
    pub(super) fn ceiling_bytes_per_s(&self) -> u64 {
        (self.bandwidth_bytes_per_s / 100).saturating_mul(u64::from(self.share())).max(1)
    }

    /// How long to rest after a piece of work that took `took`.
    pub(super) fn rest_of_time(&self, took: Duration) -> Duration {
        took.saturating_mul(100 - self.share()) / self.share()
    }
}
