//! Room on the disk that is kept for the moment when it is full.
//!
//! Compaction needs room before it gives any back. A file of the size of two tables is given up when a compaction finds the
//! disk full, and made again when there is plenty.

use std::path::PathBuf;

use stemedb_env::OpenMode;

use crate::store::Core;

/// Not a table and not a manifest: nothing ever reads it.
const NAME: &str = "RESERVE";
/// The reserve is made when this many times as much is free.
const PLENTY: u64 = 16;
/// And when the tree is this many times as large: a small one needs little room to be merged.
const SMALL_PART: u64 = 16;

/// The file and whether it is there.
#[derive(Debug)]
pub(crate) struct Reserve {
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Kept,
    GivenUp,
}

impl Reserve {
    /// 0 = none is kept.
    pub(crate) fn new(bytes: u64) -> Reserve {
        Reserve { bytes, state: State::Unknown }
    }

    fn path(core: &Core) -> PathBuf {
        core.dir.join(NAME)
    }

    /// Makes the reserve if there is plenty of room. It needs no sync: after a crash it is looked at again.
    pub(crate) fn keep(&mut self, core: &Core) {
        let is_small = || core.state().version.total_bytes() / SMALL_PART < self.bytes;
        if self.bytes == 0 || self.state == State::Kept || is_small() {
            return;
        }
        let space = core.env.fs.space(&core.dir);
        if space.is_ok_and(|space| space.available_bytes / PLENTY < self.bytes) {
            return;
        }
        let path = Reserve::path(core);
        let file = core
            .env
            .fs
            .open(&path, OpenMode::CreateNew)
            .or_else(|_| core.env.fs.open(&path, OpenMode::ReadWrite));
        self.state = match file.and_then(|file| file.allocate(self.bytes)) {
            Ok(()) => State::Kept,
            Err(error) => {
                tracing::debug!(%error, "no room is held in reserve");
                State::GivenUp
            }
        };
    }

    /// Gives the room back to the file system.
    pub(crate) fn give_up(&mut self, core: &Core) {
        if self.bytes == 0 || self.state == State::GivenUp {
            return;
        }
        self.state = State::GivenUp;
        match core.env.fs.remove(&Reserve::path(core)) {
            Ok(()) => tracing::warn!(bytes = self.bytes, "the disk is full: compaction uses its reserve"),
            Err(error) if error.is_not_found() => {}
            Err(error) => tracing::warn!(%error, "the reserve could not be given up"),
        }
    }
}
