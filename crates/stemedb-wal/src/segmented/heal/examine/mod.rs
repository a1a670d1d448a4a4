//! What is left of a segment: the whole frames of each of its files, and the gaps between them.
//!
//! ```text
//! walk.rs   from frame to frame through a damaged file
//! ```

mod walk;

use std::{ops::Range, sync::Arc};

use stemedb_env::{
    File, Lsn,
    frame::{Chain, FileIdentity, FrameHeader, encode},
};

use self::walk::Walk;
use super::{
    super::inner::Inner,
    Hole, is_unreadable,
    neighbours::{End, starts},
};
use crate::{
    Error, Result,
    error::Damage,
    segment::{Form, KIND_SEAL, Listed, LoadedHeader, Location, Seal, is_unpack_damage},
};

/// Frames start on multiples of this in every segment.
const MIN_SECTOR_BYTES: u64 = 512;
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
    /// It is compressed, and its first frame, which no reader needs, is not what was written.
    pub head_is_damaged: bool,
}

impl Content {
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Gap(gap) => Some(gap),
            Piece::Frame(_) => None,
        })
    }

    pub fn is_whole(&self) -> bool {
        self.file.is_some() && !self.seal_is_damaged && !self.head_is_damaged && self.gaps().next().is_none()
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
        if present.head_is_damaged {
            let last = self.end.map_or(Lsn::ZERO, |end| end.last_lsn);
            holes.push(hole(0..0, last.next()..=last, Damage::Packed));
        }
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
        head_is_damaged: false,
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
        head_is_damaged: false,
    };
    if let (Some(end), Some(header)) = (end, header)
        && listed.location.form == Form::Plain
        && !is_replacement
    {
        content.seal_is_damaged = seal_is_damaged(journal, id, &content, end, &header)?;
    }
    content.head_is_damaged = dir.has_damaged_head(id, listed.location)?;
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
