//! What is appended to the active segment: groups, markers, seals.
//!
//! ```text
//! append   room? ─ no ─▶ rotate (birth.rs)
//!          frame in one aligned buffer ─ one durable write ─ publish
//!                                            └─ failed ─▶ the group goes to a new segment (rescue.rs)
//! ```

use std::sync::Arc;

use stemedb_env::{
    AlignedBuffer, File, Lsn,
    frame::{Chain, FrameHeader, HEADER_BYTES, frame_bytes, seal},
    planted::{Bug, planted},
};

use super::{inner::Inner, table::Mark};
use crate::{
    Error, MAX_ENTRY_BYTES, MAX_GROUP_BYTES, ReadOnlyCause, Result,
    head::{Head, HeadRecord},
    segment::{Encoding, FLAG_CLOSED, KIND_GROUP, KIND_MARKER, KIND_SEAL, Seal, encode_group},
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

/// A group that must be written again: recovery read it from an old tail, or its write failed.
#[derive(Clone, Debug)]
pub(crate) struct Adopted {
    pub flags: u16,
    pub first_lsn: Lsn,
    pub count: u32,
    pub payload: Vec<u8>,
}

impl Adopted {
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.prev().0.saturating_add(u64::from(self.count)))
    }
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    pub file: Arc<dyn File>,
    pub id: u64,
    /// End of the header frame (and of re-written groups): a segment that ends here has nothing to rotate.
    pub built_bytes: u64,
    /// End of what was written, all of it durable.
    pub written_bytes: u64,
    pub written_chain: Chain,
    /// The highest watermark in any frame of this segment.
    pub proven_bytes: u64,
    /// Groups in this segment, to know how large they are.
    pub groups: u64,
    /// For [`Bug::SyncTheOldSegment`] alone.
    pub wrongly_synced: Option<Arc<dyn File>>,
}

/// State behind the append lock.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` after an open whose tail was provably durable: the next segment is built by the first append.
    pub(super) active: Option<Active>,
    pub tail: Tail,
    pub(super) head: Head,
    pub(super) recycled_lsn: Lsn,
    /// After an open: how long the old newest segment is, if what stands behind that is blank.
    pub(super) old_end_bytes: Option<u64>,
    /// Nothing is written while this is set. [`ReadOnlyCause::Failed`] goes away by itself (rescue.rs).
    pub refused: Option<ReadOnlyCause>,
    /// The group whose writers were told that its fate is not known: written first when the journal goes on.
    pub(super) pending: Option<Adopted>,
    /// A segment of this number may stand on disk, or not: an attempt to start it failed late. The next attempt
    /// replaces it.
    pub(super) unsettled: Option<u64>,
    pub(super) frame: AlignedBuffer,
}

pub(super) fn plain_header(kind: u8, offset: u64, watermark: u64, chain_prev: Chain) -> FrameHeader {
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
    pub fn new(
        tail: Tail,
        head: Head,
        recycled_lsn: Lsn,
        old_end_bytes: Option<u64>,
        refused: Option<ReadOnlyCause>,
    ) -> Writer {
        Writer {
            old_end_bytes,
            active: None,
            tail,
            head,
            recycled_lsn,
            refused,
            pending: None,
            unsettled: None,
            frame: AlignedBuffer::new(),
        }
    }

    /// Number of the segment that is being written, if there is one.
    pub fn active(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.id)
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        match &self.refused {
            Some(cause) => Err(Error::ReadOnly { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// See [`crate::Journal::append_group`].
    pub fn append_group(&mut self, journal: &Inner, entries: &[&[u8]]) -> Result<Lsn> {
        check_sizes(entries)?;
        self.check_writable()?;
        let encoding = if journal.options.compress { Encoding::Lz4IfSmaller } else { Encoding::Plain };
        let mut frame = std::mem::take(&mut self.frame);
        let (flags, payload_bytes) = encode_group(entries, encoding, &mut frame);
        let result = self.append_payload(journal, entries.len(), flags, payload_bytes, &mut frame);
        if frame.capacity() <= KEEP_BUFFER_BYTES {
            self.frame = frame;
        }
        if result.is_ok() {
            let bytes: usize = entries.iter().map(|entry| entry.len()).sum();
            journal.counters.group(entries.len(), bytes, flags != 0);
        }
        result
    }

    fn append_payload(
        &mut self,
        journal: &Inner,
        entries: usize,
        flags: u16,
        payload_bytes: usize,
        frame: &mut AlignedBuffer,
    ) -> Result<Lsn> {
        let total = frame_bytes(payload_bytes, journal.options.sector_bytes())
            .ok_or_else(|| too_large(payload_bytes))?;
        let count = u32::try_from(entries).map_err(|_| too_large(payload_bytes))?;
        self.make_room(journal, total as u64)?;
        let first_lsn = self.tail.last_lsn.next();
        let last_lsn = Lsn(self.tail.last_lsn.0.saturating_add(u64::from(count)));
        let Some(active) = &self.active else { return Err(Error::ReadOnly { cause: ReadOnlyCause::Closed }) };
        let header = FrameHeader {
            first_lsn,
            count,
            flags,
            ..plain_header(
                KIND_GROUP,
                active.written_bytes,
                self.watermark(active, total),
                active.written_chain,
            )
        };
        frame.resize_stale(total);
        let identity = journal.dir.identity.file(active.id);
        let chain = seal(&identity, &header, payload_bytes, frame).map_err(|_| too_large(payload_bytes))?;
        if planted(Bug::ReadBeforeDurable) {
            let bytes = active.written_bytes + total as u64;
            let _ = active.file.write_all_at(frame, active.written_bytes);
            journal.publish(&Tail { segment: active.id, bytes, chain, last_lsn });
        }
        if let Err(cause) = self.write_frame(journal, frame, chain, header.watermark) {
            let payload = frame.get(HEADER_BYTES..HEADER_BYTES + payload_bytes).unwrap_or_default().to_vec();
            return self.rescue(journal, Adopted { flags, first_lsn, count, payload }, cause);
        }
        if let Some(active) = &mut self.active {
            active.groups += 1;
        }
        self.tail.last_lsn = last_lsn;
        self.publish(journal);
        self.ask_for_spare(journal);
        Ok(first_lsn)
    }

    /// Up to where everything had been durable when a frame of this length is built.
    fn watermark(&self, active: &Active, frame_bytes: usize) -> u64 {
        if planted(Bug::WatermarkStuckAtZero) {
            return 0;
        }
        if planted(Bug::WatermarkOneFrameTooHigh) {
            return active.written_bytes + frame_bytes as u64;
        }
        self.tail.bytes
    }

    /// Writes a frame at the end of the active segment and makes it durable, in one call. The durable end moves only
    /// after it has returned.
    fn write_frame(
        &mut self,
        journal: &Inner,
        frame: &[u8],
        chain: Chain,
        watermark: u64,
    ) -> stemedb_env::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let clock = &journal.env.clock;
        let started = clock.monotonic();
        journal.counters.write_begins(started);
        let written = write_durably(active, frame);
        journal.counters.write_ends(frame.len(), clock.monotonic().saturating_sub(started), written.is_ok());
        written?;
        active.written_bytes += frame.len() as u64;
        active.written_chain = chain;
        active.proven_bytes = active.proven_bytes.max(watermark);
        self.tail.segment = active.id;
        self.tail.bytes = active.written_bytes;
        self.tail.chain = chain;
        Ok(())
    }

    /// Writes a frame with this payload and without entries.
    fn write_plain(
        &mut self,
        journal: &Inner,
        kind: u8,
        flags: u16,
        payload: &[u8],
    ) -> stemedb_env::Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let watermark = self.tail.bytes;
        let header = FrameHeader {
            flags,
            ..plain_header(kind, active.written_bytes, watermark, active.written_chain)
        };
        let identity = journal.dir.identity.file(active.id);
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame.resize_stale(HEADER_BYTES);
        frame.extend_from_slice(payload);
        frame.resize_stale(frame_bytes(payload.len(), journal.options.sector_bytes()).unwrap_or_default());
        // A few bytes always fit.
        let written = match seal(&identity, &header, payload.len(), &mut frame) {
            Ok(chain) => self.write_frame(journal, &frame, chain, watermark),
            Err(_) => Ok(()),
        };
        self.frame = frame;
        written
    }

    /// Lets readers see up to the durable end.
    pub(super) fn publish(&self, journal: &Inner) {
        let tail = &self.tail;
        let mark = Mark { offset: tail.bytes, chain: tail.chain, next_lsn: tail.last_lsn.next() };
        journal.table.lock().mark(tail.segment, mark);
        journal.publish(tail);
    }

    /// Ends the active segment with a frame that names its successor, which is durable already. If that fails nothing
    /// is lost: the successor's header says how long this one is.
    pub(super) fn write_seal(&mut self, journal: &Inner, successor: u64) {
        let durable = self.tail;
        let seal = Seal { successor, last_lsn: self.tail.last_lsn };
        if let Err(error) = self.write_plain(journal, KIND_SEAL, 0, &seal.encode()) {
            tracing::warn!(%error, "a segment got no seal");
        }
        // The seal is behind the accepted length.
        self.tail = durable;
    }

    /// True when the last group is durable but no frame says so yet.
    pub fn unproven(&self) -> bool {
        self.refused.is_none()
            && self.active.as_ref().is_some_and(|active| active.proven_bytes < self.tail.bytes)
    }

    /// Writes an empty frame that carries the newest watermark, durably.
    pub fn write_marker(&mut self, journal: &Inner, flags: u16) -> Result<()> {
        if self.active.is_none() {
            return Ok(());
        }
        while let Err(cause) = self.write_plain(journal, KIND_MARKER, flags, &[]) {
            self.abandon_file(journal, cause)?;
            if flags == 0 {
                // A fresh segment has nothing to prove.
                return Ok(());
            }
        }
        if let Some(active) = &mut self.active {
            // Above the last group stands nothing but this, which needs no proof: otherwise an idle journal would grow.
            active.proven_bytes = active.proven_bytes.max(active.written_bytes);
        }
        self.publish(journal);
        journal.counters.marked();
        Ok(())
    }

    /// What `HEAD` is to say.
    pub(super) fn head_record(&self) -> HeadRecord {
        HeadRecord {
            sequence: 0,
            segment: self.tail.segment,
            watermark: self.tail.bytes,
            last_lsn: self.tail.last_lsn,
            recycled_lsn: self.recycled_lsn,
        }
    }

    /// Makes everything provable, gives back what was allocated ahead, and refuses what comes after. Idempotent.
    pub fn close(&mut self, journal: &Inner) -> Result<()> {
        if self.refused.is_some() {
            return Ok(());
        }
        if self.active.is_some() {
            self.write_marker(journal, FLAG_CLOSED)?;
            let record = self.head_record();
            if self.head.write(&journal.dir, record).is_err() {
                // The failed file is given up; a second one is another file.
                self.head.write(&journal.dir, record)?;
            }
            if let Some(active) = &self.active
                && let Err(error) = active.file.set_len(active.written_bytes)
            {
                tracing::warn!(%error, "room that was allocated ahead is not given back");
            }
        }
        self.refused = Some(ReadOnlyCause::Closed);
        Ok(())
    }
}

/// One write and one sync, as one call where the system has one.
fn write_durably(active: &Active, frame: &[u8]) -> stemedb_env::Result<()> {
    let (file, offset) = (&active.file, active.written_bytes);
    if planted(Bug::AckBeforeSync) {
        return file.write_all_at(frame, offset);
    }
    if let Some(old) = &active.wrongly_synced {
        file.write_all_at(frame, offset)?;
        return old.sync_data();
    }
    let written = file.write_durable_at(frame, offset);
    if planted(Bug::RetryFailedSync) && written.is_err() {
        return file.sync_data();
    }
    written
}
