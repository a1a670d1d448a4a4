//! Whether a database acknowledges writes, and how it stands with those that it shares a past with.
//!
//! ```text
//! writer ── another epoch has begun ──▶ fenced      for good, until it is opened again
//! standby ─ promoted ──▶ writer
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stemedb_env::{Lsn, Micros};

use crate::{
    backup::RequestCounts,
    errors::{Error, Result},
};

/// What a database is to others of its past.
#[derive(Debug)]
pub struct Role {
    /// It is not the writer: looked at by every write.
    refuses: AtomicBool,
    is_standby: AtomicBool,
    /// The timeline of the positions that it tells: of a standby the one that it follows.
    shown_timeline: AtomicU32,
    fenced: Mutex<Option<String>>,
    archive: Mutex<Archive>,
    ranges: AtomicU64,
    requests: Arc<RequestCounts>,
    standby: Mutex<Standby>,
}

#[derive(Debug, Default)]
struct Archive {
    is_on: bool,
    epoch: Option<u64>,
    lsn: Lsn,
    /// Everything that was durable at this moment of the monotonic clock is in the archive.
    whole_at: Duration,
    errors: u64,
    /// Why the last step failed, if it did.
    failing: Option<String>,
}

#[derive(Debug, Default)]
struct Standby {
    /// Everything that the archive had at this moment has been applied.
    whole_at: Duration,
    /// When the newest range was sent, by its writer's clock.
    shipped_at: Option<Micros>,
    entries: u64,
    errors: u64,
    failing: Option<String>,
}

/// How the continuous archiving of a journal goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// It is archived.
    pub is_on: bool,
    /// Whose turn it is, once that was this server's.
    pub epoch: Option<u64>,
    /// The last entry that counts as archived: no promotion elsewhere loses it.
    pub lsn: Lsn,
    /// No durable entry that is not archived is older than this.
    pub lag: Duration,
    /// Ranges that were sent.
    pub ranges: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Requests to the archive, by their kind.
    pub requests: Vec<(&'static str, u64)>,
    /// Steps that have failed.
    pub errors: u64,
    /// Why the last one did, if it did.
    pub failing: Option<String>,
}

/// How a standby follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyStatus {
    /// It is one: it takes no writes.
    pub is_standby: bool,
    /// For how long it has not been known to have everything that the archive has.
    pub lag: Duration,
    /// How long ago its newest range was sent, by both servers' clocks.
    pub archive_age: Option<Duration>,
    /// Entries that it was given since it was opened.
    pub entries: u64,
    /// Steps that have failed.
    pub errors: u64,
    /// Why the last one did, if it did.
    pub failing: Option<String>,
}

impl Role {
    /// A writer of a timeline.
    pub(super) fn writer(timeline: u32) -> Role {
        Role {
            refuses: AtomicBool::new(false),
            is_standby: AtomicBool::new(false),
            shown_timeline: AtomicU32::new(timeline),
            fenced: Mutex::default(),
            archive: Mutex::default(),
            ranges: AtomicU64::new(0),
            requests: Arc::default(),
            standby: Mutex::default(),
        }
    }

    /// A standby of a timeline, since a moment of the monotonic clock.
    pub(super) fn standby(follows: u32, now: Duration) -> Role {
        let role = Role::writer(follows);
        role.refuses.store(true, Ordering::Release);
        role.is_standby.store(true, Ordering::Release);
        role.standby.lock().whole_at = now;
        role
    }

    /// Refuses what only the writer may do. Cost for the writer: a load.
    ///
    /// # Errors
    /// [`Error::Standby`], [`Error::Fenced`].
    pub fn may_write(&self) -> Result<()> {
        if !self.refuses.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.fenced() {
            Some(reason) => Err(Error::Fenced { reason }),
            None if self.is_standby() => Err(Error::Standby),
            None => Ok(()),
        }
    }

    /// Why it is no writer any more, if it was one.
    pub fn fenced(&self) -> Option<String> {
        self.fenced.lock().clone()
    }

    /// It follows another server.
    pub fn is_standby(&self) -> bool {
        self.is_standby.load(Ordering::Acquire)
    }

    /// The timeline of the positions that it tells.
    pub(super) fn timeline(&self) -> u32 {
        self.shown_timeline.load(Ordering::Acquire)
    }

    /// It is no writer any more. True if it was.
    pub(super) fn fence(&self, reason: &str) -> bool {
        let mut fenced = self.fenced.lock();
        let is_first = fenced.is_none();
        fenced.get_or_insert_with(|| reason.to_owned());
        drop(fenced);
        self.refuses.store(true, Ordering::Release);
        is_first
    }

    /// A standby has become the writer of its own timeline.
    pub(super) fn promote(&self, timeline: u32) {
        self.shown_timeline.store(timeline, Ordering::Release);
        self.is_standby.store(false, Ordering::Release);
        self.refuses.store(false, Ordering::Release);
    }

    /// Its epoch, once it has one.
    pub fn epoch(&self) -> Option<u64> {
        self.archive.lock().epoch
    }

    /// Where requests to the archive are counted.
    pub(crate) fn requests(&self) -> Arc<RequestCounts> {
        Arc::clone(&self.requests)
    }

    /// The journal is archived from now on.
    pub(crate) fn note_archiving(&self, now: Duration) {
        let mut archive = self.archive.lock();
        archive.is_on = true;
        archive.whole_at = now;
    }

    pub(crate) fn note_epoch(&self, epoch: u64) {
        self.archive.lock().epoch = Some(epoch);
    }

    pub(crate) fn note_range(&self) {
        self.ranges.fetch_add(1, Ordering::Relaxed);
    }

    /// Entries count as archived; all that was durable at `whole_at`, where that is known.
    pub(crate) fn note_archived(&self, lsn: Lsn, whole_at: Option<Duration>) {
        let mut archive = self.archive.lock();
        archive.lsn = archive.lsn.max(lsn);
        archive.failing = None;
        if let Some(at) = whole_at {
            archive.whole_at = at;
        }
    }

    pub(crate) fn note_archive_error(&self, text: String) {
        let mut archive = self.archive.lock();
        archive.errors += 1;
        archive.failing = Some(text);
    }

    /// Everything that the archive had at a moment has been applied.
    pub(crate) fn note_followed(&self, whole_at: Duration) {
        let mut standby = self.standby.lock();
        standby.whole_at = whole_at;
        standby.failing = None;
    }

    pub(crate) fn note_given(&self, entries: u64, shipped_at: Option<Micros>) {
        let mut standby = self.standby.lock();
        standby.entries += entries;
        standby.shipped_at = standby.shipped_at.max(shipped_at);
    }

    pub(crate) fn note_standby_error(&self, text: String) {
        let mut standby = self.standby.lock();
        standby.errors += 1;
        standby.failing = Some(text);
    }

    /// How the archiving goes, at a moment of the monotonic clock; `durable` is the database's last durable entry.
    pub(super) fn archive_status(&self, durable: Lsn, now: Duration) -> ArchiveStatus {
        let archive = self.archive.lock();
        let is_behind = archive.is_on && archive.lsn < durable;
        let lag = if is_behind { now.saturating_sub(archive.whole_at) } else { Duration::ZERO };
        ArchiveStatus {
            is_on: archive.is_on,
            epoch: archive.epoch,
            lsn: archive.lsn,
            lag,
            ranges: self.ranges.load(Ordering::Relaxed),
            sent_bytes: self.requests.sent_bytes(),
            requests: self.requests.all().to_vec(),
            errors: archive.errors,
            failing: archive.failing.clone(),
        }
    }

    /// How the following goes, at a moment of both clocks.
    pub(super) fn standby_status(&self, now: Duration, wall: Micros) -> StandbyStatus {
        let is_standby = self.is_standby();
        let standby = self.standby.lock();
        let age = |at: Micros| Duration::from_micros(u64::try_from(wall.0.saturating_sub(at.0)).unwrap_or(0));
        StandbyStatus {
            is_standby,
            lag: if is_standby { now.saturating_sub(standby.whole_at) } else { Duration::ZERO },
            archive_age: standby.shipped_at.map(age).filter(|_| is_standby),
            entries: standby.entries,
            errors: standby.errors,
            failing: standby.failing.clone(),
        }
    }
}
