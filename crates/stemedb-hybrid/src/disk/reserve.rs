//! A file that takes room while there is plenty, and gives it back when others have filled the disk.

use std::path::{Path, PathBuf};

use stemedb_env::{Fs, OpenMode};

/// It is made while this many times as much is free.
const PLENTY: u64 = 16;

/// The file and whether it is there.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As the last process left it.
    Unknown,
    Kept,
    /// With what it held.
    GivenUp(u64),
}

impl Reserve {
    pub(crate) fn new(path: PathBuf, bytes: u64) -> Reserve {
        Reserve { path, bytes, state: State::Unknown }
    }

    /// Makes it if there is plenty of room. It needs no sync: the next start looks for it again.
    pub(crate) fn keep(&mut self, fs: &dyn Fs, available_bytes: u64) {
        if self.bytes == 0 || self.state == State::Kept || available_bytes / PLENTY < self.bytes {
            return;
        }
        self.state = match make(fs, &self.path, self.bytes) {
            Ok(()) => State::Kept,
            Err(error) => {
                tracing::debug!(%error, "no room is held in reserve");
                let _ = fs.remove(&self.path);
                State::GivenUp(0)
            }
        };
    }

    /// What it has given up: so much more must be free before others than background work may write.
    pub(crate) fn owed_bytes(&self) -> u64 {
        match self.state {
            State::GivenUp(bytes) => bytes,
            State::Unknown | State::Kept => 0,
        }
    }

    /// Gives the room back. True if there was any.
    pub(crate) fn give_up(&mut self, fs: &dyn Fs) -> bool {
        if matches!(self.state, State::GivenUp(_)) {
            return false;
        }
        match fs.remove(&self.path) {
            Ok(()) => {
                tracing::warn!(bytes = self.bytes, "the disk is full: the reserve is given up");
                self.state = State::GivenUp(self.bytes);
                true
            }
            Err(error) if error.is_not_found() => {
                self.state = State::GivenUp(0);
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the reserve could not be given up");
                false
            }
        }
    }
}

fn make(fs: &dyn Fs, path: &Path, bytes: u64) -> stemedb_env::Result<()> {
    let mode = if fs.metadata(path)?.is_some() { OpenMode::ReadWrite } else { OpenMode::CreateNew };
    fs.open(path, mode)?.allocate(bytes)
}
