//! The way through a damaged file: from frame to frame, and where one is damaged to the next that verifies.

use std::sync::Arc;

use stemedb_env::{
    AlignedBuffer, File, Lsn,
    frame::{Chain, FileIdentity, FrameHeader, HEADER_BYTES, MAGIC, claimed_bytes, decode},
};

use super::{
    super::{
        super::inner::Inner,
        is_unreadable,
        neighbours::{End, starts},
    },
    FrameAt, Gap, MIN_SECTOR_BYTES, Piece,
};
use crate::{
    Result,
    error::Damage,
    segment::{
        Cursor, KIND_GROUP, KIND_HEADER, KIND_SEAL, LoadedHeader, Next, decode_group, is_unpack_damage,
    },
};

/// What is read at once where frames are looked for.
const CHUNK_BYTES: usize = 256 << 10;
/// How far a place that cannot be read or unpacked is stepped over.
const STEP_BYTES: u64 = 4 << 10;

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
pub(super) struct Walk<'a> {
    pub journal: &'a Inner,
    pub id: u64,
    pub file: &'a Arc<dyn File>,
    pub identity: FileIdentity,
    pub len: u64,
    pub pieces: Vec<Piece>,
}

impl Walk<'_> {
    fn cursor(&self, offset: u64, chain: Chain, lsn: Lsn) -> Cursor {
        Cursor::new(Arc::clone(self.file), self.identity, offset, chain, lsn)
    }

    pub(super) fn walk_behind(
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
    pub(super) fn walk_without_header(
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
    pub(super) fn ends_as_replacement(&mut self, end: Option<End>) -> bool {
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
