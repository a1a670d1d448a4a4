//! `HEAD`: which segment is active, and how much of it had been durable when that was last written down.
//!
//! Two slots of 4,096 bytes, each a frame of its own (file number 0), written in turn: whatever survives a crash, at
//! least the older slot is whole. It is a lower bound, true for ever once written; it catches what no frame can tell:
//! a newest segment that is gone, and a file cut at an exact frame boundary.
//!
//! ```text
//! payload   0  8  sequence of this write
//!           8  8  active segment
//!          16  8  bytes of it that were durable
//!          24  8  last LSN that was durable
//!          32  8  last LSN that every view had flushed when its segment was recycled; 0 if none was
//! ```

use std::{path::PathBuf, sync::Arc};

use stemedb_env::{
    File, Lsn, OpenMode,
    frame::{Chain, FrameError, FrameHeader, decode, encode},
    fs::{read_file, write_file_atomic},
};

use crate::{
    Error, JournalIdentity, Result,
    segment::{KIND_HEAD, SegmentDir},
};

const SLOT_BYTES: usize = 4096;

/// What `HEAD` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadRecord {
    pub sequence: u64,
    pub segment: u64,
    pub watermark: u64,
    pub last_lsn: Lsn,
    pub recycled_lsn: Lsn,
}

/// The file. Opened by its first write of this process, which replaces it: what an earlier process left behind in
/// the page cache is never built upon.
#[derive(Debug)]
pub(crate) struct Head {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    sequence: u64,
}

fn slot(identity: &JournalIdentity, record: &HeadRecord) -> (Vec<u8>, u64) {
    let offset = (record.sequence % 2) * SLOT_BYTES as u64;
    let mut payload = [0; 40];
    payload[0..8].copy_from_slice(&record.sequence.to_le_bytes());
    payload[8..16].copy_from_slice(&record.segment.to_le_bytes());
    payload[16..24].copy_from_slice(&record.watermark.to_le_bytes());
    payload[24..32].copy_from_slice(&record.last_lsn.0.to_le_bytes());
    payload[32..40].copy_from_slice(&record.recycled_lsn.0.to_le_bytes());
    let header = FrameHeader {
        kind: KIND_HEAD,
        flags: 0,
        offset,
        first_lsn: Lsn::ZERO,
        count: 0,
        watermark: 0,
        chain_prev: Chain::default(),
    };
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    // 40 bytes always fit.
    let _ = encode(&identity.file(0), &header, &payload, SLOT_BYTES, &mut bytes);
    (bytes, offset)
}

fn parse(
    identity: &JournalIdentity,
    bytes: &[u8],
    offset: u64,
) -> std::result::Result<HeadRecord, FrameError> {
    let frame = decode(bytes, &identity.file(0), offset)?;
    let field = |at: usize| -> std::result::Result<u64, FrameError> {
        let bytes = frame.payload.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_le_bytes).ok_or(FrameError::BadLength)
    };
    // Nothing could be written after the highest sequence, so nothing ever has it.
    let sequence = Some(field(0)?).filter(|&sequence| sequence < u64::MAX).ok_or(FrameError::BadLength)?;
    Ok(HeadRecord {
        sequence,
        segment: field(8)?,
        watermark: field(16)?,
        last_lsn: Lsn(field(24)?),
        recycled_lsn: Lsn(field(32)?),
    })
}

impl Head {
    pub fn path(dir: &SegmentDir) -> PathBuf {
        dir.path.join("HEAD")
    }

    /// Reads the newer whole slot. `None` if the file is missing or neither slot is whole. [`Error::Foreign`] if it is
    /// another journal's.
    pub fn read(dir: &SegmentDir) -> Result<Option<HeadRecord>> {
        let path = Head::path(dir);
        if dir.fs.metadata(&path)?.is_none() {
            return Ok(None);
        }
        let bytes = match read_file(&*dir.fs, &path, 2 * SLOT_BYTES as u64) {
            Ok(bytes) => bytes,
            // Not the file that we write.
            Err(error) if error.kind() == Some(std::io::ErrorKind::FileTooLarge) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut newest: Option<HeadRecord> = None;
        for at in [0, SLOT_BYTES] {
            let Some(slot) = bytes.get(at..) else { continue };
            match parse(&dir.identity, slot, at as u64) {
                Ok(record) if newest.is_none_or(|other| other.sequence < record.sequence) => {
                    newest = Some(record);
                }
                Ok(_) => {}
                Err(FrameError::Foreign) => {
                    if let Some(found) = foreign(slot, at as u64).filter(|found| *found != dir.identity) {
                        return Err(Error::Foreign { file: path, found, expected: dir.identity });
                    }
                }
                Err(_) => {}
            }
        }
        Ok(newest)
    }

    /// Reads both slots back from the disk; [`Error::Corruption`] names the first that is not whole. Returns the bytes.
    pub fn check(dir: &SegmentDir) -> Result<u64> {
        let path = Head::path(dir);
        let damaged = |offset: usize, error: FrameError| Error::Corruption {
            file: path.clone(),
            offset: offset as u64,
            damage: error.into(),
            first_lsn: Lsn::ZERO,
            last_lsn: None,
        };
        let file = match dir.fs.open_past_cache(&path) {
            Err(error) if error.is_not_found() => return Err(damaged(0, FrameError::Truncated)),
            file => file?,
        };
        // One byte more, to see that there is none.
        let mut bytes = vec![0; 2 * SLOT_BYTES + 1];
        let read = file.read_up_to_at(&mut bytes, 0)?;
        bytes.truncate(read);
        for at in [0, SLOT_BYTES] {
            let slot = bytes.get(at..).unwrap_or_default();
            let slot = slot.get(..SLOT_BYTES).ok_or_else(|| damaged(at, FrameError::Truncated))?;
            parse(&dir.identity, slot, at as u64).map_err(|error| damaged(at, error))?;
        }
        if read > 2 * SLOT_BYTES {
            Err(damaged(2 * SLOT_BYTES, FrameError::NotAFrame))
        } else {
            Ok(read as u64)
        }
    }

    /// Writes both slots into a new file, which takes the place of the old one.
    pub fn renew(&mut self, dir: &SegmentDir, says: HeadRecord) -> stemedb_env::Result<()> {
        self.file = None;
        self.write(dir, says)
    }

    /// The file as it will be written after `read` said `record`.
    pub fn after(dir: &SegmentDir, record: Option<HeadRecord>) -> Head {
        let sequence = record.map_or(0, |record| record.sequence);
        Head { path: Head::path(dir), file: None, sequence }
    }

    /// Writes and syncs. After an error the file is given up, and the next write makes a new one.
    pub fn write(&mut self, dir: &SegmentDir, says: HeadRecord) -> stemedb_env::Result<()> {
        let record = HeadRecord { sequence: self.sequence + 1, ..says };
        let (bytes, offset) = slot(&dir.identity, &record);
        match self.file.take() {
            Some(file) => {
                file.write_durable_at(&bytes, offset)?;
                self.file = Some(file);
            }
            None => {
                // Both slots at once: one damaged sector must not cost the bound.
                let (other, other_offset) =
                    slot(&dir.identity, &HeadRecord { sequence: self.sequence, ..record });
                let whole = if offset < other_offset { [bytes, other] } else { [other, bytes] }.concat();
                write_file_atomic(&*dir.fs, &self.path, &whole)?;
                self.file = Some(dir.fs.open(&self.path, OpenMode::ReadWrite)?);
            }
        }
        self.sequence = record.sequence;
        Ok(())
    }
}

/// Whose slot it is, if its checksum holds.
fn foreign(bytes: &[u8], offset: u64) -> Option<JournalIdentity> {
    let mut database = stemedb_env::frame::DatabaseId::default();
    database.0.copy_from_slice(bytes.get(8..24)?);
    let timeline = u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?);
    let identity = JournalIdentity { database, timeline };
    parse(&identity, bytes, offset).ok().map(|_| identity)
}
