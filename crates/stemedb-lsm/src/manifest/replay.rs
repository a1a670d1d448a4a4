//! Reading a manifest back, and deciding what its end means.

use std::{path::Path, sync::Arc};

use stemedb_env::{
    Env, File, OpenMode,
    frame::{Chain, DatabaseId, FileIdentity, FrameReader, ReadError, find_frames},
    planted::{Bug, planted},
};

use super::{Edit, FrameKind, SECTOR_BYTES, TreeState, identity, manifest_path};
use crate::{CorruptionKind, Error, Result};

/// What a manifest said.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) state: TreeState,
    /// Bytes behind the last accepted frame that a crash left there.
    pub(crate) torn: bool,
}

/// Reads manifest `number`.
///
/// A bad frame at `p` is a torn tail if nothing proves that `p` had been durable, else corruption. Proof is any later
/// valid frame of this file whose watermark lies beyond `p`; the first frame had been durable before `CURRENT` named the file.
pub(crate) fn replay(env: &Env, dir: &Path, database: DatabaseId, number: u64) -> Result<Replayed> {
    let path = manifest_path(dir, number);
    let bad = |offset| Error::Corruption { kind: CorruptionKind::Manifest, file: path.clone(), offset };
    let file = match env.fs.open(&path, OpenMode::Read) {
        Err(error) if error.is_not_found() => return Err(bad(0)),
        other => other?,
    };
    let identity = identity(database, number);
    let len = file.len()?;
    let mut reader = FrameReader::new(Arc::clone(&file), identity, 0);
    let mut state = TreeState::default();
    let mut chain = Chain::default();
    loop {
        let offset = reader.offset();
        match next(&mut reader, chain)? {
            Some((kind, next_chain, payload)) => {
                if kind != FrameKind::Mark {
                    // The checksum was right: this is what was written, and it must make sense.
                    let edit = Edit::decode(&payload).map_err(|_| bad(offset))?;
                    if (kind == FrameKind::Snapshot) != (offset == 0) {
                        return Err(bad(offset));
                    }
                    state.apply(&edit);
                }
                chain = next_chain;
            }
            None if offset == len && offset > 0 => return Ok(Replayed { state, torn: false }),
            None if offset == 0 || was_durable(&file, &identity, offset)? => return Err(bad(offset)),
            None => return Ok(Replayed { state, torn: true }),
        }
    }
}

type Accepted = (FrameKind, Chain, Vec<u8>);

/// The next frame that is valid and fits the chain.
fn next(reader: &mut FrameReader, chain: Chain) -> Result<Option<Accepted>> {
    match reader.next_frame() {
        Ok(found) => {
            let header = &found.frame.header;
            let kind = match header.kind {
                1 => FrameKind::Snapshot,
                2 => FrameKind::Edit,
                3 => FrameKind::Mark,
                _ => return Ok(None),
            };
            let fits = header.chain_prev == chain;
            Ok(fits.then(|| (kind, found.frame.chain, found.frame.payload.to_vec())))
        }
        Err(ReadError::Frame { .. }) => Ok(None),
        Err(ReadError::Env(error)) => Err(error.into()),
    }
}

fn was_durable(file: &Arc<dyn File>, identity: &FileIdentity, offset: u64) -> Result<bool> {
    let mut proven = false;
    find_frames(file, identity, offset, SECTOR_BYTES, &mut |found| {
        proven = found.frame.header.watermark > offset;
        !proven
    })?;
    Ok(proven && !planted(Bug::LsmMarkIgnored))
}
