//! What a segment holds behind the place where its frames end.

use std::sync::Arc;

use stemedb_env::{
    AlignedBuffer, File, Lsn,
    frame::{Chain, FileIdentity, HEADER_BYTES, MAGIC, claimed_bytes, decode},
};

use super::{Form, KIND_GROUP, is_unpack_damage};
use crate::Result;

/// Frames start on multiples of this in every segment.
const MIN_SECTOR_BYTES: usize = 512;
/// What is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What stands behind a bad frame.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// The highest watermark of any whole frame of this file, wherever the frame claims to be: one that stands in the
    /// wrong place cannot be used, but what it says about durability is true.
    pub proven_bytes: u64,
    /// End of the last byte that is not zero.
    pub end_bytes: u64,
    /// The first bytes are the beginning of a frame of this file at this place.
    pub begins_frame: bool,
    /// The first whole frame that stands where it says: its offset, and the chain before it.
    pub next: Option<(u64, Chain)>,
    /// First LSN of the first of those that is a group; the others carry none.
    pub next_lsn: Option<Lsn>,
}

/// Looks for whole frames behind a position where there is none. Sectors that cannot be unpacked are passed over.
pub(crate) fn look_behind(
    file: &Arc<dyn File>,
    identity: &FileIdentity,
    from: u64,
    len: u64,
    form: Form,
) -> Result<Behind> {
    let mut behind = Behind::default();
    let mut chunk = AlignedBuffer::new();
    let mut at = from;
    while at < len {
        chunk.resize_stale(usize::try_from(len - at).unwrap_or(usize::MAX).min(CHUNK_BYTES));
        let read = match file.read_up_to_at(&mut chunk, at) {
            Ok(read) => read,
            // Only this form can be entered behind the damage.
            Err(error) if is_unpack_damage(&error) && form == Form::Zstd => {
                at += chunk.len() as u64;
                continue;
            }
            Err(error) if is_unpack_damage(&error) => break,
            Err(error) => return Err(error.into()),
        };
        for (index, sector) in chunk.get(..read).unwrap_or_default().chunks(MIN_SECTOR_BYTES).enumerate() {
            let Some(last) = sector.iter().rposition(|&byte| byte != 0) else { continue };
            let start = at + (index * MIN_SECTOR_BYTES) as u64;
            behind.end_bytes = start + last as u64 + 1;
            if !sector.starts_with(&MAGIC) || sector.len() < HEADER_BYTES {
                continue;
            }
            let claimed = sector.get(40..48).and_then(|field| field.try_into().ok()).map(u64::from_le_bytes);
            let Some(offset) = claimed else { continue };
            let Ok(total) = claimed_bytes(sector, identity, offset) else { continue };
            behind.begins_frame |= start == from && offset == from;
            if start.saturating_add(total as u64) > len {
                continue;
            }
            let mut whole = vec![0; total];
            match file.read_up_to_at(&mut whole, start) {
                Ok(read) => whole.truncate(read),
                Err(error) if is_unpack_damage(&error) => continue,
                Err(error) => return Err(error.into()),
            }
            let Ok(frame) = decode(&whole, identity, offset) else { continue };
            behind.proven_bytes = behind.proven_bytes.max(frame.header.watermark);
            if start > from && offset == start {
                behind.next.get_or_insert((start, frame.header.chain_prev));
                if frame.header.kind == KIND_GROUP {
                    behind.next_lsn.get_or_insert(frame.header.first_lsn);
                }
            }
        }
        if read < chunk.len() {
            break;
        }
        at += read as u64;
    }
    Ok(behind)
}
