//! The frames of a segment again: tried against the chain, written beside, read back.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use stemedb_env::{
    File, Lsn, OpenMode,
    frame::{
        Chain, FileIdentity, FrameHeader, HEADER_BYTES, MAX_FRAME_BYTES, claimed_bytes, encode, frame_bytes,
    },
    planted::{Bug, planted},
};

use super::{
    super::inner::Inner,
    EntrySource, HealError, Healing, Hole, LostHole,
    correct::correct,
    examine::{Content, End, Examined, FrameAt, Gap, Piece, Start, seal_frame, starts},
    is_unreadable,
    plan::{GroupSpec, Hint, Plan, Planner, Spec},
    spool::Spool,
};
use crate::{
    Error, Result,
    error::Damage,
    segment::{
        Cursor, FLAG_CLOSED, FLAG_LZ4, Form, HEADER_PAYLOAD_BYTES, KIND_GROUP, KIND_HEADER, KIND_MARKER,
        LoadedHeader, Next, Replaced, SegmentHeader, decode_group, pack,
    },
};

/// All trials of one segment together read at most so much.
const MAX_TRIED_BYTES: u64 = 4 << 30;
/// Groups of a replacement are about so large.
const GROUP_BYTES: u64 = 64 << 10;

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

/// What fills a gap.
enum Filling {
    /// The bytes that stood there, put right.
    Bytes(Vec<u8>),
    /// Frames, behind a header if there is one.
    Frames { header: Option<SegmentHeader>, plan: Plan },
}

/// The fixed facts of a trial.
#[derive(Clone, Copy)]
struct Frames {
    identity: FileIdentity,
    sector: usize,
    /// Frames before this offset were written before the file had its name, and carry no watermark.
    built_bytes: u64,
}

impl Frames {
    fn of(identity: FileIdentity, header: &SegmentHeader) -> Frames {
        Frames { identity, sector: header.sector_bytes as usize, built_bytes: header.built_bytes }
    }

    fn encode(&self, header: FrameHeader, payload: &[u8], out: &mut Vec<u8>) -> Result<Chain> {
        out.clear();
        encode(&self.identity, &header, payload, self.sector, out)
            .map_err(|error| impossible(&self.identity, header.offset, error))
    }

    fn plain(&self, kind: u8, offset: u64, chain_prev: Chain) -> FrameHeader {
        let watermark = if offset >= self.built_bytes { offset } else { 0 };
        FrameHeader { kind, flags: 0, offset, first_lsn: Lsn::ZERO, count: 0, watermark, chain_prev }
    }

    fn header(&self, header: &SegmentHeader, out: &mut Vec<u8>) -> Result<Chain> {
        let first = FrameHeader { watermark: 0, ..self.plain(KIND_HEADER, 0, header.predecessor_chain) };
        self.encode(first, &header.encode(), out)
    }

    fn group(
        &self,
        group: &GroupSpec,
        spool: &Spool,
        first_lsn: Lsn,
        offset: u64,
        chain: Chain,
        out: &mut Vec<u8>,
    ) -> Result<Chain> {
        let mut payload = spool.payload(&group.entries())?;
        let packed = if group.packs { pack(&payload) } else { None };
        let flags = if packed.is_some() { FLAG_LZ4 } else { 0 };
        payload = packed.unwrap_or(payload);
        let count = u32::try_from(group.end - group.start).unwrap_or(u32::MAX);
        let header = FrameHeader { flags, first_lsn, count, ..self.plain(KIND_GROUP, offset, chain) };
        self.encode(header, &payload, out)
    }
}

/// Never of what was made here: sizes are checked before.
fn impossible(identity: &FileIdentity, offset: u64, error: stemedb_env::frame::FrameError) -> Error {
    Error::Corruption {
        file: PathBuf::from(format!("segment {}", identity.file)),
        offset,
        damage: error.into(),
        first_lsn: Lsn::ZERO,
        last_lsn: None,
    }
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

    fn corrected(&self, gap: &Gap) -> Result<Option<Vec<u8>>> {
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
    fn planned(&mut self, gap: &Gap, spool: &Spool) -> Result<Option<Filling>> {
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

    fn create(&self) -> Result<(PathBuf, Arc<dyn File>)> {
        let path = self.journal.dir.temporary_healed(self.examined.id);
        let fs = &self.journal.env.fs;
        if fs.metadata(&path)?.is_some() {
            fs.remove(&path)?;
        }
        let file = fs.open(&path, OpenMode::CreateNew)?;
        Ok((path, file))
    }

    fn frame_bytes_of(&self, frame: &FrameAt) -> Result<Vec<u8>> {
        let Some(file) = &self.content.file else { return Ok(Vec::new()) };
        let mut bytes = vec![0; usize::try_from(frame.bytes).unwrap_or_default()];
        file.read_exact_at(&mut bytes, frame.offset)?;
        Ok(bytes)
    }

    /// The segment as it was, up to its accepted end, and a seal.
    fn write_exact(&self, gaps: &[Gap], fillings: &[Option<Filling>], spool: &Spool) -> Result<Written> {
        let (path, file) = self.create()?;
        let mut gaps_left = gaps.iter().zip(fillings);
        let mut chain = Chain::default();
        let mut sector = self.content.header.map_or(0, |header| header.header.sector_bytes as usize);
        let mut buffer = Vec::new();
        for piece in &self.content.pieces {
            match piece {
                Piece::Frame(frame) => {
                    file.write_all_at(&self.frame_bytes_of(frame)?, frame.offset)?;
                    chain = frame.chain;
                }
                Piece::Gap(_) => match gaps_left.next() {
                    Some((gap, Some(Filling::Bytes(bytes)))) => {
                        file.write_all_at(bytes, gap.bytes.start)?;
                        chain = gap.after.unwrap_or(chain);
                        if gap.bytes.start == 0 {
                            sector = bytes.len();
                        }
                    }
                    Some((gap, Some(Filling::Frames { header, plan }))) => {
                        let known = self.content.header.map(|header| header.header);
                        let Some(segment) = header.or(known) else { continue };
                        let frames = Frames::of(self.identity, &segment);
                        let (mut from, mut before) = (gap.bytes.start, gap.before.unwrap_or_default());
                        if let Some(header) = header {
                            before = frames.header(header, &mut buffer)?;
                            file.write_all_at(&buffer, 0)?;
                            from = buffer.len() as u64;
                            sector = frames.sector;
                        }
                        let mut write = |offset: u64, bytes: &[u8]| -> Result<()> {
                            Ok(file.write_all_at(bytes, offset)?)
                        };
                        (_, chain) = each_frame(&frames, plan, spool, gap, from, before, &mut write)?;
                    }
                    _ => {}
                },
            }
        }
        let End { bytes, chain: end_chain, last_lsn } = self.end;
        let seal = seal_frame(&self.identity, self.examined.id + 1, bytes, chain, last_lsn, sector.max(512));
        file.write_all_at(&seal, bytes)?;
        file.sync_data()?;
        self.prove(path, bytes, Some(end_chain))
    }

    /// The same entries in frames of its own. `None` if nothing tells how it begins.
    fn write_replacement(
        &self,
        gaps: &[Gap],
        fillings: &[Option<Filling>],
        spool: &Spool,
    ) -> Result<Option<Written>> {
        let known = self.content.header.map(|header| header.header);
        let first = match (known, self.content.pieces.first()) {
            (Some(header), _) => header.base_lsn(),
            (None, Some(Piece::Gap(gap))) => gap.first,
            _ => return Ok(None),
        };
        let start = match known {
            Some(header) => Some(Start {
                bytes: header.predecessor_bytes,
                chain: header.predecessor_chain,
                last_lsn: header.predecessor_last_lsn,
            }),
            None => starts(self.journal, self.examined.id, Some(first))?
                .into_iter()
                .find(|start| start.last_lsn.next() == first),
        };
        let Some(start) = start else { return Ok(None) };
        let sector = known.map_or(self.journal.options.sector_bytes(), |header| header.sector_bytes as usize);
        let groups = self.groups(gaps, fillings, spool);
        let header_bytes = frame_bytes(HEADER_PAYLOAD_BYTES + 32, sector).unwrap_or(sector) as u64;
        let seal_bytes = frame_bytes(crate::segment::SEAL_PAYLOAD_BYTES, sector).unwrap_or(sector) as u64;
        let mut own_bytes = header_bytes + seal_bytes;
        for group in &groups {
            let payload = match group {
                Regrouped::Whole(frame) => frame.payload_bytes,
                Regrouped::Given { group, .. } => {
                    usize::try_from(spool.payload_bytes(&group.entries())).unwrap_or(usize::MAX)
                }
                Regrouped::Corrected { frame, .. } => frame.payload_bytes,
            };
            own_bytes += frame_bytes(payload, sector).unwrap_or_default() as u64;
        }
        let header = SegmentHeader {
            predecessor: self.examined.id - 1,
            predecessor_bytes: start.bytes,
            predecessor_chain: start.chain,
            predecessor_last_lsn: start.last_lsn,
            sector_bytes: u32::try_from(sector).unwrap_or(u32::MAX),
            built_bytes: own_bytes,
            allocated_bytes: own_bytes,
            recycled: false,
            replaces: Some(Replaced { own_bytes, bytes: self.end.bytes, chain: self.end.chain }),
        };
        let (path, file) = self.create()?;
        let frames = Frames::of(self.identity, &header);
        let mut buffer = Vec::new();
        let mut chain = frames.header(&header, &mut buffer)?;
        file.write_all_at(&buffer, 0)?;
        let mut offset = buffer.len() as u64;
        for group in &groups {
            chain = match group {
                Regrouped::Whole(frame) => {
                    self.again(&frames, frame, &self.frame_bytes_of(frame)?, offset, chain, &mut buffer)?
                }
                Regrouped::Corrected { frame, bytes } => {
                    self.again(&frames, frame, bytes, offset, chain, &mut buffer)?
                }
                Regrouped::Given { group, first_lsn } => {
                    frames.group(group, spool, *first_lsn, offset, chain, &mut buffer)?
                }
            };
            file.write_all_at(&buffer, offset)?;
            offset += buffer.len() as u64;
        }
        let seal = seal_frame(&self.identity, self.examined.id + 1, offset, chain, self.end.last_lsn, sector);
        file.write_all_at(&seal, offset)?;
        file.sync_data()?;
        Ok(Some(self.prove(path, own_bytes, None)?))
    }

    /// A group's frame at another place.
    fn again(
        &self,
        frames: &Frames,
        frame: &FrameAt,
        bytes: &[u8],
        offset: u64,
        chain: Chain,
        out: &mut Vec<u8>,
    ) -> Result<Chain> {
        let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + frame.payload_bytes).unwrap_or_default();
        let header = FrameHeader {
            flags: frame.flags,
            first_lsn: frame.first_lsn,
            count: frame.count,
            ..frames.plain(KIND_GROUP, offset, chain)
        };
        frames.encode(header, payload, out)
    }

    /// Every group of the segment in order, those of the gaps in sizes that suit.
    fn groups<'s>(&self, gaps: &[Gap], fillings: &'s [Option<Filling>], spool: &Spool) -> Vec<Regrouped<'s>> {
        let mut groups = Vec::new();
        let mut gaps_left = gaps.iter().zip(fillings);
        for piece in &self.content.pieces {
            match piece {
                Piece::Frame(frame) if frame.kind == KIND_GROUP => groups.push(Regrouped::Whole(*frame)),
                Piece::Frame(_) => {}
                Piece::Gap(_) => {
                    let Some((gap, filling)) = gaps_left.next() else { continue };
                    if let Some(Filling::Bytes(bytes)) = filling {
                        groups.extend(corrected_group(&self.identity, gap, bytes));
                        continue;
                    }
                    let entries = spool.entries_of(gap);
                    let mut start = entries.start;
                    for entry in entries.clone() {
                        let is_full = spool.payload_bytes(&(start..entry + 1)) > GROUP_BYTES;
                        if is_full && entry > start {
                            groups.push(given(gap, &entries, start, entry));
                            start = entry;
                        }
                    }
                    if start < entries.end {
                        groups.push(given(gap, &entries, start, entries.end));
                    }
                }
            }
        }
        groups
    }

    /// Reads back what was written, from the disk's side: every frame, the chain, the LSNs.
    fn prove(&self, path: PathBuf, bytes: u64, end_chain: Option<Chain>) -> Result<Written> {
        let file = self.journal.env.fs.open(&path, OpenMode::Read)?;
        let header = self.journal.dir.header(&file, self.examined.id)?;
        if planted(Bug::HealWithoutProof) {
            return Ok(Written { path, header });
        }
        let base = header.header.base_lsn();
        let mut cursor = Cursor::new(file, self.identity, header.frame_bytes, header.chain, base);
        let refused = |offset: u64, damage: Damage, first_lsn: Lsn| {
            Err(Error::Corruption {
                file: path.clone(),
                offset,
                damage,
                first_lsn,
                last_lsn: Some(self.end.last_lsn),
            })
        };
        loop {
            let (offset, lsn) = (cursor.offset, cursor.next_lsn);
            match cursor.next(bytes)? {
                Next::End => break,
                Next::Bad(damage) => return refused(offset, damage, lsn),
                Next::Frame(frame) if frame.header.kind == KIND_GROUP && decode_group(&frame).is_none() => {
                    return refused(offset, Damage::Payload, lsn);
                }
                Next::Frame(_) => {}
            }
        }
        if end_chain.is_some_and(|chain| chain != cursor.chain) {
            return refused(bytes, Damage::BrokenChain, cursor.next_lsn);
        }
        if cursor.next_lsn != self.end.last_lsn.next() {
            let damage = Damage::LsnGap { expected: self.end.last_lsn.next(), found: cursor.next_lsn };
            return refused(bytes, damage, cursor.next_lsn);
        }
        Ok(Written { path, header })
    }
}

/// A group of a replacement.
enum Regrouped<'s> {
    Whole(FrameAt),
    Corrected { frame: FrameAt, bytes: &'s [u8] },
    Given { group: GroupSpec, first_lsn: Lsn },
}

fn given<'s>(gap: &Gap, entries: &std::ops::Range<usize>, start: usize, end: usize) -> Regrouped<'s> {
    let first_lsn = Lsn(gap.first.0.saturating_add((start - entries.start) as u64));
    Regrouped::Given { group: GroupSpec { start, end, packs: false }, first_lsn }
}

fn corrected_group<'s>(identity: &FileIdentity, gap: &Gap, bytes: &'s [u8]) -> Option<Regrouped<'s>> {
    let frame = stemedb_env::frame::decode(bytes, identity, gap.bytes.start).ok()?;
    (frame.header.kind == KIND_GROUP).then_some(Regrouped::Corrected {
        frame: FrameAt {
            offset: gap.bytes.start,
            bytes: frame.frame_bytes as u64,
            kind: KIND_GROUP,
            flags: frame.header.flags,
            first_lsn: frame.header.first_lsn,
            count: frame.header.count,
            payload_bytes: frame.payload.len(),
            chain_prev: frame.header.chain_prev,
            chain: frame.chain,
            lsn: frame.header.first_lsn,
        },
        bytes,
    })
}

/// Makes the frames of a plan one after the other; where they end, and with which chain value.
fn each_frame(
    frames: &Frames,
    plan: &Plan,
    spool: &Spool,
    gap: &Gap,
    from: u64,
    before: Chain,
    visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<(u64, Chain)> {
    let (mut offset, mut chain) = (from, before);
    let start = spool.entries_of(gap).start;
    let mut bytes = Vec::new();
    for spec in plan {
        chain = match spec {
            Spec::Group(group) => {
                let behind = group.start.saturating_sub(start) as u64;
                let first_lsn = Lsn(gap.first.0.saturating_add(behind));
                frames.group(group, spool, first_lsn, offset, chain, &mut bytes)?
            }
            Spec::Marker { closed } => {
                let flags = if *closed { FLAG_CLOSED } else { 0 };
                let header = FrameHeader { flags, ..frames.plain(KIND_MARKER, offset, chain) };
                frames.encode(header, &[], &mut bytes)?
            }
        };
        visit(offset, &bytes)?;
        offset += bytes.len() as u64;
    }
    Ok((offset, chain))
}
