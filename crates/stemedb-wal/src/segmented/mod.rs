//! The journal of one machine: segment files in a folder.

mod birth;
mod check;
mod checkpoint;
mod frames;
mod heal;
mod inner;
mod last;
mod pick;
mod prune;
mod reader;
mod recover;
mod release;
mod report;
mod rescue;
mod spares;
mod table;
mod thrift;
mod ticket;
mod upkeep;
mod watch;
mod writer;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use stemedb_env::{Env, Lsn, frame::Chain};

pub use check::{SegmentCheck, SegmentEnd, SegmentFile, SegmentPiece};
pub use checkpoint::{JournalCheckpoint, SegmentContent};
pub use frames::{DurableFrames, FrameRange, SegmentOrigin, read_frames, segment_origin};
pub use heal::{
    EntrySource, HealError, Healed, Healing, Hole, LostHole, NoEntries, RecoveredEntry, Unrecoverable,
};
pub use pick::{JournalMark, PickedEntries};
pub use reader::SegmentedReader;
pub use report::{Cut, JournalStats, LsnRange, RecoveryReport, SegmentInfo, SegmentState, VerifyReport};
pub use thrift::WriteUnderWay;
pub use ticket::AppendTicket;

use self::{
    inner::{Inner, Jobs},
    recover::{Found, Purpose, quarantine, recover},
    table::Table,
    upkeep::Upkeep,
    watch::Watch,
    writer::Tail,
};
use crate::{
    CommitQueue, CommitStages, Error, Journal, JournalIdentity, JournalOptions, JournalReader, Result,
    head::Head,
    segment::{Location, Place, SegmentDir, quarantine_default},
};

/// A journal in segment files. Cheap to share behind an `Arc`; all methods take `&self`.
///
/// It does not lock the folder: whoever owns the database's folder keeps a second process out.
pub struct SegmentedJournal {
    inner: Arc<Inner>,
    queue: CommitQueue<AppendStages>,
}

impl fmt::Debug for SegmentedJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentedJournal").field("dir", &self.inner.dir.path).finish_non_exhaustive()
    }
}

impl Drop for SegmentedJournal {
    fn drop(&mut self) {
        // They hold the other half of this cycle. Not under the lock: a job that is being stopped may want to wake
        // the other one.
        let jobs = self.inner.jobs.lock().take();
        drop(jobs);
    }
}

/// The stages of the plain journal: the write is everything.
struct AppendStages {
    inner: Arc<Inner>,
}

impl CommitStages for AppendStages {
    type Request = Bytes;
    type Reply = Result<Lsn>;
    type Written = (usize, Result<Lsn>);

    fn write(&self, group: Vec<Bytes>) -> (usize, Result<Lsn>) {
        let entries: Vec<&[u8]> = group.iter().map(|entry| &entry[..]).collect();
        (entries.len(), self.inner.append_group(&entries))
    }

    fn publish(&self, (count, first): (usize, Result<Lsn>)) -> Vec<Result<Lsn>> {
        (0..count as u64).map(|at| first.clone().map(|first| Lsn(first.0 + at))).collect()
    }
}

impl SegmentedJournal {
    /// Makes a new, empty journal in `dir`, which is created if it is absent. [`Error::AlreadyExists`] if any file of a
    /// journal is there.
    pub fn create(
        env: &Env,
        dir: &Path,
        identity: JournalIdentity,
        options: JournalOptions,
    ) -> Result<SegmentedJournal> {
        SegmentedJournal::create_from(env, dir, identity, Lsn(1), options)
    }

    /// [`SegmentedJournal::create`], of a journal whose first entry will be `first` (0 counts as 1): for a restore of a
    /// history whose beginning is not there any more.
    pub fn create_from(
        env: &Env,
        dir: &Path,
        identity: JournalIdentity,
        first: Lsn,
        options: JournalOptions,
    ) -> Result<SegmentedJournal> {
        let first = first.max(Lsn(1));
        let existed = env.fs.metadata(dir)?.is_some();
        env.fs.create_dir(dir)?;
        if let Some(parent) = dir.parent()
            && let Err(error) = env.fs.sync_dir(parent)
        {
            if !existed {
                // Its name may be lost for good, however often the parent is synced later: the next try makes a new one.
                let _ = env.fs.remove_dir(dir);
            }
            return Err(error.into());
        }
        let dir = segment_dir(env, dir, identity, &options);
        if !dir.list()?.is_empty() || env.fs.metadata(&Head::path(&dir))?.is_some() {
            return Err(Error::AlreadyExists { dir: dir.path });
        }
        dir.remove_temporaries()?;
        let nothing = Tail { segment: 0, bytes: 0, chain: Chain::default(), last_lsn: first.prev() };
        let found = Found {
            table: Table::default(),
            head: None,
            tail: nothing,
            adopted: Vec::new(),
            last_lsn: first.prev(),
            end_bytes: 0,
            cut: None,
            first_lsn: first,
            missing: Vec::new(),
            unreadable: Vec::new(),
            stale: Vec::new(),
            unsettled: None,
            tail_frames: 0,
            recycled_lsn: Lsn::ZERO,
            doubles: Vec::new(),
        };
        let inner = Inner::new(env, dir, options, found, Purpose::Serve { flushed: Lsn::ZERO });
        inner.writer.lock().begin(&inner, &[])?;
        SegmentedJournal::start(inner)
    }

    /// Opens the journal in `dir`, finds its end and repairs what a crash left: see `docs/formats/journal.md`.
    ///
    /// `flushed` is an LSN that some view has on disk (0 if none): a journal that ends before it is damaged. Reads the
    /// newest segment and the header frames of those that are not released. Errors: [`Error::Corruption`],
    /// [`Error::MissingSegment`], [`Error::Foreign`], [`Error::NoJournal`], [`Error::Env`].
    pub fn open(
        env: &Env,
        dir: &Path,
        identity: JournalIdentity,
        flushed: Lsn,
        options: JournalOptions,
    ) -> Result<(SegmentedJournal, RecoveryReport)> {
        let dir = segment_dir(env, dir, identity, &options);
        let purpose = Purpose::Serve { flushed };
        let mut found = recover(&dir, purpose)?;
        let mut report = report_of(&found);
        dir.remove_temporaries()?;
        for &id in &found.stale {
            dir.fs.remove(&dir.segment(id, Location::LIVE))?;
        }
        if let Some(cut) = &found.cut {
            let place = options.quarantine_dir.clone().unwrap_or_else(|| quarantine_default(&dir.path));
            let copy = quarantine(&dir, &place, cut)?;
            tracing::warn!(file = %cut.file.display(), cut.offset, cut.bytes, copy = %copy.display(), "torn tail cut");
            if let Some(report) = &mut report.cut {
                report.quarantined = Some(copy);
            }
        }
        let adopted = std::mem::take(&mut found.adopted);
        let eager = !adopted.is_empty() || found.cut.is_some() || found.unsettled.is_some();
        let doubles = std::mem::take(&mut found.doubles);
        let inner = Inner::new(env, dir, options, found, purpose);
        if eager {
            // Entries whose durability nothing proves must be durable before anybody can see them.
            inner.writer.lock().begin(&inner, &adopted)?;
        }
        let journal = SegmentedJournal::start(inner)?;
        journal.decide_doubles(&doubles)?;
        Ok((journal, report))
    }

    /// Opens whatever is left of a journal for reading, without knowing whose it is. Missing segments are reported, not
    /// refused; nothing is written. For rebuilds and inspection.
    pub fn open_read_only(env: &Env, dir: &Path) -> Result<(SegmentedJournal, RecoveryReport)> {
        let identity = SegmentDir::discover(&env.fs, dir)?;
        let options = JournalOptions::default();
        let dir = segment_dir(env, dir, identity, &options);
        SegmentedJournal::start_to_read(env, dir, options, Purpose::ReadOnly)
    }

    /// Opens a journal that [`SegmentedJournal::open`] refuses, for reading what is left: whatever is damaged or missing is
    /// reported by [`SegmentedJournal::damaged_segments`] and by the reader that comes to it, and the journal ends where its
    /// newest readable segment does. Nothing is written. For serving, at an operator's word, what lies before the damage.
    pub fn open_damaged(
        env: &Env,
        dir: &Path,
        identity: JournalIdentity,
        options: JournalOptions,
    ) -> Result<(SegmentedJournal, RecoveryReport)> {
        let dir = segment_dir(env, dir, identity, &options);
        SegmentedJournal::start_to_read(env, dir, options, Purpose::Damaged)
    }

    fn start_to_read(
        env: &Env,
        dir: SegmentDir,
        options: JournalOptions,
        purpose: Purpose,
    ) -> Result<(SegmentedJournal, RecoveryReport)> {
        let mut found = recover(&dir, purpose)?;
        let report = report_of(&found);
        let doubles = std::mem::take(&mut found.doubles);
        let journal = SegmentedJournal::start(Inner::new(env, dir, options, found, purpose))?;
        journal.decide_doubles(&doubles)?;
        Ok((journal, report))
    }

    fn start(inner: Inner) -> Result<SegmentedJournal> {
        let inner = Arc::new(inner);
        let writes = inner.writer.lock().refused.is_none();
        if writes {
            let (watch, upkeep) = (Watch::new(Arc::clone(&inner)), Upkeep::new(Arc::clone(&inner)));
            let jobs = Jobs {
                watch: inner.env.tasks.spawn("journal-watch", Box::new(watch))?,
                upkeep: inner.env.tasks.spawn("journal-upkeep", Box::new(upkeep))?,
            };
            *inner.jobs.lock() = Some(jobs);
        }
        let stages = AppendStages { inner: Arc::clone(&inner) };
        let (clock, tasks) = (Arc::clone(&inner.env.clock), Arc::clone(&inner.env.tasks));
        let queue = CommitQueue::new(stages, inner.options.queue.clone(), Some(clock), Some(tasks));
        Ok(SegmentedJournal { inner, queue })
    }

    /// Appends one entry and returns when it is durable. Concurrent callers share writes and syncs.
    ///
    /// Errors: those of [`Journal::append_group`], and [`Error::Overloaded`] before an LSN is given.
    pub fn append(&self, entry: impl Into<Bytes>) -> Result<Lsn> {
        self.submit(entry)?.wait()
    }

    /// Puts one entry in the commit queue. The ticket can be waited for or polled; a thread can have many in flight,
    /// and they share writes and syncs. Entries get their LSNs in the order of the calls.
    ///
    /// Errors: [`Error::TooLarge`], [`Error::Overloaded`]: the entry was not taken in.
    pub fn submit(&self, entry: impl Into<Bytes>) -> Result<AppendTicket> {
        let entry = entry.into();
        if entry.len() > crate::MAX_ENTRY_BYTES {
            // Alone it is refused; in a group it would refuse its neighbours.
            return Err(Error::TooLarge {
                what: "entry",
                bytes: entry.len() as u64,
                limit_bytes: crate::MAX_ENTRY_BYTES as u64,
            });
        }
        let cost_bytes = entry.len() as u64 + 4;
        Ok(AppendTicket { ticket: self.queue.submit(entry, cost_bytes)? })
    }

    /// Waits until something behind `seen` is durable, at most for `limit`. Returns [`Journal::durable_lsn`]. With a
    /// reader this follows a journal without polling it.
    pub fn wait_durable(&self, seen: Lsn, limit: Duration) -> Lsn {
        let clock = &self.inner.env.clock;
        let start = clock.monotonic();
        loop {
            let generation = self.inner.durable_moved.now();
            let durable = self.durable_lsn();
            let left = limit.saturating_sub(clock.monotonic().saturating_sub(start));
            if durable > seen || left.is_zero() || !self.inner.durable_moved.wait_for(generation, left) {
                return self.durable_lsn();
            }
        }
    }

    /// Whose journal it is.
    pub fn identity(&self) -> JournalIdentity {
        self.inner.dir.identity
    }

    /// Ends the newest segment, if it has entries, and starts the next one. Cost: four syncs.
    pub fn rotate(&self) -> Result<()> {
        let mut writer = self.inner.writer.lock();
        // Nothing was written since the journal was opened: what was written before has to be ended all the same.
        match writer.active().is_none() && self.inner.newest_has_entries()? {
            true => {
                writer.begin(&self.inner, &[])?;
                self.inner.counters.rotated();
                Ok(())
            }
            false => writer.rotate(&self.inner),
        }
    }

    /// Every segment, oldest first. Reads header frames that have not been read yet.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        let active = self.inner.writer.lock().active();
        let mut table = self.inner.table.lock();
        let places: Vec<(u64, Location)> =
            table.segments.iter().map(|(&id, segment)| (id, segment.location)).collect();
        let newest = table.newest();
        let mut infos = Vec::with_capacity(places.len());
        for (id, location) in places {
            let last_lsn = if Some(id) == newest {
                Some(self.inner.durable_lsn())
            } else if table.segments.contains_key(&(id + 1)) {
                Some(table.header(&self.inner.dir, id + 1)?.header.predecessor_last_lsn)
            } else {
                None
            };
            infos.push(SegmentInfo {
                id,
                path: self.inner.dir.segment(id, location),
                state: match location.place {
                    Place::Released => SegmentState::Released,
                    Place::Live if Some(id) == active => SegmentState::Active,
                    Place::Live => SegmentState::Sealed,
                },
                first_lsn: table.header(&self.inner.dir, id)?.header.base_lsn(),
                last_lsn,
            });
        }
        Ok(infos)
    }

    /// Why entries are refused, if they are. (While a group is being written none are.)
    pub fn read_only(&self) -> Option<String> {
        let refused = self.inner.writer.try_lock().and_then(|writer| writer.refused.clone());
        refused.map(|cause| cause.to_string())
    }

    /// Counters since this open.
    pub fn stats(&self) -> JournalStats {
        let now = self.inner.env.clock.monotonic();
        self.inner.counters.snapshot(now, self.read_only(), self.queue.stats())
    }

    /// Reads every entry of every segment and lists what is wrong. Cost: the whole journal, sequentially; damaged segments
    /// twice.
    pub fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        // Those that the opening could not use at all.
        for (segment, error) in self.inner.damage.list() {
            let is_found_below = matches!(error, Error::MissingSegment { .. });
            if !is_found_below && self.inner.location(segment).is_none() {
                report.damage.push(error);
            }
        }
        let mut next = self.inner.table.lock().segments.keys().next().copied();
        while let Some(segment) = next {
            next = None;
            let from = match self.inner.header(segment) {
                Ok(header) => header.header.base_lsn(),
                Err(error) => {
                    self.inner.damage.note(&error);
                    report.damage.push(error);
                    next = self.inner.table.lock().after(segment);
                    continue;
                }
            };
            let mut reader = SegmentedReader::new(Arc::clone(&self.inner), segment, from)?;
            loop {
                match reader.next_entry() {
                    Ok(Some(entry)) => {
                        report.entries += 1;
                        report.entry_bytes += entry.bytes.len() as u64;
                    }
                    Ok(None) => break,
                    Err(error @ Error::Env(_)) => return Err(error),
                    Err(error) => {
                        report.damage.push(error);
                        next = self.inner.table.lock().after(reader.segment());
                        break;
                    }
                }
            }
        }
        for segment in self.damaged_segments() {
            match self.holes(segment) {
                Ok(holes) => report.holes.extend(holes),
                // Recycled meanwhile.
                Err(HealError::NoSegment { .. }) => {}
                Err(HealError::Journal(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(report)
    }

    /// Makes the last group provable and `HEAD` exact, so that the next open has nothing to repair, and refuses later
    /// appends. Reading goes on. Idempotent.
    pub fn close(&self) -> Result<()> {
        self.inner.writer.lock().close(&self.inner)
    }
}

/// The folder of a journal with these options.
fn segment_dir(env: &Env, path: &Path, identity: JournalIdentity, options: &JournalOptions) -> SegmentDir {
    let archives = options.archive_dirs.clone();
    SegmentDir { fs: Arc::clone(&env.fs), path: path.to_path_buf(), archives, identity }
}

fn report_of(found: &Found) -> RecoveryReport {
    RecoveryReport {
        first_lsn: found.first_lsn,
        last_lsn: found.last_lsn,
        proven_lsn: found.tail.last_lsn,
        adopted_entries: found.adopted.iter().map(|group| u64::from(group.count)).sum(),
        cut: found.cut.as_ref().map(|cut| Cut {
            file: cut.file.clone(),
            offset: cut.offset,
            bytes: cut.bytes,
            quarantined: None,
        }),
        missing: found.missing.clone(),
        head_found: found.head.is_some(),
        segments: found.table.segments.len() as u64,
        frames_read: found.tail_frames,
    }
}

impl Journal for SegmentedJournal {
    type Reader = SegmentedReader;

    fn append_group(&self, entries: &[&[u8]]) -> Result<Lsn> {
        self.inner.append_group(entries)
    }

    fn durable_lsn(&self) -> Lsn {
        self.inner.durable_lsn()
    }

    fn first_lsn(&self) -> Lsn {
        self.inner.first_lsn()
    }

    fn read_from(&self, from: Lsn) -> Result<SegmentedReader> {
        let from = from.max(Lsn(1));
        let durable_lsn = self.durable_lsn();
        let out_of_range = Error::OutOfRange { lsn: from, first_lsn: self.first_lsn(), durable_lsn };
        if from > durable_lsn.next() {
            return Err(out_of_range);
        }
        let find = || {
            let segment = self.inner.table.lock().find(&self.inner.dir, from)?.ok_or(out_of_range)?;
            SegmentedReader::new(Arc::clone(&self.inner), segment, from)
        };
        find().inspect_err(|error| self.inner.damage.note(error))
    }

    fn release(&self, flushed: Lsn) -> Result<()> {
        self.inner.release(flushed)
    }
}
