//! The boundary to whoever can derive a store's rows again: what damaged tables are healed from.

use std::{fmt, ops::RangeInclusive};

use stemedb_env::Lsn;

use super::{DerivedWrite, RangeRemoval};
use crate::Result;

/// Gives writes again that a table can no longer give.
///
/// Reads of a damaged place call it from the reading thread, and the answer must be complete: a row that it leaves out is
/// a row that a reader is told does not exist. It may give more than was asked for (older versions, writes whose rows a
/// flush has merged away, neighbours): those are recognised. What one LSN range has written must not change from call to call.
///
/// It must not read the store whose tables are healed: that read could need the same healing. A read that does so anyway
/// gets the error of the damaged place.
pub trait WriteSource: Send + Sync + fmt::Debug + 'static {
    /// Every write with its LSN in `lsns` that meets a key from `keys.start()` to `keys.end()`, both included, in any order.
    ///
    /// Errors: whatever keeps it from being complete.
    fn writes(&self, keys: &RangeInclusive<&[u8]>, lsns: &RangeInclusive<Lsn>) -> Result<Vec<DerivedWrite>>;

    /// Keys that cut a span into parts of roughly `rows` writes each, ascending and without repetition, all of them within
    /// the span. A rough answer is good enough, and none at all is one part.
    fn cuts(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
        rows: usize,
    ) -> Result<Vec<Vec<u8>>>;

    /// The removals of ranges among [`WriteSource::writes`], for a table that has lost nothing but those. Worth having where
    /// they can be found without the rows.
    fn range_removals(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
    ) -> Result<Vec<RangeRemoval>> {
        let writes = self.writes(keys, lsns)?.into_iter();
        Ok(writes
            .filter_map(|write| match write {
                DerivedWrite::Range(range) => Some(range),
                DerivedWrite::Row(_) => None,
            })
            .collect())
    }
}

/// Sees the rows of every table that is made from new writes (by a flush, a bulk load or an ingest, not by merging), in
/// table order, as they are written. What it keeps of them lets a [`WriteSource`] find the writes of a span without reading
/// all of the journal.
///
/// One flush, one load or one ingest is one observed table, however many files it makes: its rows come in one ascending
/// order, and what is observed is all of its LSN range or nothing. LSN ranges follow each other without a gap; one without
/// a row or a removed range tells that nothing was left of its batches.
///
/// Of a key's versions only those are shown that the table holds. What it forgot, because a newer version of the same flush
/// hides it from everybody, is not needed to heal any table: whoever reads a table that is older finds the newer version first.
pub trait TableObserver: Send + Sync + fmt::Debug + 'static {
    /// A table is begun.
    fn begin(&self) -> Box<dyn ObservedTable>;
}

/// The rows of one flush, load or ingest on their way into tables. Dropped without [`ObservedTable::finish`] if it fails.
pub trait ObservedTable: Send {
    /// The next row. Keys ascend; of one key newer versions come first. Cost: on the path of every flush.
    fn row(&mut self, key: &[u8], lsn: Lsn);

    /// A removed range, from `start` (included) to `end` (excluded), as the table has cut it. Behind the last row.
    fn range(&mut self, start: &[u8], end: &[u8], lsn: Lsn);

    /// Everything is live and durable; together with what is older it holds all that `lsns` has written. `lsns` begins
    /// right behind the flushed LSN of before and ends with the flushed LSN of now. A failure of the observer is its own affair:
    /// it must be able to do without. Called from the job that flushes, which waits for it.
    fn finish(self: Box<Self>, lsns: RangeInclusive<Lsn>);
}
