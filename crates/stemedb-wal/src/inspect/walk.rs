//! The way through the segments, one after the other.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use stemedb_env::{File, Lsn, frame::FrameError};

use super::{Finding, FrameFound, FrameRole, Inspection, SegmentFound};
use crate::{
    Damage, Error, Result,
    head::HeadRecord,
    segment::{
        Behind, Cursor, FLAG_CLOSED, FLAG_LZ4, Form, GroupEntries, KIND_GROUP, KIND_MARKER, KIND_SEAL,
        Listed, LoadedHeader, Location, Next, Place, Seal, SegmentDir, decode_group, is_unpack_damage,
        look_behind,
    },
};

/// How often a file that was renamed between being listed and being opened is looked for.
const LOOKS: u32 = 4;
pub(super) fn again_if_moved<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..LOOKS {
        match look() {
            Err(Error::Env(error)) if error.is_not_found() => {}
            done => return done,
        }
    }
    look()
}

pub(super) struct Walk<'a> {
    pub dir: SegmentDir,
    pub head: Option<HeadRecord>,
    pub listed: BTreeMap<u64, Listed>,
    pub visit: &'a mut dyn FnMut(&Finding),
    pub sums: Inspection,
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

    pub fn all(&mut self) -> Result<()> {
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
            accepted_bytes: successor.map(|successor| accepted_bytes(&loaded, &successor)),
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
            let accepted = successor.map(|successor| accepted_bytes(&loaded, &successor));
            let (offset, chain, next_lsn) = (cursor.offset, cursor.chain, cursor.next_lsn);
            let inside = accepted.is_none_or(|accepted| offset < accepted);
            if let Some(successor) = successor.filter(|_| accepted == Some(offset) && !is_joined) {
                is_joined = true;
                // A replacement says for which chain value it stands.
                let says = loaded.header.replaces.map_or(chain, |replaced| replaced.chain);
                if successor.header.predecessor_chain != says {
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

/// How long a segment counts: a replacement is not as long as the segment for which it stands.
fn accepted_bytes(own: &LoadedHeader, successor: &LoadedHeader) -> u64 {
    own.header.replaces.map_or(successor.header.predecessor_bytes, |replaced| replaced.own_bytes)
}

fn all_entries(mut group: GroupEntries) -> Vec<Bytes> {
    std::iter::from_fn(|| group.take()).collect()
}
