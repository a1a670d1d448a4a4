//! What fills a gap: its own bytes put right, or frames that lead from the chain value before it to the one behind it.

use stemedb_env::{
    Lsn,
    frame::{Chain, HEADER_BYTES, MAX_FRAME_BYTES, claimed_bytes, frame_bytes},
    planted::{Bug, planted},
};

use super::{
    super::{
        correct::correct,
        examine::{Gap, Piece},
        is_unreadable,
        neighbours::{Start, starts},
        plan::{Hint, Plan, Planner},
        spool::Spool,
    },
    Rebuild,
    frames::{Frames, each_frame},
};
use crate::{
    Result,
    segment::{Form, HEADER_PAYLOAD_BYTES, KIND_GROUP, SegmentHeader},
};

/// All trials of one segment together read at most so much.
const MAX_TRIED_BYTES: u64 = 4 << 30;

/// What fills a gap.
pub(super) enum Filling {
    /// The bytes that stood there, put right.
    Bytes(Vec<u8>),
    /// Frames, behind a header if there is one.
    Frames { header: Option<SegmentHeader>, plan: Plan },
}

impl Rebuild<'_> {
    /// The bytes of the gap as they are in the file; `None` if they are not all there, or too many for one frame.
    fn bytes_of(&self, gap: &Gap) -> Result<Option<Vec<u8>>> {
        let Some(file) = &self.content.file else { return Ok(None) };
        let len = gap.bytes.end - gap.bytes.start;
        if len > MAX_FRAME_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        match file.read_up_to_at(&mut bytes, gap.bytes.start) {
            Ok(read) if read == bytes.len() => Ok(Some(bytes)),
            Ok(_) => Ok(None),
            Err(error) if is_unreadable(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn corrected(&self, gap: &Gap) -> Result<Option<Vec<u8>>> {
        let Some(after) = gap.after else { return Ok(None) };
        let Some(mut bytes) = self.bytes_of(gap)? else { return Ok(None) };
        let is_right = correct(&mut bytes, &self.identity, gap.bytes.start, gap.before, after);
        Ok(is_right.then_some(bytes))
    }

    /// What frames the gap's own first bytes still promise.
    fn hints(&self, gap: &Gap) -> Result<Vec<Hint>> {
        const SECTOR_BYTES: u64 = 512;
        let mut hints = Vec::new();
        let Some(file) = &self.content.file else { return Ok(hints) };
        let mut head = [0; HEADER_BYTES];
        let mut at = gap.bytes.start;
        while at < gap.bytes.end {
            match file.read_up_to_at(&mut head, at) {
                Ok(read) if read == head.len() => {}
                Ok(_) => break,
                Err(error) if is_unreadable(&error) => break,
                Err(error) => return Err(error.into()),
            }
            let field = |start: usize| -> Option<[u8; 8]> { head.get(start..start + 8)?.try_into().ok() };
            let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
            if let (Ok(bytes), Some(lsn), Some(count)) =
                (claimed_bytes(&head, &self.identity, at), field(56), field(64))
            {
                let [_, _, _, _, _, kind, f0, f1, ..] = head;
                hints.push(Hint {
                    offset: at,
                    bytes: bytes as u64,
                    kind,
                    flags: u16::from_le_bytes([f0, f1]),
                    first_lsn: Lsn(u64::from_le_bytes(lsn)),
                    count: low(u64::from_le_bytes(count)),
                });
            }
            at += SECTOR_BYTES;
        }
        Ok(hints)
    }

    /// Frames that fill the gap and close the chain.
    pub(super) fn planned(&mut self, gap: &Gap, spool: &Spool) -> Result<Option<Filling>> {
        let Some(after) = gap.after else { return Ok(None) };
        let hints = self.hints(gap)?;
        if let (Some(before), Some(header)) = (gap.before, self.content.header) {
            let frames = Frames::of(self.identity, &header.header);
            let planner = self.planner(gap, spool, gap.bytes.start, u64::from(header.header.sector_bytes));
            for plan in planner.plans(&hints)? {
                if self.closes(&frames, &plan, spool, gap.bytes.start, before, gap, after)? {
                    return Ok(Some(Filling::Frames { header: None, plan }));
                }
            }
            return Ok(None);
        }
        let mut buffer = Vec::new();
        for header in self.header_candidates(gap)? {
            let frames = Frames::of(self.identity, &header);
            let chain = frames.header(&header, &mut buffer)?;
            let behind = buffer.len() as u64;
            if behind > gap.bytes.end {
                continue;
            }
            let planner = self.planner(gap, spool, behind, u64::from(header.sector_bytes));
            for plan in planner.plans(&hints)? {
                if self.closes(&frames, &plan, spool, behind, chain, gap, after)? {
                    return Ok(Some(Filling::Frames { header: Some(header), plan }));
                }
            }
        }
        Ok(None)
    }

    fn planner<'s>(&self, gap: &Gap, spool: &'s Spool, from: u64, sector: u64) -> Planner<'s> {
        Planner {
            spool,
            entries: spool.entries_of(gap),
            first: gap.first,
            bytes: from..gap.bytes.end,
            sector,
            is_last: gap.bytes.end == self.end.bytes,
        }
    }

    /// True if these frames lead from the chain value before the gap to the one behind it.
    #[allow(clippy::too_many_arguments)]
    fn closes(
        &mut self,
        frames: &Frames,
        plan: &Plan,
        spool: &Spool,
        from: u64,
        before: Chain,
        gap: &Gap,
        after: Chain,
    ) -> Result<bool> {
        self.tried_bytes = self.tried_bytes.saturating_add(gap.bytes.end - gap.bytes.start);
        if self.tried_bytes > MAX_TRIED_BYTES {
            return Ok(false);
        }
        let end = each_frame(frames, plan, spool, gap, from, before, &mut |_, _| Ok(()))?;
        if planted(Bug::HealWithoutProof) {
            return Ok(end.0 == gap.bytes.end);
        }
        Ok(end == (gap.bytes.end, after))
    }

    /// What the header may have said, the likeliest first.
    fn header_candidates(&self, gap: &Gap) -> Result<Vec<SegmentHeader>> {
        let id = self.examined.id;
        let next = gap.last.next();
        let starts = starts(self.journal, id, Some(next))?;
        let starts: Vec<Start> =
            starts.into_iter().filter(|start| start.last_lsn.next() == gap.first).collect();
        let options = &self.journal.options;
        let raw = self.bytes_of(gap)?.unwrap_or_default();
        let raw_field = |at: usize| {
            let at = HEADER_BYTES + at;
            raw.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
        };
        let mut sectors: Vec<u64> = vec![options.sector_bytes() as u64, gap.bytes.end];
        sectors.extend((9..=16).map(|power| 1 << power));
        sectors.retain(|&sector| {
            sector.is_power_of_two()
                && (512..=65_536).contains(&sector)
                && gap.bytes.end.is_multiple_of(sector)
                && self.end.bytes.is_multiple_of(sector)
        });
        let mut seen = Vec::new();
        for sector in sectors {
            let Some(header_bytes) =
                usize::try_from(sector).ok().and_then(|sector| frame_bytes(HEADER_PAYLOAD_BYTES, sector))
            else {
                continue;
            };
            let built = self.built_bytes(gap, header_bytes as u64);
            let mut allocated: Vec<u64> = raw_field(64).into_iter().collect();
            allocated.extend([options.target_bytes(id), options.segment_bytes, built]);
            let plain = self.content.listed.filter(|listed| listed.location.form == Form::Plain);
            allocated.extend(plain.map(|listed| listed.bytes));
            allocated.extend((20..=30).step_by(2).map(|power| 1_u64 << power));
            for start in &starts {
                for allocated in &allocated {
                    for recycled in [false, true] {
                        let header = SegmentHeader {
                            predecessor: id - 1,
                            predecessor_bytes: start.bytes,
                            predecessor_chain: start.chain,
                            predecessor_last_lsn: start.last_lsn,
                            sector_bytes: u32::try_from(sector).unwrap_or(u32::MAX),
                            built_bytes: built,
                            allocated_bytes: (*allocated).max(built),
                            recycled,
                            replaces: None,
                        };
                        if !seen.contains(&header) {
                            seen.push(header);
                        }
                    }
                }
            }
        }
        Ok(seen)
    }

    /// How much was written before the file had its name: its first groups have no watermark then.
    fn built_bytes(&self, gap: &Gap, header_bytes: u64) -> u64 {
        let Some(file) = &self.content.file else { return header_bytes };
        let mut built = header_bytes;
        for piece in &self.content.pieces {
            let Piece::Frame(frame) = piece else {
                if matches!(piece, Piece::Gap(other) if other.bytes.start > 0) {
                    break;
                }
                continue;
            };
            let mut watermark = [1; 8];
            let is_zero = frame.kind == KIND_GROUP
                && file.read_exact_at(&mut watermark, frame.offset + 72).is_ok()
                && watermark == [0; 8];
            if !is_zero {
                break;
            }
            built = frame.offset + frame.bytes;
        }
        if built > header_bytes { built } else { header_bytes.min(gap.bytes.end) }
    }
}
