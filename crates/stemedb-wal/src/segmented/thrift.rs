//! For whoever watches over the disk: what the journal keeps beside its entries, and the write under way.

use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use super::{SegmentedJournal, inner::Inner};
use crate::segment::Location;

/// A write and its sync that have not returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteUnderWay {
    /// The segment.
    pub file: PathBuf,
    /// For how long it has been waiting for the disk.
    pub since: Duration,
}

impl Inner {
    pub(super) fn is_thrifty(&self) -> bool {
        self.is_thrifty.load(Ordering::Relaxed)
    }
}

impl SegmentedJournal {
    /// While `thrifty`, no file is made ready for the next segment, and those that are ready are given back in the background.
    /// Rotation still reserves the room of the segment that it begins, so appends do not run out of room within one.
    pub fn set_thrifty(&self, thrifty: bool) {
        let was = self.inner.is_thrifty.swap(thrifty, Ordering::Relaxed);
        if thrifty && !was {
            self.inner.wake_upkeep();
        }
    }

    /// Room that the next rotation will take, in bytes.
    pub fn next_segment_bytes(&self) -> u64 {
        let newest = self.inner.readable.lock().segment;
        self.inner.options.target_bytes(newest + 1)
    }

    /// True while somebody appends, rotates or resumes: the append lock is held. For a state dump.
    pub fn is_appending(&self) -> bool {
        self.inner.writer.try_lock().is_none()
    }

    /// The write that is under way, if one is. Cost: two atomic reads; takes no lock that is held across a call to the disk.
    pub fn write_under_way(&self) -> Option<WriteUnderWay> {
        let since = self.inner.counters.writing_for(self.inner.env.clock.monotonic())?;
        let newest = self.inner.readable.lock().segment;
        Some(WriteUnderWay { file: self.inner.dir.segment(newest, Location::LIVE), since })
    }
}

#[cfg(test)]
mod tests {
    use stemedb_env::{Env, frame::DatabaseId};

    use super::*;
    use crate::{Journal, JournalIdentity, JournalOptions};

    fn files(env: &Env, part: &str) -> usize {
        let listed = env.fs.list(std::path::Path::new("/wal")).unwrap();
        listed.iter().filter(|entry| entry.name.contains(part)).count()
    }

    #[test]
    fn while_room_is_scarce_there_are_no_spares_and_afterwards_there_are_again() {
        let (env, sim) = Env::sim(1);
        let identity = JournalIdentity { database: DatabaseId([1; 16]), timeline: 1 };
        let options = JournalOptions { pack_level: None, ..JournalOptions::tiny() };
        let dir = std::path::Path::new("/wal");
        let journal = SegmentedJournal::create(&env, dir, identity, options).unwrap();
        let append = |n: usize| (0..n).for_each(|_| _ = journal.append(vec![7; 900]).unwrap());
        append(3);
        sim.tasks.settle(100);
        assert_eq!(files(&env, "spare"), 1);
        journal.set_thrifty(true);
        sim.tasks.settle(100);
        assert_eq!(files(&env, "spare"), 0);
        append(40);
        sim.tasks.settle(100);
        assert_eq!(files(&env, "spare"), 0, "none is made ahead");
        assert!(journal.stats().rotations > 2 && journal.stats().spares_used == 0);
        journal.set_thrifty(false);
        append(6);
        sim.tasks.settle(100);
        assert_eq!(files(&env, "spare"), 1);
        assert_eq!(journal.durable_lsn().0, 49);
    }
}
