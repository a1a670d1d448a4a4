//! The same entries in other frames.

use stemedb_env::{
    Lsn,
    frame::{Chain, FileIdentity, FrameHeader, HEADER_BYTES, frame_bytes},
};

use super::{
    super::{
        examine::{FrameAt, Gap, Piece, seal_frame},
        neighbours::{Start, starts},
        plan::GroupSpec,
        spool::Spool,
    },
    Filling, Rebuild, Written,
    frames::Frames,
};
use crate::{
    Result,
    segment::{HEADER_PAYLOAD_BYTES, KIND_GROUP, Replaced, SegmentHeader},
};

/// Groups of a replacement are about so large.
const GROUP_BYTES: u64 = 64 << 10;

impl Rebuild<'_> {
    /// The same entries in frames of its own. `None` if nothing tells how it begins.
    pub(super) fn write_replacement(
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
