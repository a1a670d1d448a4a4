//! Entries here and there, by their LSNs.
//!
//! ```text
//! wanted   ·      x  x                      x                        x x
//! frames   ▕▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁
//! marks    m           m           m           m           m
//! read     ▕▁▁▁▁▁▁▁▁▁▁▁            ▕▁▁▁▁▁▁▁                ▕▁▁▁▁▁▁▁▁▁▁
//! ```
//!
//! A frame says how long it is and not where the others are, so reading begins at a *mark*: a position between two frames whose
//! chain value is known. Each wanted entry costs the frames from the last mark before it, about 128 KiB at most; while the next one lies before the
//! next mark, reading simply goes on. So a few entries cost little, and many cost no more than reading everything in between.

use std::{ops::RangeInclusive, sync::Arc, vec};

use stemedb_env::{Lsn, frame::Chain};

use super::{SegmentedJournal, inner::Inner, reader::SegmentedReader, table::Mark};
use crate::{Entry, Error, JournalReader, Result};

/// A position between two frames of a journal, from where reading may begin.
///
/// It stays good for as long as the segment exists, however that is stored: positions are those of the plain bytes. A wrong one is
/// noticed, because the frame behind it must continue the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalMark {
    /// LSN of the first entry behind the position.
    pub next_lsn: Lsn,
    /// The segment's number.
    pub segment: u64,
    /// Offset in the segment's plain bytes.
    pub offset: u64,
    /// What the frame at the position must carry as the chain value of the one before.
    pub chain: Chain,
}

impl SegmentedJournal {
    /// The positions that are known of some LSNs, ascending: about one for each 128 KiB that this process has written or read, of
    /// the newest 8 GiB. No I/O.
    pub fn marks(&self, lsns: &RangeInclusive<Lsn>) -> Vec<JournalMark> {
        let marks = self.inner.table.lock().marks_of(lsns);
        let public = |(segment, mark): (u64, Mark)| JournalMark {
            next_lsn: mark.next_lsn,
            segment,
            offset: mark.offset,
            chain: mark.chain,
        };
        marks.into_iter().map(public).collect()
    }

    /// Reads the entries with these LSNs, which must ascend. `marks`, ascending too, are positions that the caller knows, and may be
    /// none: the journal knows some itself.
    ///
    /// Cost: for each entry the frames from the last known position before it, never more than all frames from the first entry to
    /// the last. Where no position is known that is the segment's front; what is read leaves positions behind. In a `.zst` segment of ours a
    /// jump costs a MiB to unpack; other compressed segments are unpacked from their front to the last entry, once.
    pub fn pick(&self, wanted: Vec<Lsn>, marks: Vec<JournalMark>) -> PickedEntries {
        debug_assert!(wanted.is_sorted_by(|a, b| a < b) && marks.is_sorted_by_key(|mark| mark.next_lsn));
        let journal = Arc::clone(&self.inner);
        PickedEntries { journal, reader: None, wanted: wanted.into_iter(), marks, untried: false, frames: 0 }
    }
}

/// A reader of single entries; see [`SegmentedJournal::pick`]. It ends behind the last entry that is wanted.
///
/// [`JournalReader::next_entry`] never leaves one out: an entry that is not there is [`Error::OutOfRange`] or
/// [`Error::MissingSegment`], one that cannot be read is [`Error::Corruption`].
#[derive(Debug)]
pub struct PickedEntries {
    journal: Arc<Inner>,
    reader: Option<SegmentedReader>,
    wanted: vec::IntoIter<Lsn>,
    marks: Vec<JournalMark>,
    /// The reader stands at a position that the caller gave, and nothing has been read from there yet.
    untried: bool,
    /// Read by readers that were given up.
    frames: u64,
}

impl PickedEntries {
    /// Frames that were read and verified, of any kind.
    pub fn frames_read(&self) -> u64 {
        self.frames + self.reader.as_ref().map_or(0, SegmentedReader::frames_read)
    }

    /// The best known position for an entry in a segment; true if it is one of the caller's.
    fn known(marks: &[JournalMark], lsn: Lsn) -> impl FnOnce(&Inner, u64) -> Result<(Mark, bool)> + use<'_> {
        move |journal, segment| {
            let own = journal.start(segment, lsn)?;
            let given = marks.partition_point(|mark| mark.next_lsn <= lsn).checked_sub(1);
            let given = given.and_then(|at| marks.get(at)).filter(|mark| mark.segment == segment);
            Ok(match given {
                Some(&JournalMark { next_lsn, offset, chain, .. }) if next_lsn > own.next_lsn => {
                    (Mark { offset, chain, next_lsn }, true)
                }
                _ => (own, false),
            })
        }
    }

    fn entry(&mut self, lsn: Lsn, use_marks: bool) -> Result<Option<Entry>> {
        let marks = if use_marks { &self.marks[..] } else { &[] };
        let known = PickedEntries::known(marks, lsn);
        let reader = match &mut self.reader {
            Some(reader) => {
                self.untried |= reader.skip_to(lsn, known)?;
                reader
            }
            none => {
                let segment = self.journal.segment_of(lsn)?;
                let (start, is_given) = known(&self.journal, segment)?;
                self.untried = is_given;
                none.insert(SegmentedReader::at(Arc::clone(&self.journal), segment, start, lsn)?)
            }
        };
        Ok(reader.next_entry()?.filter(|entry| entry.lsn == lsn))
    }
}

impl JournalReader for PickedEntries {
    fn next_entry(&mut self) -> Result<Option<Entry>> {
        let Some(&lsn) = self.wanted.as_slice().first() else { return Ok(None) };
        let (first_lsn, durable_lsn) = (self.journal.first_lsn(), self.journal.durable_lsn());
        let out_of_range = Error::OutOfRange { lsn, first_lsn, durable_lsn };
        if lsn == Lsn::ZERO || lsn > durable_lsn {
            return Err(out_of_range);
        }
        let mut read = self.entry(lsn, true);
        if !matches!(read, Ok(Some(_))) && self.untried {
            // What the caller knows is not so. The journal's own positions are.
            self.frames = self.frames_read();
            self.reader = None;
            read = self.entry(lsn, false);
        }
        self.untried = false;
        let entry = read?.ok_or(out_of_range)?;
        let _ = self.wanted.next();
        Ok(Some(entry))
    }
}
