//! Looks at a journal's files without opening it: for tools.
//!
//! Nothing is written, nothing is decided, and no lock is needed: what a running server appends meanwhile is seen or
//! not. Every frame of every segment is read and verified, in order; what is wrong is told and walked around.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use stemedb_env::{AlignedBuffer, Env, File, Lsn};

use crate::{
    Damage, Error, JournalIdentity, Result,
    head::Head,
    segment::{
        Cursor, FLAG_CLOSED, FLAG_LZ4, Form, GroupEntries, KIND_GROUP, KIND_MARKER, KIND_SEAL, LoadedHeader,
        Location, Next, Place, Seal, SegmentDir, decode_group, is_unpack_damage,
    },
};

/// What an inspection comes across, in the order of the journal.
#[derive(Clone, Debug)]
pub enum Finding {
    /// A segment begins.
    Segment(SegmentFound),
    /// A frame that verifies and follows from the one before.
    Frame(FrameFound),
    /// What stands behind the end of a segment and is not part of the journal.
    Rest {
        /// The segment.
        segment: u64,
        /// Where it starts.
        offset: u64,
        /// Its bytes, up to the last that is not zero. 0: only room that was allocated ahead.
        bytes: u64,
    },
    /// Segments that are not there.
    Gap {
        /// First missing segment.
        first_segment: u64,
        /// Last missing segment.
        last_segment: u64,
        /// First missing entry.
        first_lsn: Lsn,
        /// Last missing entry; below the first if the segments had none; `None` if nothing tells it.
        last_lsn: Option<Lsn>,
        /// They were recycled on purpose after every view had flushed them.
        recycled: bool,
    },
    /// Something that had been durable is damaged: [`Error::Corruption`] or [`Error::Foreign`].
    Damage(Error),
}

/// A segment file.
#[derive(Clone, Debug)]
pub struct SegmentFound {
    /// Its number.
    pub id: u64,
    /// The file.
    pub path: PathBuf,
    /// False for `live.*`, which is needed to open the database.
    pub released: bool,
    /// `None` if plain, else what it is compressed with.
    pub compressed: Option<&'static str>,
    /// Length of the file.
    pub file_bytes: u64,
    /// First LSN that it may hold.
    pub first_lsn: Lsn,
    /// Its accepted length, if its successor tells it.
    pub accepted_bytes: Option<u64>,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameRole {
    /// A group commit.
    Group {
        /// The payload is stored compressed.
        compressed: bool,
    },
    /// Only a newer watermark.
    Marker {
        /// The journal was closed here.
        closed: bool,
    },
    /// The last frame of a rotated segment.
    Seal {
        /// Its successor.
        successor: u64,
    },
    /// Something else that verifies; never written by this version.
    Other,
}

/// A frame.
#[derive(Clone, Debug)]
pub struct FrameFound {
    /// Its segment.
    pub segment: u64,
    /// Its offset.
    pub offset: u64,
    /// Its length, padding included.
    pub frame_bytes: u64,
    /// Length of its payload, as stored.
    pub payload_bytes: u64,
    /// What it is.
    pub role: FrameRole,
    /// First entry.
    pub first_lsn: Lsn,
    /// Entries.
    pub count: u32,
    /// What it says had been durable when it was built.
    pub watermark: u64,
    /// The entries, sharing memory.
    pub entries: Vec<Bytes>,
}

/// Sums of an inspection.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Whose journal it is.
    pub identity: JournalIdentity,
    /// Segments that are there.
    pub segments: u64,
    /// Frames that verify, headers left out.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of those.
    pub entry_bytes: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// First entry that is there.
    pub first_lsn: Lsn,
    /// Last entry that is there.
    pub last_lsn: Lsn,
    /// Gaps with entries that were not recycled.
    pub gaps: u64,
    /// Damaged places.
    pub damages: u64,
}

/// Walks through a journal and tells `visit` what is there. Compressed segments are read in place, also from
/// `archives`.
///
/// Errors: [`Error::NoJournal`], [`Error::Corruption`] if no segment has a readable header, [`Error::Env`] if the disk
/// refuses. Everything else is a [`Finding`]. Cost: the whole journal is read and verified; memory for one group.
pub fn inspect(
    env: &Env,
    dir: &Path,
    archives: &[PathBuf],
    visit: &mut dyn FnMut(&Finding),
) -> Result<Inspection> {
    let identity = SegmentDir::discover(&env.fs, dir)?;
    let dir = SegmentDir {
        fs: Arc::clone(&env.fs),
        path: dir.to_path_buf(),
        archives: archives.to_vec(),
        identity,
    };
    let recycled_lsn = Head::read(&dir)?.map_or(Lsn::ZERO, |head| head.recycled_lsn);
    let sums = Inspection {
        identity,
        segments: 0,
        frames: 0,
        entries: 0,
        entry_bytes: 0,
        file_bytes: 0,
        first_lsn: Lsn::ZERO,
        last_lsn: Lsn::ZERO,
        gaps: 0,
        damages: 0,
    };
    let mut walk = Walk { dir, recycled_lsn, visit, sums };
    walk.all()?;
    Ok(walk.sums)
}

struct Walk<'a> {
    dir: SegmentDir,
    recycled_lsn: Lsn,
    visit: &'a mut dyn FnMut(&Finding),
    sums: Inspection,
}

impl Walk<'_> {
    fn tell(&mut self, finding: &Finding) {
        match finding {
            Finding::Damage(_) => self.sums.damages += 1,
            Finding::Gap { first_lsn, last_lsn, recycled: false, .. }
                if last_lsn.is_none_or(|last| last >= *first_lsn) =>
            {
                self.sums.gaps += 1;
            }
            _ => {}
        }
        (self.visit)(finding);
    }

    fn all(&mut self) -> Result<()> {
        let listed = self.dir.list()?;
        let ids: Vec<u64> = listed.keys().copied().collect();
        // Where the journal stands behind the segment before.
        let mut next_lsn = Lsn(1);
        let mut expected = 1;
        for (at, (&id, found)) in listed.iter().enumerate() {
            let header = match self.open(id, found.location) {
                Ok(opened) => opened,
                Err(error @ (Error::Corruption { .. } | Error::Foreign { .. })) => {
                    self.tell(&Finding::Damage(error));
                    expected = id + 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (file, loaded) = header;
            let base = loaded.header.base_lsn();
            if id > expected {
                let last_lsn = base.prev();
                self.tell(&Finding::Gap {
                    first_segment: expected,
                    last_segment: id - 1,
                    first_lsn: next_lsn,
                    last_lsn: Some(last_lsn),
                    recycled: last_lsn <= self.recycled_lsn,
                });
            }
            let successor = ids.get(at + 1).filter(|&&next| next == id + 1);
            let successor = successor.and_then(|&next| {
                let location = listed.get(&next)?.location;
                self.open(next, location).ok().map(|(_, loaded)| loaded)
            });
            next_lsn = self.segment(id, found.location, found.bytes, &file, &loaded, successor.as_ref())?;
            expected = id + 1;
        }
        self.sums.last_lsn = next_lsn.prev();
        Ok(())
    }

    fn open(&self, id: u64, location: Location) -> Result<(Arc<dyn File>, LoadedHeader)> {
        let damaged = |damage| Error::Corruption {
            file: self.dir.segment(id, location),
            offset: 0,
            damage,
            first_lsn: Lsn::ZERO,
            last_lsn: None,
        };
        let file = match self.dir.open(id, location) {
            Err(Error::Env(error)) if is_unpack_damage(&error) => return Err(damaged(Damage::Packed)),
            file => file?,
        };
        let loaded = self.dir.header(&file, id)?;
        Ok((file, loaded))
    }

    /// Walks through one segment; returns the next LSN behind it.
    fn segment(
        &mut self,
        id: u64,
        location: Location,
        file_bytes: u64,
        file: &Arc<dyn File>,
        loaded: &LoadedHeader,
        successor: Option<&LoadedHeader>,
    ) -> Result<Lsn> {
        let base = loaded.header.base_lsn();
        let accepted = successor.map(|successor| successor.header.predecessor_bytes);
        self.sums.segments += 1;
        self.sums.file_bytes += file_bytes;
        if self.sums.first_lsn == Lsn::ZERO {
            self.sums.first_lsn = base;
        }
        self.tell(&Finding::Segment(SegmentFound {
            id,
            path: self.dir.segment(id, location),
            released: location.place == Place::Released,
            compressed: match location.form {
                Form::Plain => None,
                Form::Zstd => Some("zstd"),
                Form::Gzip => Some("gzip"),
            },
            file_bytes,
            first_lsn: base,
            accepted_bytes: accepted,
        }));
        let len = file.len()?;
        let identity = self.dir.identity.file(id);
        let mut cursor = Cursor::new(Arc::clone(file), identity, loaded.frame_bytes, loaded.chain, base);
        // The seal of a rotated segment stands behind its accepted length, and is worth being shown.
        loop {
            let inside = accepted.is_none_or(|accepted| cursor.offset < accepted);
            let (offset, next_lsn) = (cursor.offset, cursor.next_lsn);
            let next = match cursor.next(len) {
                Err(error) if is_unpack_damage(&error) => Next::Bad(Damage::Packed),
                next => next?,
            };
            match next {
                Next::Frame(frame) => {
                    let role = match frame.header.kind {
                        KIND_GROUP => FrameRole::Group { compressed: frame.header.flags & FLAG_LZ4 != 0 },
                        KIND_MARKER => FrameRole::Marker { closed: frame.header.flags & FLAG_CLOSED != 0 },
                        KIND_SEAL => Seal::decode(frame.payload)
                            .map_or(FrameRole::Other, |seal| FrameRole::Seal { successor: seal.successor }),
                        _ => FrameRole::Other,
                    };
                    let is_group = matches!(role, FrameRole::Group { .. });
                    if is_group && !inside {
                        // Written again in the successor.
                        self.rest(id, file, offset, len)?;
                        return Ok(next_lsn);
                    }
                    let entries =
                        if is_group { decode_group(&frame).map(all_entries) } else { Some(Vec::new()) };
                    let found = FrameFound {
                        segment: id,
                        offset,
                        frame_bytes: frame.frame_bytes as u64,
                        payload_bytes: frame.payload.len() as u64,
                        role,
                        first_lsn: frame.header.first_lsn,
                        count: frame.header.count,
                        watermark: frame.header.watermark,
                        entries: entries.clone().unwrap_or_default(),
                    };
                    self.sums.frames += 1;
                    self.sums.entries += found.entries.len() as u64;
                    self.sums.entry_bytes +=
                        found.entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
                    self.tell(&Finding::Frame(found));
                    if entries.is_none() {
                        self.damage(id, location, offset, Damage::Payload, next_lsn, successor);
                    }
                }
                Next::End => return Ok(cursor.next_lsn),
                Next::Bad(damage) => {
                    if inside && accepted.is_some() {
                        self.damage(id, location, offset, damage, next_lsn, successor);
                        // How far the rest reaches is in the successor.
                        return Ok(successor.map_or(next_lsn, |successor| successor.header.base_lsn()));
                    }
                    self.rest(id, file, offset, len)?;
                    return Ok(next_lsn);
                }
            }
        }
    }

    fn damage(
        &mut self,
        id: u64,
        location: Location,
        offset: u64,
        damage: Damage,
        first_lsn: Lsn,
        successor: Option<&LoadedHeader>,
    ) {
        self.tell(&Finding::Damage(Error::Corruption {
            file: self.dir.segment(id, location),
            offset,
            damage,
            first_lsn,
            last_lsn: successor.map(|successor| successor.header.predecessor_last_lsn),
        }));
    }

    /// Tells what stands behind the end, if anything does.
    fn rest(&mut self, segment: u64, file: &Arc<dyn File>, offset: u64, len: u64) -> Result<()> {
        if offset >= len {
            return Ok(());
        }
        let mut chunk = AlignedBuffer::new();
        let (mut at, mut end) = (offset, offset);
        while at < len {
            chunk.resize_stale(usize::try_from(len - at).unwrap_or(usize::MAX).min(1 << 20));
            file.read_exact_at(&mut chunk, at)?;
            if let Some(last) = chunk.iter().rposition(|&byte| byte != 0) {
                end = at + last as u64 + 1;
            }
            at += chunk.len() as u64;
        }
        self.tell(&Finding::Rest { segment, offset, bytes: end - offset });
        Ok(())
    }
}

fn all_entries(mut group: GroupEntries) -> Vec<Bytes> {
    std::iter::from_fn(|| group.take()).collect()
}
