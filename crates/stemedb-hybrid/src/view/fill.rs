//! A view from the journal: in bulk, in steps, then the last entries one by one.

use stemedb_env::Lsn;
use stemedb_index::Derive;
use stemedb_lsm::WriteBatch;
use stemedb_wal::{Journal, JournalReader, SegmentedJournal, SegmentedReader};

use super::{Announcer, ViewStore};
use crate::{Error, RebuildProgress, Result};

/// So many entries behind the journal a view is near enough to take the turn for the rest; in a short journal a quarter of it.
const NEAR_ENTRIES: u64 = 256;
/// Entries between two that are made visible while catching up.
const SHOW_EVERY: u64 = 64;

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There is more.
    More,
    /// The view shows everything but the newest few entries.
    Near,
}

/// Fills a view, step by step. The steps of one filling must be made by one job.
pub(crate) struct Filler<S: ViewStore> {
    reader: Option<SegmentedReader>,
    fill: Option<S::Fill>,
    rows: WriteBatch,
    done: Lsn,
    /// Where the present round ends.
    end: Lsn,
    /// Everything is visible at the end of each step, so that others may go on from there.
    shows_each_step: bool,
    /// A round ends after so many bytes of entries, or a quarter of what came before it if that is more: `u64::MAX` for rounds
    /// without a bound.
    least_round_bytes: u64,
    /// Bytes of entries in the rounds that have ended, and in this one.
    ended_bytes: u64,
    round_bytes: u64,
}

impl<S: ViewStore> Filler<S> {
    /// One round takes everything that is durable when it begins, as one load.
    pub fn in_rounds(store: &S) -> Filler<S> {
        Filler::new(store, false)
    }

    /// In rounds of which none has more than a quarter of what came before it, but for the first ones of about `least_bytes`: a
    /// crash costs no more than the round under way.
    pub fn in_bounded_rounds(store: &S, least_bytes: u64) -> Filler<S> {
        Filler { least_round_bytes: least_bytes, ..Filler::new(store, false) }
    }

    /// Every step leaves the view as far as it has come, and the last one at the end of the journal.
    pub fn in_steps(store: &S) -> Filler<S> {
        Filler::new(store, true)
    }

    fn new(store: &S, shows_each_step: bool) -> Filler<S> {
        let done = store.published_lsn();
        Filler {
            reader: None,
            fill: None,
            rows: WriteBatch::new(),
            done,
            end: done,
            shows_each_step,
            least_round_bytes: u64::MAX,
            ended_bytes: 0,
            round_bytes: 0,
        }
    }

    /// How far it has come, what is not visible yet included.
    pub fn progress(&self) -> RebuildProgress {
        RebuildProgress { done: self.done, end: self.end.max(self.done) }
    }

    /// Takes about `bytes` of entries.
    pub fn step<D: Derive>(
        &mut self,
        journal: &SegmentedJournal,
        derive: &D,
        announcer: &Announcer,
        store: &S,
        bytes: u64,
    ) -> Result<Filled> {
        if self.shows_each_step && store.published_lsn() != self.done {
            // Somebody else took it forward.
            *self = Filler::in_steps(store);
        }
        let mut taken = 0;
        while taken < bytes {
            if self.done == self.end {
                self.finish(store)?;
                let durable = journal.durable_lsn();
                let near = if self.shows_each_step { 0 } else { NEAR_ENTRIES.min(durable.0 / 4) };
                if durable.0.saturating_sub(self.end.0) <= near {
                    return Ok(Filled::Near);
                }
                self.end = durable;
            }
            taken += self.take(journal, derive, announcer, store)?;
        }
        if self.shows_each_step {
            self.finish(store)?;
        }
        Ok(Filled::More)
    }

    /// Takes the next entry; returns its bytes.
    fn take<D: Derive>(
        &mut self,
        journal: &SegmentedJournal,
        derive: &D,
        announcer: &Announcer,
        store: &S,
    ) -> Result<u64> {
        let next = self.done.next();
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(read_from(journal, next)?),
        };
        let entry =
            reader.next_entry()?.ok_or(Error::JournalGap { first: journal.first_lsn(), needed: next })?;
        if entry.lsn != next {
            return Err(Error::JournalGap { first: entry.lsn, needed: next });
        }
        self.rows.clear();
        derive.derive(entry.lsn, &entry.bytes, &mut self.rows)?;
        announcer.announce(entry.lsn, &self.rows);
        store.fill(self.fill.get_or_insert_default(), &self.rows, entry.lsn)?;
        self.done = entry.lsn;
        let bytes = entry.bytes.len() as u64 + 1;
        self.round_bytes += bytes;
        if self.round_bytes >= self.least_round_bytes.max(self.ended_bytes / 4) {
            self.end = self.done;
        }
        Ok(bytes)
    }

    fn finish(&mut self, store: &S) -> Result<()> {
        if let Some(fill) = self.fill.take() {
            store.finish_fill(fill, self.done)?;
            self.ended_bytes += std::mem::take(&mut self.round_bytes);
        }
        Ok(())
    }
}

/// A reader that begins at `from`, which must be in the journal.
fn read_from<J: Journal>(journal: &J, from: Lsn) -> Result<J::Reader> {
    let first = journal.first_lsn();
    if from < first {
        return Err(Error::JournalGap { first, needed: from });
    }
    Ok(journal.read_from(from)?)
}

/// Applies what a view lacks up to `upto`, and shows it. For a few entries. If that fails, what was shown is whole.
pub(crate) fn catch_up<J: Journal, S: ViewStore, D: Derive>(
    journal: &J,
    derive: &D,
    announcer: &Announcer,
    store: &S,
    upto: Lsn,
) -> Result<()> {
    if store.published_lsn() >= upto {
        return Ok(());
    }
    let applied = apply_up_to(journal, derive, announcer, store, upto);
    if applied.is_err() {
        store.abandon()?;
    }
    applied?;
    match store.published_lsn() >= upto {
        true => Ok(()),
        false => Err(Error::Store(store.trouble().unwrap_or_else(|| stemedb_lsm::Error::ReadOnly {
            cause: format!("entry {upto} could not be shown"),
        }))),
    }
}

fn apply_up_to<J: Journal, S: ViewStore, D: Derive>(
    journal: &J,
    derive: &D,
    announcer: &Announcer,
    store: &S,
    upto: Lsn,
) -> Result<()> {
    let mut reached = store.published_lsn();
    let mut reader = read_from(journal, reached.next())?;
    let mut rows = WriteBatch::new();
    let mut shown = reached;
    while reached < upto {
        let needed = reached.next();
        let entry = reader.next_entry()?.ok_or(Error::JournalGap { first: journal.first_lsn(), needed })?;
        if entry.lsn != needed {
            return Err(Error::JournalGap { first: entry.lsn, needed });
        }
        rows.clear();
        derive.derive(entry.lsn, &entry.bytes, &mut rows)?;
        announcer.announce(entry.lsn, &rows);
        store.apply(&rows, entry.lsn)?;
        reached = entry.lsn;
        if reached.0 - shown.0 >= SHOW_EVERY || reached == upto {
            store.publish(reached);
            shown = reached;
        }
    }
    Ok(())
}
