//! A second journal made of hard links, up to what is durable now.

use std::{path::Path, sync::Arc};

use stemedb_env::{
    File, Lsn, OpenMode,
    frame::{Chain, encode},
    fs::tree::{cannot_link, copy_content, create_dir_durably},
};

use super::{
    SegmentedJournal,
    inner::{Inner, Readable},
    reader::Limit,
    writer::plain_header,
};
use crate::{
    Error, Result,
    error::Damage,
    head::{Head, HeadRecord},
    segment::{Cursor, FLAG_CLOSED, Form, KIND_MARKER, Location, Next, Place, SegmentDir, is_unpack_damage},
};

/// What a checkpoint of a journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalCheckpoint {
    /// Oldest entry from which everything up to the end is there.
    pub first_lsn: Lsn,
    /// Last entry; [`Lsn::ZERO`] if there is none.
    pub last_lsn: Lsn,
    /// Segments.
    pub segments: u64,
    /// Bytes that had to be copied: the tail, and everything on another file system.
    pub copied_bytes: u64,
}

/// The durable end of a segment, found by walking it.
struct End {
    bytes: u64,
    chain: Chain,
    last_lsn: Lsn,
}

impl SegmentedJournal {
    /// Makes a second journal in `dir`, which must be empty or absent: every segment that is there, and of the one that is
    /// being written what is durable now. Appends go on meanwhile.
    ///
    /// Cost: one link a segment and a copy of the newest; where files cannot be linked, copies of all. The copy is as if it
    /// had been closed: the last frame says so, and `HEAD` knows it. If this is cut short the folder must be emptied.
    ///
    /// Errors: [`Error::AlreadyExists`]; [`Error::Corruption`] of the newest segment; [`Error::Env`].
    pub fn checkpoint(&self, dir: &Path) -> Result<JournalCheckpoint> {
        let inner = &*self.inner;
        let fs = &inner.env.fs;
        create_dir_durably(&**fs, dir)?;
        if !fs.list(dir)?.is_empty() {
            return Err(Error::AlreadyExists { dir: dir.to_path_buf() });
        }
        let to = SegmentDir {
            fs: Arc::clone(fs),
            path: dir.to_path_buf(),
            archives: Vec::new(),
            identity: inner.dir.identity,
        };
        // No file of a segment becomes a spare meanwhile.
        let releasing = inner.releasing.lock();
        let readable = *inner.readable.lock();
        let ids: Vec<u64> =
            inner.table.lock().segments.range(..readable.segment).map(|(&id, _)| id).collect();
        let mut done = JournalCheckpoint {
            first_lsn: inner.first_lsn(),
            last_lsn: Lsn::ZERO,
            segments: ids.len() as u64 + 1,
            copied_bytes: 0,
        };
        for id in ids {
            match inner.give_second_name(id, &to) {
                Ok(copied) => done.copied_bytes += copied,
                // A released segment that an operator has taken away costs history and nothing else.
                Err(Error::MissingSegment { .. }) if inner.is_released(id) => {
                    done.segments -= 1;
                    done.first_lsn = done.first_lsn.max(inner.header(id + 1)?.header.base_lsn());
                }
                Err(error) => return Err(error),
            }
        }
        let end = inner.walk_to(readable.segment, readable.bytes)?;
        let marked = inner.copy_tail(readable.segment, &end, &to)?;
        done.copied_bytes += marked;
        done.last_lsn = end.last_lsn;
        let recycled_lsn = inner.writer.lock().recycled_lsn;
        drop(releasing);
        fs.sync_dir(dir)?;
        let record = HeadRecord {
            sequence: 0,
            segment: readable.segment,
            watermark: marked,
            last_lsn: end.last_lsn,
            recycled_lsn,
        };
        Head::after(&to, None).write(&to, record)?;
        Ok(done)
    }
}

impl Inner {
    /// What a segment holds; none for the last one before a hole, whose end nobody has written down.
    fn content(&self, id: u64, readable: Readable) -> Result<Option<SegmentContent>> {
        let header = self.header(id)?.header;
        let (bytes, chain, last_lsn) = match self.limit(id)? {
            Limit::Succeeded { bytes, successor, chain } if id < readable.segment => {
                let last_lsn = self.header(successor)?.header.predecessor_last_lsn;
                // Nobody has written down where the chain of a replacement ends.
                let chain = match chain {
                    Some(chain) => chain,
                    None => self.walk_to(id, bytes)?.chain,
                };
                (bytes, chain, last_lsn)
            }
            Limit::BeforeHole { .. } => return Ok(None),
            _ => {
                let end = self.walk_to(id, readable.bytes)?;
                (end.bytes, end.chain, end.last_lsn)
            }
        };
        let (file, location) = {
            let mut table = self.table.lock();
            let file = table.open(&self.dir, id)?;
            (file, table.location(id))
        };
        Ok(Some(SegmentContent {
            id,
            released: location.is_some_and(|location| location.place == Place::Released),
            first_lsn: header.base_lsn(),
            last_lsn,
            bytes,
            chain,
            replaces: header.replaces.map(|replaced| (replaced.bytes, replaced.chain)),
            file,
        }))
    }

    /// Links a segment that has a successor into another folder, or copies it; returns the bytes copied.
    fn give_second_name(&self, id: u64, to: &SegmentDir) -> Result<u64> {
        let fs = &self.env.fs;
        let (file, bytes, target) = {
            // Whoever compresses a segment says where it is now, under this lock, before the old file goes.
            let mut table = self.table.lock();
            let Some(location) = table.location(id) else {
                return Err(Error::OutOfRange {
                    lsn: Lsn::ZERO,
                    first_lsn: self.first_lsn(),
                    durable_lsn: self.durable_lsn(),
                });
            };
            let target = to.segment(id, Location { folder: 0, ..location });
            match fs.link(&self.dir.segment(id, location), &target) {
                Ok(()) => {
                    // Its file must not be used for another segment from now on: it has a second name.
                    if let Some(segment) = table.segments.get_mut(&id) {
                        segment.born = false;
                    }
                    return Ok(0);
                }
                Err(error) if cannot_link(&error) => {}
                // An operator has moved or compressed it.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
            drop(table.open(&self.dir, id)?);
            let location = table.location(id).unwrap_or(location);
            let target = to.segment(id, Location { folder: 0, ..location });
            let file = fs.open(&self.dir.segment(id, location), OpenMode::Read)?;
            let accepted = match location.form {
                Form::Plain => table.ending(&self.dir, id)?.map(|ending| ending.bytes),
                _ => None,
            };
            let bytes = match accepted {
                Some(accepted) => accepted,
                None => file.len()?,
            };
            (file, bytes, target)
        };
        copy_content(&**fs, &*file, bytes, &target)?;
        Ok(bytes)
    }

    fn is_released(&self, id: u64) -> bool {
        self.location(id).is_some_and(|location| location.place == Place::Released)
    }

    /// Reads the frames of a segment up to a durable position.
    fn walk_to(&self, id: u64, bytes: u64) -> Result<End> {
        let mut cursor = self.cursor(id, Lsn::ZERO)?;
        match walk(&mut cursor, bytes)? {
            None => Ok(End { bytes: cursor.offset, chain: cursor.chain, last_lsn: cursor.next_lsn.prev() }),
            Some(damage) => Err(self.damaged(id, &cursor, damage)),
        }
    }

    fn damaged(&self, id: u64, cursor: &Cursor, damage: Damage) -> Error {
        Error::Corruption {
            file: self.segment_path(id),
            offset: cursor.offset,
            damage,
            first_lsn: cursor.next_lsn,
            last_lsn: None,
        }
    }

    /// Copies the newest segment up to its durable end, and a closing marker behind it; returns the copy's length.
    fn copy_tail(&self, id: u64, end: &End, to: &SegmentDir) -> Result<u64> {
        let (file, sector) = {
            let mut table = self.table.lock();
            let sector = table.header(&self.dir, id)?.header.sector_bytes;
            (table.open(&self.dir, id)?, sector)
        };
        let path = to.segment(id, Location::LIVE);
        copy_content(&*self.env.fs, &*file, end.bytes, &path)?;
        let header = stemedb_env::frame::FrameHeader {
            flags: FLAG_CLOSED,
            ..plain_header(KIND_MARKER, end.bytes, end.bytes, end.chain)
        };
        let mut marker = Vec::new();
        // An empty payload always fits.
        let _ = encode(&to.identity.file(id), &header, &[], sector as usize, &mut marker);
        let copy = self.env.fs.open(&path, OpenMode::ReadWrite)?;
        copy.write_durable_at(&marker, end.bytes)?;
        Ok(end.bytes + marker.len() as u64)
    }
}

/// Reads frames up to a position; what is wrong with the first that is not one.
fn walk(cursor: &mut Cursor, bytes: u64) -> Result<Option<Damage>> {
    loop {
        match cursor.next(bytes) {
            Err(error) if is_unpack_damage(&error) => return Ok(Some(Damage::Packed)),
            Err(error) => return Err(error.into()),
            Ok(Next::Frame(_)) => {}
            Ok(Next::End) => return Ok(None),
            Ok(Next::Bad(damage)) => return Ok(Some(damage)),
        }
    }
}

/// A segment, as long as it counts, in its plain form.
#[derive(Clone, Debug)]
pub struct SegmentContent {
    /// Its number.
    pub id: u64,
    /// `segment.*`, and not `live.*`: every view had flushed it.
    pub released: bool,
    /// First LSN that it may hold.
    pub first_lsn: Lsn,
    /// Last LSN in it; below `first_lsn` if it has no entries.
    pub last_lsn: Lsn,
    /// How long it counts: what follows in the file is not part of the journal.
    pub bytes: u64,
    /// The frame chain's value there: two segments of one number with the same length and chain are the same.
    pub chain: Chain,
    /// It was written again after damage: length and chain of the segment whose entries it holds.
    pub replaces: Option<(u64, Chain)>,
    /// Its plain bytes, however they are stored. Stays readable when the segment is moved or removed.
    pub file: Arc<dyn File>,
}

impl SegmentedJournal {
    /// The segments from the oldest one behind which nothing is missing, in order; the newest ends at what is durable now.
    ///
    /// Cost: reads the newest segment and replacements of damaged ones, and headers. Errors: [`Error::Corruption`], [`Error::MissingSegment`], [`Error::Env`].
    pub fn contents(&self) -> Result<Vec<SegmentContent>> {
        let inner = &*self.inner;
        let readable = *inner.readable.lock();
        let ids: Vec<u64> =
            inner.table.lock().segments.range(..=readable.segment).map(|(&id, _)| id).collect();
        let mut contents = Vec::with_capacity(ids.len());
        for id in ids {
            match inner.content(id, readable) {
                Ok(Some(content)) => contents.push(content),
                // Nothing before a hole follows from what is behind it.
                Ok(None) => contents.clear(),
                // What an operator has taken away since the journal was opened is a hole from now on, as it will be after the next opening.
                Err(Error::MissingSegment { segment, .. }) if inner.is_released(segment) => contents.clear(),
                Err(error) => return Err(error),
            }
        }
        Ok(contents)
    }

    /// Reads a copy of a segment that is kept elsewhere, in its plain form, frame by frame. Returns what the frame chain is at
    /// `bytes`, and the last LSN before: equal to what is known of the segment only if every frame is as it was written.
    ///
    /// Errors: [`Error::Corruption`] and [`Error::Foreign`] of the copy; [`Error::Env`].
    pub fn walk_copy(&self, id: u64, file: &Arc<dyn File>, bytes: u64) -> Result<(Chain, Lsn)> {
        let dir = &self.inner.dir;
        let header = dir.header(file, id)?;
        let (at, base) = (header.frame_bytes, header.header.base_lsn());
        let mut cursor = Cursor::new(Arc::clone(file), dir.identity.file(id), at, header.chain, base);
        match walk(&mut cursor, bytes)? {
            None => Ok((cursor.chain, cursor.next_lsn.prev())),
            Some(damage) => Err(Error::Corruption {
                file: file.path().to_path_buf(),
                offset: cursor.offset,
                damage,
                first_lsn: cursor.next_lsn,
                last_lsn: None,
            }),
        }
    }
}
