//! A whole view from the journal, with the database closed.

use std::path::Path;

use stemedb_env::{Env, Lsn, fs::write_file_atomic};
use stemedb_index::Derive;
use stemedb_lsm::{BulkLoader, BulkOptions, KvStore, LsmStore, Versions, WriteBatch};
use stemedb_wal::{Journal, JournalReader, SegmentedJournal};

use crate::{
    Error, HybridOptions, Identity, Layout, Result, StateRoot,
    recovery::{lock, lsm_options},
    root::by_scan,
};

/// How far a rebuild has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Last entry derived.
    pub done: Lsn,
    /// Last entry of the journal.
    pub end: Lsn,
}

/// What a rebuild made.
#[derive(Clone, Copy, Debug)]
pub struct RebuildReport {
    /// Entries derived.
    pub entries: u64,
    /// Last entry of the journal, and of the view.
    pub end: Lsn,
    /// Content of the view.
    pub root: StateRoot,
}

/// Entries between two reports of progress.
const REPORT_EVERY: u64 = 256;

/// Derives a view into a folder that is absent or empty, from a journal alone.
///
/// Fails with [`Error::AlreadyExists`] where anything lies already, and with [`Error::JournalGap`] when the journal does not
/// reach back to the first entry: a view with a hole is never made.
pub fn rebuild<D: Derive>(
    env: &Env,
    wal: &Path,
    kv: &Path,
    derive: &D,
    options: &HybridOptions,
    progress: &mut dyn FnMut(RebuildProgress),
) -> Result<RebuildReport> {
    let fs = env.fs.as_ref();
    // Where the journal lies in a data directory, nobody may have that database open.
    let _lock = match wal.parent().map(Layout::of) {
        Some(layout) if Identity::exists(fs, &layout)? => Some(lock(env, &layout)?),
        _ => None,
    };
    if fs.metadata(kv)?.is_some()
        && let Some(found) = fs.list(kv)?.into_iter().next()
    {
        return Err(Error::AlreadyExists { dir: kv.to_path_buf(), found: found.name });
    }
    let (journal, _) = SegmentedJournal::open_read_only(env, wal)?;
    let (first, end) = (journal.first_lsn(), journal.durable_lsn());
    if end > Lsn::ZERO && first > Lsn(1) {
        return Err(Error::JournalGap { first, needed: Lsn(1) });
    }
    let tree =
        LsmStore::create(env.clone(), kv, journal.identity().database, lsm_options::<D>(&options.lsm))?;
    let mut entries = 0;
    if end > Lsn::ZERO {
        let mut reader = journal.read_from(Lsn(1))?;
        let mut rows = WriteBatch::new();
        // What a memtable may hold, and no version that a flush would have merged.
        let load = BulkOptions { buffer_bytes: options.lsm.memtable_bytes, versions: Versions::Newest };
        let mut loader: Option<BulkLoader<'_>> = None;
        while let Some(entry) = reader.next_entry()? {
            rows.clear();
            derive.derive(entry.lsn, &entry.bytes, &mut rows)?;
            if rows.has_ranges() {
                // A load has rows alone: what came before goes in first.
                if let Some(before) = loader.take() {
                    before.finish(entry.lsn.prev())?;
                }
                tree.apply(&rows, entry.lsn)?;
                tree.publish(entry.lsn);
            } else {
                loader.get_or_insert_with(|| tree.bulk_loader(load)).add_batch(&rows, entry.lsn)?;
            }
            entries += 1;
            if entries % REPORT_EVERY == 0 || entry.lsn == end {
                progress(RebuildProgress { done: entry.lsn, end });
            }
        }
        match loader {
            Some(loader) => drop(loader.finish(end)?),
            None => drop(tree.flush()?),
        }
    }
    let root = by_scan(&tree.snapshot())?;
    tree.close();
    write_file_atomic(fs, &Layout::rebuilt_mark(kv), format!("{end}\n").as_bytes())?;
    tracing::info!(entries, %end, "rebuild complete");
    Ok(RebuildReport { entries, end, root })
}
