//! The frames of a segment again: tried against the chain, written beside, read back.
//!
//! ```text
//! frames.rs        frames, made as the writer makes them
//! fill.rs          what fills a gap: its own bytes put right, or frames that close the chain
//! write.rs         the segment as it was, beside the damaged one; the proof of what was written
//! replacement.rs   the same entries in other frames
//! ```

mod fill;
mod frames;
mod replacement;
mod write;

use std::{ops::RangeInclusive, path::PathBuf};

use stemedb_env::{Lsn, frame::FileIdentity};

use self::fill::Filling;
use super::{
    super::inner::Inner,
    EntrySource, HealError, Healing, Hole, LostHole,
    examine::{Content, Examined, FrameAt, Gap},
    neighbours::End,
    spool::Spool,
};
use crate::{Result, error::Damage, segment::LoadedHeader};

/// Why a segment whose header is gone cannot begin.
const NO_START: &str = "the segment before it is damaged or missing, too";

/// A file that is durable under a temporary name, and proven.
#[derive(Debug)]
pub(super) struct Written {
    pub path: PathBuf,
    pub header: LoadedHeader,
}

pub(super) enum Outcome {
    Written { written: Written, healing: Healing },
    Lost(Vec<LostHole>),
}

/// One segment on its way.
pub(super) struct Rebuild<'a> {
    journal: &'a Inner,
    examined: &'a Examined,
    content: &'a Content,
    identity: FileIdentity,
    end: End,
    tried_bytes: u64,
}

impl<'a> Rebuild<'a> {
    pub fn new(journal: &'a Inner, examined: &'a Examined) -> std::result::Result<Rebuild<'a>, HealError> {
        let lost = |cause: &str| {
            let mut holes = examined.holes(journal);
            if holes.is_empty() {
                // Nothing tells how long it was.
                holes.push(Hole {
                    segment: examined.id,
                    file: journal.segment_path(examined.id),
                    damage: Damage::Missing,
                    bytes: 0..0,
                    lsns: Lsn(1)..=Lsn::ZERO,
                });
            }
            let holes = holes.into_iter().map(|hole| LostHole {
                lost: vec![hole.lsns.clone()],
                hole,
                cause: cause.to_owned(),
            });
            HealError::Lost { segment: examined.id, holes: holes.collect() }
        };
        let Some(end) = examined.end else {
            return Err(lost("the segment behind it is damaged or missing, too"));
        };
        if examined.best().is_some_and(|content| content.gaps().any(|gap| gap.first == Lsn::ZERO)) {
            return Err(lost(NO_START));
        }
        let Some(content) = examined.best() else {
            return Err(HealError::NoSegment { segment: examined.id });
        };
        let identity = journal.dir.identity.file(examined.id);
        Ok(Rebuild { journal, examined, content, identity, end, tried_bytes: 0 })
    }

    pub fn run(mut self, source: &mut dyn EntrySource) -> Result<Outcome> {
        let gaps: Vec<Gap> = self.content.gaps().cloned().collect();
        // What needs no entries first.
        let mut fillings: Vec<Option<Filling>> = Vec::with_capacity(gaps.len());
        for gap in &gaps {
            fillings.push(self.corrected(gap)?.map(Filling::Bytes));
        }
        let open = || gaps.iter().zip(&fillings).filter(|(_, filling)| filling.is_none()).map(|(gap, _)| gap);
        let gathered = Spool::gather(self.journal, self.examined.id, open(), source)?;
        let Some(spool) = gathered.spool else {
            self.journal.env.fs.remove(&self.journal.dir.temporary_spool(self.examined.id))?;
            return Ok(Outcome::Lost(self.lost(&gaps, &fillings, &gathered.lost)));
        };
        for (gap, filling) in gaps.iter().zip(&mut fillings) {
            if filling.is_none() {
                *filling = self.planned(gap, &spool)?;
            }
        }
        let unfilled = fillings.iter().filter(|filling| filling.is_none()).count();
        let outcome = if unfilled == 0 && !self.content.is_replacement {
            let written = self.write_exact(&gaps, &fillings, &spool)?;
            Outcome::Written { written, healing: Healing::Exact }
        } else if spool.is_certain {
            match self.write_replacement(&gaps, &fillings, &spool)? {
                Some(written) => Outcome::Written { written, healing: Healing::Replacement },
                None => Outcome::Lost(self.unproven(&gaps, &fillings, NO_START)),
            }
        } else {
            Outcome::Lost(self.unproven(&gaps, &fillings, "what the views give does not close the chain"))
        };
        spool.remove(self.journal)?;
        Ok(outcome)
    }

    fn lost(
        &self,
        gaps: &[Gap],
        fillings: &[Option<Filling>],
        lost: &[(RangeInclusive<Lsn>, String)],
    ) -> Vec<LostHole> {
        let holes = self.examined.holes(self.journal);
        let open = gaps.iter().zip(fillings).filter(|(_, filling)| filling.is_none());
        let mut found: Vec<LostHole> = Vec::new();
        for (gap, _) in open {
            let of_gap: Vec<_> = lost
                .iter()
                .filter(|(lsns, _)| *lsns.start() <= gap.last && *lsns.end() >= gap.first)
                .collect();
            let Some((_, cause)) = of_gap.first() else { continue };
            let Some(hole) = self.hole_of(&holes, gap) else { continue };
            let lost = of_gap.iter().map(|(lsns, _)| lsns.clone()).collect();
            found.push(LostHole { hole, lost, cause: cause.clone() });
        }
        found
    }

    fn unproven(&self, gaps: &[Gap], fillings: &[Option<Filling>], cause: &str) -> Vec<LostHole> {
        let holes = self.examined.holes(self.journal);
        let open = gaps.iter().zip(fillings).filter(|(_, filling)| filling.is_none());
        open.filter_map(|(gap, _)| self.hole_of(&holes, gap))
            .map(|hole| LostHole { hole, lost: Vec::new(), cause: cause.to_owned() })
            .collect()
    }

    /// The hole as it is reported. Of several damaged files that of the one that counts may be larger.
    fn hole_of(&self, holes: &[Hole], gap: &Gap) -> Option<Hole> {
        let meets = |hole: &&Hole| hole.bytes.start < gap.bytes.end && hole.bytes.end > gap.bytes.start;
        let hole = holes.iter().find(meets).or(holes.first())?;
        Some(Hole {
            bytes: gap.bytes.clone(),
            lsns: gap.first..=gap.last,
            damage: gap.damage,
            ..hole.clone()
        })
    }

    fn frame_bytes_of(&self, frame: &FrameAt) -> Result<Vec<u8>> {
        let Some(file) = &self.content.file else { return Ok(Vec::new()) };
        let mut bytes = vec![0; usize::try_from(frame.bytes).unwrap_or_default()];
        file.read_exact_at(&mut bytes, frame.offset)?;
        Ok(bytes)
    }
}
