//! Everything that still reads of a manifest, whatever is damaged in it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use stemedb_env::{
    Env, File, OpenMode,
    frame::{DatabaseId, find_frames},
};

use super::{Edit, FrameKind, SECTOR_BYTES, TreeState, identity, manifest_path};
use crate::{Result, error::is_unreadable};

/// The frames of a manifest that verify. Each says by itself that it belongs to this file and this place in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    pub(crate) number: u64,
    /// What its first frame says.
    pub(crate) snapshot: Option<TreeState>,
    /// By their number in sequence.
    pub(crate) edits: BTreeMap<u64, Edit>,
    /// The edits up to this one are proven to have taken effect: something was written behind them.
    pub(crate) proven: u64,
}

impl Survey {
    /// The greatest number of a change that it knows.
    pub(crate) fn newest(&self) -> u64 {
        let snapshot = self.snapshot.as_ref().map_or(0, |state| state.sequence);
        self.edits.keys().next_back().map_or(0, |edit| *edit).max(snapshot)
    }

    /// Number of tables that may be needed: greater ones have not been used.
    pub(crate) fn next_file(&self) -> u64 {
        let edits = self.edits.values().map(|edit| edit.next_file);
        edits.chain(self.snapshot.as_ref().map(|state| state.next_file)).max().unwrap_or(0)
    }
}

/// Reads what can be read of manifest `number`; nothing where there is none. Behind bytes that the system cannot read it does
/// not look.
pub(crate) fn survey(env: &Env, dir: &Path, database: DatabaseId, number: u64) -> Result<Survey> {
    let mut found = Survey { number, ..Survey::default() };
    let file: Arc<dyn File> = match env.fs.open(&manifest_path(dir, number), OpenMode::Read) {
        Err(error) if error.is_not_found() || is_unreadable(&error) => return Ok(found),
        other => other?,
    };
    let mut edits: Vec<(u64, Edit)> = Vec::new();
    let mut watermark = 0;
    let read = find_frames(&file, &identity(database, number), 0, SECTOR_BYTES, &mut |frame| {
        let header = &frame.frame.header;
        watermark = watermark.max(header.watermark);
        let is_first = header.offset == 0;
        let kind = header.kind;
        if kind == FrameKind::Snapshot as u8 && is_first {
            found.snapshot = Edit::decode(frame.frame.payload).ok().map(|edit| {
                let mut state = TreeState::default();
                state.apply(&edit);
                state
            });
        } else if kind == FrameKind::Edit as u8
            && !is_first
            && let Ok(edit) = Edit::decode(frame.frame.payload)
        {
            edits.push((header.offset, edit));
        }
        true
    });
    match read {
        Err(error) if !is_unreadable(&error) => return Err(error.into()),
        _ => {}
    }
    for (offset, edit) in edits {
        if offset < watermark {
            found.proven = found.proven.max(edit.sequence);
        }
        found.edits.insert(edit.sequence, edit);
    }
    Ok(found)
}
