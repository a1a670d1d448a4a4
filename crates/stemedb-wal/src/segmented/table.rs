//! Which segments there are, and how long each one counts.

use std::{
    collections::BTreeMap,
    ops::{Bound, RangeInclusive},
    sync::Arc,
};

use stemedb_env::{File, Lsn, frame::Chain};

use crate::{
    Error, Result,
    error::Damage,
    segment::{Form, Listed, LoadedHeader, Location, SegmentDir, is_unpack_damage},
};

/// Bytes between two marks of a segment: what a reader that starts in the middle may have to skip.
pub(super) const MARK_EVERY_BYTES: u64 = 128 << 10;
/// Marks of all segments together: 2 MiB of memory, for 8 GiB of the journal. Beyond it those of the oldest segments are
/// forgotten, and found again by whoever reads there.
const MAX_MARKS: usize = 64 << 10;

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
    /// How many marks there are; segments that were taken out may still be counted.
    marks: usize,
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
        Table { segments: listed.iter().map(|(&id, listed)| (id, segment(listed))).collect(), marks: 0 }
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

    /// Remembers a position if its neighbours are far enough away.
    pub fn mark(&mut self, id: u64, mark: Mark) {
        let Some(segment) = self.segments.get_mut(&id) else { return };
        let last = segment.marks.last().map_or(0, |mark| mark.offset);
        if mark.offset >= last {
            // At the end: where the writer is.
            if mark.offset < last + MARK_EVERY_BYTES {
                return;
            }
            segment.marks.push(mark);
        } else {
            let at = segment.marks.partition_point(|known| known.offset < mark.offset);
            let before = at.checked_sub(1).and_then(|at| segment.marks.get(at)).map_or(0, |mark| mark.offset);
            let after = segment.marks.get(at).map_or(u64::MAX, |mark| mark.offset);
            if mark.offset - before < MARK_EVERY_BYTES || after - mark.offset < MARK_EVERY_BYTES {
                return;
            }
            segment.marks.insert(at, mark);
        }
        self.marks += 1;
        if self.marks > MAX_MARKS {
            self.forget_marks(MAX_MARKS - MAX_MARKS / 8);
        }
    }

    /// Forgets marks, the oldest segments' first, until at most `keep` are left.
    fn forget_marks(&mut self, keep: usize) {
        self.marks = self.segments.values().map(|segment| segment.marks.len()).sum();
        for segment in self.segments.values_mut() {
            if self.marks <= keep {
                return;
            }
            self.marks -= segment.marks.len();
            segment.marks = Vec::new();
        }
    }

    /// The marks with a next LSN in a range, with their segments, ascending.
    pub fn marks_of(&self, lsns: &RangeInclusive<Lsn>) -> Vec<(u64, Mark)> {
        let all = self.segments.iter().flat_map(|(&id, segment)| {
            let from = segment.marks.partition_point(|mark| mark.next_lsn < *lsns.start());
            let marks = segment.marks.get(from..).unwrap_or_default().iter();
            marks.take_while(|mark| mark.next_lsn <= *lsns.end()).map(move |mark| (id, *mark))
        });
        all.collect()
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
        // One that was recycled may still be read by whoever has its file open; its header is not there any more.
        let replaced = match self.segments.contains_key(&id) {
            true => self.header(dir, id)?.header.replaces,
            false => None,
        };
        let Some(replaced) = replaced else {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table(segments: u64) -> Table {
        let listed = (1..=segments).map(|id| (id, Listed { location: Location::LIVE, bytes: 0 })).collect();
        Table::new(&listed)
    }

    fn mark(offset: u64) -> Mark {
        Mark { offset, chain: Chain::default(), next_lsn: Lsn(offset / 512) }
    }

    #[test]
    fn marks_keep_their_distance_in_whatever_order_they_come() {
        let mut table = table(1);
        for sector in [2_000, 400, 256, 255, 512, 700, 300, 1_000, 1_800, 1_744, 1_745, 2_255, 2_256] {
            table.mark(1, mark(sector * 512));
        }
        let kept: Vec<u64> = table.segments[&1].marks.iter().map(|mark| mark.offset / 512).collect();
        assert_eq!(kept, [400, 700, 1_000, 1_744, 2_000, 2_256]);
        let some = table.marks_of(&(Lsn(700)..=Lsn(1_744)));
        assert_eq!(some.iter().map(|(_, mark)| mark.next_lsn.0).collect::<Vec<_>>(), [700, 1_000, 1_744]);
    }

    #[test]
    fn there_are_never_more_marks_than_memory_is_meant_for() {
        let mut table = table(200);
        for id in 1..=200 {
            for at in 1..=512 {
                table.mark(id, mark(at * MARK_EVERY_BYTES));
                let held: usize = table.segments.values().map(|segment| segment.marks.len()).sum();
                assert!(held <= MAX_MARKS && held == table.marks);
            }
        }
        assert_eq!(table.segments[&200].marks.len(), 512, "the newest are kept");
        assert!(table.segments[&1].marks.is_empty());
    }
}
