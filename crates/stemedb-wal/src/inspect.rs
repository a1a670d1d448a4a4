//! Looks at a journal's files without opening it: for tools.
//!
//! Nothing is written, nothing is decided, and no lock is needed: what a running server appends meanwhile is seen or
//! not. Every frame of every segment is read and verified, in order; what is wrong is told and walked around.
//!
//! Where the newest segment ends is judged as recovery does (`docs/formats/journal.md`): a bad frame below a position
//! that anything proves to have been durable is damage, any other is the end. A server beside it renames, compresses and
//! re-uses files meanwhile; so whatever looks missing or damaged is looked up once more before it is told.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use stemedb_env::{
    AlignedBuffer, Env, File, Lsn,
    frame::{Chain, FileIdentity, FrameError, HEADER_BYTES, MAGIC, claimed_bytes, decode},
};

use crate::{
    Damage, Error, JournalIdentity, Result,
    head::{Head, HeadRecord},
    segment::{
        Cursor, FLAG_CLOSED, FLAG_LZ4, Form, GroupEntries, KIND_GROUP, KIND_MARKER, KIND_SEAL, Listed,
        LoadedHeader, Location, Next, Place, Seal, SegmentDir, decode_group, is_unpack_damage,
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
    /// Something that had been durable is damaged: [`Error::Corruption`] or [`Error::Foreign`]; or a segment is gone that
    /// had not been released: [`Error::MissingSegment`].
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
    if !env.fs.metadata(dir)?.is_some_and(|metadata| metadata.is_dir) {
        return Err(Error::NoJournal { dir: dir.to_path_buf() });
    }
    let identity = again_if_moved(|| SegmentDir::discover(&env.fs, dir))?;
    let dir = SegmentDir {
        fs: Arc::clone(&env.fs),
        path: dir.to_path_buf(),
        archives: archives.to_vec(),
        identity,
    };
    // Before the files are listed: what it says is true for ever, so it is true of them.
    let head = again_if_moved(|| Head::read(&dir))?;
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
    let listed = dir.list()?;
    let mut walk = Walk { dir, head, listed, visit, sums };
    walk.all()?;
    Ok(walk.sums)
}

/// How often a file that was renamed between being listed and being opened is looked for.
const LOOKS: u32 = 4;
/// Frames start on multiples of this in every segment.
const MIN_SECTOR_BYTES: usize = 512;
/// What is read at once in search of frames.
const CHUNK_BYTES: usize = 1 << 20;

fn again_if_moved<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..LOOKS {
        match look() {
            Err(Error::Env(error)) if error.is_not_found() => {}
            done => return done,
        }
    }
    look()
}

struct Walk<'a> {
    dir: SegmentDir,
    head: Option<HeadRecord>,
    listed: BTreeMap<u64, Listed>,
    visit: &'a mut dyn FnMut(&Finding),
    sums: Inspection,
}

/// A segment whose header verifies.
struct Opened {
    location: Location,
    bytes: u64,
    file: Arc<dyn File>,
    loaded: LoadedHeader,
}

/// Where the walk stands behind a segment.
struct End {
    next_lsn: Lsn,
    /// It ends in a seal, so it has a successor.
    sealed: bool,
}

/// What stands behind a bad frame.
#[derive(Default)]
struct Behind {
    /// The highest watermark of any whole frame.
    proven_bytes: u64,
    /// End of the last byte that is not zero.
    end_bytes: u64,
    /// The first whole frame that stands where it says: its offset, and the chain before it.
    next: Option<(u64, Chain)>,
    /// First LSN of the first of those that is a group; the others carry none.
    next_lsn: Option<Lsn>,
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
        // Where the journal stands behind the segment before.
        let mut next_lsn = Lsn(1);
        let mut expected = 1;
        let mut sealed = false;
        let mut before_is_live = false;
        loop {
            let mut next = self.listed.range(expected..).next().map(|(&id, _)| id);
            if next != Some(expected) {
                // A list that is made while files are renamed may lack one.
                self.listed = self.dir.list()?;
                next = self.listed.range(expected..).next().map(|(&id, _)| id);
            }
            let Some(id) = next else { break };
            let opened = match self.open(id) {
                Ok(Some(opened)) => opened,
                // Gone since.
                Ok(None) => continue,
                Err(error @ (Error::Corruption { .. } | Error::Foreign { .. })) => {
                    self.tell(&Finding::Damage(error));
                    before_is_live = self.is_live(id);
                    sealed = false;
                    expected = id + 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if id > expected {
                let last_lsn = opened.loaded.header.base_lsn().prev();
                let both_live = before_is_live && opened.location.place == Place::Live;
                self.gap(expected, id - 1, next_lsn, last_lsn, both_live);
            }
            before_is_live = opened.location.place == Place::Live;
            let end = self.segment(id, opened)?;
            (next_lsn, sealed) = (end.next_lsn, end.sealed);
            expected = id + 1;
        }
        self.sums.last_lsn = next_lsn.prev();
        // Only a segment with a successor is sealed or released.
        let head_says = self.head.is_some_and(|head| head.segment >= expected);
        let released = expected > 1 && !before_is_live;
        if sealed || released || head_says {
            let last = self.head.map(|head| head.last_lsn).filter(|&last| last >= next_lsn);
            self.tell(&Finding::Damage(Error::MissingSegment {
                dir: self.dir.path.clone(),
                segment: expected,
                first_lsn: next_lsn,
                last_lsn: last,
            }));
        }
        Ok(())
    }

    fn is_live(&self, id: u64) -> bool {
        self.listed.get(&id).is_some_and(|listed| listed.location.place == Place::Live)
    }

    /// Segments are released in order: between two live ones none can be gone but by accident.
    fn gap(&mut self, first_segment: u64, last_segment: u64, first_lsn: Lsn, last_lsn: Lsn, live: bool) {
        self.tell(&if live && last_lsn >= first_lsn {
            Finding::Damage(Error::MissingSegment {
                dir: self.dir.path.clone(),
                segment: first_segment,
                first_lsn,
                last_lsn: Some(last_lsn),
            })
        } else {
            let recycled = self.head.is_some_and(|head| last_lsn <= head.recycled_lsn);
            Finding::Gap { first_segment, last_segment, first_lsn, last_lsn: Some(last_lsn), recycled }
        });
    }

    /// Opens a segment where it is now. `None` if it is not there any more.
    fn open(&mut self, id: u64) -> Result<Option<Opened>> {
        let mut looks = 0;
        loop {
            let Some(&Listed { location, bytes }) = self.listed.get(&id) else { return Ok(None) };
            let failed = match self.open_at(id, location) {
                Ok((file, loaded)) => return Ok(Some(Opened { location, bytes, file, loaded })),
                Err(error) => error,
            };
            looks += 1;
            let moved = match &failed {
                Error::Env(error) if error.is_not_found() => looks < LOOKS,
                // A file that is compressed now may be written again as another segment's.
                Error::Corruption { .. } | Error::Foreign { .. } => self.has_moved(id, location)?,
                _ => false,
            };
            if !moved {
                return Err(failed);
            }
            self.listed = self.dir.list()?;
        }
    }

    fn has_moved(&mut self, id: u64, location: Location) -> Result<bool> {
        self.listed = self.dir.list()?;
        Ok(self.listed.get(&id).is_none_or(|listed| listed.location != location))
    }

    fn open_at(&self, id: u64, location: Location) -> Result<(Arc<dyn File>, LoadedHeader)> {
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

    /// The header of the segment behind, if it is there and verifies.
    fn successor(&mut self, id: u64) -> Option<LoadedHeader> {
        self.open(id + 1).ok().flatten().map(|opened| opened.loaded)
    }

    /// Walks through one segment.
    fn segment(&mut self, id: u64, opened: Opened) -> Result<End> {
        let Opened { mut location, bytes: file_bytes, mut file, loaded } = opened;
        let base = loaded.header.base_lsn();
        let mut successor = self.successor(id);
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
            accepted_bytes: successor.map(|successor| successor.header.predecessor_bytes),
        }));
        let mut len = file.len()?;
        let identity = self.dir.identity.file(id);
        let head_bytes = self.head.filter(|head| head.segment == id).map_or(0, |head| head.watermark);
        // What had been durable for certain, while no successor tells it.
        let mut proven = loaded.header.built_bytes.max(head_bytes);
        let mut cursor = Cursor::new(Arc::clone(&file), identity, loaded.frame_bytes, loaded.chain, base);
        let (mut sealed, mut closed, mut is_joined) = (false, false, false);
        // What stood behind a bad frame, before that was read a second time. In this order, because what a watermark
        // calls durable must be readable afterwards; a writer may get further between the other two.
        let mut seen_behind: Option<Behind> = None;
        // The seal of a rotated segment stands behind its accepted length, and is worth being shown.
        loop {
            let accepted = successor.map(|successor| successor.header.predecessor_bytes);
            let (offset, chain, next_lsn) = (cursor.offset, cursor.chain, cursor.next_lsn);
            let inside = accepted.is_none_or(|accepted| offset < accepted);
            if let Some(successor) = successor.filter(|_| accepted == Some(offset) && !is_joined) {
                is_joined = true;
                if successor.header.predecessor_chain != chain {
                    self.damage(id, location, offset, Damage::BrokenChain, next_lsn, Some(&successor));
                }
            }
            // The length of a newest file was durable before it had its name; behind a seal or a close it may end.
            let is_newest = self.listed.range(id + 1..).next().is_none()
                && self.head.is_none_or(|head| head.segment <= id);
            let allocated = if is_newest && !sealed && !closed { loaded.header.allocated_bytes } else { 0 };
            let damage = match cursor.next(len) {
                Err(error) if is_unpack_damage(&error) => Damage::Packed,
                Err(error) => return Err(error.into()),
                Ok(Next::Bad(damage)) => damage,
                Ok(Next::End) => {
                    let durable_bytes = accepted.unwrap_or(proven.max(allocated));
                    if offset >= durable_bytes {
                        return Ok(End { next_lsn, sealed });
                    }
                    Damage::EndsEarly { durable_bytes }
                }
                Ok(Next::Frame(frame)) => {
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
                        self.rest(id, &file, offset, len)?;
                        return Ok(End { next_lsn, sealed });
                    }
                    sealed |= matches!(role, FrameRole::Seal { .. });
                    closed = role == FrameRole::Marker { closed: true };
                    proven = proven.max(frame.header.watermark);
                    seen_behind = None;
                    let entries =
                        if is_group { decode_group(&frame).map(all_entries) } else { Some(Vec::new()) };
                    let is_broken = entries.is_none();
                    let found = FrameFound {
                        segment: id,
                        offset,
                        frame_bytes: frame.frame_bytes as u64,
                        payload_bytes: frame.payload.len() as u64,
                        role,
                        first_lsn: frame.header.first_lsn,
                        count: frame.header.count,
                        watermark: frame.header.watermark,
                        entries: entries.unwrap_or_default(),
                    };
                    self.sums.frames += 1;
                    self.sums.entries += found.entries.len() as u64;
                    self.sums.entry_bytes +=
                        found.entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
                    self.tell(&Finding::Frame(found));
                    if is_broken {
                        self.damage(id, location, offset, Damage::Payload, next_lsn, successor.as_ref());
                    }
                    continue;
                }
            };
            let Some(behind) = seen_behind.take() else {
                seen_behind = Some(look_behind(&file, &identity, offset, len, location.form)?);
                if self.has_moved(id, location)? {
                    // Its old file may be another segment's by now.
                    let Some(moved) = self.open(id)? else {
                        let next_lsn = successor.map_or(next_lsn, |successor| successor.header.base_lsn());
                        return Ok(End { next_lsn, sealed: false });
                    };
                    (location, file) = (moved.location, moved.file);
                }
                successor = successor.or_else(|| self.successor(id));
                len = file.len()?;
                cursor = Cursor::new(Arc::clone(&file), identity, offset, chain, next_lsn);
                continue;
            };
            let short = if len < allocated { allocated } else { 0 };
            let durable = accepted.unwrap_or(proven.max(behind.proven_bytes).max(short));
            if offset >= durable || !inside {
                self.tell_rest(id, offset, len, &behind);
                return Ok(End { next_lsn, sealed });
            }
            let damage = match damage {
                Damage::Frame(FrameError::Truncated) => Damage::EndsEarly { durable_bytes: durable },
                damage => damage,
            };
            self.damage(id, location, offset, damage, next_lsn, successor.as_ref());
            // What the damaged frame would have led to is found by looking for it.
            // Without a group behind it, the successor or `HEAD` may know how far the damage reaches.
            let told = successor.map(|successor| successor.header.base_lsn());
            let head_lsn = self.head.filter(|head| head.segment == id).map(|head| head.last_lsn.next());
            let lsn = behind.next_lsn.or(told).or(head_lsn).unwrap_or(next_lsn).max(next_lsn);
            match behind.next.filter(|(at, _)| accepted.is_none_or(|accepted| *at <= accepted)) {
                Some((at, chain)) => {
                    cursor = Cursor::new(Arc::clone(&file), identity, at, chain, lsn);
                }
                None => return Ok(End { next_lsn: lsn, sealed }),
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
        let form = self.listed.get(&segment).map_or(Form::Plain, |listed| listed.location.form);
        let behind = look_behind(file, &self.dir.identity.file(segment), offset, len, form)?;
        self.tell_rest(segment, offset, len, &behind);
        Ok(())
    }

    fn tell_rest(&mut self, segment: u64, offset: u64, len: u64, behind: &Behind) {
        if offset < len {
            let bytes = behind.end_bytes.saturating_sub(offset);
            self.tell(&Finding::Rest { segment, offset, bytes });
        }
    }
}

/// Looks for whole frames behind a position where there is none. Sectors that cannot be unpacked are passed over.
fn look_behind(
    file: &Arc<dyn File>,
    identity: &FileIdentity,
    from: u64,
    len: u64,
    form: Form,
) -> Result<Behind> {
    let mut behind = Behind::default();
    let mut chunk = AlignedBuffer::new();
    let mut at = from;
    while at < len {
        chunk.resize_stale(usize::try_from(len - at).unwrap_or(usize::MAX).min(CHUNK_BYTES));
        let read = match file.read_up_to_at(&mut chunk, at) {
            Ok(read) => read,
            // Only this form can be entered behind the damage.
            Err(error) if is_unpack_damage(&error) && form == Form::Zstd => {
                at += chunk.len() as u64;
                continue;
            }
            Err(error) if is_unpack_damage(&error) => break,
            Err(error) => return Err(error.into()),
        };
        for (index, sector) in chunk.get(..read).unwrap_or_default().chunks(MIN_SECTOR_BYTES).enumerate() {
            let Some(last) = sector.iter().rposition(|&byte| byte != 0) else { continue };
            let start = at + (index * MIN_SECTOR_BYTES) as u64;
            behind.end_bytes = start + last as u64 + 1;
            if !sector.starts_with(&MAGIC) || sector.len() < HEADER_BYTES {
                continue;
            }
            let claimed = sector.get(40..48).and_then(|field| field.try_into().ok()).map(u64::from_le_bytes);
            let Some(offset) = claimed else { continue };
            let Ok(total) = claimed_bytes(sector, identity, offset) else { continue };
            if start.saturating_add(total as u64) > len {
                continue;
            }
            let mut whole = vec![0; total];
            match file.read_up_to_at(&mut whole, start) {
                Ok(read) => whole.truncate(read),
                Err(error) if is_unpack_damage(&error) => continue,
                Err(error) => return Err(error.into()),
            }
            let Ok(frame) = decode(&whole, identity, offset) else { continue };
            behind.proven_bytes = behind.proven_bytes.max(frame.header.watermark);
            if start > from && offset == start {
                behind.next.get_or_insert((start, frame.header.chain_prev));
                if frame.header.kind == KIND_GROUP {
                    behind.next_lsn.get_or_insert(frame.header.first_lsn);
                }
            }
        }
        if read < chunk.len() {
            break;
        }
        at += read as u64;
    }
    Ok(behind)
}

fn all_entries(mut group: GroupEntries) -> Vec<Bytes> {
    std::iter::from_fn(|| group.take()).collect()
}
