//! Reads entries from any LSN on, across segments, up to what is durable.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::{
    inner::Inner,
    pick::JournalMark,
    table::{MARK_EVERY_BYTES, Mark},
};
use crate::{
    Entry, Error, JournalReader, Result,
    error::Damage,
    segment::{Cursor, GroupEntries, KIND_GROUP, Location, Next, decode_group, is_unpack_damage},
};

/// A reader of a [`crate::SegmentedJournal`]. Holds one group and at most 256 KiB of read-ahead in memory.
///
/// It keeps the file of its segment open, so that releasing, moving or removing a segment does not disturb it while it
/// is there.
#[derive(Debug)]
pub struct SegmentedReader {
    journal: Arc<Inner>,
    segment: u64,
    /// Where the segment was when its file was opened.
    location: Option<Location>,
    cursor: Cursor,
    group: GroupEntries,
    /// Position of the group's next entry.
    group_lsn: Lsn,
    /// Next entry to give out.
    wanted: Lsn,
    /// Last entry to give out.
    until: Lsn,
    /// From this offset on the table may want to know a position.
    mark_from: u64,
    frames: u64,
}

/// How far a segment may be read, and what follows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// The newest segment: up to what is durable.
    Newest { bytes: u64 },
    /// The successor's header says how long it is.
    Succeeded { bytes: u64, successor: u64 },
    /// The successor is gone; `next` is the first one that is left.
    BeforeHole { next: u64 },
}

impl SegmentedReader {
    pub(crate) fn new(journal: Arc<Inner>, segment: u64, from: Lsn) -> Result<SegmentedReader> {
        let location = journal.location(segment);
        let cursor = journal.cursor(segment, from)?;
        Ok(SegmentedReader::with(journal, segment, location, cursor, from))
    }

    /// A reader that begins at a position of a segment, for somebody who is after single entries.
    pub(super) fn at(journal: Arc<Inner>, segment: u64, start: Mark, from: Lsn) -> Result<SegmentedReader> {
        let location = journal.location(segment);
        let cursor = journal.cursor_at(segment, start)?;
        Ok(SegmentedReader::with(journal, segment, location, cursor, from))
    }

    fn with(
        journal: Arc<Inner>,
        segment: u64,
        location: Option<Location>,
        cursor: Cursor,
        from: Lsn,
    ) -> SegmentedReader {
        SegmentedReader {
            mark_from: cursor.offset + MARK_EVERY_BYTES,
            journal,
            segment,
            location,
            cursor,
            group: GroupEntries::default(),
            group_lsn: from,
            wanted: from,
            until: Lsn::MAX,
            frames: 0,
        }
    }

    /// Ends the reader behind `last`, so that it reads a range: `next_entry` then gives `None` for ever.
    #[must_use]
    pub fn up_to(mut self, last: Lsn) -> SegmentedReader {
        self.until = last;
        self
    }

    /// LSN of the next entry.
    pub fn position(&self) -> Lsn {
        self.wanted
    }

    /// Where the reader is in the files: behind the group that it holds.
    pub fn mark(&self) -> JournalMark {
        let Cursor { offset, chain, next_lsn, .. } = self.cursor;
        JournalMark { next_lsn, segment: self.segment, offset, chain }
    }

    /// Frames that were read and verified, of any kind.
    pub fn frames_read(&self) -> u64 {
        self.frames
    }

    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// Makes `lsn`, which must not lie before the reader, its next entry. Frames between are skipped as far as a known position
    /// (`known` gives one at or before an LSN in a segment) allows. True if it has gone to a position that was given.
    pub(super) fn skip_to(
        &mut self,
        lsn: Lsn,
        known: impl FnOnce(&Inner, u64) -> Result<(Mark, bool)>,
    ) -> Result<bool> {
        self.wanted = lsn;
        if lsn < self.cursor.next_lsn {
            return Ok(false);
        }
        let is_here = match self.journal.limit(self.segment)? {
            Limit::Newest { .. } => true,
            Limit::Succeeded { successor, .. } => {
                lsn <= self.journal.header(successor)?.header.predecessor_last_lsn
            }
            Limit::BeforeHole { .. } => false,
        };
        let segment = match is_here {
            true => self.segment,
            false => self.journal.segment_of(lsn)?,
        };
        let (start, is_given) = known(&self.journal, segment)?;
        if segment != self.segment {
            let location = self.journal.location(segment);
            self.cursor = self.journal.cursor_at(segment, start)?;
            (self.segment, self.location) = (segment, location);
        } else if start.offset > self.cursor.offset {
            // The same open file: a stream that can only be unpacked forwards goes on from where it is.
            self.cursor.jump(start.offset, start.chain, start.next_lsn);
        } else {
            return Ok(false);
        }
        self.group = GroupEntries::default();
        self.mark_from = self.cursor.offset + MARK_EVERY_BYTES;
        Ok(is_given)
    }

    /// Tells the table where frames are, now and then: it knows positions only of segments that this process has written.
    fn note_position(&mut self) {
        if self.cursor.offset >= self.mark_from {
            let Cursor { offset, chain, next_lsn, .. } = self.cursor;
            self.journal.table.lock().mark(self.segment, Mark { offset, chain, next_lsn });
            self.mark_from = offset + MARK_EVERY_BYTES;
        }
    }

    fn corrupt(&self, damage: Damage, last_lsn: Option<Lsn>) -> Error {
        Error::Corruption {
            file: self.journal.segment_path(self.segment),
            offset: self.cursor.offset,
            damage,
            first_lsn: self.cursor.next_lsn,
            last_lsn,
        }
    }

    /// Reads the next group. False when the durable end has been reached.
    fn next_group(&mut self) -> Result<bool> {
        loop {
            let limit = self.journal.limit(self.segment)?;
            let bytes = match limit {
                Limit::Newest { bytes } | Limit::Succeeded { bytes, .. } => bytes,
                Limit::BeforeHole { .. } => u64::MAX,
            };
            let first_lsn = self.cursor.next_lsn;
            let next = match self.cursor.next(bytes) {
                Err(error) if is_unpack_damage(&error) => Next::Bad(Damage::Packed),
                next => next?,
            };
            match next {
                Next::Frame(frame) if frame.header.kind == KIND_GROUP => {
                    let Some(group) = decode_group(&frame) else {
                        let offset = frame.header.offset;
                        return Err(Error::Corruption {
                            file: self.journal.segment_path(self.segment),
                            offset,
                            damage: Damage::Payload,
                            first_lsn,
                            last_lsn: None,
                        });
                    };
                    self.group = group;
                    self.group_lsn = first_lsn;
                    self.frames += 1;
                    self.note_position();
                    return Ok(true);
                }
                Next::Frame(_) => self.frames += 1,
                Next::End => match limit {
                    Limit::Newest { .. } | Limit::BeforeHole { .. } => return Ok(false),
                    Limit::Succeeded { successor, .. } => self.enter(successor)?,
                },
                // It was compressed while it was being read, and its file has become another segment.
                Next::Bad(_) if has_moved(&self.journal, self.segment, self.location) => {
                    self.location = self.journal.location(self.segment);
                    self.cursor = self.journal.reopened(self.segment, &self.cursor)?;
                }
                // Its file has become another segment, and it is gone.
                Next::Bad(_) if self.journal.is_recycled(self.segment) => self.leave_recycled()?,
                Next::Bad(damage) => match limit {
                    // How long it was is written in a file that is gone: its frames are all there is to go by.
                    Limit::BeforeHole { next } => self.cross_hole(next)?,
                    Limit::Newest { .. } => return Err(self.corrupt(damage, None)),
                    Limit::Succeeded { successor, .. } => {
                        let last = self.journal.header(successor)?.header.predecessor_last_lsn;
                        return Err(self.corrupt(damage, Some(last)));
                    }
                },
            }
        }
    }

    /// Goes on in the next segment, which must start where this one ends.
    fn enter(&mut self, successor: u64) -> Result<()> {
        let header = self.journal.header(successor)?.header;
        if header.predecessor_chain != self.cursor.chain {
            return Err(self.corrupt(Damage::BrokenChain, Some(header.predecessor_last_lsn)));
        }
        if header.base_lsn() != self.cursor.next_lsn {
            let damage = Damage::LsnGap { expected: self.cursor.next_lsn, found: header.base_lsn() };
            return Err(self.corrupt(damage, None));
        }
        self.go_to(successor, Lsn::ZERO)
    }

    /// Goes to a position of another segment.
    fn go_to(&mut self, segment: u64, lsn: Lsn) -> Result<()> {
        let location = self.journal.location(segment);
        self.cursor = self.journal.cursor(segment, lsn)?;
        (self.segment, self.location) = (segment, location);
        self.mark_from = self.cursor.offset + MARK_EVERY_BYTES;
        Ok(())
    }

    /// The segment is gone on purpose. That is harmless if everything that was wanted of it has been read.
    fn leave_recycled(&mut self) -> Result<()> {
        let first_lsn = self.journal.first_lsn();
        let out_of_range =
            Error::OutOfRange { lsn: self.wanted, first_lsn, durable_lsn: self.journal.durable_lsn() };
        if self.wanted < first_lsn {
            return Err(out_of_range);
        }
        let found = self.journal.table.lock().find(&self.journal.dir, self.wanted)?;
        self.go_to(found.ok_or(out_of_range)?, self.wanted)
    }

    /// Segments are missing; that is harmless if they held no entries.
    fn cross_hole(&mut self, next: u64) -> Result<()> {
        let header = self.journal.header(next)?.header;
        if header.base_lsn() != self.cursor.next_lsn {
            return Err(Error::MissingSegment {
                dir: self.journal.dir.path.clone(),
                segment: self.segment + 1,
                first_lsn: self.cursor.next_lsn,
                last_lsn: Some(header.predecessor_last_lsn),
            });
        }
        self.go_to(next, Lsn::ZERO)
    }
}

/// True if a segment is there, and not where it was.
fn has_moved(journal: &Inner, segment: u64, was: Option<Location>) -> bool {
    let location = journal.location(segment);
    location.is_some() && location != was
}

impl JournalReader for SegmentedReader {
    fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if self.wanted > self.until {
                return Ok(None);
            }
            while let Some(bytes) = self.group.take() {
                let lsn = self.group_lsn;
                self.group_lsn = lsn.next();
                if lsn >= self.wanted {
                    self.wanted = lsn.next();
                    return Ok(Some(Entry { lsn, bytes }));
                }
            }
            if !self.next_group()? {
                return Ok(None);
            }
        }
    }
}
