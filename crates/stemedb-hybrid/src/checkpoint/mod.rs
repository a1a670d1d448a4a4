//! A second database made of hard links, while writing goes on.
//!
//! ```text
//! view      flush, links of its tables, a manifest of that moment        up to F
//! journal   links of its segments, a copy of the tail                    up to L ≥ F
//! IDENTITY  last: without it the folder is no database
//! ```
//!
//! Opened, it replays F + 1..L and is the database as it was at L. Sidecars, the fallback view and what lies in quarantine are not in
//! it: the first two are derived, and made again by whoever opens it; the third is evidence of what happened here.

use std::{path::Path, sync::Arc, time::Duration};

use stemedb_env::{
    Fs, Lsn, Micros,
    fs::tree::{create_dir_durably, remove_tree},
};
use stemedb_index::Admit;
use stemedb_lsm::{CorruptionKind, KvSnapshot, KvStore, LsmSnapshot, LsmStore};
use stemedb_wal::{Journal, JournalReader, SegmentedJournal};

use crate::{
    Error, EventKind, HybridStore, Identity, Layout, Result, StateRoot,
    root::by_scan,
    view::{View, ViewStore},
};

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Exactly the entries up to here are in it.
    pub lsn: Lsn,
    /// Those up to here are in the view's tables; opening replays the rest.
    pub flushed: Lsn,
    /// Oldest entry in the journal.
    pub first_lsn: Lsn,
    /// Recorded time of entry `lsn`, if it records one.
    pub recorded_at: Option<Micros>,
    /// Recorded time of entry `flushed`.
    pub flushed_recorded_at: Option<Micros>,
    /// Bytes that were copied and not linked, the view's left out.
    pub copied_bytes: u64,
}

/// What the database itself shows at the LSN of a checkpoint: to compare a copy with.
#[derive(Clone, Debug)]
pub struct CheckpointView {
    snapshot: LsmSnapshot,
}

impl CheckpointView {
    /// The LSN of the checkpoint.
    pub fn lsn(&self) -> Lsn {
        self.snapshot.lsn()
    }

    /// The root of all rows. Cost: a full scan of the original.
    pub fn state_root(&self) -> Result<StateRoot> {
        by_scan(&self.snapshot)
    }
}

/// How often the end is looked for again when the view has merged past it in the meantime.
const ATTEMPTS: u32 = 200;
/// Between two looks at how far the view has come.
const PAUSE: Duration = Duration::from_millis(1);
/// So many looks in vain, one a millisecond: no view takes the entry any more.
const MOST_PAUSES: u32 = 60_000;

impl<F: ViewStore, D: Admit> HybridStore<LsmStore, F, D> {
    /// Makes a second database of the same identity in `dir`, which must be empty or absent, of everything durable now.
    /// Reads and writes go on meanwhile.
    ///
    /// Cost: a flush, a hard link a file and a copy of at most one segment; on another file system, copies. It stays as it
    /// is whatever becomes of this database, keeps the room of its files, and can be opened at once. If this is cut short the
    /// folder is no database; it must be emptied before another try.
    ///
    /// Tables that are known to be damaged are repaired first. One that cannot be is in the copy as it is, unless its file is
    /// gone.
    ///
    /// Errors: [`Error::AlreadyExists`]; [`Error::Upgrading`]; [`Error::NoView`] while the primary view is being derived again; those of the flush;
    /// damage of the journal's tail.
    pub fn checkpoint(&self, dir: &Path) -> Result<Checkpoint> {
        let primary = self.linkable_primary()?;
        self.checkpoint_of(&primary, dir)
    }

    /// The primary view, if its files are where they should be and nobody derives it again. A view whose folder is gone may go on
    /// answering, but there is nothing to link.
    fn linkable_primary(&self) -> Result<Arc<View<LsmStore>>> {
        // First: whoever finds no upgrade finds the view that it has ended with.
        self.views.refuse_while_upgrading()?;
        let primary = self.settled_primary()?;
        match self.views.primary_is_in_trouble() {
            false => Ok(primary),
            true => Err(Error::NoView { cause: self.views.primary_health().to_string() }),
        }
    }

    fn checkpoint_of(&self, primary: &View<LsmStore>, dir: &Path) -> Result<Checkpoint> {
        let fs = self.fs();
        let to = Layout::of(dir);
        create_dir_durably(&**fs, dir)?;
        if let Some(found) = fs.list(dir)?.into_iter().next() {
            return Err(Error::AlreadyExists { dir: dir.to_path_buf(), found: found.name });
        }
        let flushed = match self.link_tables(primary, &to) {
            // Nobody had missed its file; now it is known, and can be repaired.
            Err(Error::Store(stemedb_lsm::Error::Corruption {
                kind: CorruptionKind::TableMissing, ..
            })) => {
                remove_tree(&**fs, &to.kv())?;
                self.link_tables(primary, &to)?
            }
            linked => linked?,
        };
        let journal = self.journal.checkpoint(&to.wal())?;
        fs.sync_dir(dir)?;
        self.identity().write(&**fs, &to)?;
        let done = Checkpoint {
            lsn: journal.last_lsn,
            flushed,
            first_lsn: journal.first_lsn,
            recorded_at: self.recorded_at(journal.last_lsn, journal.first_lsn)?,
            flushed_recorded_at: self.recorded_at(flushed, journal.first_lsn)?,
            copied_bytes: journal.copied_bytes,
        };
        let text = format!("checkpoint at LSN {}", done.lsn);
        self.events.push(EventKind::Backup, Some(dir.to_path_buf()), text);
        Ok(done)
    }

    /// [`HybridStore::checkpoint`], and what this database shows at its LSN.
    ///
    /// The view of that LSN is taken right after the journal's end has been found. Where so much is written that the view has
    /// merged past it by then, the checkpoint is made again.
    pub fn checkpoint_with_view(&self, dir: &Path) -> Result<(Checkpoint, CheckpointView)> {
        for _ in 0..ATTEMPTS {
            // One view for both, whatever takes its place meanwhile.
            let primary = self.linkable_primary()?;
            let done = self.checkpoint_of(&primary, dir)?;
            self.await_published(&primary, done.lsn)?;
            match primary.store.snapshot_at(done.lsn) {
                Ok(snapshot) => return Ok((done, CheckpointView { snapshot })),
                Err(stemedb_lsm::Error::SnapshotTooOld { .. }) => remove_tree(&**self.fs(), dir)?,
                Err(error) => return Err(error.into()),
            }
        }
        let cause = "the view merges faster than it can be looked at".to_owned();
        Err(Error::NoView { cause })
    }

    fn link_tables(&self, primary: &View<LsmStore>, to: &Layout) -> Result<Lsn> {
        if !primary.store.damaged_parts().is_empty()
            && let Err(error) = self.repair_damaged()
        {
            tracing::warn!(%error, "a checkpoint is made although a table could not be repaired");
        }
        Ok(primary.store.checkpoint(&to.kv())?)
    }

    /// The last entry that no view needs of the journal any more: the segments up to there may be let go of by whoever has copies
    /// of them. Tables cannot be repaired from the journal then, which is for the caller to weigh.
    ///
    /// Errors: in words, what is being derived or repaired from the journal now, and may need all of it.
    pub fn prunable(&self) -> std::result::Result<Lsn, String> {
        let primary = self.linkable_primary().map_err(|error| match error {
            Error::NoView { cause } => format!("the view is being derived again: {cause}"),
            other => other.to_string(),
        })?;
        if let Some((file, damage)) = primary.store.damaged_parts().first() {
            return Err(format!("table {file:06}.sst has yet to be repaired: {}", damage.kind));
        }
        if let Some((segment, error)) = self.journal.damaged().first_key_value() {
            return Err(format!("segment {segment} has yet to be healed: {error}"));
        }
        Ok(self.views.flushed())
    }

    /// What is durable will be in the view in a moment.
    fn await_published(&self, primary: &View<LsmStore>, lsn: Lsn) -> Result<()> {
        for _ in 0..MOST_PAUSES {
            if primary.store.published_lsn() >= lsn {
                return Ok(());
            }
            if !primary.is_writable() {
                break;
            }
            self.events.clock().sleep(PAUSE);
        }
        Err(Error::NotReadable { lsn, cause: primary.health().to_string() })
    }

    fn recorded_at(&self, lsn: Lsn, first: Lsn) -> Result<Option<Micros>> {
        recorded_at(&self.journal, self.derive.as_ref(), lsn, first)
    }
}

/// The recorded time of an entry; `None` if it has none or is not there.
fn recorded_at<D: Admit>(
    journal: &SegmentedJournal,
    derive: &D,
    lsn: Lsn,
    first: Lsn,
) -> Result<Option<Micros>> {
    if lsn < first || lsn == Lsn::ZERO {
        return Ok(None);
    }
    match journal.read_from(lsn)?.next_entry()? {
        Some(entry) => Ok(derive.recorded_at(entry.lsn, &entry.bytes)?),
        None => Ok(None),
    }
}

/// Removes what a backup that was cut short has left in a data directory: its links keep the room of tables that are gone.
pub(crate) fn clear_staging(fs: &dyn Fs, layout: &Layout) -> Result<()> {
    let staging = layout.staging();
    if fs.metadata(&staging)?.is_some() {
        tracing::info!(dir = %staging.display(), "removing the checkpoint of a backup that was cut short");
        remove_tree(fs, &staging)?;
    }
    Ok(())
}

/// Writes the identity of a database whose files are all in place: from then on the folder is a database. For restores.
pub fn finish_restored(fs: &dyn Fs, layout: &Layout, identity: &Identity) -> Result<()> {
    fs.sync_dir(layout.dir())?;
    identity.write(fs, layout)
}
