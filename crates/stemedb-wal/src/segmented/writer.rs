//! The one place that writes to segments: groups, markers, rotation, close.
//!
//! Rotation from segment k to k+1, and every other birth of a segment:
//!
//! ```text
//! next.k+1.tmp   create ─ header (names k, its length, chain, last LSN) ─ sync
//!                rename to live.k+1 ─ sync directory
//! live.k         seal (names k+1) ─ sync                  (not after an open: old files stay untouched)
//! HEAD           active k+1 ─ sync
//! live.k+1       first group ─ sync ─ first acknowledgement
//! ```
//!
//! So a segment with its name has a durable header, and a sealed segment has a successor. Whatever fails before the
//! rename is a clean refusal; whatever fails after it stops the journal until the next open, because nobody knows
//! then which of the two segments a crash would leave as the newest.

use std::sync::Arc;

use stemedb_env::{
    File, Lsn, OpenMode,
    frame::{Chain, FrameHeader, encode, frame_bytes},
};

use super::{Inner, table::Mark};
use crate::{
    Error, MAX_ENTRY_BYTES, MAX_GROUP_BYTES, ReadOnlyCause, Result,
    head::Head,
    segment::{
        Encoding, HEADER_PAYLOAD_BYTES, KIND_GROUP, KIND_HEADER, KIND_MARKER, KIND_SEAL, LoadedHeader, Seal,
        SegmentHeader, encode_group,
    },
};

/// Buffers larger than this are given back after the group that needed them.
const KEEP_BUFFER_BYTES: usize = 4 << 20;

/// The end of what is durable: what a successor's header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub segment: u64,
    pub bytes: u64,
    pub chain: Chain,
    pub last_lsn: Lsn,
}

/// A group that recovery read from the old tail and must write again.
#[derive(Clone, Debug)]
pub(crate) struct Adopted {
    pub flags: u16,
    pub first_lsn: Lsn,
    pub count: u32,
    pub payload: Vec<u8>,
}

/// The segment that is being written.
#[derive(Debug)]
struct Active {
    file: Arc<dyn File>,
    id: u64,
    /// End of the header frame (and of re-written groups): a segment that ends here has nothing to rotate.
    built_bytes: u64,
    /// End of what was written. Beyond the durable end there is at most one marker.
    written_bytes: u64,
    written_chain: Chain,
    /// The highest watermark in any frame of this segment.
    proven_bytes: u64,
}

/// State behind the append lock.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` after an open whose tail was provably durable: the next segment is built by the first append.
    active: Option<Active>,
    pub tail: Tail,
    head: Head,
    /// Set once; nothing is written after it.
    pub refused: Option<ReadOnlyCause>,
    payload: Vec<u8>,
    frame: Vec<u8>,
}

/// A segment could not be built.
enum BuildError {
    /// It has no name yet: as if it had never been tried.
    Unnamed(stemedb_env::Error),
    /// It may or may not have its name.
    Named(stemedb_env::Error),
}

fn plain_header(kind: u8, offset: u64, watermark: u64, chain_prev: Chain) -> FrameHeader {
    FrameHeader { kind, flags: 0, offset, first_lsn: Lsn::ZERO, count: 0, watermark, chain_prev }
}

fn too_large(bytes: usize) -> Error {
    Error::TooLarge { what: "group", bytes: bytes as u64, limit_bytes: MAX_GROUP_BYTES as u64 }
}

/// Refuses what the format cannot hold, before anything is locked or copied.
fn check_sizes(entries: &[&[u8]]) -> Result<()> {
    if entries.is_empty() {
        return Err(Error::EmptyGroup);
    }
    let mut total = 0usize;
    for entry in entries {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(Error::TooLarge {
                what: "entry",
                bytes: entry.len() as u64,
                limit_bytes: MAX_ENTRY_BYTES as u64,
            });
        }
        total = total.saturating_add(entry.len() + 4);
    }
    if total > MAX_GROUP_BYTES || u32::try_from(entries.len()).is_err() {
        return Err(too_large(total));
    }
    Ok(())
}

impl Writer {
    pub fn new(tail: Tail, head: Head, refused: Option<ReadOnlyCause>) -> Writer {
        Writer { active: None, tail, head, refused, payload: Vec::new(), frame: Vec::new() }
    }

    /// Number of the segment that is being written, if there is one.
    pub fn active(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.id)
    }

    fn check_writable(&self) -> Result<()> {
        match &self.refused {
            Some(cause) => Err(Error::ReadOnly { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Stops the journal: no file may be written to, or synced again, after a failure.
    fn refuse(&mut self, cause: &Arc<stemedb_env::Error>) {
        tracing::error!(%cause, "the journal stops accepting entries until it is opened again");
        self.refused = Some(ReadOnlyCause::Failed(Arc::clone(cause)));
    }

    /// See [`crate::Journal::append_group`].
    pub fn append_group(&mut self, journal: &Inner, entries: &[&[u8]]) -> Result<Lsn> {
        check_sizes(entries)?;
        self.check_writable()?;
        let encoding = if journal.options.compress { Encoding::Lz4IfSmaller } else { Encoding::Plain };
        let mut payload = std::mem::take(&mut self.payload);
        let flags = encode_group(entries, encoding, &mut payload);
        let result = self.append_payload(journal, entries.len(), flags, &payload);
        if payload.capacity() <= KEEP_BUFFER_BYTES {
            self.payload = payload;
        }
        if result.is_ok() {
            let bytes: usize = entries.iter().map(|entry| entry.len()).sum();
            journal.counters.group(entries.len(), bytes, flags != 0);
        }
        result
    }

    fn append_payload(&mut self, journal: &Inner, entries: usize, flags: u16, payload: &[u8]) -> Result<Lsn> {
        let total = frame_bytes(payload.len(), journal.options.sector_bytes())
            .ok_or_else(|| too_large(payload.len()))? as u64;
        let full = |active: &Active| {
            active.written_bytes > active.built_bytes
                && active.written_bytes + total > journal.options.target_bytes(active.id)
        };
        match &self.active {
            None => self.begin(journal, &[])?,
            Some(active) if full(active) => self.rotate(journal)?,
            Some(_) => {}
        }
        let Some(active) = &self.active else { return Err(Error::ReadOnly { cause: ReadOnlyCause::Closed }) };
        let count = u32::try_from(entries).map_err(|_| too_large(payload.len()))?;
        let first_lsn = self.tail.last_lsn.next();
        let last_lsn = Lsn(self.tail.last_lsn.0 + u64::from(count));
        let watermark = self.tail.bytes;
        let header = FrameHeader {
            first_lsn,
            count,
            flags,
            ..plain_header(KIND_GROUP, active.written_bytes, watermark, active.written_chain)
        };
        self.frame.clear();
        let identity = journal.dir.identity.file(active.id);
        let chain = encode(&identity, &header, payload, journal.options.sector_bytes(), &mut self.frame)
            .map_err(|_| too_large(payload.len()))?;
        let written = self.write_frame(journal, chain, watermark, true);
        if self.frame.capacity() > KEEP_BUFFER_BYTES {
            self.frame = Vec::new();
        }
        if let Err(cause) = written {
            let cause = Arc::new(cause);
            self.refuse(&cause);
            return Err(Error::Indeterminate { first_lsn, last_lsn, cause });
        }
        self.tail.last_lsn = last_lsn;
        self.publish(journal);
        Ok(first_lsn)
    }

    /// Writes `self.frame` at the end of the active segment in one call; syncs it if asked to. The durable end moves
    /// only after a sync.
    fn write_frame(
        &mut self,
        journal: &Inner,
        chain: Chain,
        watermark: u64,
        sync: bool,
    ) -> stemedb_env::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let clock = &journal.env.clock;
        let started = clock.monotonic();
        active.file.write_all_at(&self.frame, active.written_bytes)?;
        let written = clock.monotonic();
        active.written_bytes += self.frame.len() as u64;
        active.written_chain = chain;
        active.proven_bytes = active.proven_bytes.max(watermark);
        journal.counters.wrote(self.frame.len(), written.saturating_sub(started));
        if sync {
            active.file.sync_data()?;
            journal.counters.synced(clock.monotonic().saturating_sub(written));
            self.tail.segment = active.id;
            self.tail.bytes = active.written_bytes;
            self.tail.chain = active.written_chain;
        }
        Ok(())
    }

    /// Lets readers see up to the durable end.
    fn publish(&self, journal: &Inner) {
        let tail = &self.tail;
        let mark = Mark { offset: tail.bytes, chain: tail.chain, next_lsn: tail.last_lsn.next() };
        journal.table.lock().mark(tail.segment, mark);
        journal.publish(tail);
    }

    /// Builds the next segment with `adopted` groups in it, and makes it the active one. The old file is not touched.
    pub fn begin(&mut self, journal: &Inner, adopted: &[Adopted]) -> Result<()> {
        self.check_writable()?;
        let (active, header, tail) = self.build(journal, adopted)?;
        self.install(journal, active, header, tail)
    }

    /// Ends the active segment and starts the next. Nothing to do if no group has been written to it.
    pub fn rotate(&mut self, journal: &Inner) -> Result<()> {
        self.check_writable()?;
        match &self.active {
            Some(active) if active.written_bytes > active.built_bytes => {}
            _ => return Ok(()),
        }
        let (next, header, tail) = self.build(journal, &[])?;
        if let Some(active) = &self.active {
            let seal = Seal { successor: next.id, last_lsn: self.tail.last_lsn };
            let durable = self.tail.bytes;
            let head = plain_header(KIND_SEAL, active.written_bytes, durable, active.written_chain);
            let identity = journal.dir.identity.file(active.id);
            self.frame.clear();
            // 16 bytes always fit.
            let encoded =
                encode(&identity, &head, &seal.encode(), journal.options.sector_bytes(), &mut self.frame);
            let sealed = match encoded {
                Ok(chain) => self.write_frame(journal, chain, durable, true),
                Err(_) => Ok(()),
            };
            self.or_refuse(sealed)?;
        }
        journal.counters.rotated();
        self.install(journal, next, header, tail)
    }

    /// From here on appends go to `active`, durably known to `HEAD`.
    fn install(&mut self, journal: &Inner, active: Active, header: LoadedHeader, tail: Tail) -> Result<()> {
        let written = self.head.write(&journal.dir, tail.segment, tail.bytes, tail.last_lsn);
        self.or_refuse(written)?;
        journal.table.lock().insert_built(active.id, header);
        self.active = Some(active);
        self.tail = tail;
        journal.publish(&self.tail);
        Ok(())
    }

    /// After a failure here it is not known what a crash would leave, so the journal stops. The caller's entries have
    /// not been written.
    fn or_refuse(&mut self, result: stemedb_env::Result<()>) -> Result<()> {
        result.map_err(|error| {
            let cause = Arc::new(error);
            self.refuse(&cause);
            Error::ReadOnly { cause: ReadOnlyCause::Failed(cause) }
        })
    }

    fn build(&mut self, journal: &Inner, adopted: &[Adopted]) -> Result<(Active, LoadedHeader, Tail)> {
        build(journal, self.tail, adopted).map_err(|error| match error {
            BuildError::Unnamed(error) => {
                // A leftover is removed by the next try or the next open; removing it now frees its space.
                let _ = journal.env.fs.remove(&journal.dir.temporary(self.tail.segment + 1));
                Error::from(error)
            }
            BuildError::Named(error) => {
                let cause = Arc::new(error);
                self.refuse(&cause);
                Error::ReadOnly { cause: ReadOnlyCause::Failed(cause) }
            }
        })
    }

    /// True when the last group is durable but no frame says so yet.
    pub fn unproven(&self) -> bool {
        self.refused.is_none()
            && self.active.as_ref().is_some_and(|active| active.proven_bytes < self.tail.bytes)
    }

    /// Writes an empty frame that carries the newest watermark. Its own durability does not matter: it is synced with
    /// the next group, or never.
    pub fn write_marker(&mut self, journal: &Inner, sync: bool) -> Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let watermark = self.tail.bytes;
        let header = plain_header(KIND_MARKER, active.written_bytes, watermark, active.written_chain);
        self.frame.clear();
        let identity = journal.dir.identity.file(active.id);
        let encoded = encode(&identity, &header, &[], journal.options.sector_bytes(), &mut self.frame);
        let written = match encoded {
            Ok(chain) => self.write_frame(journal, chain, watermark, sync),
            Err(_) => Ok(()),
        };
        self.or_refuse(written)?;
        journal.counters.marked();
        Ok(())
    }

    /// Makes everything provable and refuses what comes after. Idempotent.
    pub fn close(&mut self, journal: &Inner) -> Result<()> {
        if self.refused.is_some() {
            return Ok(());
        }
        if self.active.is_some() {
            self.write_marker(journal, true)?;
            let tail = self.tail;
            let written = self.head.write(&journal.dir, tail.segment, tail.bytes, tail.last_lsn);
            self.or_refuse(written)?;
            journal.publish(&tail);
        }
        self.refused = Some(ReadOnlyCause::Closed);
        Ok(())
    }
}

/// Writes a whole segment under a temporary name and gives it its own. One write, one sync, one directory sync.
fn build(
    journal: &Inner,
    before: Tail,
    adopted: &[Adopted],
) -> std::result::Result<(Active, LoadedHeader, Tail), BuildError> {
    use BuildError::{Named, Unnamed};
    let id = before.segment + 1;
    let sector = journal.options.sector_bytes();
    let identity = journal.dir.identity.file(id);
    let header_bytes = frame_bytes(HEADER_PAYLOAD_BYTES, sector).unwrap_or(sector) as u64;
    let adopted_bytes: u64 =
        adopted.iter().filter_map(|group| frame_bytes(group.payload.len(), sector)).map(|n| n as u64).sum();
    let built_bytes = header_bytes + adopted_bytes;
    let header = SegmentHeader {
        predecessor: before.segment,
        predecessor_bytes: before.bytes,
        predecessor_chain: before.chain,
        predecessor_last_lsn: before.last_lsn,
        sector_bytes: u32::try_from(sector).unwrap_or(4096),
        built_bytes,
    };
    let too_long = |_| {
        let kind = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
        Unnamed(stemedb_env::Error::io(stemedb_env::IoOp::Write, journal.dir.temporary(id), kind))
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
        tail.last_lsn = Lsn(tail.last_lsn.0 + u64::from(group.count));
    }
    let (fs, path) = (&journal.env.fs, journal.dir.temporary(id));
    let name = journal.dir.segment(id, crate::segment::Place::Live);
    if fs.metadata(&path).map_err(Unnamed)?.is_some() {
        fs.remove(&path).map_err(Unnamed)?;
    }
    if fs.metadata(&name).map_err(Unnamed)?.is_some() {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Unnamed(stemedb_env::Error::io(stemedb_env::IoOp::Rename, name, exists)));
    }
    let file = fs.open(&path, OpenMode::CreateNew).map_err(Unnamed)?;
    file.write_all_at(&bytes, 0).map_err(Unnamed)?;
    file.sync_data().map_err(Unnamed)?;
    journal.counters.built(bytes.len());
    fs.rename(&path, &name).map_err(Named)?;
    fs.sync_dir(&journal.dir.path).map_err(Named)?;
    // Opened again only so that messages name the file as it is called now.
    let file = fs.open(&name, OpenMode::ReadWrite).map_err(Named)?;
    let active = Active {
        file,
        id,
        built_bytes,
        written_bytes: built_bytes,
        written_chain: tail.chain,
        proven_bytes: built_bytes,
    };
    let loaded = LoadedHeader { header, frame_bytes: header_bytes, chain: header_chain };
    Ok((active, loaded, tail))
}
