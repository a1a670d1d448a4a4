//! Which segments are known to be damaged.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{Error, segment::SegmentDir};

/// Whom a finding is told.
type Tell = Box<dyn Fn(u64) + Send + Sync>;

/// What readers, checks and the opening have come across. A segment is told once, until it is whole again.
#[derive(Default)]
pub(crate) struct DamageList {
    segments: Mutex<BTreeMap<u64, Error>>,
    tell: OnceLock<Tell>,
    healed: AtomicU64,
}

impl fmt::Debug for DamageList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DamageList").field("segments", &self.segments.lock()).finish_non_exhaustive()
    }
}

/// The segment that an error is about.
pub(crate) fn segment_of(error: &Error) -> Option<u64> {
    match error {
        Error::Corruption { file, .. } | Error::Foreign { file, .. } => SegmentDir::id_of(file),
        Error::MissingSegment { segment, .. } => Some(*segment),
        Error::Env(env) if super::is_unreadable(env) => match &**env {
            stemedb_env::Error::Io { path, .. } => SegmentDir::id_of(path),
            _ => None,
        },
        _ => None,
    }
}

impl DamageList {
    pub fn new(found: &[Error]) -> DamageList {
        let list = DamageList::default();
        found.iter().for_each(|error| list.note(error));
        list
    }

    /// Names whom findings are told from now on. The first one stays.
    pub fn tell(&self, tell: Tell) {
        let _ = self.tell.set(tell);
    }

    /// Remembers a segment if the error is about the content of one.
    pub fn note(&self, error: &Error) {
        let Some(segment) = segment_of(error) else { return };
        if let Entry::Vacant(entry) = self.segments.lock().entry(segment) {
            tracing::error!(segment, error = ?error, "StorageError: journal damage: {error}");
            entry.insert(error.clone());
        } else {
            return;
        }
        if let Some(tell) = self.tell.get() {
            tell(segment);
        }
    }

    /// True for a segment that is known to be damaged.
    pub fn has(&self, segment: u64) -> bool {
        self.segments.lock().contains_key(&segment)
    }

    pub fn list(&self) -> Vec<(u64, Error)> {
        self.segments.lock().iter().map(|(&segment, error)| (segment, error.clone())).collect()
    }

    pub fn forget(&self, segment: u64) {
        self.segments.lock().remove(&segment);
    }

    /// A file has been replaced.
    pub fn count_healed(&self) {
        self.healed.fetch_add(1, Ordering::Release);
    }

    /// How many files have been replaced. Readers look when this changes.
    pub fn healed(&self) -> u64 {
        self.healed.load(Ordering::Acquire)
    }
}
