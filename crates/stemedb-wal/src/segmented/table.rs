//! Which segments there are, and how long each one counts.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use stemedb_env::{File, Lsn, frame::Chain};

use crate::{
    Error, Result,
    error::Damage,
    segment::{Form, Listed, LoadedHeader, Location, SegmentDir, is_unpack_damage},
};

/// Bytes between two marks of a segment: what a reader that starts in the middle may have to skip.
const MARK_EVERY_BYTES: u64 = 128 << 10;

/// A position between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub offset: u64,
    pub chain: Chain,
    /// First LSN after the position.
    pub next_lsn: Lsn,
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub location: Location,
    /// This process has made it.
    pub born: bool,
    /// It cannot be compressed: how long it counts is not known.
    pub unpackable: bool,
    /// Counts how often the file has been replaced by another one with the same entries.
    pub generation: u32,
    /// Loaded when first needed, so that opening does not touch the whole history.
    pub header: Option<LoadedHeader>,
    /// Positions where a reader may start, ascending.
    pub marks: Vec<Mark>,
}

/// Where a segment ends, as its successor says or, of a replacement, it says itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub successor: u64,
    /// The accepted length.
    pub bytes: u64,
    /// The chain value there. `None` of a replacement: its last frame is a seal, which speaks for what is before it.
    pub chain: Option<Chain>,
}

/// All known segments by number.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub segments: BTreeMap<u64, Segment>,
}

impl Table {
    pub fn new(listed: &BTreeMap<u64, Listed>) -> Table {
        let segment = |listed: &Listed| Segment {
            location: listed.location,
            born: false,
            unpackable: false,
            generation: 0,
            header: None,
            marks: Vec::new(),
        };
        Table { segments: listed.iter().map(|(&id, listed)| (id, segment(listed))).collect() }
    }

    /// A segment that this process has built.
    pub fn insert_built(&mut self, id: u64, header: LoadedHeader) {
        let segment = Segment {
            location: Location::LIVE,
            born: true,
            unpackable: false,
            generation: 0,
            header: Some(header),
            marks: Vec::new(),
        };
        self.segments.insert(id, segment);
    }

    /// A segment's file is another one now, or there is one again. Positions in the old one mean nothing any more.
    pub fn replaced(&mut self, id: u64, location: Location, header: LoadedHeader) {
        let generation = self.generation(id).wrapping_add(1);
        let segment = Segment {
            location,
            born: false,
            unpackable: false,
            generation,
            header: Some(header),
            marks: Vec::new(),
        };
        self.segments.insert(id, segment);
    }

    /// See [`Segment::generation`].
    pub fn generation(&self, id: u64) -> u32 {
        self.segments.get(&id).map_or(0, |segment| segment.generation)
    }

    /// Remembers a position if the last one is far enough away.
    pub fn mark(&mut self, id: u64, mark: Mark) {
        if let Some(segment) = self.segments.get_mut(&id) {
            let last = segment.marks.last().map_or(0, |mark| mark.offset);
            if mark.offset >= last + MARK_EVERY_BYTES {
                segment.marks.push(mark);
            }
        }
    }

    /// The newest segment.
    pub fn newest(&self) -> Option<u64> {
        self.segments.last_key_value().map(|(&id, _)| id)
    }

    /// The first segment after `id`.
    pub fn after(&self, id: u64) -> Option<u64> {
        self.segments.range((Bound::Excluded(id), Bound::Unbounded)).next().map(|(&id, _)| id)
    }

    /// Where a segment is.
    pub fn location(&self, id: u64) -> Option<Location> {
        self.segments.get(&id).map(|segment| segment.location)
    }

    /// A segment has another name now.
    pub fn moved(&mut self, id: u64, location: Location) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.location = location;
        }
    }

    /// A segment is not to be compressed.
    pub fn leave_plain(&mut self, id: u64) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.unpackable = true;
        }
    }

    /// Opens a segment that the table has. One that is not where it was is looked for once: an operator may have
    /// compressed or moved it.
    pub fn open(&mut self, dir: &SegmentDir, id: u64) -> Result<Arc<dyn File>> {
        let location = self.location(id).unwrap_or(Location::LIVE);
        let not_found = |error: &Error| matches!(error, Error::Env(env) if env.is_not_found());
        let opened = match dir.open(id, location) {
            Err(error) if not_found(&error) => match dir.list()?.get(&id) {
                Some(listed) if listed.location != location => {
                    self.moved(id, listed.location);
                    dir.open(id, listed.location)
                }
                _ => Err(error),
            },
            opened => opened,
        };
        opened.map_err(|error| match error {
            Error::Env(env) if env.is_not_found() => Error::MissingSegment {
                dir: dir.path.clone(),
                segment: id,
                first_lsn: self.loaded(id).map_or(Lsn::ZERO, |header| header.header.base_lsn()),
                last_lsn: self.loaded(id + 1).map(|header| header.header.predecessor_last_lsn),
            },
            Error::Env(env) if location.form != Form::Plain && is_unpack_damage(&env) => Error::Corruption {
                file: dir.segment(id, location),
                offset: 0,
                damage: Damage::Packed,
                first_lsn: self.loaded(id).map_or(Lsn::ZERO, |header| header.header.base_lsn()),
                last_lsn: self.loaded(id + 1).map(|header| header.header.predecessor_last_lsn),
            },
            other => other,
        })
    }

    fn loaded(&self, id: u64) -> Option<LoadedHeader> {
        self.segments.get(&id)?.header
    }

    /// The header of a segment that the table has; read on first use.
    pub fn header(&mut self, dir: &SegmentDir, id: u64) -> Result<LoadedHeader> {
        if let Some(header) = self.loaded(id) {
            return Ok(header);
        }
        let file = self.open(dir, id)?;
        let header = dir.header(&file, id)?;
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.header = Some(header);
        }
        Ok(header)
    }

    /// Where a segment ends; `None` if its successor, whose header says so, is not known.
    pub fn ending(&mut self, dir: &SegmentDir, id: u64) -> Result<Option<Ending>> {
        let Some(successor) = id.checked_add(1).filter(|next| self.segments.contains_key(next)) else {
            return Ok(None);
        };
        let says = self.header(dir, successor)?.header;
        let (bytes, chain, last_lsn) =
            (says.predecessor_bytes, says.predecessor_chain, says.predecessor_last_lsn);
        let Some(replaced) = self.header(dir, id)?.header.replaces else {
            return Ok(Some(Ending { successor, bytes, chain: Some(chain) }));
        };
        if (replaced.bytes, replaced.chain) != (bytes, chain) {
            // It stands for another segment than the one that was here.
            let file = dir.segment(id, self.location(id).unwrap_or(Location::LIVE));
            let first_lsn = self.loaded(id).map_or(Lsn::ZERO, |header| header.header.base_lsn());
            let damage = Damage::BrokenChain;
            return Err(Error::Corruption { file, offset: 0, damage, first_lsn, last_lsn: Some(last_lsn) });
        }
        Ok(Some(Ending { successor, bytes: replaced.own_bytes, chain: None }))
    }

    /// The newest segment whose first LSN is at most `lsn`. Reads O(log segments) headers; one that is damaged is passed
    /// over, since those behind it tell as well on which side the LSN lies.
    pub fn find(&mut self, dir: &SegmentDir, lsn: Lsn) -> Result<Option<u64>> {
        let ids: Vec<u64> = self.segments.keys().copied().collect();
        let (mut low, mut high) = (0, ids.len());
        let mut failure = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let mut begins = None;
            for at in middle..high {
                let Some(&id) = ids.get(at) else { break };
                match self.header(dir, id) {
                    Ok(header) => {
                        begins = Some((at, header.header.base_lsn()));
                        break;
                    }
                    Err(error @ Error::Env(_)) => return Err(error),
                    Err(error) => failure = Some(error),
                }
            }
            match begins {
                Some((at, base_lsn)) if base_lsn <= lsn => low = at + 1,
                _ => high = middle,
            }
        }
        match (low.checked_sub(1).and_then(|at| ids.get(at).copied()), failure) {
            (None, Some(failure)) => Err(failure),
            (found, _) => Ok(found),
        }
    }

    /// The last mark of a segment at or before `lsn`, else the end of its header.
    pub fn start(&mut self, dir: &SegmentDir, id: u64, lsn: Lsn) -> Result<Mark> {
        let header = self.header(dir, id)?;
        let first =
            Mark { offset: header.frame_bytes, chain: header.chain, next_lsn: header.header.base_lsn() };
        let marks = self.segments.get(&id).map_or(&[][..], |segment| &segment.marks);
        let at = marks.partition_point(|mark| mark.next_lsn <= lsn);
        Ok(at.checked_sub(1).and_then(|at| marks.get(at).copied()).unwrap_or(first))
    }
}
