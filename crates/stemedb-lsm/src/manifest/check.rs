//! Reading the manifest back while it is in use.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{
    Env,
    frame::{Chain, DatabaseId, FrameReader, ReadError},
};

use super::{Edit, FrameKind, Manifest, current_line, current_path, identity, manifest_path};
use crate::{CorruptionKind, Error, Result};

/// How far a manifest was written at one moment. What is below does not change any more.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    dir: PathBuf,
    database: DatabaseId,
    number: u64,
    bytes: u64,
}

impl Manifest {
    /// How far it is written now.
    pub(crate) fn written(&self) -> Written {
        // Behind a write that failed there may be anything.
        let bytes = if self.poisoned { self.durable } else { self.offset };
        Written { dir: self.dir.clone(), database: self.database, number: self.number, bytes }
    }
}

/// Once more after a look at damage: it may have been the transfer.
fn twice(look: impl Fn() -> Result<u64>) -> Result<u64> {
    match look() {
        Err(Error::Corruption { .. }) => look(),
        looked => looked,
    }
}

impl Written {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Reads it and `CURRENT`, twice where it looks damaged. Returns the bytes.
    pub(crate) fn check(&self, env: &Env) -> Result<u64> {
        Ok(twice(|| self.check_current(env))? + twice(|| self.check_frames(env))?)
    }

    fn damaged(file: &Path, offset: u64) -> Error {
        Error::Corruption { kind: CorruptionKind::Manifest, file: file.to_path_buf(), offset }
    }

    fn check_current(&self, env: &Env) -> Result<u64> {
        let path = current_path(&self.dir);
        let file = match env.fs.open_past_cache(&path) {
            Err(error) if error.is_not_found() => return Err(Written::damaged(&path, 0)),
            file => file?,
        };
        let expected = current_line(self.database, self.number);
        // One byte more, to see that there is none.
        let mut found = vec![0; expected.len() + 1];
        let bytes = file.read_up_to_at(&mut found, 0)?;
        found.truncate(bytes);
        if found == expected.as_bytes() { Ok(bytes as u64) } else { Err(Written::damaged(&path, 0)) }
    }

    fn check_frames(&self, env: &Env) -> Result<u64> {
        let path = manifest_path(&self.dir, self.number);
        let file = match env.fs.open_past_cache(&path) {
            Err(error) if error.is_not_found() => return Err(Written::damaged(&path, 0)),
            file => file?,
        };
        let mut reader = FrameReader::new(Arc::clone(&file), identity(self.database, self.number), 0);
        let mut chain = Chain::default();
        while reader.offset() < self.bytes {
            let offset = reader.offset();
            let bad = || Written::damaged(&path, offset);
            let found = match reader.next_frame() {
                Ok(found) => found,
                Err(ReadError::Frame { .. }) => return Err(bad()),
                Err(ReadError::Env(error)) => return Err(error.into()),
            };
            let header = &found.frame.header;
            let is_edit = header.kind != FrameKind::Mark as u8;
            if header.chain_prev != chain || (is_edit && Edit::decode(found.frame.payload).is_err()) {
                return Err(bad());
            }
            chain = found.frame.chain;
        }
        Ok(self.bytes)
    }
}
