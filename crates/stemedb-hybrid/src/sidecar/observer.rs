//! Makes sidecars as a by-product of tables.

use std::{ops::RangeInclusive, sync::Arc};

use stemedb_env::Lsn;
use stemedb_lsm::{ObservedTable, TableObserver};
use stemedb_wal::SegmentedJournal;

use super::{format::MadeFrom, name::SidecarName, set::SidecarSet, writer::SidecarWriter};

/// Writes a sidecar for every table that it sees.
#[derive(Debug)]
pub(crate) struct SidecarObserver {
    pub set: Arc<SidecarSet>,
    pub journal: Arc<SegmentedJournal>,
}

/// A table whose rows come by.
#[derive(Debug)]
struct Observed {
    set: Arc<SidecarSet>,
    journal: Arc<SegmentedJournal>,
    /// `None` after a failure: the sidecar is made from the journal then.
    writer: Option<SidecarWriter>,
}

impl TableObserver for SidecarObserver {
    fn begin(&self) -> Box<dyn ObservedTable> {
        let (set, journal) = (Arc::clone(&self.set), Arc::clone(&self.journal));
        Box::new(Observed { writer: Some(set.begin(MadeFrom::Table)), set, journal })
    }
}

impl Observed {
    fn note_failure(&mut self, error: &stemedb_env::Error) {
        tracing::warn!(%error, "no sidecar was written with a table; it is made from the journal");
        self.writer = None;
    }
}

impl ObservedTable for Observed {
    fn row(&mut self, key: &[u8], lsn: Lsn) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.row(key, lsn)
        {
            self.note_failure(&error);
        }
    }

    fn range(&mut self, start: &[u8], end: &[u8], lsn: Lsn) {
        if let Some(writer) = &mut self.writer {
            writer.range(start, end, lsn);
        }
    }

    fn finish(mut self: Box<Self>, lsns: RangeInclusive<Lsn>) {
        let name =
            SidecarName { first: *lsns.start().max(&Lsn(1)), last: *lsns.end(), made_from: MadeFrom::Table };
        if name.first > name.last {
            return;
        }
        let is_wanted = self.set.wants_table(name);
        if let Some(writer) = self.writer.take().filter(|_| is_wanted) {
            let marks = self.journal.marks(&name.lsns());
            match writer.finish(&name.lsns(), &marks, &self.set.path(name)) {
                Ok(()) => self.set.add(name),
                Err(error) => self.note_failure(&error),
            }
        }
        // What nobody covers now is to be made.
        self.set.set_flushed(name.last);
        self.set.wake();
    }
}

/// Where the journal does not keep its entries there is nothing to find in it.
#[derive(Debug)]
pub(crate) struct NothingObserved;

impl TableObserver for NothingObserved {
    fn begin(&self) -> Box<dyn ObservedTable> {
        Box::new(NothingObserved)
    }
}

impl ObservedTable for NothingObserved {
    fn row(&mut self, _key: &[u8], _lsn: Lsn) {}

    fn range(&mut self, _start: &[u8], _end: &[u8], _lsn: Lsn) {}

    fn finish(self: Box<Self>, _lsns: RangeInclusive<Lsn>) {}
}
