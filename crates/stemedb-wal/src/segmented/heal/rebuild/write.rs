//! The file beside: begun, written as the segment was, and read back, in whichever frames it was written.

use std::{path::PathBuf, sync::Arc};

use stemedb_env::{
    File, Lsn, OpenMode,
    frame::Chain,
    planted::{Bug, planted},
};

use super::{
    super::{
        examine::{Gap, Piece, seal_frame},
        neighbours::End,
        spool::Spool,
    },
    Filling, Rebuild, Written,
    frames::{Frames, each_frame},
};
use crate::{
    Error, Result,
    error::Damage,
    segment::{Cursor, KIND_GROUP, Next, decode_group},
};

impl Rebuild<'_> {
    pub(super) fn create(&self) -> Result<(PathBuf, Arc<dyn File>)> {
        let path = self.journal.dir.temporary_healed(self.examined.id);
        let fs = &self.journal.env.fs;
        if fs.metadata(&path)?.is_some() {
            fs.remove(&path)?;
        }
        let file = fs.open(&path, OpenMode::CreateNew)?;
        Ok((path, file))
    }

    /// The segment as it was, up to its accepted end, and a seal.
    pub(super) fn write_exact(
        &self,
        gaps: &[Gap],
        fillings: &[Option<Filling>],
        spool: &Spool,
    ) -> Result<Written> {
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

    /// Reads back what was written, from the disk's side: every frame, the chain, the LSNs.
    pub(super) fn prove(&self, path: PathBuf, bytes: u64, end_chain: Option<Chain>) -> Result<Written> {
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
