//! Whether there is room for writes: one flag for the commit path, and the figures behind it.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use stemedb_env::planted::{Bug, planted};

use super::SpaceLevel;
use crate::Error;

/// The file system with the least room, at the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceHealth {
    /// The folder that was looked at.
    pub dir: PathBuf,
    /// Bytes that may still be written.
    pub available_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
    /// Between which lines that is.
    pub level: SpaceLevel,
    /// Below so many free bytes writes are refused.
    pub refuses_below_bytes: u64,
    /// From so many on they are accepted again.
    pub accepts_from_bytes: u64,
}

/// Shared by the job that looks and the commit stages.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    seen: Mutex<Option<SpaceHealth>>,
    /// Requests that were refused for want of room.
    pub(crate) refused: AtomicU64,
}

impl Gate {
    /// True while writes are refused. Cost: a load.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) && !planted(Bug::WriteBelowTheLastLine)
    }

    /// What was seen at the last look.
    pub(crate) fn set(&self, seen: SpaceHealth) {
        let is_full = seen.level == SpaceLevel::Full;
        *self.seen.lock() = Some(seen);
        self.closed.store(is_full, Ordering::Release);
    }

    /// The figures; `None` before the first look, and where the system does not tell.
    pub(crate) fn seen(&self) -> Option<SpaceHealth> {
        self.seen.lock().clone()
    }

    /// Why writes are refused, if they are.
    pub(crate) fn cause(&self) -> Option<String> {
        if !self.is_closed() {
            return None;
        }
        let seen = self.seen()?;
        Some(format!(
            "{} bytes are free, writes are accepted again from {} on",
            seen.available_bytes, seen.accepts_from_bytes
        ))
    }

    /// The refusal of one request.
    pub(crate) fn refusal(&self, cause: &str) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::NoRoom { cause: cause.to_owned() }
    }
}
