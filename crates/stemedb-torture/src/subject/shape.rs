//! Sizes and habits of the journals under test.

use std::{fmt, time::Duration};

use stemedb_wal::{JournalOptions, Prepare, Retention};

/// The options that a suite varies; everything else is [`JournalOptions::tiny`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Size at which a segment is rotated.
    pub segment_bytes: u64,
    /// What frames are padded to.
    pub sector_bytes: usize,
    /// LZ4 for large payloads.
    pub compress: bool,
    /// Pause before the idle marker in milliseconds; 0 is without one.
    pub marker_ms: u64,
    /// Files are written ahead.
    pub prepares: bool,
    /// Released segments are used again instead of being kept.
    pub recycles: bool,
    /// Released segments that are kept are compressed.
    pub packs: bool,
}

/// Short, because it stands in front of every failure: `8192/512 +prepares -recycles …`.
impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} marker {} ms", self.segment_bytes, self.sector_bytes, self.marker_ms)?;
        let habits = [
            ("compress", self.compress),
            ("prepares", self.prepares),
            ("recycles", self.recycles),
            ("packs", self.packs),
        ];
        habits.iter().filter(|(_, on)| *on).try_for_each(|(name, _)| write!(f, " {name}"))
    }
}

impl Shape {
    /// Rotates within a handful of entries.
    pub const TINY: Shape = Shape {
        segment_bytes: 8 << 10,
        sector_bytes: 512,
        compress: false,
        marker_ms: 5,
        prepares: true,
        recycles: false,
        packs: true,
    };
    /// Half of that, for suites that visit every byte.
    pub const SMALLEST: Shape = Shape { segment_bytes: 4 << 10, ..Shape::TINY };

    pub(super) fn options(&self) -> JournalOptions {
        JournalOptions {
            segment_bytes: self.segment_bytes,
            sector_bytes: self.sector_bytes,
            compress: self.compress,
            idle_marker: Duration::from_millis(self.marker_ms),
            prepare: if self.prepares { Prepare::Auto } else { Prepare::Off },
            retention: if self.recycles { Retention::Recycle } else { Retention::Keep },
            pack_level: self.packs.then_some(1),
            ..JournalOptions::tiny()
        }
    }

    /// The oldest entry that must be readable when the views have flushed up to `flushed`.
    pub fn floor(&self, flushed: u64) -> u64 {
        if self.recycles { flushed + 1 } else { 1 }
    }
}
