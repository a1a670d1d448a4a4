//! Reading what is on disk back while the journal is in use: segments one by one, and `HEAD`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use stemedb_env::{AlignedBuffer, File, Lsn};

use super::{SegmentedJournal, heal::segment_of, inner::Inner, reader::Limit};
use crate::{
    Damage, Error, Result,
    head::Head,
    packed::{PackedFile, PackedFormat},
    segment::{
        Cursor, Form, GroupEntries, KIND_GROUP, Location, Next, Place, decode_group, is_unpack_damage,
    },
};

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// The segment's number.
    pub id: u64,
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Whether it is compressed.
    pub packed: bool,
}

/// What a step of a segment's check did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentPiece {
    /// Bytes of the file; of a compressed one the part that what was read takes of it.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of those.
    pub entry_bytes: u64,
    /// Places that verified only when they were read once more.
    pub rereads: u64,
    /// How the check ended, if it did.
    pub end: Option<SegmentEnd>,
}

/// How the check of a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentEnd {
    /// All of it that is part of the journal verifies.
    Whole,
    /// It is not of the journal any more.
    Gone,
}

/// A check of one segment under way. Holds its file open, and a quarter of a MiB.
#[derive(Debug)]
pub struct SegmentCheck {
    journal: Arc<Inner>,
    id: u64,
    opened: Option<Opened>,
    /// What the system said at the last step, if it refused.
    refused: Option<Error>,
}

#[derive(Debug)]
struct Opened {
    location: Location,
    /// Which file of the segment it is: it may be written again.
    generation: u32,
    file: Arc<dyn File>,
    cursor: Cursor,
    /// Of the newest segment: what was durable when it was opened. It may grow for ever while it is read; the next check reads
    /// the rest.
    durable: Option<u64>,
    /// Where a frame did not verify at first.
    doubted: Option<u64>,
    /// Where the reading of what stands behind the end has come.
    rest: Option<u64>,
    /// Length of the file, and of what it stands for; equal if it is not compressed or that is not known.
    packed: (u64, u64),
}

/// How often a file that has another name by now is looked for.
const LOOKS: u32 = 4;
/// Read at once behind the end.
const REST_BYTES: u64 = 1 << 20;

impl SegmentCheck {
    /// Reads about `bytes` further, at least one frame.
    ///
    /// Errors: [`Error::Corruption`], [`Error::MissingSegment`] and [`Error::Foreign`], after they have been noted (see
    /// [`SegmentedJournal::damaged`]); the system's, after which the step may be tried again.
    pub fn step(&mut self, bytes: u64) -> Result<SegmentPiece> {
        let outcome = self.step_unnoted(bytes);
        self.refused = None;
        match &outcome {
            Err(error @ Error::Env(_)) => self.refused = Some(error.clone()),
            Err(error) => self.journal.damage.note(error),
            Ok(piece) if piece.end.is_some() => self.journal.damage.forget(self.id),
            Ok(_) => {}
        }
        outcome
    }

    /// No step is tried again: a place that the disk refused at the last one is noted as damage, which others may heal.
    pub fn give_up(&self) {
        if let Some(error) = &self.refused {
            self.journal.damage.note(error);
        }
    }

    fn step_unnoted(&mut self, file_bytes: u64) -> Result<SegmentPiece> {
        let mut piece = SegmentPiece::default();
        let (packed, plain) = self.opened.as_ref().map_or((1, 1), |opened| opened.packed);
        let bytes = scaled(file_bytes, plain, packed).max(1);
        while piece.end.is_none() && piece.bytes < bytes {
            let Some(opened) = &mut self.opened else {
                match open(&self.journal, self.id)? {
                    Some(opened) => {
                        piece.bytes += opened.cursor.offset;
                        self.opened = Some(opened);
                    }
                    None => piece.end = Some(SegmentEnd::Gone),
                }
                continue;
            };
            if let Some(at) = opened.rest {
                match opened.read_rest(at, bytes - piece.bytes)? {
                    0 => piece.end = Some(SegmentEnd::Whole),
                    read => piece.bytes += read,
                }
                continue;
            }
            if self.journal.is_recycled(self.id) {
                piece.end = Some(SegmentEnd::Gone);
                continue;
            }
            match opened.next_frame(&self.journal, self.id, &mut piece)? {
                Moved::Stays => {}
                Moved::Elsewhere => self.opened = None,
            }
        }
        let (packed, plain) = self.opened.as_ref().map_or((1, 1), |opened| opened.packed);
        piece.bytes = scaled(piece.bytes, packed, plain);
        Ok(piece)
    }
}

/// `bytes` times `to / from`.
fn scaled(bytes: u64, to: u64, from: u64) -> u64 {
    let scaled = u128::from(bytes) * u128::from(to) / u128::from(from.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

enum Moved {
    Stays,
    /// The segment has another file by now: it is begun again.
    Elsewhere,
}

impl Opened {
    fn next_frame(&mut self, journal: &Inner, id: u64, piece: &mut SegmentPiece) -> Result<Moved> {
        if journal.generation(id) != self.generation {
            return Ok(Moved::Elsewhere);
        }
        let limit = match self.durable {
            Some(bytes) => Limit::Newest { bytes },
            None => journal.limit(id)?,
        };
        let upto = match limit {
            Limit::Newest { bytes } | Limit::Succeeded { bytes, .. } => bytes,
            Limit::BeforeHole { .. } => u64::MAX,
        };
        let (offset, chain, next_lsn) = (self.cursor.offset, self.cursor.chain, self.cursor.next_lsn);
        let last_lsn = |journal: &Inner| match limit {
            Limit::Succeeded { successor, .. } => {
                journal.header(successor).ok().map(|header| header.header.predecessor_last_lsn)
            }
            _ => None,
        };
        let damage = match self.cursor.next(upto) {
            Err(error) if is_unpack_damage(&error) => Damage::Packed,
            Err(error) => {
                self.again(journal, id, offset, chain, next_lsn);
                return Err(error.into());
            }
            Ok(Next::Frame(frame)) => {
                let entries = match frame.header.kind {
                    KIND_GROUP => decode_group(&frame),
                    _ => Some(GroupEntries::default()),
                };
                let bytes = frame.frame_bytes as u64;
                match entries {
                    Some(mut entries) => {
                        piece.bytes += bytes;
                        piece.rereads += u64::from(self.doubted.take().is_some());
                        for entry in std::iter::from_fn(|| entries.take()) {
                            piece.entries += 1;
                            piece.entry_bytes += entry.len() as u64;
                        }
                        return Ok(Moved::Stays);
                    }
                    None => Damage::Payload,
                }
            }
            Ok(Next::End) => {
                match limit {
                    // What stands behind is being written.
                    Limit::Newest { .. } => piece.end = Some(SegmentEnd::Whole),
                    Limit::Succeeded { successor, chain: expected, .. } => {
                        let header = journal.header(successor)?.header;
                        if expected.is_some_and(|expected| expected != chain) {
                            return Err(self.corrupt(Damage::BrokenChain, Some(header.predecessor_last_lsn)));
                        }
                        self.rest = Some(offset);
                    }
                    Limit::BeforeHole { next } => self.cross_hole(journal, id, next)?,
                }
                return Ok(Moved::Stays);
            }
            Ok(Next::Bad(damage)) => match limit {
                // How long it was is written in a file that is gone: its frames are all there is to go by.
                Limit::BeforeHole { next } => {
                    self.cross_hole(journal, id, next)?;
                    return Ok(Moved::Stays);
                }
                _ => damage,
            },
        };
        // It was compressed or moved while it was being read, and its file may be another segment's by now.
        if journal.location(id).is_none_or(|location| location != self.location)
            || journal.generation(id) != self.generation
        {
            return Ok(Moved::Elsewhere);
        }
        self.again(journal, id, offset, chain, next_lsn);
        if self.doubted == Some(offset) {
            return Err(self.corrupt(damage, last_lsn(journal)));
        }
        self.doubted = Some(offset);
        Ok(Moved::Stays)
    }

    /// Segments are missing behind this one; that is harmless if they held no entries.
    fn cross_hole(&mut self, journal: &Inner, id: u64, next: u64) -> Result<()> {
        let header = journal.header(next)?.header;
        if header.base_lsn() != self.cursor.next_lsn {
            return Err(Error::MissingSegment {
                dir: journal.dir.path.clone(),
                segment: id + 1,
                first_lsn: self.cursor.next_lsn,
                last_lsn: Some(header.predecessor_last_lsn),
            });
        }
        self.rest = Some(self.cursor.offset);
        Ok(())
    }

    /// Forgets what was read ahead.
    fn again(
        &mut self,
        journal: &Inner,
        id: u64,
        offset: u64,
        chain: stemedb_env::frame::Chain,
        next_lsn: Lsn,
    ) {
        let identity = journal.dir.identity.file(id);
        self.cursor = Cursor::new(Arc::clone(&self.file), identity, offset, chain, next_lsn);
    }

    fn corrupt(&self, damage: Damage, last_lsn: Option<Lsn>) -> Error {
        Error::Corruption {
            file: self.file.path().to_path_buf(),
            offset: self.cursor.offset,
            damage,
            first_lsn: self.cursor.next_lsn,
            last_lsn,
        }
    }

    /// Reads what is not part of the journal, to see that the disk can. 0 at the end.
    fn read_rest(&mut self, at: u64, bytes: u64) -> Result<u64> {
        let wanted = usize::try_from(bytes.clamp(1, REST_BYTES)).unwrap_or(usize::MAX);
        let mut room = AlignedBuffer::new();
        room.resize_stale(wanted);
        let read = match self.file.read_up_to_at(&mut room, at) {
            Err(error) if is_unpack_damage(&error) => return Err(self.corrupt(Damage::Packed, None)),
            read => read? as u64,
        };
        self.rest = Some(at + read);
        Ok(read)
    }
}

/// Opens a segment where it is now and reads its header from the disk. `None` if it is not of the journal any more.
fn open(journal: &Inner, id: u64) -> Result<Option<Opened>> {
    let dir = &journal.dir;
    let mut looks = 0;
    loop {
        let Some(location) = journal.location(id) else { return Ok(None) };
        let opened = open_at(journal, id, location);
        looks += 1;
        let is_elsewhere = || journal.location(id) != Some(location);
        match opened {
            // A file that is compressed now may be written again as another segment's.
            Err(Error::Corruption { .. } | Error::Foreign { .. }) if looks < LOOKS && is_elsewhere() => {}
            // Once more for a bad transfer.
            Err(Error::Corruption { .. } | Error::Foreign { .. }) if looks < 2 => {}
            Err(Error::Env(error)) if error.is_not_found() && looks < LOOKS => {
                // An operator may have compressed or moved it; or it is missing, and this says so.
                let found = journal.table.lock().open(dir, id);
                match found {
                    Ok(_) => {}
                    // Released ones may be taken away.
                    Err(_) if location.place == Place::Released || journal.is_recycled(id) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
            opened => return opened.map(Some),
        }
    }
}

fn open_at(journal: &Inner, id: u64, location: Location) -> Result<Opened> {
    let dir = &journal.dir;
    let generation = journal.generation(id);
    let readable = *journal.readable.lock();
    // One that has been named and not entered yet has nothing but its header.
    let durable = (readable.segment <= id).then_some(if readable.segment == id { readable.bytes } else { 0 });
    let path = dir.segment(id, location);
    let raw = dir.fs.open_past_cache(&path)?;
    let raw_bytes = raw.len()?;
    let mut lengths = (raw_bytes, raw_bytes);
    let damaged = || Error::Corruption {
        file: path.clone(),
        offset: 0,
        damage: Damage::Packed,
        first_lsn: Lsn::ZERO,
        last_lsn: None,
    };
    let mut packed = |format| match PackedFile::open(Arc::clone(&raw), format) {
        Err(error) if is_unpack_damage(&error) => Err(damaged()),
        file => {
            let file = file?;
            if file.has_damaged_head()? {
                return Err(damaged());
            }
            lengths.1 = file.len_hint()?.filter(|plain| *plain > 0).unwrap_or(raw_bytes);
            Ok(file as Arc<dyn File>)
        }
    };
    let file: Arc<dyn File> = match location.form {
        Form::Plain => Arc::clone(&raw),
        Form::Zstd => packed(PackedFormat::Zstd)?,
        Form::Gzip => packed(PackedFormat::Gzip)?,
    };
    let header = dir.header(&file, id)?;
    let identity = dir.identity.file(id);
    let base = header.header.base_lsn();
    let cursor = Cursor::new(Arc::clone(&file), identity, header.frame_bytes, header.chain, base);
    Ok(Opened { location, generation, file, cursor, durable, doubted: None, rest: None, packed: lengths })
}

impl SegmentedJournal {
    /// The files of all segments, oldest first. Reads no header. A file that is not there now is left out.
    pub fn segment_files(&self) -> Result<Vec<SegmentFile>> {
        let inner = &self.inner;
        let locations: Vec<(u64, Location)> =
            inner.table.lock().segments.iter().map(|(&id, segment)| (id, segment.location)).collect();
        let mut files = Vec::with_capacity(locations.len());
        for (id, location) in locations {
            let path = inner.dir.segment(id, location);
            // One that has just got another name is read all the same.
            let bytes = inner.dir.fs.metadata(&path)?.map_or(0, |metadata| metadata.len);
            files.push(SegmentFile { id, path, bytes, packed: location.form != Form::Plain });
        }
        Ok(files)
    }

    /// A check of a segment, from its header to its end.
    pub fn check_segment(&self, id: u64) -> SegmentCheck {
        SegmentCheck { journal: Arc::clone(&self.inner), id, opened: None, refused: None }
    }

    /// Segments that somebody has found damaged, and that are not whole again.
    pub fn damaged(&self) -> BTreeMap<u64, Error> {
        self.inner.damage.list().into_iter().collect()
    }

    /// Released segments that could not be read at the open and count as missing since, until they are healed.
    pub fn unreadable(&self) -> Vec<Error> {
        let still = |error: &&Error| segment_of(error).is_some_and(|id| self.inner.damage.has(id));
        self.inner.unreadable.iter().filter(still).cloned().collect()
    }

    /// Where `HEAD` lies.
    pub fn head_path(&self) -> PathBuf {
        Head::path(&self.inner.dir)
    }

    /// Reads both slots of `HEAD` back. Returns the bytes; [`Error::Corruption`] with the offset of a damaged slot.
    pub fn check_head(&self) -> Result<u64> {
        let dir = &self.inner.dir;
        let checked = Head::check(dir);
        match checked {
            Err(Error::Corruption { .. }) => {
                // It may have been written just now.
                let _nobody_writes = self.inner.writer.lock();
                Head::check(dir)
            }
            checked => checked,
        }
    }

    /// Writes both slots of `HEAD` anew from what is known. Cost: commits wait for two syncs.
    pub fn renew_head(&self) -> Result<()> {
        let mut writer = self.inner.writer.lock();
        if let Some(cause) = &writer.refused {
            return Err(Error::ReadOnly { cause: cause.clone() });
        }
        let record = writer.head_record();
        writer.head.renew(&self.inner.dir, record)?;
        Ok(())
    }
}
