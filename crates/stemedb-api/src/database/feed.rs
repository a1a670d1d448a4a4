//! What changed, in the order in which it was recorded.

use std::time::Duration;

use bytes::Bytes;
use stemedb_core::{Command, Micros};
use stemedb_env::Lsn;
use stemedb_index::claims::Entry;
use stemedb_wal::{Journal, JournalReader, SegmentedJournal};

use super::Database;
use crate::errors::{Code, Error, FieldError, Result};

/// One entry of the journal: what was recorded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its position.
    pub lsn: Lsn,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// Its commands, by their ordinals.
    pub commands: Vec<Command>,
}

/// Reads the journal from a position on, up to what is readable; see [`Database::feed`].
///
/// Holds the database open, one group of the journal and one file. Nothing waits for it: a position that the journal does not
/// have any more is an error, not a gap.
#[derive(Debug)]
pub struct Feed {
    database: Database,
    reader: <SegmentedJournal as Journal>::Reader,
    next: Lsn,
}

/// Longest pause between two looks at a view that is behind its journal.
const PAUSE_MAX: Duration = Duration::from_millis(100);

impl Feed {
    pub(super) fn begin(database: &Database, from: Lsn) -> Result<Feed> {
        let from = from.max(Lsn(1));
        let published = database.published_lsn();
        if from > published.next() {
            let detail = format!("LSN {from} has not been reached (newest is {published})");
            return Err(FieldError::in_parameter("from", Code::LsnNotReached, detail).into());
        }
        let reader = database.engine().journal().read_from(from);
        let reader = reader.map_err(|error| of_journal(error, from))?;
        Ok(Feed { database: database.clone(), reader, next: from })
    }

    /// The LSN of the next entry: where to go on.
    pub fn position(&self) -> Lsn {
        self.next
    }

    /// The next entry; `None` if there is none yet.
    ///
    /// # Errors
    /// [`Code::PositionGone`] if the journal has let go of it; [`Error::Engine`] where it cannot be read.
    pub fn next_entry(&mut self) -> Result<Option<FeedEntry>> {
        let Some((lsn, bytes)) = self.next_bytes()? else { return Ok(None) };
        let entry = Entry::parse(lsn, &bytes)?;
        let commands = entry.commands()?;
        Ok(Some(FeedEntry { lsn, recorded_at: Micros(entry.recorded_at.0), commands }))
    }

    /// The next entry as the journal has it.
    pub(crate) fn next_bytes(&mut self) -> Result<Option<(Lsn, Bytes)>> {
        // Durable is not enough: nobody may hear of what no read shows yet.
        if self.next > self.database.published_lsn() {
            return Ok(None);
        }
        let entry = self.reader.next_entry().map_err(|error| of_journal(error, self.next))?;
        let Some(entry) = entry else { return Ok(None) };
        self.next = entry.lsn.next();
        Ok(Some((entry.lsn, entry.bytes)))
    }

    /// Waits until there is a next entry, at most for `limit`. True if there is one.
    pub fn wait(&self, limit: Duration) -> bool {
        let clock = &self.database.env().clock;
        let start = clock.monotonic();
        let mut pause = Duration::from_millis(1);
        loop {
            if self.database.published_lsn() >= self.next {
                return true;
            }
            let left = limit.saturating_sub(clock.monotonic().saturating_sub(start));
            if left.is_zero() {
                return false;
            }
            let durable = self.database.engine().journal().wait_durable(self.next.prev(), left);
            if durable >= self.next && self.database.published_lsn() < self.next {
                // Durable, and a view is about to show it.
                clock.sleep(pause.min(left));
                pause = (2 * pause).min(PAUSE_MAX);
            }
        }
    }
}

fn of_journal(error: stemedb_wal::Error, from: Lsn) -> Error {
    match error {
        stemedb_wal::Error::OutOfRange { first_lsn, .. } if from < first_lsn => {
            let detail = format!("the journal begins at LSN {first_lsn}, after {from}");
            FieldError::in_parameter("from", Code::PositionGone, detail).into()
        }
        error => Error::Engine(stemedb_hybrid::Error::Journal(error)),
    }
}

impl Database {
    /// What changed from an entry on (0 counts as 1), from the journal: every record once, in order, as soon as it is readable.
    /// May be one past the newest entry; such a feed waits for the next.
    ///
    /// # Errors
    /// [`Code::PositionGone`] for what the journal does not have any more; [`Code::LsnNotReached`] for the future.
    pub fn feed(&self, from: Lsn) -> Result<Feed> {
        Feed::begin(self, from)
    }
}
