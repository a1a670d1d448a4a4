//! The boundary to whoever can derive a store's rows again: what damaged tables are healed from.

use std::{fmt, ops::RangeInclusive};

use stemedb_env::Lsn;

use super::DerivedWrite;
use crate::Result;

/// Gives writes again that a table can no longer give.
///
/// Reads of a damaged place call it from the reading thread, and the answer must be complete: a row that it leaves out is
/// a row that a reader is told does not exist. It may give more than was asked for (older versions, writes whose rows a
/// flush has merged away, neighbours): those are recognised.
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
}

/// Sees the rows of every table that is made from new writes (by a flush, a bulk load or an ingest, not by merging), in
/// table order, as they are written. What it keeps of them lets a [`WriteSource`] find the writes of a span without reading
/// all of the journal.
pub trait TableObserver: Send + Sync + fmt::Debug + 'static {
    /// A table is begun.
    fn begin(&self) -> Box<dyn ObservedTable>;
}

/// The rows of one table on their way into it. Dropped without [`ObservedTable::finish`] if the table comes to nothing.
pub trait ObservedTable: Send {
    /// The next row. Keys ascend; of one key newer versions come first. Cost: on the path of every flush.
    fn row(&mut self, key: &[u8], lsn: Lsn);

    /// A removed range of the table, from `start` (included) to `end` (excluded).
    fn range(&mut self, start: &[u8], end: &[u8], lsn: Lsn);

    /// The table is live and durable, and together with the tables before it holds everything in `lsns`. A failure of the
    /// observer is its own affair: it must be able to do without this table.
    fn finish(self: Box<Self>, lsns: RangeInclusive<Lsn>);
}
