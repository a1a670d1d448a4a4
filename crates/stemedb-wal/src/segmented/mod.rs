//! The journal of one machine: segment files in a folder.

mod marker;
mod reader;
mod recover;
mod report;
mod table;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use stemedb_env::{Env, Lsn, TaskHandle, frame::Chain};

pub use reader::SegmentedReader;
pub use report::{Cut, JournalStats, LsnRange, RecoveryReport, SegmentInfo, SegmentState, VerifyReport};

use self::{
    marker::IdleMarker,
    reader::Limit,
    recover::{Found, Purpose, quarantine, recover},
    report::Counters,
    table::Table,
    writer::{Tail, Writer},
};
use crate::{
    CommitQueue, CommitStages, Error, Journal, JournalIdentity, JournalOptions, JournalReader, ReadOnlyCause,
    Result, SubmitError,
    head::Head,
    segment::{Cursor, LoadedHeader, Place, SegmentDir, quarantine_default},
};

/// A journal in segment files. Cheap to share behind an `Arc`; all methods take `&self`.
///
/// It does not lock the folder: whoever owns the database's folder keeps a second process out.
pub struct SegmentedJournal {
    inner: Arc<Inner>,
    queue: CommitQueue<AppendStages>,
    /// Writes the idle marker; stops when the journal is dropped. `None` if markers are off.
    marker: Option<TaskHandle>,
}

impl fmt::Debug for SegmentedJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentedJournal").field("dir", &self.inner.dir.path).finish_non_exhaustive()
    }
}

/// What the journal's handles, readers and background job share.
pub(crate) struct Inner {
    env: Env,
    dir: SegmentDir,
    options: JournalOptions,
    writer: Mutex<Writer>,
    table: Mutex<Table>,
    /// Up to where readers may read: segment and bytes. Moves after a sync, never before.
    readable: Mutex<Readable>,
    durable_lsn: AtomicU64,
    first_lsn: AtomicU64,
    counters: Counters,
    marker_sleeps: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Readable {
    segment: u64,
    bytes: u64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("dir", &self.dir.path).finish_non_exhaustive()
    }
}

impl Inner {
    fn new(env: &Env, dir: SegmentDir, options: JournalOptions, found: Found, purpose: Purpose) -> Inner {
        let refused = (purpose == Purpose::ReadOnly).then_some(ReadOnlyCause::OpenedReadOnly);
        let (bytes, lsn) = match purpose {
            // What could not be proven is readable here because nobody can build on it.
            Purpose::ReadOnly => (found.end_bytes, found.last_lsn),
            Purpose::Serve { .. } => (found.tail.bytes, found.tail.last_lsn),
        };
        let head = Head::after(&dir, found.head);
        Inner {
            env: env.clone(),
            options,
            writer: Mutex::new(Writer::new(found.tail, head, refused)),
            table: Mutex::new(found.table),
            readable: Mutex::new(Readable { segment: found.tail.segment, bytes }),
            durable_lsn: AtomicU64::new(lsn.0),
            first_lsn: AtomicU64::new(found.first_lsn.0),
            counters: Counters::default(),
            marker_sleeps: AtomicBool::new(false),
            dir,
        }
    }

    /// Lets readers and `durable_lsn` see up to `tail`.
    fn publish(&self, tail: &Tail) {
        *self.readable.lock() = Readable { segment: tail.segment, bytes: tail.bytes };
        self.durable_lsn.store(tail.last_lsn.0, Ordering::Release);
    }

    fn append_group(&self, entries: &[&[u8]]) -> Result<Lsn> {
        self.writer.lock().append_group(self, entries)
    }

    fn segment_path(&self, id: u64) -> PathBuf {
        let place = self.table.lock().segments.get(&id).map_or(Place::Live, |segment| segment.place);
        self.dir.segment(id, place)
    }

    fn header(&self, id: u64) -> Result<LoadedHeader> {
        self.table.lock().header(&self.dir, id)
    }

    /// A cursor at the last known position of a segment at or before `lsn`.
    fn cursor(&self, id: u64, lsn: Lsn) -> Result<Cursor> {
        let mut table = self.table.lock();
        let start = table.start(&self.dir, id, lsn)?;
        let file = table.open(&self.dir, id)?;
        Ok(Cursor::new(file, self.dir.identity.file(id), start.offset, start.chain, start.next_lsn))
    }

    /// How far a segment may be read now.
    fn limit(&self, id: u64) -> Result<Limit> {
        let readable = *self.readable.lock();
        if readable.segment == id {
            return Ok(Limit::Newest { bytes: readable.bytes });
        }
        let mut table = self.table.lock();
        match table.after(id) {
            Some(successor) if successor == id + 1 => {
                let bytes = table.header(&self.dir, successor)?.header.predecessor_bytes;
                Ok(Limit::Succeeded { bytes, successor })
            }
            Some(next) => Ok(Limit::BeforeHole { next }),
            None => Ok(Limit::Newest { bytes: readable.bytes }),
        }
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
        env.fs.create_dir(dir)?;
        if let Some(parent) = dir.parent() {
            env.fs.sync_dir(parent)?;
        }
        let dir = SegmentDir { fs: Arc::clone(&env.fs), path: dir.to_path_buf(), identity };
        if !dir.list()?.is_empty() || env.fs.metadata(&Head::path(&dir))?.is_some() {
            return Err(Error::AlreadyExists { dir: dir.path });
        }
        dir.remove_temporaries()?;
        let nothing = Tail { segment: 0, bytes: 0, chain: Chain::default(), last_lsn: Lsn::ZERO };
        let found = Found {
            table: Table::default(),
            head: None,
            tail: nothing,
            adopted: Vec::new(),
            last_lsn: Lsn::ZERO,
            end_bytes: 0,
            cut: None,
            first_lsn: Lsn(1),
            missing: Vec::new(),
            tail_frames: 0,
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
        let dir = SegmentDir { fs: Arc::clone(&env.fs), path: dir.to_path_buf(), identity };
        let purpose = Purpose::Serve { flushed };
        let mut found = recover(&dir, purpose)?;
        let mut report = report_of(&found);
        dir.remove_temporaries()?;
        if let Some(cut) = &found.cut {
            let place = options.quarantine_dir.clone().unwrap_or_else(|| quarantine_default(&dir.path));
            let copy = quarantine(&dir, &place, cut)?;
            tracing::warn!(file = %cut.file.display(), cut.offset, cut.bytes, copy = %copy.display(), "torn tail cut");
            if let Some(report) = &mut report.cut {
                report.quarantined = Some(copy);
            }
        }
        let adopted = std::mem::take(&mut found.adopted);
        let eager = !adopted.is_empty() || found.cut.is_some();
        let inner = Inner::new(env, dir, options, found, purpose);
        if eager {
            // Entries whose durability nothing proves must be durable before anybody can see them.
            inner.writer.lock().begin(&inner, &adopted)?;
        }
        Ok((SegmentedJournal::start(inner)?, report))
    }

    /// Opens whatever is left of a journal for reading, without knowing whose it is. Missing segments are reported, not
    /// refused; nothing is written. For rebuilds and inspection.
    pub fn open_read_only(env: &Env, dir: &Path) -> Result<(SegmentedJournal, RecoveryReport)> {
        let identity = SegmentDir::discover(&env.fs, dir)?;
        let dir = SegmentDir { fs: Arc::clone(&env.fs), path: dir.to_path_buf(), identity };
        let found = recover(&dir, Purpose::ReadOnly)?;
        let report = report_of(&found);
        let options = JournalOptions { idle_marker: std::time::Duration::ZERO, ..JournalOptions::default() };
        Ok((SegmentedJournal::start(Inner::new(env, dir, options, found, Purpose::ReadOnly))?, report))
    }

    fn start(inner: Inner) -> Result<SegmentedJournal> {
        let inner = Arc::new(inner);
        let pause = inner.options.idle_marker;
        let marker = if pause.is_zero() {
            None
        } else {
            let job = IdleMarker::new(Arc::clone(&inner), pause);
            Some(inner.env.tasks.spawn("journal-marker", Box::new(job))?)
        };
        let stages = AppendStages { inner: Arc::clone(&inner) };
        let queue =
            CommitQueue::new(stages, inner.options.queue.clone()).with_clock(Arc::clone(&inner.env.clock));
        Ok(SegmentedJournal { inner, queue, marker })
    }

    /// Appends one entry and returns when it is durable. Concurrent callers share writes and syncs.
    ///
    /// Errors: those of [`Journal::append_group`], and [`Error::Overloaded`] before an LSN is given.
    pub fn append(&self, entry: impl Into<Bytes>) -> Result<Lsn> {
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
        let reply = self.queue.submit(entry, cost_bytes).map_err(|error| match error {
            SubmitError::Overloaded { queued_bytes, limit_bytes } => {
                Error::Overloaded { queued_bytes, limit_bytes }
            }
            SubmitError::Abandoned => Error::Abandoned,
        })?;
        self.wake_marker();
        reply
    }

    fn wake_marker(&self) {
        if self.inner.marker_sleeps.load(Ordering::SeqCst)
            && self.inner.marker_sleeps.swap(false, Ordering::SeqCst)
            && let Some(marker) = &self.marker
        {
            marker.wake();
        }
    }

    /// Whose journal it is.
    pub fn identity(&self) -> JournalIdentity {
        self.inner.dir.identity
    }

    /// Ends the active segment, if it has entries, and starts the next one. Cost: four syncs.
    pub fn rotate(&self) -> Result<()> {
        self.inner.writer.lock().rotate(&self.inner)
    }

    /// Every segment, oldest first. Reads header frames that have not been read yet.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        let active = self.inner.writer.lock().active();
        let mut table = self.inner.table.lock();
        let places: Vec<(u64, Place)> =
            table.segments.iter().map(|(&id, segment)| (id, segment.place)).collect();
        let newest = table.newest();
        let mut infos = Vec::with_capacity(places.len());
        for (id, place) in places {
            let last_lsn = if Some(id) == newest {
                Some(Lsn(self.inner.durable_lsn.load(Ordering::Acquire)))
            } else if table.segments.contains_key(&(id + 1)) {
                Some(table.header(&self.inner.dir, id + 1)?.header.predecessor_last_lsn)
            } else {
                None
            };
            infos.push(SegmentInfo {
                id,
                path: self.inner.dir.segment(id, place),
                state: match place {
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

    /// Counters since this open.
    pub fn stats(&self) -> JournalStats {
        self.inner.counters.snapshot(self.queue.stats())
    }

    /// Reads every entry of every segment and lists what is wrong. Cost: the whole journal, sequentially.
    pub fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut next = self.inner.table.lock().segments.keys().next().copied();
        while let Some(segment) = next {
            next = None;
            let from = match self.inner.header(segment) {
                Ok(header) => header.header.base_lsn(),
                Err(error) => {
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
        Ok(report)
    }

    /// Makes the last group provable and `HEAD` exact, so that the next open has nothing to repair, and refuses later
    /// appends. Reading goes on. Idempotent.
    pub fn close(&self) -> Result<()> {
        self.inner.writer.lock().close(&self.inner)
    }
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
        let first = self.inner.append_group(entries)?;
        self.wake_marker();
        Ok(first)
    }

    fn durable_lsn(&self) -> Lsn {
        Lsn(self.inner.durable_lsn.load(Ordering::Acquire))
    }

    fn first_lsn(&self) -> Lsn {
        Lsn(self.inner.first_lsn.load(Ordering::Acquire))
    }

    fn read_from(&self, from: Lsn) -> Result<SegmentedReader> {
        let from = from.max(Lsn(1));
        let durable_lsn = self.durable_lsn();
        let out_of_range = Error::OutOfRange { lsn: from, first_lsn: self.first_lsn(), durable_lsn };
        if from > durable_lsn.next() {
            return Err(out_of_range);
        }
        let segment = self.inner.table.lock().find(&self.inner.dir, from)?.ok_or(out_of_range)?;
        SegmentedReader::new(Arc::clone(&self.inner), segment, from)
    }

    fn release(&self, flushed: Lsn) -> Result<()> {
        let mut table = self.inner.table.lock();
        let live: Vec<u64> = table
            .segments
            .iter()
            .filter(|(_, segment)| segment.place == Place::Live)
            .map(|(&id, _)| id)
            .collect();
        let mut renamed = false;
        for id in live {
            // The newest segment has no successor, so it stays.
            if !table.segments.contains_key(&(id + 1))
                || table.header(&self.inner.dir, id + 1)?.header.predecessor_last_lsn > flushed
            {
                break;
            }
            let (from, to) =
                (self.inner.dir.segment(id, Place::Live), self.inner.dir.segment(id, Place::Released));
            self.inner.env.fs.rename(&from, &to)?;
            if let Some(segment) = table.segments.get_mut(&id) {
                segment.place = Place::Released;
            }
            renamed = true;
        }
        if renamed {
            self.inner.env.fs.sync_dir(&self.inner.dir.path)?;
        }
        Ok(())
    }
}
