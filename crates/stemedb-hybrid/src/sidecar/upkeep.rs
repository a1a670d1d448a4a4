//! Makes the sidecars that are missing from the journal, and removes those that nobody needs. In the background.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use stemedb_env::{Budget, Job, Lsn, Step};
use stemedb_index::Derive;
use stemedb_lsm::{DerivedWrite, WriteBatch};
use stemedb_wal::{Journal, JournalMark, JournalReader, SegmentedJournal, SegmentedReader};

use super::{
    format::MadeFrom,
    name::SidecarName,
    set::{Part, SidecarSet},
};
use crate::{Error, Result};

/// Memory for the keys of one sidecar.
const BUFFER_BYTES: usize = 16 << 20;
/// Between two steps: nobody waits for a sidecar, and others want the disk and the processors.
const PAUSE: Duration = Duration::from_millis(50);
/// What failed is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Bytes of the journal between two marks.
const MARK_EVERY_BYTES: u64 = 128 << 10;

/// The job. One step reads a piece of the journal, or writes a sidecar.
pub(super) struct Upkeep<D> {
    set: Arc<SidecarSet>,
    journal: Arc<SegmentedJournal>,
    derive: Arc<D>,
    making: Option<Making>,
    /// Entries before this one cannot be read for now.
    from: Lsn,
    buffer_bytes: usize,
}

/// A sidecar that is being made.
struct Making {
    reader: SegmentedReader,
    /// The LSNs that it shall cover; it may come to cover fewer.
    lsns: RangeInclusive<Lsn>,
    /// The next entry.
    next: Lsn,
    rows: Rows,
    ranges: Vec<(Vec<u8>, Vec<u8>, Lsn)>,
    marks: Vec<JournalMark>,
    batch: WriteBatch,
}

/// Keys and LSNs in the order in which they come.
#[derive(Default)]
struct Rows {
    keys: Vec<u8>,
    /// Where each key begins and ends in `keys`, and its LSN.
    rows: Vec<(usize, usize, Lsn)>,
}

impl Rows {
    fn add(&mut self, key: &[u8], lsn: Lsn) {
        let start = self.keys.len();
        self.keys.extend_from_slice(key);
        self.rows.push((start, self.keys.len(), lsn));
    }

    fn bytes(&self) -> usize {
        self.keys.len() + self.rows.len() * size_of::<(usize, usize, Lsn)>()
    }

    /// In table order, each once.
    fn sorted(&mut self) -> impl Iterator<Item = (&[u8], Lsn)> {
        let Rows { keys, rows } = self;
        let keys: &[u8] = keys;
        let key = |row: &(usize, usize, Lsn)| keys.get(row.0..row.1).unwrap_or_default();
        rows.sort_unstable_by(|a, b| key(a).cmp(key(b)).then(b.2.cmp(&a.2)));
        rows.dedup_by(|a, b| a.2 == b.2 && key(a) == key(b));
        rows.iter().map(move |row| (key(row), row.2))
    }
}

impl<D: Derive> Upkeep<D> {
    pub fn new(set: &Arc<SidecarSet>, journal: &Arc<SegmentedJournal>, derive: &Arc<D>) -> Upkeep<D> {
        let (set, journal, derive) = (Arc::clone(set), Arc::clone(journal), Arc::clone(derive));
        Upkeep { set, journal, derive, making: None, from: Lsn::ZERO, buffer_bytes: BUFFER_BYTES }
    }

    #[cfg(test)]
    pub fn with_buffer(mut self, buffer_bytes: usize) -> Upkeep<D> {
        self.buffer_bytes = buffer_bytes;
        self
    }

    /// The first LSNs that nobody covers and the tables hold.
    fn uncovered(&self) -> Option<RangeInclusive<Lsn>> {
        let first = self.journal.first_lsn().max(self.from).max(Lsn(1));
        let last = self.set.flushed().min(self.journal.durable_lsn());
        self.set.plan(&(first..=last)).into_iter().find_map(|part| match part {
            Part::Uncovered(lsns) => Some(lsns),
            Part::Sidecar(..) => None,
        })
    }

    fn begin(&self, lsns: RangeInclusive<Lsn>) -> Result<Making> {
        let reader = self.journal.read_from(*lsns.start())?.up_to(*lsns.end());
        Ok(Making {
            reader,
            next: *lsns.start(),
            lsns,
            rows: Rows::default(),
            ranges: Vec::new(),
            marks: Vec::new(),
            batch: WriteBatch::new(),
        })
    }

    /// Reads about as many bytes; true when the sidecar can be written.
    fn read(&self, making: &mut Making, budget: Budget) -> Result<bool> {
        let mut done = 0;
        while done < budget.bytes {
            if making.next > *making.lsns.end() || making.rows.bytes() >= self.buffer_bytes {
                return Ok(true);
            }
            let entry = match making.reader.next_entry() {
                Ok(Some(entry)) if entry.lsn == making.next => entry,
                Ok(_) => {
                    let (lsn, first_lsn) = (making.next, self.journal.first_lsn());
                    let durable_lsn = self.journal.durable_lsn();
                    let gap = stemedb_wal::Error::OutOfRange { lsn, first_lsn, durable_lsn };
                    return Err(Error::Journal(gap));
                }
                Err(error) => return Err(error.into()),
            };
            making.take(&*self.derive, &entry)?;
            done += entry.bytes.len() as u64;
        }
        Ok(false)
    }

    /// Writes what has been read.
    fn write(&self, mut making: Making) -> Result<()> {
        let (first, last) = (*making.lsns.start(), making.next.prev());
        let name = SidecarName { first, last, made_from: MadeFrom::Journal };
        let mut writer = self.set.begin(MadeFrom::Journal);
        for (key, lsn) in making.rows.sorted() {
            writer.row(key, lsn)?;
        }
        for (start, end, lsn) in &making.ranges {
            writer.range(start, end, *lsn);
        }
        writer.finish(&name.lsns(), &making.marks, &self.set.path(name))?;
        self.set.add(name);
        tracing::debug!(%first, %last, "a sidecar was made from the journal");
        Ok(())
    }

    /// What to do after a failure: the entries before it are kept, and those behind it are next.
    fn after_failure(&mut self, error: &Error, making: Option<Making>, lsns: &RangeInclusive<Lsn>) -> Step {
        tracing::warn!(error = ?error, "a sidecar could not be made: {error}");
        self.from = match error {
            Error::Journal(stemedb_wal::Error::Corruption { last_lsn: Some(last), .. })
            | Error::Journal(stemedb_wal::Error::MissingSegment { last_lsn: Some(last), .. })
                if last < lsns.end() =>
            {
                last.next()
            }
            _ => lsns.end().next(),
        };
        if let Some(making) = making.filter(|making| making.next > *making.lsns.start())
            && let Err(error) = self.write(making)
        {
            tracing::warn!(error = ?error, "a sidecar could not be written: {error}");
            return Step::After(RETRY_AFTER);
        }
        Step::After(PAUSE)
    }
}

impl Making {
    fn take<D: Derive>(&mut self, derive: &D, entry: &stemedb_wal::Entry) -> Result<()> {
        self.batch.clear();
        derive.derive(entry.lsn, &entry.bytes, &mut self.batch)?;
        if self.batch.has_ranges() {
            for write in DerivedWrite::of_batch(&self.batch, entry.lsn) {
                match write {
                    DerivedWrite::Row(row) => self.rows.add(&row.key, row.lsn),
                    DerivedWrite::Range(range) => self.ranges.push((range.start, range.end, range.lsn)),
                }
            }
        } else {
            self.batch.iter().for_each(|op| self.rows.add(op.key(), entry.lsn));
        }
        self.next = entry.lsn.next();
        let mark = self.reader.mark();
        let is_far = |last: &JournalMark| {
            mark.segment != last.segment || mark.offset >= last.offset.saturating_add(MARK_EVERY_BYTES)
        };
        if self.marks.last().is_none_or(is_far) {
            self.marks.push(mark);
        }
        Ok(())
    }
}

impl<D: Derive> Job for Upkeep<D> {
    fn step(&mut self, budget: Budget) -> Step {
        let Some(mut making) = self.making.take() else {
            self.set.tidy(self.journal.first_lsn());
            let Some(lsns) = self.uncovered() else {
                let has_failed = std::mem::take(&mut self.from) > Lsn::ZERO;
                return if has_failed { Step::After(RETRY_AFTER) } else { Step::Idle };
            };
            match self.begin(lsns.clone()) {
                Ok(making) => self.making = Some(making),
                Err(error) => return self.after_failure(&error, None, &lsns),
            }
            return Step::After(PAUSE);
        };
        match self.read(&mut making, budget) {
            Ok(false) => self.making = Some(making),
            Ok(true) => {
                if let Err(error) = self.write(making) {
                    tracing::warn!(error = ?error, "a sidecar could not be written: {error}");
                    return Step::After(RETRY_AFTER);
                }
            }
            Err(error) => {
                let lsns = making.lsns.clone();
                return self.after_failure(&error, Some(making), &lsns);
            }
        }
        Step::After(PAUSE)
    }
}
