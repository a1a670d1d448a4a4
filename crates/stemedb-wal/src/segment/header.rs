//! The payloads of header and seal frames.

use stemedb_env::{Lsn, frame::Chain};

/// Size of a header frame's payload.
pub(crate) const HEADER_PAYLOAD_BYTES: usize = 80;
/// Size of the payload of a replacement's header frame.
pub(crate) const REPLACEMENT_PAYLOAD_BYTES: usize = HEADER_PAYLOAD_BYTES + 32;
/// Flag of a header: the file had been a segment before, so what stands behind the end may be anything.
const FLAG_RECYCLED: u32 = 1;
/// Flag of a header: it stands for a damaged segment, and 32 bytes more follow.
const FLAG_REPLACEMENT: u32 = 2;
/// Size of a seal frame's payload.
pub(crate) const SEAL_PAYLOAD_BYTES: usize = 16;

/// What a segment says about itself and the one before it.
///
/// ```text
///  0  8  predecessor            0 for the first segment
///  8  8  predecessor's bytes    its accepted length: what follows there is not part of the journal
/// 16 16  predecessor's chain    at that length
/// 32  8  predecessor's last LSN
/// 40  8  base LSN               first LSN of this segment: the one above plus 1
/// 48  4  sector bytes
/// 52  4  zero
/// 56  8  built bytes            durable before the file had its name
/// 64  8  allocated bytes        the file's length before it had its name: a shorter one has been cut
/// 72  4  flags                  1: a recycled file, what follows the end may be anything; 2: a replacement
/// 76  4  zero
/// of a replacement:
/// 80  8  own bytes              its accepted length, its seal included
/// 88  8  replaced bytes         accepted length of the segment that it replaces
/// 96 16  replaced chain         of that segment at that length
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub predecessor: u64,
    pub predecessor_bytes: u64,
    pub predecessor_chain: Chain,
    pub predecessor_last_lsn: Lsn,
    pub sector_bytes: u32,
    pub built_bytes: u64,
    pub allocated_bytes: u64,
    pub recycled: bool,
    pub replaces: Option<Replaced>,
}

/// What a replacement says about itself and the segment that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Its own accepted length, its seal included.
    pub own_bytes: u64,
    /// Accepted length of the original: the successor's header names it.
    pub bytes: u64,
    /// Chain value of the original there.
    pub chain: Chain,
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl SegmentHeader {
    /// First LSN of the segment.
    pub fn base_lsn(&self) -> Lsn {
        self.predecessor_last_lsn.next()
    }

    pub fn encode(&self) -> Vec<u8> {
        let flags =
            u32::from(self.recycled) * FLAG_RECYCLED + u32::from(self.replaces.is_some()) * FLAG_REPLACEMENT;
        let mut out = vec![0; HEADER_PAYLOAD_BYTES];
        out[0..8].copy_from_slice(&self.predecessor.to_le_bytes());
        out[8..16].copy_from_slice(&self.predecessor_bytes.to_le_bytes());
        out[16..32].copy_from_slice(&self.predecessor_chain.0);
        out[32..40].copy_from_slice(&self.predecessor_last_lsn.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.base_lsn().0.to_le_bytes());
        out[48..52].copy_from_slice(&self.sector_bytes.to_le_bytes());
        out[56..64].copy_from_slice(&self.built_bytes.to_le_bytes());
        out[64..72].copy_from_slice(&self.allocated_bytes.to_le_bytes());
        out[72..76].copy_from_slice(&flags.to_le_bytes());
        if let Some(replaced) = &self.replaces {
            out.extend_from_slice(&replaced.own_bytes.to_le_bytes());
            out.extend_from_slice(&replaced.bytes.to_le_bytes());
            out.extend_from_slice(&replaced.chain.0);
        }
        out
    }

    /// `None` if the payload is not a header's.
    pub fn decode(payload: &[u8]) -> Option<SegmentHeader> {
        let flags = u64_at(payload, 72)?;
        let replaces = match payload.len() {
            HEADER_PAYLOAD_BYTES => None,
            REPLACEMENT_PAYLOAD_BYTES => Some(Replaced {
                own_bytes: u64_at(payload, 80)?,
                bytes: u64_at(payload, 88)?,
                chain: Chain(payload.get(96..112)?.try_into().ok()?),
            }),
            _ => return None,
        };
        let header = SegmentHeader {
            predecessor: u64_at(payload, 0)?,
            predecessor_bytes: u64_at(payload, 8)?,
            predecessor_chain: Chain(payload.get(16..32)?.try_into().ok()?),
            predecessor_last_lsn: Lsn(u64_at(payload, 32)?),
            sector_bytes: u32::from_le_bytes(payload.get(48..52)?.try_into().ok()?),
            built_bytes: u64_at(payload, 56)?,
            allocated_bytes: u64_at(payload, 64)?,
            recycled: flags & u64::from(FLAG_RECYCLED) != 0,
            replaces,
        };
        let replacement_flag = if replaces.is_some() { u64::from(FLAG_REPLACEMENT) } else { 0 };
        let consistent = header.base_lsn().0 == u64_at(payload, 40)?
            && header.sector_bytes.is_power_of_two()
            && (512..=65_536).contains(&header.sector_bytes)
            && flags & !u64::from(FLAG_RECYCLED) == replacement_flag;
        consistent.then_some(header)
    }
}

/// Where a rotated segment goes on: successor (8 bytes), last LSN (8 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub successor: u64,
    pub last_lsn: Lsn,
}

impl Seal {
    pub fn encode(&self) -> [u8; SEAL_PAYLOAD_BYTES] {
        let mut out = [0; SEAL_PAYLOAD_BYTES];
        out[0..8].copy_from_slice(&self.successor.to_le_bytes());
        out[8..16].copy_from_slice(&self.last_lsn.0.to_le_bytes());
        out
    }

    pub fn decode(payload: &[u8]) -> Option<Seal> {
        if payload.len() != SEAL_PAYLOAD_BYTES {
            return None;
        }
        Some(Seal { successor: u64_at(payload, 0)?, last_lsn: Lsn(u64_at(payload, 8)?) })
    }
}
