//! How a segment is born: by rotation, by the first append after an open, by a recovery or a rescue that has groups to
//! write again.
//!
//! ```text
//! spare.N.tmp or next.k+1.tmp   header (names k, its length, chain, last LSN), groups to write again ─ sync
//!                               rename to live.k+1 ─ sync directory
//! live.k                        seal (names k+1) ─ sync     (by rotation alone: other old files stay untouched)
//! HEAD                          active k+1 ─ sync
//! live.k+1                      first group ─ sync ─ first acknowledgement
//! ```
//!
//! So a segment with its name has a durable header, and a sealed segment has a successor. Whatever fails before the
//! rename is a clean refusal. After it nobody knows which of the two segments a crash would leave as the newest, so the
//! number is *unsettled*: nothing is acknowledged until another attempt has replaced the file under the same name and
//! everything up to `HEAD` has succeeded.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use stemedb_env::{
    File, Lsn, OpenMode,
    frame::{Chain, FrameHeader, encode, frame_bytes},
    planted::{Bug, planted},
};

use super::{
    inner::Inner,
    spares::Spare,
    writer::{Active, Adopted, Tail, Writer, plain_header},
};
use crate::{
    Error, Prepare, ReadOnlyCause, Result, Retention,
    segment::{HEADER_PAYLOAD_BYTES, KIND_GROUP, KIND_HEADER, LoadedHeader, Location, SegmentHeader},
};

/// A segment could not be started.
pub(super) enum BirthError {
    /// It has no name: as if it had never been tried.
    Clean(stemedb_env::Error),
    /// It may or may not have its name.
    Unsettled(stemedb_env::Error),
}

impl BirthError {
    pub fn cause(self) -> stemedb_env::Error {
        match self {
            BirthError::Clean(error) | BirthError::Unsettled(error) => error,
        }
    }
}

/// A segment that has its name and is durable.
struct Born {
    active: Active,
    header: LoadedHeader,
    tail: Tail,
}

impl Writer {
    /// Sees to it that a frame of `total` bytes has room in the active segment.
    pub(super) fn make_room(&mut self, journal: &Inner, total: u64) -> Result<()> {
        let full = |active: &Active| {
            active.written_bytes > active.built_bytes
                && active.written_bytes + total > journal.options.target_bytes(active.id)
        };
        match &self.active {
            None => self.begin(journal, &[]),
            Some(active) if full(active) => self.rotate(journal),
            Some(_) => Ok(()),
        }
    }

    /// Builds the next segment with `adopted` groups in it, and makes it the active one. The old file is not touched.
    pub fn begin(&mut self, journal: &Inner, adopted: &[Adopted]) -> Result<()> {
        self.check_writable()?;
        let started = self.start(journal, adopted, false);
        self.settle(journal, started)
    }

    /// Ends the newest segment and starts the next. Nothing to do if no group has been written to it, now or before the journal was
    /// opened: until the first write after that no segment is active.
    pub fn rotate(&mut self, journal: &Inner) -> Result<()> {
        self.check_writable()?;
        let has_entries = match &self.active {
            Some(active) => active.written_bytes > active.built_bytes,
            None => journal.newest_has_entries()?,
        };
        if !has_entries {
            return Ok(());
        }
        let started = self.start(journal, &[], self.active.is_some());
        self.settle(journal, started)?;
        journal.counters.rotated();
        Ok(())
    }

    /// Sees to it that the newest segment has a successor, unless it is active and nothing has been written to it. One that is not active
    /// may have a header that cannot be read, so it is not asked whether it has entries.
    pub fn succeed(&mut self, journal: &Inner) -> Result<()> {
        if self.active.is_none() { self.begin(journal, &[]) } else { self.rotate(journal) }
    }

    /// What a start that failed means for a caller whose entries have not been written.
    fn settle(&mut self, journal: &Inner, started: std::result::Result<(), BirthError>) -> Result<()> {
        match started {
            Ok(()) => Ok(()),
            Err(BirthError::Clean(error)) if self.unsettled.is_none() => Err(error.into()),
            Err(error) => {
                let cause = Arc::new(error.cause());
                self.give_up(journal, &cause);
                Err(Error::ReadOnly { cause: ReadOnlyCause::Failed(cause) })
            }
        }
    }

    /// One attempt to make segment k + 1 the active one.
    pub(super) fn start(
        &mut self,
        journal: &Inner,
        adopted: &[Adopted],
        seals: bool,
    ) -> std::result::Result<(), BirthError> {
        let before = self.tail;
        let id = before.segment + 1;
        let replaces = self.unsettled == Some(id);
        let mut born = build(journal, before, adopted, replaces).inspect_err(|error| {
            if matches!(error, BirthError::Unsettled(_)) {
                self.unsettled = Some(id);
            }
        })?;
        if seals {
            self.write_seal(journal, id);
        }
        if planted(Bug::SyncTheOldSegment) {
            born.active.wrongly_synced = self.active.as_ref().map(|active| Arc::clone(&active.file));
        }
        self.tail = born.tail;
        let record = self.head_record();
        if let Err(error) = self.head.write(&journal.dir, record) {
            journal.names_in_doubt.store(true, Ordering::SeqCst);
            self.tail = before;
            self.unsettled = Some(id);
            return Err(BirthError::Unsettled(error));
        }
        self.unsettled = None;
        journal.table.lock().insert_built(id, born.header);
        let old = self.active.replace(born.active);
        let small_groups = old.as_ref().is_none_or(|old| {
            old.groups == 0 || (old.written_bytes - old.built_bytes) / old.groups <= SMALL_GROUP_BYTES
        });
        journal.spares.lock().active_changed(small_groups);
        let end_bytes = old.map(|old| old.written_bytes).or(self.old_end_bytes.take());
        // A recycled file is used again as it is.
        let keeps = journal.options.retention == Retention::Keep;
        if let Some(end_bytes) = end_bytes.filter(|_| keeps && before.segment > 0) {
            journal.spares.lock().to_trim.push((before.segment, end_bytes));
            journal.wake_upkeep();
        }
        journal.publish(&self.tail);
        Ok(())
    }

    /// Asks for the next segment's file when this one has been begun in earnest, and says how much time is left.
    pub(super) fn ask_for_spare(&self, journal: &Inner) {
        let Some(active) = &self.active else { return };
        if journal.options.prepare == Prepare::Off || journal.is_thrifty() {
            return;
        }
        let used = active.written_bytes.saturating_mul(1000) / journal.options.target_bytes(active.id).max(1);
        journal.active_per_mille.store(used, Ordering::Relaxed);
        let next = journal.options.target_bytes(active.id + 1);
        if used >= ASK_FROM_PER_MILLE && journal.spares.lock().want(next) {
            journal.wake_upkeep();
        }
    }
}

/// A database that stays small never has a second file.
const ASK_FROM_PER_MILLE: u64 = 125;
/// So much is written ahead on the spot where no spare is ready; more would delay the commit that waits for it.
const WRITE_AHEAD_BYTES: u64 = 1 << 20;
/// Up to this mean size of a frame, a commit is all about its sync, and its file should have been written before.
const SMALL_GROUP_BYTES: u64 = 64 << 10;

/// Writes a whole segment under a temporary name and gives it its own. One write, one sync, one directory sync.
fn build(
    journal: &Inner,
    before: Tail,
    adopted: &[Adopted],
    replaces: bool,
) -> std::result::Result<Born, BirthError> {
    use BirthError::{Clean, Unsettled};
    let id = before.segment + 1;
    let (fs, name) = (&journal.env.fs, journal.dir.segment(id, Location::LIVE));
    if !replaces && fs.metadata(&name).map_err(Clean)?.is_some() {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Clean(stemedb_env::Error::io(stemedb_env::IoOp::Rename, name, exists)));
    }
    let built_bytes = built_bytes(journal, adopted);
    let room = prepare(journal, id, built_bytes).map_err(Clean)?;
    let written = write_content(journal, before, adopted, built_bytes, &room);
    let (header, header_chain, tail) = match written {
        Ok(written) => written,
        Err(error) => {
            // A leftover is removed by the next open; removing it now frees its space.
            let _ = fs.remove(&room.path);
            return Err(Clean(error));
        }
    };
    fs.rename(&room.path, &name).map_err(Unsettled)?;
    if planted(Bug::RenameBeforeSync) {
        journal.sync_names().map_err(Unsettled)?;
        room.file.sync_data().map_err(Unsettled)?;
    } else if !planted(Bug::SkipDirSyncAfterRotate) {
        journal.sync_names().map_err(Unsettled)?;
    }
    // Opened again only so that messages name the file as it is called now.
    let file = fs.open_for_commits(&name).map_err(Unsettled)?;
    let active = Active {
        file,
        id,
        built_bytes,
        written_bytes: built_bytes,
        written_chain: tail.chain,
        proven_bytes: built_bytes,
        groups: 0,
        wrongly_synced: None,
    };
    let header_bytes = frame_bytes(HEADER_PAYLOAD_BYTES, journal.options.sector_bytes());
    let frame_bytes = header_bytes.unwrap_or_default() as u64;
    let header = LoadedHeader { header, frame_bytes, chain: header_chain };
    Ok(Born { active, header, tail })
}

fn built_bytes(journal: &Inner, adopted: &[Adopted]) -> u64 {
    let sector = journal.options.sector_bytes();
    let header = frame_bytes(HEADER_PAYLOAD_BYTES, sector).unwrap_or(sector) as u64;
    let groups = adopted.iter().filter_map(|group| frame_bytes(group.payload.len(), sector));
    header + groups.map(|bytes| bytes as u64).sum::<u64>()
}

/// A file to build in, and how much of it is there already.
struct Room {
    path: PathBuf,
    file: Arc<dyn File>,
    /// Its durable length; 0 if it is new.
    durable_bytes: u64,
    allocated_bytes: u64,
    recycled: bool,
}

/// A spare if there is one, else a new file.
fn prepare(journal: &Inner, id: u64, built_bytes: u64) -> stemedb_env::Result<Room> {
    let fs = &journal.env.fs;
    let target = journal.options.target_bytes(id).max(built_bytes);
    let spare = journal.spares.lock().take(target);
    if let Some(Spare { path, bytes, recycled }) = spare {
        match fs.open_for_commits(&path) {
            Ok(file) => {
                journal.counters.spare_used(recycled);
                return Ok(Room { path, file, durable_bytes: bytes, allocated_bytes: bytes, recycled });
            }
            Err(error) => tracing::warn!(%error, "a spare segment cannot be used"),
        }
    }
    let path = journal.dir.temporary(id);
    if fs.metadata(&path)?.is_some() {
        fs.remove(&path)?;
    }
    let file = fs.open(&path, OpenMode::CreateNew)?;
    let allocated_bytes = if journal.options.prepare == Prepare::Off {
        0
    } else {
        match file.allocate(target) {
            Ok(()) => {
                let writes = matches!(journal.options.prepare, Prepare::Auto | Prepare::Write);
                if writes && target <= WRITE_AHEAD_BYTES {
                    file.write_all_at(&vec![0; usize::try_from(target).unwrap_or_default()], 0)?;
                }
                target
            }
            // A disk that is nearly full may still have room for what is to be written now.
            Err(error) if error.is_storage_full() => {
                let _ = file.set_len(0);
                0
            }
            Err(error) => {
                let _ = fs.remove(&path);
                return Err(error);
            }
        }
    };
    Ok(Room { path, file, durable_bytes: 0, allocated_bytes, recycled: false })
}

/// Writes the header and the groups, durably.
fn write_content(
    journal: &Inner,
    before: Tail,
    adopted: &[Adopted],
    built_bytes: u64,
    room: &Room,
) -> stemedb_env::Result<(SegmentHeader, Chain, Tail)> {
    let id = before.segment + 1;
    let sector = journal.options.sector_bytes();
    let identity = journal.dir.identity.file(id);
    let header = SegmentHeader {
        predecessor: before.segment,
        predecessor_bytes: before.bytes,
        predecessor_chain: before.chain,
        predecessor_last_lsn: before.last_lsn,
        sector_bytes: u32::try_from(sector).unwrap_or(4096),
        built_bytes,
        allocated_bytes: room.allocated_bytes.max(built_bytes),
        recycled: room.recycled,
        replaces: None,
    };
    let too_long = |_| {
        let kind = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
        stemedb_env::Error::io(stemedb_env::IoOp::Write, &room.path, kind)
    };
    let mut bytes = Vec::new();
    let first = plain_header(KIND_HEADER, 0, 0, before.chain);
    let header_chain = encode(&identity, &first, &header.encode(), sector, &mut bytes).map_err(too_long)?;
    let mut tail = Tail { segment: id, bytes: built_bytes, chain: header_chain, last_lsn: before.last_lsn };
    for group in adopted {
        let header = FrameHeader {
            flags: group.flags,
            first_lsn: group.first_lsn,
            count: group.count,
            ..plain_header(KIND_GROUP, bytes.len() as u64, 0, tail.chain)
        };
        tail.chain = encode(&identity, &header, &group.payload, sector, &mut bytes).map_err(too_long)?;
        tail.last_lsn = Lsn(tail.last_lsn.0.saturating_add(u64::from(group.count)));
    }
    room.file.write_all_at(&bytes, 0)?;
    if !planted(Bug::RenameBeforeSync) {
        room.file.sync_data()?;
    }
    journal.counters.built(bytes.len());
    debug_assert!(room.durable_bytes == 0 || room.durable_bytes >= built_bytes);
    Ok((header, header_chain, tail))
}
