//! StemeDB's journal alone, which is what a durable commit waits for.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use stemedb_env::{Env, frame::DatabaseId};
use stemedb_wal::{JournalIdentity, JournalOptions, SegmentedJournal};

use super::{NoSyncFs, names};
use crate::engine::{Engine, Kind, Pair, Result, Setting, Store};

/// The contender: a journal with its default options; threads append and wait.
#[derive(Clone, Copy, Debug)]
pub struct StemeDb {
    synced: bool,
}

impl StemeDb {
    /// As it is used.
    pub fn synced() -> StemeDb {
        StemeDb { synced: true }
    }

    /// On files that are never synced: not a contender but a limit.
    pub fn never_synced() -> StemeDb {
        StemeDb { synced: false }
    }
}

struct Opened {
    journal: SegmentedJournal,
}

/// A new journal with default options in `folder`, in the given surroundings.
pub(super) fn create(env: &Env, folder: &Path) -> Result<SegmentedJournal> {
    let identity = JournalIdentity { database: DatabaseId(*b"peers on a disk."), timeline: 1 };
    Ok(SegmentedJournal::create(env, &folder.join("wal"), identity, JournalOptions::default())?)
}

/// A batch as one entry, since one entry is what the journal keeps whole. A pair is the length of its key in 4 bytes, the
/// key and the value; in a batch of several, the length of the value comes before it.
pub(super) fn encode(batch: &[Pair<'_>]) -> Bytes {
    let total: usize = batch.iter().map(|pair| 8 + pair.key.len() + pair.value.len()).sum();
    let mut entry = Vec::with_capacity(total);
    for pair in batch {
        entry.extend_from_slice(&(pair.key.len() as u32).to_le_bytes());
        entry.extend_from_slice(pair.key);
        if batch.len() > 1 {
            entry.extend_from_slice(&(pair.value.len() as u32).to_le_bytes());
        }
        entry.extend_from_slice(pair.value);
    }
    Bytes::from(entry)
}

impl Engine for StemeDb {
    fn name(&self) -> &'static str {
        if self.synced { names::STEMEDB } else { names::STEMEDB_NO_SYNC }
    }

    fn kind(&self) -> Kind {
        if self.synced { Kind::Ours } else { Kind::Limit }
    }

    fn configuration(&self) -> &'static str {
        if self.synced {
            "StemeDB's journal: default options; durable: append returned"
        } else {
            "StemeDB's journal on files and folders whose sync does nothing: what processor and page cache alone allow"
        }
    }

    fn open(&self, folder: &Path, _setting: &Setting) -> Result<Box<dyn Store>> {
        let mut env = Env::real();
        if !self.synced {
            env.fs = Arc::new(NoSyncFs::default());
        }
        Ok(Box::new(Opened { journal: create(&env, folder)? }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        self.journal.append(encode(batch))?;
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.journal.stats().syncs)
    }
}
