//! Files that wait to become segments.

use std::{collections::VecDeque, path::PathBuf};

/// A file under a temporary name, whose length is durable.
#[derive(Clone, Debug)]
pub(crate) struct Spare {
    pub path: PathBuf,
    pub bytes: u64,
    /// It had been a segment: what stands in it may be anything.
    pub recycled: bool,
}

/// What is ready, and what is to be made ready.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    ready: VecDeque<Spare>,
    /// Size of the file that is wanted next; 0 if none is.
    wanted_bytes: u64,
    being_made: bool,
    /// Groups were small lately, so files should be written ahead and not only allocated.
    small_groups: bool,
    /// Segments that have a successor, with their accepted lengths: what was allocated behind them is given back.
    pub to_trim: Vec<(u64, u64)>,
}

/// Recycled files beyond these are removed.
const KEEP_READY: usize = 2;

impl Spares {
    /// Takes a ready file of at least `bytes`.
    pub fn take(&mut self, bytes: u64) -> Option<Spare> {
        let at = self.ready.iter().position(|spare| spare.bytes >= bytes)?;
        self.ready.remove(at)
    }

    /// Says that a file of `bytes` is needed soon. True if that is news.
    pub fn want(&mut self, bytes: u64) -> bool {
        let known = self.being_made
            || self.wanted_bytes >= bytes
            || self.ready.iter().any(|spare| spare.bytes >= bytes);
        if !known {
            self.wanted_bytes = bytes;
        }
        !known
    }

    /// The size of the file to be made now, if one is wanted.
    pub fn begin_making(&mut self) -> Option<(u64, bool)> {
        if self.wanted_bytes == 0 || self.being_made {
            return None;
        }
        self.being_made = true;
        Some((std::mem::take(&mut self.wanted_bytes), self.small_groups))
    }

    /// The file is made, or could not be.
    pub fn made(&mut self, spare: Option<Spare>) {
        self.being_made = false;
        self.ready.extend(spare);
    }

    /// Keeps a recycled file, unless there are enough. Gives it back if so.
    pub fn offer(&mut self, spare: Spare) -> Option<Spare> {
        if self.ready.len() >= KEEP_READY {
            return Some(spare);
        }
        self.ready.push_back(spare);
        None
    }

    /// Gives every ready file away, and forgets what was wanted.
    pub fn give_back(&mut self) -> Vec<Spare> {
        self.wanted_bytes = 0;
        self.ready.drain(..).collect()
    }

    pub fn active_changed(&mut self, small_groups: bool) {
        self.small_groups = small_groups;
    }
}
