//! What looks after an archive that is being written: segments go whole once they are released, and their ranges go then.

use std::{sync::Arc, time::Duration};

use stemedb_wal::SegmentState;

use super::{
    ArchiveRecord, BackupTarget, Hex, Result,
    archive::archive_known,
    ranges::{self, Past},
    ship::Superseded,
};
use crate::Database;

/// Archives released segments whole, and removes the ranges that they supersede. One for each open database.
#[derive(Debug)]
pub struct Keeper {
    database: Database,
    target: Arc<dyn BackupTarget>,
    of: Past,
    records: Option<Vec<ArchiveRecord>>,
    superseded: Superseded,
    /// Ranges up to this segment are gone, or about to go.
    cleared: u64,
    keep_superseded: Duration,
}

impl Keeper {
    /// Ranges stay for so long behind the segment that supersedes them.
    pub fn new(database: &Database, target: Arc<dyn BackupTarget>, keep_superseded: Duration) -> Keeper {
        let identity = database.engine().identity();
        Keeper {
            database: database.clone(),
            target,
            of: Past { database: Hex(identity.database.0), timeline: identity.timeline },
            records: None,
            superseded: Superseded::default(),
            cleared: 0,
            keep_superseded,
        }
    }

    /// Archives what is released and not archived, and removes what is superseded for long enough. Nothing before this database is
    /// the archive's writer.
    ///
    /// Cost: where nothing is new, the journal's list of segments alone. Errors: as of [`super::archive`]; the next step goes on.
    pub fn step(&mut self) -> Result<()> {
        let role = self.database.role();
        if role.fenced().is_some() || role.epoch().is_none() {
            return Ok(());
        }
        let segments = self.database.engine().journal().segments()?;
        let released = segments.iter().filter(|segment| segment.state == SegmentState::Released);
        let released = released.map(|segment| segment.id).max().unwrap_or(0);
        let known = self.records.as_ref().map(|records| records.last().map_or(0, |last| last.segment));
        if known.is_none_or(|known| known < released) {
            archive_known(&self.database, &*self.target, false, &mut self.records)?;
        }
        let records = self.records.as_deref().unwrap_or_default();
        let whole = records.last().map_or(0, |last| last.segment);
        let now = self.database.env().clock.monotonic();
        if whole > self.cleared {
            let is_whole = |segment| records.binary_search_by_key(&segment, |record| record.segment).is_ok();
            let objects = ranges::list(&*self.target, &self.of)?;
            for object in objects.into_iter().filter(|object| is_whole(object.segment)) {
                self.superseded.push(now, object.name);
            }
            self.cleared = whole;
        }
        self.superseded.remove(&*self.target, now, self.keep_superseded)
    }
}
