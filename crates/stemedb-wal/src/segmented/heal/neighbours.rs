//! What the segments before and behind one say about it: where it begins, where it ends, and under which name it belongs.

use stemedb_env::{Lsn, frame::Chain};

use super::{super::inner::Inner, is_unreadable};
use crate::{
    Error, Result,
    segment::{Cursor, KIND_SEAL, Next, Place, Seal},
};

/// What the successor's header says about a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub bytes: u64,
    pub chain: Chain,
    pub last_lsn: Lsn,
}

/// Where a segment may begin: what its header says about its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub bytes: u64,
    pub chain: Chain,
    pub last_lsn: Lsn,
}

/// Where segment `id` may begin, the likeliest first, as its predecessor ends: behind one of its last frames. A seal leaves
/// no doubt. Empty if the predecessor cannot tell.
///
/// `next` is the LSN that is known to follow, if one is: ends that do not fit it come last.
pub(super) fn starts(journal: &Inner, id: u64, next: Option<Lsn>) -> Result<Vec<Start>> {
    /// Frames from the end of the predecessor.
    const ENDS: usize = 16;
    let Some(before) = id.checked_sub(1).filter(|&before| before > 0) else {
        return Ok(vec![Start { bytes: 0, chain: Chain::default(), last_lsn: Lsn::ZERO }]);
    };
    let Some(listed) = journal.dir.forms(before)?.into_iter().next() else { return Ok(Vec::new()) };
    let opened = journal.dir.open(before, listed.location).and_then(|file| {
        let header = journal.dir.header(&file, before)?;
        Ok((file, header))
    });
    let (file, header) = match opened {
        Ok(opened) => opened,
        Err(Error::Env(error)) if !is_unreadable(&error) => return Err(Error::Env(error)),
        Err(_) => return Ok(Vec::new()),
    };
    let len = match file.len() {
        Err(error) if is_unreadable(&error) => return Ok(Vec::new()),
        len => len?,
    };
    let mut ends: Vec<Start> = Vec::new();
    let base = header.header.base_lsn();
    ends.push(Start { bytes: header.frame_bytes, chain: header.chain, last_lsn: base.prev() });
    let mut cursor =
        Cursor::new(file, journal.dir.identity.file(before), header.frame_bytes, header.chain, base);
    loop {
        let (bytes, chain) = (cursor.offset, cursor.chain);
        let seal = match cursor.next(len) {
            Ok(Next::Frame(frame)) if frame.header.kind == KIND_SEAL => Seal::decode(frame.payload),
            Ok(Next::Frame(_)) => None,
            Ok(Next::End | Next::Bad(_)) => break,
            Err(error) if is_unreadable(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        if let Some(seal) = seal {
            return Ok(vec![match header.header.replaces {
                Some(replaced) => {
                    Start { bytes: replaced.bytes, chain: replaced.chain, last_lsn: seal.last_lsn }
                }
                None => Start { bytes, chain, last_lsn: seal.last_lsn },
            }]);
        }
        ends.push(Start { bytes: cursor.offset, chain: cursor.chain, last_lsn: cursor.next_lsn.prev() });
        if ends.len() > 2 * ENDS {
            ends.drain(..ENDS);
        }
    }
    ends.reverse();
    ends.truncate(ENDS);
    if let Some(next) = next {
        ends.sort_by_key(|start| start.last_lsn.next() != next);
    }
    Ok(ends)
}

/// Under which name a segment that is written again belongs.
pub(super) fn place_of(journal: &Inner, id: u64) -> Place {
    let table = journal.table.lock();
    let is_released =
        |at: u64| table.segments.get(&at).is_some_and(|segment| segment.location.place == Place::Released);
    match table.segments.get(&id) {
        Some(segment) => segment.location.place,
        // Segments are released in order: it stands between two of the same kind, or at their border.
        None if table.segments.range(id..).any(|(&at, _)| is_released(at)) => Place::Released,
        None if table.segments.range(..id).any(|(&at, _)| !is_released(at)) => Place::Live,
        None => Place::Released,
    }
}
