//! Frames, made as the writer makes them.

use std::path::PathBuf;

use stemedb_env::{
    Lsn,
    frame::{Chain, FileIdentity, FrameHeader, encode},
};

use super::super::{
    examine::Gap,
    plan::{GroupSpec, Plan, Spec},
    spool::Spool,
};
use crate::{
    Error, Result,
    segment::{FLAG_CLOSED, FLAG_LZ4, KIND_GROUP, KIND_HEADER, KIND_MARKER, SegmentHeader, pack},
};

/// The fixed facts of a trial.
#[derive(Clone, Copy)]
pub(super) struct Frames {
    identity: FileIdentity,
    pub(super) sector: usize,
    /// Frames before this offset were written before the file had its name, and carry no watermark.
    built_bytes: u64,
}

impl Frames {
    pub(super) fn of(identity: FileIdentity, header: &SegmentHeader) -> Frames {
        Frames { identity, sector: header.sector_bytes as usize, built_bytes: header.built_bytes }
    }

    pub(super) fn encode(&self, header: FrameHeader, payload: &[u8], out: &mut Vec<u8>) -> Result<Chain> {
        out.clear();
        encode(&self.identity, &header, payload, self.sector, out)
            .map_err(|error| impossible(&self.identity, header.offset, error))
    }

    pub(super) fn plain(&self, kind: u8, offset: u64, chain_prev: Chain) -> FrameHeader {
        let watermark = if offset >= self.built_bytes { offset } else { 0 };
        FrameHeader { kind, flags: 0, offset, first_lsn: Lsn::ZERO, count: 0, watermark, chain_prev }
    }

    pub(super) fn header(&self, header: &SegmentHeader, out: &mut Vec<u8>) -> Result<Chain> {
        let first = FrameHeader { watermark: 0, ..self.plain(KIND_HEADER, 0, header.predecessor_chain) };
        self.encode(first, &header.encode(), out)
    }

    pub(super) fn group(
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

/// Makes the frames of a plan one after the other; where they end, and with which chain value.
pub(super) fn each_frame(
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
