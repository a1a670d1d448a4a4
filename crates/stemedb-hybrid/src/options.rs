//! Sizes and habits of the engine.

use std::{fmt, path::PathBuf, str::FromStr};

use stemedb_index::Observers;
use stemedb_lsm::LsmOptions;
use stemedb_wal::{CommitOptions, JournalOptions, Retention};

use crate::{DiskOptions, ScrubOptions};

/// What an open does with a database whose journal is damaged where no view has its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenDamaged {
    /// It fails, with file, place and LSNs.
    #[default]
    Refuse,
    /// It serves everything up to the damage, and refuses writes. Nothing of the journal is changed.
    ReadOnly,
}

/// When there is a fallback view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FallbackMode {
    /// It is filled from the journal when the primary view cannot go on, and dropped when that is healthy again. Costs nothing
    /// before.
    #[default]
    OnDemand,
    /// It follows the journal all the time, in the background: it takes over at once, and costs as much disk again.
    Standby,
    /// Never.
    Off,
}

impl FallbackMode {
    /// Its name in options and in the API.
    pub fn name(self) -> &'static str {
        match self {
            FallbackMode::OnDemand => "on_demand",
            FallbackMode::Standby => "standby",
            FallbackMode::Off => "off",
        }
    }
}

impl fmt::Display for FallbackMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FallbackMode {
    type Err = String;

    fn from_str(name: &str) -> Result<FallbackMode, String> {
        let modes = [FallbackMode::OnDemand, FallbackMode::Standby, FallbackMode::Off];
        let found = modes.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| format!("{name:?} is none of on_demand, standby and off"))
    }
}

/// Options of a [`crate::HybridStore`].
#[derive(Clone, Debug)]
pub struct HybridOptions {
    /// The journal. Not compressed by default: with large batches LZ4 costs more than the disk that it saves (sorted loads
    /// were 1.4 times as fast without), and released segments are packed with zstd anyway, which likes plain bytes better.
    pub journal: JournalOptions,
    /// The primary view. Its prefix filter and derivation version are set by the engine.
    pub lsm: LsmOptions,
    /// Bounds of the commit queue.
    pub commit: CommitOptions,
    /// The operator's word about a damaged journal.
    pub open_damaged: OpenDamaged,
    /// How room on the disk and the progress of commits are watched.
    pub disk: DiskOptions,
    /// When there is a fallback view.
    pub fallback: FallbackMode,
    /// Where its file lies; `fallback/` in the data directory unless told otherwise. Another disk makes it worth more. Other files
    /// there are left alone.
    pub fallback_dir: Option<PathBuf>,
    /// What the fallback view may cache, in bytes.
    pub fallback_cache_bytes: usize,
    /// Bytes of journal entries that an open replays before it returns; the rest is replayed in the background, and reads are
    /// refused until then. More than the memtables hold is found only where the view is missing or old.
    pub replay_at_open_bytes: u64,
    /// New tables are written down by key, a few bytes a row: damage to one is then healed from the entries that it needs instead of
    /// all that the table covers.
    pub sidecars: bool,
    /// The background reading of every file.
    pub scrub: ScrubOptions,
    /// Who is told of every entry before it can be read. Each belongs to one engine.
    pub observers: Observers,
    /// Entries come from elsewhere, by [`crate::HybridStore::follow`], and requests are refused until
    /// [`crate::HybridStore::end_following`]: two sources of entries would give one LSN twice.
    pub follows: bool,
}

impl Default for HybridOptions {
    fn default() -> HybridOptions {
        HybridOptions {
            journal: JournalOptions::default(),
            lsm: LsmOptions::default(),
            commit: CommitOptions::default(),
            open_damaged: OpenDamaged::default(),
            disk: DiskOptions::default(),
            fallback: FallbackMode::default(),
            fallback_dir: None,
            fallback_cache_bytes: 32 << 20,
            replay_at_open_bytes: 256 << 20,
            sidecars: true,
            scrub: ScrubOptions::default(),
            observers: Observers::default(),
            follows: false,
        }
    }
}

impl HybridOptions {
    /// True if sidecars are kept. Where the journal uses its files again nothing can be found in it.
    pub(crate) fn observes_tables(&self) -> bool {
        self.sidecars && self.journal.retention != Retention::Recycle
    }

    /// Sizes so small that a handful of requests rotates segments, flushes and compacts. For tests.
    pub fn tiny() -> HybridOptions {
        HybridOptions {
            journal: JournalOptions { compress: true, ..JournalOptions::tiny() },
            lsm: LsmOptions::tiny(),
            fallback_cache_bytes: 64 << 10,
            scrub: ScrubOptions::off(),
            ..HybridOptions::default()
        }
    }
}
