//! Released segments that somebody else keeps now: removed from here, on purpose and durably so.

use std::sync::atomic::Ordering;

use stemedb_env::Lsn;

use super::{SegmentedJournal, inner::Inner};
use crate::{Result, segment::Place};

impl SegmentedJournal {
    /// Removes the oldest released segments of the journal's own folder that hold nothing above `upto`; returns their
    /// numbers. What it may remove is the caller's affair: the journal does not know what has been archived.
    ///
    /// First `HEAD` says durably that these entries are gone on purpose; then the files go, oldest first. [`crate::Journal::first_lsn`] rises:
    /// it is the floor below which nothing can be repaired from this journal. Stops at the first segment that is live, lies in
    /// an archive folder, or has entries above `upto`. Errors: [`crate::Error::Env`]; then a part may be gone, from the oldest on.
    pub fn prune(&self, upto: Lsn) -> Result<Vec<u64>> {
        self.inner.prune(upto)
    }
}

impl Inner {
    fn prune(&self, upto: Lsn) -> Result<Vec<u64>> {
        let _one = self.releasing.lock();
        let mut ids = Vec::new();
        let mut last_lsn = Lsn::ZERO;
        {
            let mut table = self.table.lock();
            let known: Vec<u64> = table.segments.keys().copied().collect();
            for id in known {
                let released = table
                    .location(id)
                    .is_some_and(|location| location.place == Place::Released && location.folder == 0);
                if !released || !table.segments.contains_key(&(id + 1)) {
                    break;
                }
                let last = table.header(&self.dir, id + 1)?.header.predecessor_last_lsn;
                if last > upto {
                    break;
                }
                last_lsn = last;
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return Ok(ids);
        }
        {
            let mut writer = self.writer.lock();
            writer.recycled_lsn = writer.recycled_lsn.max(last_lsn);
            let record = writer.head_record();
            writer.head.write(&self.dir, record)?;
        }
        for &id in &ids {
            let mut table = self.table.lock();
            let Some(location) = table.location(id) else { continue };
            match self.env.fs.remove(&self.dir.segment(id, location)) {
                Ok(()) => {}
                // An operator was faster.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
            table.segments.remove(&id);
        }
        self.first_lsn.fetch_max(last_lsn.next().0, Ordering::AcqRel);
        self.sync_names()?;
        Ok(ids)
    }
}
