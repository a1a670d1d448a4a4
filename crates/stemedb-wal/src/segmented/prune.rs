//! Released segments that somebody else keeps now: removed from here, on purpose and durably so.

use std::sync::atomic::Ordering;

use stemedb_env::Lsn;

use super::{SegmentedJournal, inner::Inner};
use crate::{Error, ReadOnlyCause, Result, segment::Place};

impl SegmentedJournal {
    /// Removes those of the oldest segments that are named in `judged`; returns their numbers. What it may remove is the caller's
    /// affair: the journal does not know what has been archived. With nothing named it only says whether it could.
    ///
    /// First `HEAD` says durably that these entries are gone on purpose; then the files go, oldest first. [`crate::Journal::first_lsn`] rises:
    /// it is the floor below which nothing can be repaired from this journal. Stops at the first segment that is not named, is live,
    /// lies in an archive folder, or has no successor. Errors: [`Error::ReadOnly`] of a journal that was opened for reading: its end
    /// may be another one than `HEAD` knows; [`Error::Env`]; then a part may be gone, from the oldest on.
    pub fn prune(&self, judged: &[u64]) -> Result<Vec<u64>> {
        self.inner.prune(judged)
    }
}

impl Inner {
    fn prune(&self, judged: &[u64]) -> Result<Vec<u64>> {
        if self.is_read_only {
            return Err(Error::ReadOnly { cause: ReadOnlyCause::OpenedReadOnly });
        }
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
                if !judged.contains(&id) || !released || !table.segments.contains_key(&(id + 1)) {
                    break;
                }
                last_lsn = table.header(&self.dir, id + 1)?.header.predecessor_last_lsn;
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
            drop(table);
            // Nobody needs to heal it any more.
            self.damage.forget(id);
        }
        self.first_lsn.fetch_max(last_lsn.next().0, Ordering::AcqRel);
        self.sync_names()?;
        Ok(ids)
    }
}
