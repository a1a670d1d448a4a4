//! Segments that every view has flushed: renamed, or used again.

use std::path::{Path, PathBuf};

use stemedb_env::{
    Lsn,
    planted::{Bug, planted},
};

use super::{inner::Inner, spares::Spare};
use crate::{
    Prepare, Result, Retention,
    segment::{Location, Place},
};

impl Inner {
    /// See [`crate::Journal::release`].
    pub(super) fn release(&self, flushed: Lsn) -> Result<()> {
        if self.is_read_only {
            return Ok(());
        }
        let _one = self.releasing.lock();
        let ids = self.releasable(flushed)?;
        if ids.is_empty() {
            return Ok(());
        }
        match self.options.retention {
            Retention::Keep => self.keep(&ids)?,
            Retention::Recycle => self.recycle(&ids)?,
        }
        self.wake_upkeep();
        Ok(())
    }

    /// Live segments that hold only flushed entries, oldest first, without a gap.
    fn releasable(&self, flushed: Lsn) -> Result<Vec<u64>> {
        let mut table = self.table.lock();
        let live: Vec<u64> = table
            .segments
            .iter()
            .filter(|(_, segment)| segment.location.place == Place::Live)
            .map(|(&id, _)| id)
            .collect();
        let mut ids = Vec::new();
        for id in live {
            // The newest segment has no successor, so it stays.
            if !table.segments.contains_key(&(id + 1))
                || table.header(&self.dir, id + 1)?.header.predecessor_last_lsn > flushed
            {
                break;
            }
            ids.push(id);
        }
        Ok(ids)
    }

    fn keep(&self, ids: &[u64]) -> Result<()> {
        for &id in ids {
            let mut table = self.table.lock();
            let (from, to) = (self.dir.segment(id, Location::LIVE), self.dir.segment(id, Location::RELEASED));
            self.env.fs.rename(&from, &to)?;
            table.moved(id, Location::RELEASED);
        }
        Ok(self.sync_names()?)
    }

    /// First `HEAD` says that these entries are gone on purpose; then the files lose their names, durably; only then
    /// may anything be written into them. Otherwise a crash could leave a `live` name on a file of another segment.
    fn recycle(&self, ids: &[u64]) -> Result<()> {
        let Some(&newest) = ids.last() else { return Ok(()) };
        let last_lsn = self.table.lock().header(&self.dir, newest + 1)?.header.predecessor_last_lsn;
        {
            let mut writer = self.writer.lock();
            writer.recycled_lsn = writer.recycled_lsn.max(last_lsn);
            let record = writer.head_record();
            writer.head.write(&self.dir, record)?;
        }
        let mut freed = Vec::new();
        for &id in ids {
            let has_one_name = self.has_one_name(id);
            let mut table = self.table.lock();
            let (from, to) = (self.dir.segment(id, Location::LIVE), self.dir.recycled_spare(id));
            self.env.fs.rename(&from, &to)?;
            table.segments.remove(&id);
            drop(table);
            // Nobody needs to heal it any more.
            self.damage.forget(id);
            freed.push((to, has_one_name));
        }
        self.first_lsn.fetch_max(last_lsn.next().0, std::sync::atomic::Ordering::AcqRel);
        if !planted(Bug::ReuseBeforeDirSync) {
            self.sync_names()?;
        }
        freed.into_iter().try_for_each(|(path, has_one_name)| {
            if has_one_name && !self.is_thrifty() {
                self.offer_spare(path)
            } else {
                Ok(self.env.fs.remove(&path)?)
            }
        })
    }

    /// A file whose segment is stored elsewhere now, durably, becomes a spare: its blocks exist already. One that has
    /// been trimmed is too short for that and is removed.
    /// The caller holds `releasing`, so that nobody gives it a second name meanwhile.
    pub(super) fn make_spare(&self, plain: &Path, id: u64) -> Result<()> {
        let Some(metadata) = self.env.fs.metadata(plain)? else { return Ok(()) };
        let usable =
            metadata.len >= self.options.segment_bytes && self.has_one_name(id) && !self.is_thrifty();
        if self.options.prepare == Prepare::Off || !usable {
            return Ok(self.env.fs.remove(plain)?);
        }
        let path = self.dir.recycled_spare(id);
        self.env.fs.rename(plain, &path)?;
        if !planted(Bug::ReuseBeforeDirSync) {
            self.sync_names()?;
        }
        self.offer_spare(path)
    }

    fn offer_spare(&self, path: PathBuf) -> Result<()> {
        let bytes = self.env.fs.metadata(&path)?.map_or(0, |metadata| metadata.len);
        let surplus = self.spares.lock().offer(Spare { path, bytes, recycled: true });
        match surplus {
            Some(surplus) => Ok(self.env.fs.remove(&surplus.path)?),
            None => Ok(()),
        }
    }
}
