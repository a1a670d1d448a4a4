//! What is left of a segment, and what its neighbours say about the rest.

use std::{ops::Range, sync::Arc};

use stemedb_env::{
    AlignedBuffer, File, Lsn,
    frame::{Chain, FileIdentity, FrameHeader, HEADER_BYTES, MAGIC, claimed_bytes, decode, encode},
};

use super::{super::inner::Inner, Hole, is_unreadable};
use crate::{
    Error, Result,
    error::Damage,
    segment::{
        Cursor, Form, KIND_GROUP, KIND_HEADER, KIND_SEAL, Listed, LoadedHeader, Location, Next, Place, Seal,
        decode_group, is_unpack_damage,
    },
};

/// Frames start on multiples of this in every segment.
const MIN_SECTOR_BYTES: u64 = 512;
/// What is read at once where frames are looked for.
const CHUNK_BYTES: usize = 256 << 10;
/// How far a place that cannot be read or unpacked is stepped over.
const STEP_BYTES: u64 = 4 << 10;
/// A seal with more differing bytes than this is not a seal.
const SEAL_DIFFERENCES: usize = 32;

/// A frame that verifies.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameAt {
    pub offset: u64,
    pub bytes: u64,
    pub kind: u8,
    pub flags: u16,
    pub first_lsn: Lsn,
    pub count: u32,
    pub payload_bytes: usize,
    pub chain_prev: Chain,
    pub chain: Chain,
    /// The next LSN in front of it.
    pub lsn: Lsn,
}

/// Bytes between whole frames.
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub bytes: Range<u64>,
    /// The entries that stood there; none if the last is before the first.
    pub first: Lsn,
    pub last: Lsn,
    /// Chain value in front of it; `None` if it begins with the segment's header.
    pub before: Option<Chain>,
    /// Chain value behind it; `None` at the end of a replacement.
    pub after: Option<Chain>,
    pub damage: Damage,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Frame(FrameAt),
    Gap(Gap),
}

/// What the successor's header says about a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub bytes: u64,
    pub chain: Chain,
    pub last_lsn: Lsn,
}

/// Where a segment may begin: what its header says about its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub bytes: u64,
    pub chain: Chain,
    pub last_lsn: Lsn,
}

/// One file of a segment.
#[derive(Debug)]
pub(super) struct Content {
    pub listed: Option<Listed>,
    pub file: Option<Arc<dyn File>>,
    pub header: Option<LoadedHeader>,
    /// From the header to the accepted end, without room between them.
    pub pieces: Vec<Piece>,
    /// It is a replacement, also if its header does not say so any more.
    pub is_replacement: bool,
    /// The seal behind the accepted end is damaged, and nothing else depends on it.
    pub seal_is_damaged: bool,
}

impl Content {
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Gap(gap) => Some(gap),
            Piece::Frame(_) => None,
        })
    }

    pub fn is_whole(&self) -> bool {
        self.file.is_some() && !self.seal_is_damaged && self.gaps().next().is_none()
    }

    fn missing_bytes(&self) -> u64 {
        self.gaps().map(|gap| gap.bytes.end - gap.bytes.start).sum()
    }
}

/// A segment.
#[derive(Debug)]
pub(super) struct Examined {
    pub id: u64,
    pub end: Option<End>,
    /// Its files, the one that counts first. One without a file if there is none.
    pub contents: Vec<Content>,
}

impl Examined {
    /// The file that counts.
    pub fn present(&self) -> Option<&Content> {
        self.contents.first()
    }

    /// The file of which most is left.
    pub fn best(&self) -> Option<&Content> {
        self.contents.iter().min_by_key(|content| content.missing_bytes())
    }

    pub fn holes(&self, journal: &Inner) -> Vec<Hole> {
        let Some(present) = self.present() else { return Vec::new() };
        let listed = present.listed.map(|listed| listed.location);
        let location = listed.or(journal.location(self.id)).unwrap_or(Location::RELEASED);
        let file = journal.dir.segment(self.id, location);
        let hole = |bytes: Range<u64>, lsns, damage| Hole {
            segment: self.id,
            file: file.clone(),
            damage,
            bytes,
            lsns,
        };
        let mut holes: Vec<Hole> =
            present.gaps().map(|gap| hole(gap.bytes.clone(), gap.first..=gap.last, gap.damage)).collect();
        if present.seal_is_damaged
            && let Some(end) = self.end
        {
            let sector =
                present.header.map_or(MIN_SECTOR_BYTES, |header| u64::from(header.header.sector_bytes));
            let damage = Damage::Frame(stemedb_env::frame::FrameError::Checksum);
            holes.push(hole(end.bytes..end.bytes + sector, end.last_lsn.next()..=end.last_lsn, damage));
        }
        holes
    }
}

/// Looks at every file of a segment that has a successor. Cost: each is read once, and where its header is damaged
/// once more.
pub(super) fn examine(journal: &Inner, id: u64) -> Result<Examined> {
    let has_successor = journal.table.lock().segments.contains_key(&(id + 1));
    let end = match has_successor {
        true => match journal.header(id + 1) {
            Ok(successor) => Some(End {
                bytes: successor.header.predecessor_bytes,
                chain: successor.header.predecessor_chain,
                last_lsn: successor.header.predecessor_last_lsn,
            }),
            Err(Error::Env(error)) if !is_unreadable(&error) => return Err(Error::Env(error)),
            Err(_) => None,
        },
        false => None,
    };
    let mut contents = Vec::new();
    for listed in journal.dir.forms(id)? {
        contents.push(look_at(journal, id, listed, end)?);
        if contents.iter().any(Content::is_whole) {
            break;
        }
    }
    if contents.is_empty() {
        contents.push(nothing(journal, id, None, end, Damage::Missing)?);
    }
    Ok(Examined { id, end, contents })
}

/// A file of which nothing can be used.
fn nothing(
    journal: &Inner,
    id: u64,
    listed: Option<Listed>,
    end: Option<End>,
    damage: Damage,
) -> Result<Content> {
    let mut content = Content {
        listed,
        file: None,
        header: None,
        pieces: Vec::new(),
        is_replacement: false,
        seal_is_damaged: false,
    };
    if let Some(end) = end {
        let first = starts(journal, id, None)?.first().map_or(Lsn::ZERO, |start| start.last_lsn.next());
        content.pieces.push(Piece::Gap(Gap {
            bytes: 0..end.bytes,
            first,
            last: end.last_lsn,
            before: None,
            after: Some(end.chain),
            damage,
        }));
    }
    Ok(content)
}

fn look_at(journal: &Inner, id: u64, listed: Listed, end: Option<End>) -> Result<Content> {
    let dir = &journal.dir;
    let unusable = |damage| nothing(journal, id, Some(listed), end, damage);
    let file = match dir.open(id, listed.location) {
        Err(Error::Env(error)) if is_unpack_damage(&error) => return unusable(Damage::Packed),
        Err(Error::Env(error)) if error.is_not_found() => return unusable(Damage::Missing),
        file => file?,
    };
    let len = match file.len() {
        Err(error) if is_unpack_damage(&error) => return unusable(Damage::Packed),
        len => len?,
    };
    let (header, damage) = match dir.header(&file, id) {
        Ok(header) => (Some(header), None),
        Err(Error::Corruption { damage, .. }) => (None, Some(damage)),
        // Another database's; frames behind it are looked at for themselves.
        Err(Error::Foreign { .. }) => (None, Some(Damage::Frame(stemedb_env::frame::FrameError::Foreign))),
        Err(Error::Env(error)) if is_unreadable(&error) => (None, Some(Damage::Unreadable)),
        Err(error) => return Err(error),
    };
    let replaced = header.and_then(|header| header.header.replaces);
    let identity = dir.identity.file(id);
    let mut walk = Walk { journal, id, file: &file, identity, len, pieces: Vec::new() };
    let mut is_replacement = replaced.is_some();
    match (header, damage) {
        (Some(header), _) => {
            let limit = replaced.map(|replaced| replaced.own_bytes).or(end.map(|end| end.bytes));
            let chain = end.filter(|_| replaced.is_none()).map(|end| end.chain);
            walk.walk_behind(&header, limit, chain, end.map(|end| end.last_lsn))?;
        }
        (None, damage) => {
            let damage = damage.unwrap_or(Damage::Payload);
            if walk.walk_without_header(damage, Some(len), None, end.map(|end| end.last_lsn))? {
                is_replacement = walk.ends_as_replacement(end);
            }
            if !is_replacement {
                walk.pieces.clear();
                let (limit, chain) = (end.map(|end| end.bytes), end.map(|end| end.chain));
                walk.walk_without_header(damage, limit, chain, end.map(|end| end.last_lsn))?;
            }
        }
    }
    let pieces = walk.pieces;
    // A header that verifies may still be taken into a gap, if what follows does not follow from it.
    let header = header.filter(|_| !matches!(pieces.first(), Some(Piece::Gap(_))));
    let mut content = Content {
        listed: Some(listed),
        file: Some(file),
        header,
        pieces,
        is_replacement,
        seal_is_damaged: false,
    };
    if let (Some(end), Some(header)) = (end, header)
        && listed.location.form == Form::Plain
        && !is_replacement
    {
        content.seal_is_damaged = seal_is_damaged(journal, id, &content, end, &header)?;
    }
    Ok(content)
}

/// The seal of a segment: everything in it follows from where it stands.
pub(super) fn seal_frame(
    identity: &FileIdentity,
    successor: u64,
    offset: u64,
    chain: Chain,
    last_lsn: Lsn,
    sector: usize,
) -> Vec<u8> {
    let header = FrameHeader {
        kind: KIND_SEAL,
        flags: 0,
        offset,
        first_lsn: Lsn::ZERO,
        count: 0,
        watermark: offset,
        chain_prev: chain,
    };
    let mut bytes = Vec::new();
    // A few bytes always fit.
    let _ = encode(identity, &header, &Seal { successor, last_lsn }.encode(), sector, &mut bytes);
    bytes
}

/// True if nearly the seal, but not quite, stands behind the accepted end. Anything else there is no part of the journal.
fn seal_is_damaged(
    journal: &Inner,
    id: u64,
    content: &Content,
    end: End,
    header: &LoadedHeader,
) -> Result<bool> {
    let Some(file) = &content.file else { return Ok(false) };
    let sector = header.header.sector_bytes as usize;
    let expected =
        seal_frame(&journal.dir.identity.file(id), id + 1, end.bytes, end.chain, end.last_lsn, sector);
    let mut found = vec![0; expected.len()];
    let read = match file.read_up_to_at(&mut found, end.bytes) {
        Err(error) if is_unreadable(&error) => return Ok(false),
        read => read?,
    };
    found.truncate(read);
    let differences = found.iter().zip(&expected).filter(|(one, other)| one != other).count();
    // A group that was written again in the successor, because nothing proved it, has most of its header in common.
    let kind = |frame: &[u8]| frame.get(5).copied();
    let most = if kind(&found) == kind(&expected) { SEAL_DIFFERENCES } else { 1 };
    Ok(found.len() == expected.len() && (1..=most).contains(&differences))
}

/// Where segment `id` may begin, the likeliest first, as its predecessor ends: behind one of its last frames. A seal leaves
/// no doubt. Empty if the predecessor cannot tell.
///
/// `next` is the LSN that is known to follow, if one is: ends that do not fit it come last.
pub(super) fn starts(journal: &Inner, id: u64, next: Option<Lsn>) -> Result<Vec<Start>> {
    /// Frames from the end of the predecessor.
    const ENDS: usize = 16;
    let Some(before) = id.checked_sub(1).filter(|&before| before > 0) else {
        return Ok(vec![Start { bytes: 0, chain: Chain::default(), last_lsn: Lsn::ZERO }]);
    };
    let Some(listed) = journal.dir.forms(before)?.into_iter().next() else { return Ok(Vec::new()) };
    let opened = journal.dir.open(before, listed.location).and_then(|file| {
        let header = journal.dir.header(&file, before)?;
        Ok((file, header))
    });
    let (file, header) = match opened {
        Ok(opened) => opened,
        Err(Error::Env(error)) if !is_unreadable(&error) => return Err(Error::Env(error)),
        Err(_) => return Ok(Vec::new()),
    };
    let len = match file.len() {
        Err(error) if is_unreadable(&error) => return Ok(Vec::new()),
        len => len?,
    };
    let mut ends: Vec<Start> = Vec::new();
    let base = header.header.base_lsn();
    ends.push(Start { bytes: header.frame_bytes, chain: header.chain, last_lsn: base.prev() });
    let mut cursor =
        Cursor::new(file, journal.dir.identity.file(before), header.frame_bytes, header.chain, base);
    loop {
        let (bytes, chain) = (cursor.offset, cursor.chain);
        let seal = match cursor.next(len) {
            Ok(Next::Frame(frame)) if frame.header.kind == KIND_SEAL => Seal::decode(frame.payload),
            Ok(Next::Frame(_)) => None,
            Ok(Next::End | Next::Bad(_)) => break,
            Err(error) if is_unreadable(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        if let Some(seal) = seal {
            return Ok(vec![match header.header.replaces {
                Some(replaced) => {
                    Start { bytes: replaced.bytes, chain: replaced.chain, last_lsn: seal.last_lsn }
                }
                None => Start { bytes, chain, last_lsn: seal.last_lsn },
            }]);
        }
        ends.push(Start { bytes: cursor.offset, chain: cursor.chain, last_lsn: cursor.next_lsn.prev() });
        if ends.len() > 2 * ENDS {
            ends.drain(..ENDS);
        }
    }
    ends.reverse();
    ends.truncate(ENDS);
    if let Some(next) = next {
        ends.sort_by_key(|start| start.last_lsn.next() != next);
    }
    Ok(ends)
}

/// A frame that verifies by itself, found behind a place where there is none.
struct Found {
    offset: u64,
    chain_prev: Chain,
    /// First LSN of the first group there or behind.
    lsn: Option<Lsn>,
}

enum Stop {
    End,
    Bad(Damage),
}

/// The way through the frames of a damaged file.
struct Walk<'a> {
    journal: &'a Inner,
    id: u64,
    file: &'a Arc<dyn File>,
    identity: FileIdentity,
    len: u64,
    pieces: Vec<Piece>,
}

impl Walk<'_> {
    fn cursor(&self, offset: u64, chain: Chain, lsn: Lsn) -> Cursor {
        Cursor::new(Arc::clone(self.file), self.identity, offset, chain, lsn)
    }

    fn walk_behind(
        &mut self,
        header: &LoadedHeader,
        limit: Option<u64>,
        end_chain: Option<Chain>,
        last: Option<Lsn>,
    ) -> Result<()> {
        let base = header.header.base_lsn();
        self.pieces.push(Piece::Frame(FrameAt {
            offset: 0,
            bytes: header.frame_bytes,
            kind: KIND_HEADER,
            flags: 0,
            first_lsn: Lsn::ZERO,
            count: 0,
            payload_bytes: 0,
            chain_prev: header.header.predecessor_chain,
            chain: header.chain,
            lsn: base,
        }));
        let cursor = self.cursor(header.frame_bytes, header.chain, base);
        self.run(cursor, limit, end_chain, last)
    }

    /// Begins behind a header that is not there. False if no frame was found at all.
    fn walk_without_header(
        &mut self,
        damage: Damage,
        limit: Option<u64>,
        end_chain: Option<Chain>,
        last: Option<Lsn>,
    ) -> Result<bool> {
        let found = self.find(MIN_SECTOR_BYTES, limit.unwrap_or(self.len), Lsn::ZERO)?;
        let next = found.as_ref().and_then(|found| found.lsn).or(last.map(Lsn::next));
        let starts = starts(self.journal, self.id, next)?;
        // One sector is the header and nothing else.
        let only_header = found.as_ref().is_some_and(|found| {
            found.offset.is_power_of_two() && starts.iter().any(|start| Some(start.last_lsn.next()) == next)
        });
        let first = match (next, starts.first()) {
            (Some(next), _) if only_header => next,
            (Some(next), Some(start)) => start.last_lsn.next().min(next),
            (None, Some(start)) => start.last_lsn.next(),
            (Some(next), None) => next,
            (None, None) => Lsn::ZERO,
        };
        let (end, after) = match (&found, limit) {
            (Some(found), _) => (found.offset, Some(found.chain_prev)),
            (None, Some(limit)) => (limit, end_chain),
            (None, None) => (self.len, None),
        };
        let lsn = next.unwrap_or(first);
        let gap = Gap { bytes: 0..end, first, last: lsn.prev(), before: None, after, damage };
        self.pieces.push(Piece::Gap(gap));
        let Some(found) = found else { return Ok(false) };
        let cursor = self.cursor(found.offset, found.chain_prev, lsn);
        self.run(cursor, limit, end_chain, last)?;
        Ok(true)
    }

    /// The last frame is a seal, and not the one that the successor would want of an original.
    fn ends_as_replacement(&mut self, end: Option<End>) -> bool {
        let is_seal = |piece: &Piece| matches!(piece, Piece::Frame(frame) if frame.kind == KIND_SEAL);
        let Some(at) = self.pieces.iter().position(is_seal) else { return false };
        let Some(Piece::Frame(seal)) = self.pieces.get(at) else { return false };
        if end.is_none_or(|end| (seal.offset, seal.chain_prev) == (end.bytes, end.chain)) {
            return false;
        }
        self.pieces.truncate(at + 1);
        true
    }

    fn run(
        &mut self,
        mut cursor: Cursor,
        limit: Option<u64>,
        end_chain: Option<Chain>,
        last: Option<Lsn>,
    ) -> Result<()> {
        loop {
            let bad = match self.run_to_damage(&mut cursor, limit.unwrap_or(self.len))? {
                Stop::End => break,
                Stop::Bad(damage) => damage,
            };
            let mut gap = Gap {
                bytes: cursor.offset..cursor.offset,
                first: cursor.next_lsn,
                last: cursor.next_lsn.prev(),
                before: Some(cursor.chain),
                after: None,
                damage: bad,
            };
            let mut from = cursor.offset + MIN_SECTOR_BYTES;
            if bad == Damage::BrokenChain {
                // This one verifies, and it says that the one before is not what stood there.
                from = cursor.offset;
                self.give_up_last(&mut gap);
            }
            let Some(found) = self.find(from, limit.unwrap_or(self.len), gap.first)? else {
                if let Some(limit) = limit {
                    (gap.bytes.end, gap.after) = (limit, end_chain);
                    gap.last = last.unwrap_or(gap.last);
                    self.pieces.push(Piece::Gap(gap));
                }
                return Ok(());
            };
            let lsn = found.lsn.or(last.map(Lsn::next)).unwrap_or(gap.first);
            (gap.bytes.end, gap.after, gap.last) = (found.offset, Some(found.chain_prev), lsn.prev());
            self.pieces.push(Piece::Gap(gap));
            cursor = self.cursor(found.offset, found.chain_prev, lsn);
        }
        let is_right = end_chain.is_none_or(|chain| chain == cursor.chain)
            && last.is_none_or(|last| last.next() == cursor.next_lsn);
        if let Some(limit) = limit.filter(|_| !is_right) {
            let mut gap = Gap {
                bytes: limit..limit,
                first: cursor.next_lsn,
                last: last.unwrap_or(cursor.next_lsn.prev()),
                before: Some(cursor.chain),
                after: end_chain,
                damage: Damage::BrokenChain,
            };
            self.give_up_last(&mut gap);
            self.pieces.push(Piece::Gap(gap));
        }
        Ok(())
    }

    /// Takes the last whole frame into a gap that begins behind it.
    fn give_up_last(&mut self, gap: &mut Gap) {
        if let Some(Piece::Frame(frame)) = self.pieces.last().cloned() {
            self.pieces.pop();
            gap.bytes.start = frame.offset;
            gap.first = frame.lsn;
            gap.before = (frame.offset > 0).then_some(frame.chain_prev);
        }
    }

    fn run_to_damage(&mut self, cursor: &mut Cursor, limit: u64) -> Result<Stop> {
        let mut tried_again = false;
        loop {
            let (offset, lsn) = (cursor.offset, cursor.next_lsn);
            let frame = match cursor.next(limit) {
                Ok(Next::End) => return Ok(Stop::End),
                Ok(Next::Bad(damage)) => return Ok(Stop::Bad(damage)),
                Ok(Next::Frame(frame)) => frame,
                Err(error) if is_unpack_damage(&error) => return Ok(Stop::Bad(Damage::Packed)),
                Err(error) if is_unreadable(&error) && tried_again => {
                    return Ok(Stop::Bad(Damage::Unreadable));
                }
                Err(error) if is_unreadable(&error) => {
                    // Once may be an accident.
                    tried_again = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let found = FrameAt {
                offset,
                bytes: frame.frame_bytes as u64,
                kind: frame.header.kind,
                flags: frame.header.flags,
                first_lsn: frame.header.first_lsn,
                count: frame.header.count,
                payload_bytes: frame.payload.len(),
                chain_prev: frame.header.chain_prev,
                chain: frame.chain,
                lsn,
            };
            if found.kind == KIND_GROUP && decode_group(&frame).is_none() {
                let chain = found.chain_prev;
                *cursor = self.cursor(offset, chain, lsn);
                return Ok(Stop::Bad(Damage::Payload));
            }
            tried_again = false;
            self.pieces.push(Piece::Frame(found));
        }
    }

    /// The first frame at or behind `from` that verifies, stands where it says, and has no LSN before `least`.
    fn find(&self, from: u64, limit: u64, least: Lsn) -> Result<Option<Found>> {
        let limit = limit.min(self.len);
        let mut chunk = AlignedBuffer::new();
        let mut found: Option<Found> = None;
        let mut at = from;
        while at < limit {
            chunk.resize_stale(usize::try_from(limit - at).unwrap_or(usize::MAX).min(CHUNK_BYTES));
            let read = match self.file.read_up_to_at(&mut chunk, at) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if is_unreadable(&error) => {
                    // A smaller piece may be readable up to the bad place.
                    chunk.resize_stale(
                        usize::try_from(limit - at).unwrap_or(usize::MAX).min(MIN_SECTOR_BYTES as usize),
                    );
                    match self.file.read_up_to_at(&mut chunk, at) {
                        Ok(read) if read > 0 => read,
                        _ => {
                            at = (at + 1).next_multiple_of(STEP_BYTES);
                            continue;
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            };
            for (index, sector) in
                chunk.get(..read).unwrap_or_default().chunks(MIN_SECTOR_BYTES as usize).enumerate()
            {
                let offset = at + index as u64 * MIN_SECTOR_BYTES;
                if sector.len() < HEADER_BYTES || !sector.starts_with(&MAGIC) {
                    continue;
                }
                let Some(frame) = self.frame_at(sector, offset, limit)? else { continue };
                let is_group = frame.0.kind == KIND_GROUP;
                if is_group && frame.0.first_lsn < least {
                    continue;
                }
                let entry = found.get_or_insert(Found { offset, chain_prev: frame.0.chain_prev, lsn: None });
                if is_group {
                    entry.lsn = Some(frame.0.first_lsn);
                    return Ok(found);
                }
            }
            at += (read as u64).next_multiple_of(MIN_SECTOR_BYTES);
        }
        Ok(found)
    }

    fn frame_at(&self, head: &[u8], offset: u64, limit: u64) -> Result<Option<(FrameHeader, Chain)>> {
        let Ok(total) = claimed_bytes(head, &self.identity, offset) else { return Ok(None) };
        if offset.checked_add(total as u64).is_none_or(|end| end > limit) {
            return Ok(None);
        }
        let mut bytes = vec![0; total];
        match self.file.read_up_to_at(&mut bytes, offset) {
            Ok(read) => bytes.truncate(read),
            Err(error) if is_unreadable(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(decode(&bytes, &self.identity, offset).ok().map(|frame| (frame.header, frame.chain)))
    }
}

/// Under which name a segment that is written again belongs.
pub(super) fn place_of(journal: &Inner, id: u64) -> Place {
    let table = journal.table.lock();
    let is_released =
        |at: u64| table.segments.get(&at).is_some_and(|segment| segment.location.place == Place::Released);
    match table.segments.get(&id) {
        Some(segment) => segment.location.place,
        // Segments are released in order: it stands between two of the same kind, or at their border.
        None if table.segments.range(id..).any(|(&at, _)| is_released(at)) => Place::Released,
        None if table.segments.range(..id).any(|(&at, _)| !is_released(at)) => Place::Live,
        None => Place::Released,
    }
}
