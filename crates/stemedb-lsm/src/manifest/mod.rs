//! The list of live tables: append-only edits in the frame format of every log, one sync each.
//!
//! ```text
//! CURRENT ──▶ MANIFEST-000007:  snapshot │ edit │ mark │ edit │ mark …
//! ```
//!
//! An edit takes effect when its frame is durable. The mark behind it carries a watermark that proves this, so that
//! damage to the newest edit is told from a torn tail; it is not synced on its own. A manifest is never appended to after
//! a reopen or a failed sync: the state goes into a new file first, and `CURRENT` is replaced atomically. See
//! `docs/formats/manifest.md`.

mod check;
mod edit;
mod record;
mod replay;
mod summary;
mod survey;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use edit::{Edit, TreeState};
pub(crate) use record::{Placing, Record};
pub(crate) use replay::replay;
use stemedb_env::{
    Env, File, Lsn, OpenMode,
    frame::{Chain, DatabaseId, FileIdentity, FrameHeader, LogKind, encode, frame_bytes},
    fs::write_file_atomic,
    planted::{Bug, planted},
};
pub use summary::{ManifestSummary, TableSummary, describe_manifest};
pub(crate) use survey::{Survey, survey};

use crate::{CorruptionKind, Error, Result};

/// Frames start on multiples of this, so that an accepted one never shares a sector with a later write.
pub(crate) const SECTOR_BYTES: usize = 512;
/// A manifest longer than this, and four times its live size, is replaced.
const ROLL_BYTES: u64 = 1 << 20;

/// What a frame of the manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// The whole state; first in every manifest.
    Snapshot = 1,
    /// A change.
    Edit = 2,
    /// Empty; its watermark proves that the edit before it is durable.
    Mark = 3,
}

pub(crate) fn manifest_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("MANIFEST-{number:06}"))
}

pub(crate) fn manifest_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("MANIFEST-")?;
    (digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

pub(crate) fn current_path(dir: &Path) -> PathBuf {
    dir.join("CURRENT")
}

fn identity(database: DatabaseId, number: u64) -> FileIdentity {
    FileIdentity { database, timeline: 0, log: LogKind::Manifest, file: number }
}

/// The content of `CURRENT`: the manifest's name and a checksum over it and the database.
fn current_line(database: DatabaseId, number: u64) -> String {
    let name = format!("MANIFEST-{number:06}");
    let mut covered = database.0.to_vec();
    covered.extend_from_slice(name.as_bytes());
    format!("{name} {:016x}\n", xxhash_rust::xxh3::xxh3_64(&covered))
}

/// Which manifest `CURRENT` names; `None` if there is no such file.
pub(crate) fn read_current(env: &Env, dir: &Path, database: DatabaseId) -> Result<Option<u64>> {
    let path = current_path(dir);
    if env.fs.metadata(&path)?.is_none() {
        return Ok(None);
    }
    let bad = || Error::Corruption { kind: CorruptionKind::Manifest, file: path.clone(), offset: 0 };
    let bytes = match stemedb_env::fs::read_file(&*env.fs, &path, 256) {
        Err(error) if error.kind() == Some(std::io::ErrorKind::FileTooLarge) => return Err(bad()),
        other => other?,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| bad())?;
    let number = text.split(' ').next().and_then(manifest_number).ok_or_else(bad)?;
    if text == current_line(database, number) { Ok(Some(number)) } else { Err(bad()) }
}

/// The manifest being appended to, and the state that it describes.
#[derive(Debug)]
pub(crate) struct Manifest {
    env: Env,
    dir: PathBuf,
    database: DatabaseId,
    number: u64,
    file: Arc<dyn File>,
    offset: u64,
    /// Everything below is durable.
    durable: u64,
    chain: Chain,
    snapshot_bytes: u64,
    /// A write or sync failed: nothing more may be appended to this file.
    poisoned: bool,
    pub(crate) state: TreeState,
}

impl Manifest {
    /// Writes `state` into a new manifest with this number and makes it the current one.
    pub(crate) fn create(
        env: &Env,
        dir: &Path,
        database: DatabaseId,
        number: u64,
        state: TreeState,
    ) -> Result<Manifest> {
        let path = manifest_path(dir, number);
        let file = env.fs.open(&path, OpenMode::CreateNew)?;
        let mut manifest = Manifest {
            env: env.clone(),
            dir: dir.to_path_buf(),
            database,
            number,
            file,
            offset: 0,
            durable: 0,
            chain: Chain::default(),
            snapshot_bytes: 0,
            poisoned: false,
            state,
        };
        let payload = manifest.state.as_edit().encode();
        manifest.write(FrameKind::Snapshot, &payload)?;
        manifest.file.sync_data()?;
        manifest.durable = manifest.offset;
        manifest.snapshot_bytes = manifest.offset;
        env.fs.sync_dir(dir)?;
        write_file_atomic(&*env.fs, &current_path(dir), current_line(database, number).as_bytes())?;
        Ok(manifest)
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> PathBuf {
        manifest_path(&self.dir, self.number)
    }

    fn write(&mut self, kind: FrameKind, payload: &[u8]) -> Result<()> {
        let header = FrameHeader {
            kind: kind as u8,
            flags: 0,
            offset: self.offset,
            first_lsn: Lsn::ZERO,
            count: u32::from(kind != FrameKind::Mark),
            watermark: self.durable,
            chain_prev: self.chain,
        };
        let mut frame = Vec::new();
        let too_large = || Error::TooLarge {
            what: "manifest edit",
            bytes: payload.len(),
            limit_bytes: stemedb_env::frame::MAX_FRAME_BYTES,
        };
        frame_bytes(payload.len(), SECTOR_BYTES).ok_or_else(too_large)?;
        let chain = encode(&identity(self.database, self.number), &header, payload, SECTOR_BYTES, &mut frame)
            .map_err(|_| too_large())?;
        self.file.write_all_at(&frame, self.offset)?;
        self.offset += frame.len() as u64;
        self.chain = chain;
        Ok(())
    }

    /// Applies an edit durably. After an error it is unknown whether the edit is on disk; the state here is without
    /// it, and the next append starts a new file that is without it too.
    /// The edit gets the next number in sequence.
    pub(crate) fn append(&mut self, edit: &Edit) -> Result<()> {
        let large = self.offset > ROLL_BYTES && self.offset > self.snapshot_bytes.saturating_mul(4);
        if self.poisoned || large {
            self.roll()?;
        }
        let edit = Edit { sequence: self.state.sequence.saturating_add(1), ..edit.clone() };
        let result = self.append_here(&edit);
        self.poisoned = result.is_err();
        result?;
        self.state.apply(&edit);
        // The edit is durable whatever becomes of its mark; but a half-written mark must not be followed by anything.
        self.poisoned = self.write(FrameKind::Mark, &[]).is_err();
        Ok(())
    }

    fn append_here(&mut self, edit: &Edit) -> Result<()> {
        self.write(FrameKind::Edit, &edit.encode())?;
        if !planted(Bug::LsmEditNotSynced) {
            self.file.sync_data()?;
        }
        self.durable = self.offset;
        Ok(())
    }

    /// Writes the present state into a new file and makes it the current one.
    pub(crate) fn roll(&mut self) -> Result<()> {
        let mut number = self.number + 1;
        while self.env.fs.metadata(&manifest_path(&self.dir, number))?.is_some() {
            // Left behind by an attempt that failed half-way.
            number += 1;
        }
        let state = self.state.clone();
        let next = Manifest::create(&self.env, &self.dir, self.database, number, state)?;
        let old = std::mem::replace(self, next);
        // Not needed any more; if this fails the next open removes it.
        if let Err(error) = self.env.fs.remove(&manifest_path(&self.dir, old.number)) {
            tracing::warn!(%error, "cannot remove a replaced manifest");
        }
        Ok(())
    }
}
