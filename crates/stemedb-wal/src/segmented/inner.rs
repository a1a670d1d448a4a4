//! What the journal's handles, readers and background jobs share.

use std::{
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use stemedb_env::{Env, Lsn, TaskHandle, sync::Gate};

use super::{
    heal::DamageList,
    reader::Limit,
    recover::{Found, Purpose},
    report::Counters,
    spares::Spares,
    table::{Ending, Mark, Table},
    writer::{Tail, Writer},
};
use crate::{
    Error, JournalOptions, ReadOnlyCause, Result,
    head::Head,
    segment::{Cursor, LoadedHeader, Location, SegmentDir},
};

/// The background jobs: they stop when these are dropped.
pub(super) struct Jobs {
    pub(super) watch: TaskHandle,
    pub(super) upkeep: TaskHandle,
}

/// What the journal's handles, readers and background job share.
pub(crate) struct Inner {
    pub(super) env: Env,
    pub(super) dir: SegmentDir,
    pub(super) options: JournalOptions,
    pub(super) writer: Mutex<Writer>,
    pub(super) table: Mutex<Table>,
    /// Up to where readers may read: segment and bytes. Moves after a sync, never before.
    pub(super) readable: Mutex<Readable>,
    pub(super) durable_lsn: AtomicU64,
    /// Opened when `durable_lsn` moves.
    pub(super) durable_moved: Gate,
    pub(super) first_lsn: AtomicU64,
    pub(super) counters: Counters,
    /// Released segments that are there and could not be read at the open.
    pub(super) unreadable: Vec<Error>,
    /// What readers, checks and the opening found to be damaged.
    pub(super) damage: DamageList,
    /// Held by one healing.
    pub(super) healing: Mutex<()>,
    /// Held by whoever gives files other names, from his look at the table to his last rename; and by a
    /// checkpoint while it links files.
    pub(super) releasing: Mutex<()>,
    pub(super) spares: Mutex<Spares>,
    /// A sync of the folder has failed: some name of this process may be seen and not be durable, and an old name of the
    /// same file be durable and not seen. No file is used for another segment from then on.
    pub(super) names_in_doubt: AtomicBool,
    /// How full the active segment is.
    pub(super) active_per_mille: AtomicU64,
    pub(super) jobs: Mutex<Option<Jobs>>,
    pub(super) watch_sleeps: AtomicBool,
    /// Opened for reading: no file is changed or renamed.
    pub(super) is_read_only: bool,
    /// The disk is nearly full: no file is made ready ahead.
    pub(super) is_thrifty: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Readable {
    pub(super) segment: u64,
    pub(super) bytes: u64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("dir", &self.dir.path).finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn new(
        env: &Env,
        dir: SegmentDir,
        options: JournalOptions,
        found: Found,
        purpose: Purpose,
    ) -> Inner {
        let refused = (!purpose.serves()).then_some(ReadOnlyCause::OpenedReadOnly);
        let (bytes, lsn) = match purpose {
            // What could not be proven is readable here because nobody can build on it.
            Purpose::ReadOnly | Purpose::Damaged => (found.end_bytes, found.last_lsn),
            Purpose::Serve { .. } => (found.tail.bytes, found.tail.last_lsn),
        };
        let head = Head::after(&dir, found.head);
        // What was cut is evidence; what is blank is only room.
        let blank = found.cut.is_none() && found.unsettled.is_none();
        let old_end_bytes = blank.then_some(found.end_bytes);
        let mut writer = Writer::new(found.tail, head, found.recycled_lsn, old_end_bytes, refused);
        writer.unsettled = found.unsettled;
        Inner {
            env: env.clone(),
            options,
            writer: Mutex::new(writer),
            table: Mutex::new(found.table),
            readable: Mutex::new(Readable { segment: found.tail.segment, bytes }),
            durable_lsn: AtomicU64::new(lsn.0),
            first_lsn: AtomicU64::new(found.first_lsn.0),
            durable_moved: Gate::new(),
            counters: Counters::default(),
            damage: DamageList::new(&found.unreadable),
            unreadable: found.unreadable,
            healing: Mutex::new(()),
            releasing: Mutex::new(()),
            spares: Mutex::new(Spares::default()),
            names_in_doubt: AtomicBool::new(false),
            active_per_mille: AtomicU64::new(0),
            jobs: Mutex::new(None),
            watch_sleeps: AtomicBool::new(false),
            is_read_only: !purpose.serves(),
            is_thrifty: AtomicBool::new(false),
            dir,
        }
    }

    /// Lets readers and `durable_lsn` see up to `tail`.
    pub(super) fn publish(&self, tail: &Tail) {
        *self.readable.lock() = Readable { segment: tail.segment, bytes: tail.bytes };
        self.durable_lsn.store(tail.last_lsn.0, Ordering::Release);
        self.durable_moved.open();
    }

    pub(super) fn durable_lsn(&self) -> Lsn {
        Lsn(self.durable_lsn.load(Ordering::Acquire))
    }

    /// True unless nothing has been written to the newest segment.
    pub(super) fn newest_has_entries(&self) -> Result<bool> {
        let mut table = self.table.lock();
        let Some(newest) = table.newest() else { return Ok(false) };
        Ok(table.header(&self.dir, newest)?.header.base_lsn() <= self.durable_lsn())
    }

    pub(super) fn first_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.load(Ordering::Acquire))
    }

    /// Makes the names in the folder durable, and remembers if that has failed once.
    pub(super) fn sync_names(&self) -> stemedb_env::Result<()> {
        let synced = self.env.fs.sync_dir(&self.dir.path);
        if synced.is_err() {
            self.names_in_doubt.store(true, Ordering::SeqCst);
        }
        synced
    }

    /// True if the file of a segment has no other durable name than the one it is known by: all of them were given by
    /// this process, and no sync of the folder has failed.
    pub(super) fn has_one_name(&self, id: u64) -> bool {
        let born = self.table.lock().segments.get(&id).is_some_and(|segment| segment.born);
        born && !self.names_in_doubt.load(Ordering::SeqCst)
    }

    /// True if the file of a segment that was there has been used again.
    pub(super) fn is_recycled(&self, id: u64) -> bool {
        !self.table.lock().segments.contains_key(&id)
    }

    pub(super) fn wake_upkeep(&self) {
        if let Some(jobs) = &*self.jobs.lock() {
            jobs.upkeep.wake();
        }
    }

    pub(super) fn wake_watch(&self) {
        if let Some(jobs) = &*self.jobs.lock() {
            jobs.watch.wake();
        }
    }

    /// Called after a group: the marker that would prove it is due in a while.
    pub(super) fn wake_sleeping_watch(&self) {
        if self.watch_sleeps.load(Ordering::SeqCst) && self.watch_sleeps.swap(false, Ordering::SeqCst) {
            self.wake_watch();
        }
    }

    pub(super) fn append_group(&self, entries: &[&[u8]]) -> Result<Lsn> {
        let first = self.writer.lock().append_group(self, entries);
        self.wake_sleeping_watch();
        first
    }

    pub(super) fn segment_path(&self, id: u64) -> PathBuf {
        let location = self.table.lock().location(id).unwrap_or(Location::LIVE);
        self.dir.segment(id, location)
    }

    pub(super) fn header(&self, id: u64) -> Result<LoadedHeader> {
        self.table.lock().header(&self.dir, id)
    }

    /// A cursor at the last known position of a segment at or before `lsn`.
    pub(super) fn cursor(&self, id: u64, lsn: Lsn) -> Result<Cursor> {
        let mut table = self.table.lock();
        let start = table.start(&self.dir, id, lsn)?;
        let file = table.open(&self.dir, id)?;
        Ok(Cursor::new(file, self.dir.identity.file(id), start.offset, start.chain, start.next_lsn))
    }

    /// The segment that holds an entry, or would hold it. Errors: `OutOfRange`, `Corruption`, `MissingSegment`, `Env`.
    pub(super) fn segment_of(&self, lsn: Lsn) -> Result<u64> {
        let out_of_range =
            Error::OutOfRange { lsn, first_lsn: self.first_lsn(), durable_lsn: self.durable_lsn() };
        self.table.lock().find(&self.dir, lsn)?.ok_or(out_of_range)
    }

    /// The last known position of a segment at or before `lsn`.
    pub(super) fn start(&self, id: u64, lsn: Lsn) -> Result<Mark> {
        self.table.lock().start(&self.dir, id, lsn)
    }

    /// A cursor at a position of a segment, for somebody who is after single entries.
    pub(super) fn cursor_at(&self, id: u64, start: Mark) -> Result<Cursor> {
        let file = self.table.lock().open(&self.dir, id)?;
        let identity = self.dir.identity.file(id);
        Ok(Cursor::new(file, identity, start.offset, start.chain, start.next_lsn).for_little())
    }

    /// Where a segment is now.
    pub(super) fn location(&self, id: u64) -> Option<Location> {
        self.table.lock().location(id)
    }

    /// The same position in the segment's file as it is stored now.
    pub(super) fn reopened(&self, id: u64, at: &Cursor) -> Result<Cursor> {
        let file = self.table.lock().open(&self.dir, id)?;
        Ok(Cursor::new(file, self.dir.identity.file(id), at.offset, at.chain, at.next_lsn))
    }

    /// How far a segment may be read now.
    pub(super) fn limit(&self, id: u64) -> Result<Limit> {
        let readable = *self.readable.lock();
        if readable.segment == id {
            return Ok(Limit::Newest { bytes: readable.bytes });
        }
        let mut table = self.table.lock();
        if let Some(Ending { successor, bytes, chain, .. }) = table.ending(&self.dir, id)? {
            return Ok(Limit::Succeeded { bytes, successor, chain });
        }
        match table.after(id) {
            Some(next) => Ok(Limit::BeforeHole { next }),
            None => Ok(Limit::Newest { bytes: readable.bytes }),
        }
    }

    /// Which file of a segment is read now: see `Segment::generation`.
    pub(super) fn generation(&self, id: u64) -> u32 {
        self.table.lock().generation(id)
    }
}
