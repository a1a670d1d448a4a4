//! Loading rows that come in no order.
//!
//! ```text
//! rows ─▶ buffer ─full: sorted─▶ spilled runs ─┐
//!            └───────────── last buffer, sorted ─┴─ loser tree ─▶ ingest
//! ```
//!
//! - [`buffer`]: rows in memory, and their order.
//! - [`spill`]: sorted runs in temporary files, which the next open removes if a crash leaves them.

mod buffer;
mod spill;

use std::{ops::Deref, path::Path, sync::Arc};

use stemedb_env::{Env, Lsn};

use self::{
    buffer::{Buffer, BufferCursor},
    spill::{SpillCursor, SpillWriter, Spilled},
};
use crate::{
    Direction, Error, Ingested, LsmStore, Result, SortedRows, Versions, WriteBatch,
    iter::Merge,
    kv::check_row_sizes,
    memory::{Charge, Kind},
    store::Core,
};

/// How a [`BulkLoader`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkOptions {
    /// At most a memtable's. Memory for rows, their order, and what is read of spilled runs. Rows that need more are spilled to temporary files in the
    /// tree's folder: beside the tables they need as much room as their keys and values. The table being written comes on
    /// top, some 9 bytes per key of it.
    pub buffer_bytes: usize,
    /// Which versions stay.
    pub versions: Versions,
}

impl Default for BulkOptions {
    fn default() -> BulkOptions {
        BulkOptions { buffer_bytes: 64 << 20, versions: Versions::All }
    }
}

/// The tree that a loader works on: borrowed, or kept.
#[derive(Debug)]
enum CoreRef<'a> {
    Borrowed(&'a Core),
    Kept(Arc<Core>),
}

impl Deref for CoreRef<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        match self {
            CoreRef::Borrowed(core) => core,
            CoreRef::Kept(core) => core,
        }
    }
}

/// Gathers rows in any order and ends in one [`LsmStore::ingest`]. Dropping it leaves nothing.
#[derive(Debug)]
#[must_use = "nothing is loaded before `finish`"]
pub struct BulkLoader<'a> {
    core: CoreRef<'a>,
    options: BulkOptions,
    buffer: Buffer,
    /// In the order in which they were spilled. Of two rows with one key and LSN that of the later run wins.
    spilled: Vec<Spilled>,
    newest: Lsn,
    data_bytes: u64,
    spilled_bytes: u64,
    /// For the buffer.
    charge: Charge,
}

impl LsmStore {
    /// Starts to gather rows for an ingest. The tree changes, and writers are refused, only in [`BulkLoader::finish`].
    pub fn bulk_loader(&self, options: BulkOptions) -> BulkLoader<'_> {
        BulkLoader::new(CoreRef::Borrowed(self.core()), options)
    }

    /// As [`LsmStore::bulk_loader`], for a load that takes many steps of a background job. If the store is stopped or dropped
    /// meanwhile, the load ends with [`Error::ReadOnly`].
    pub fn owned_bulk_loader(&self, options: BulkOptions) -> BulkLoader<'static> {
        BulkLoader::new(CoreRef::Kept(Arc::clone(self.shared_core())), options)
    }
}

impl<'a> BulkLoader<'a> {
    fn new(core: CoreRef<'a>, options: BulkOptions) -> BulkLoader<'a> {
        // No more than a memtable, which the tree's budget of memory may have made smaller than its option.
        let buffer_bytes = options.buffer_bytes.min(core.options.memtable_bytes);
        BulkLoader {
            charge: Charge::new(&core.context.memory, Kind::Buffers, 0),
            core,
            options: BulkOptions { buffer_bytes, ..options },
            buffer: Buffer::default(),
            spilled: Vec::new(),
            newest: Lsn::ZERO,
            data_bytes: 0,
            spilled_bytes: 0,
        }
    }
}

/// Bytes of a block of a spilled run: a merge holds one of each run.
fn block_bytes(buffer_bytes: usize) -> usize {
    (buffer_bytes / 64).clamp(1 << 10, 64 << 10)
}

/// Runs that are merged at once.
fn fan_in(buffer_bytes: usize) -> usize {
    (buffer_bytes / block_bytes(buffer_bytes) / 2).max(2)
}

impl BulkLoader<'_> {
    /// Takes a write: a value, or a removal. Of several writes of one key at one LSN the last stays. No allocation per row.
    pub fn add(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) -> Result<()> {
        let value_bytes = value.map_or(0, <[u8]>::len);
        check_row_sizes(key.len(), value_bytes)?;
        self.data_bytes += (key.len() + value_bytes) as u64;
        self.newest = self.newest.max(lsn);
        self.buffer.add(key, lsn, value);
        self.charge.set(self.buffer.held_bytes());
        if self.buffer.memory_bytes() >= self.options.buffer_bytes {
            self.spill()?;
        }
        Ok(())
    }

    /// Takes all operations of a batch. One that removes ranges ([`WriteBatch::has_ranges`]) is refused with
    /// [`Error::RangesInLoad`]: finish the load, and apply the batch.
    pub fn add_batch(&mut self, batch: &WriteBatch, lsn: Lsn) -> Result<()> {
        if batch.has_ranges() {
            return Err(Error::RangesInLoad { lsn });
        }
        batch.iter().try_for_each(|op| self.add(op.key(), lsn, op.value()))
    }

    /// The greatest LSN added.
    pub fn newest_lsn(&self) -> Lsn {
        self.newest
    }

    /// Bytes written to temporary files so far.
    pub fn spilled_bytes(&self) -> u64 {
        self.spilled_bytes
    }

    /// Ingests everything, up to `lsn`: see [`LsmStore::ingest`].
    pub fn finish(mut self, lsn: Lsn) -> Result<Ingested> {
        while self.spilled.len() > fan_in(self.options.buffer_bytes) {
            self.join(fan_in(self.options.buffer_bytes))?;
        }
        let versions = self.options.versions;
        // What compression leaves of claims, about: it only decides how large tables become.
        let expected_bytes = self.data_bytes / 2;
        self.buffer.sort();
        let mut sources = vec![Source::Buffer(BufferCursor::new(&mut self.buffer, versions))];
        // Newer runs first: of equal rows the first source's comes first.
        for run in self.spilled.iter().rev() {
            sources.push(Source::Spill(Box::new(run.cursor(&self.core.env)?)));
        }
        let merge = Merge::of(sources, Direction::Forward, 0);
        let outcome = self.core.ingest(&mut Distinct::new(merge), lsn, versions, expected_bytes);
        self.remove_all();
        outcome
    }

    fn spill(&mut self) -> Result<()> {
        self.buffer.sort();
        let versions = self.options.versions;
        let run = write_run(
            &self.core,
            block_bytes(self.options.buffer_bytes),
            0,
            &mut BufferCursor::new(&mut self.buffer, versions),
        )?;
        self.spilled_bytes += run.bytes();
        self.spilled.push(run);
        self.buffer.clear();
        // Runs of one size are merged when there are many: each row is written once per size.
        let fan_in = fan_in(self.options.buffer_bytes);
        loop {
            let Some(last) = self.spilled.last() else { return Ok(()) };
            let same = self.spilled.iter().rev().take_while(|run| run.merges == last.merges).count();
            if same < fan_in {
                return Ok(());
            }
            self.join(same)?;
        }
    }

    /// Merges the newest runs into one.
    fn join(&mut self, count: usize) -> Result<()> {
        let from = self.spilled.len().saturating_sub(count);
        let runs = self.spilled.get(from..).unwrap_or_default();
        let merges = runs.iter().map(|run| run.merges).max().unwrap_or(0) + 1;
        let mut sources = Vec::with_capacity(runs.len());
        for run in runs.iter().rev() {
            sources.push(Source::Spill(Box::new(run.cursor(&self.core.env)?)));
        }
        let mut rows = Distinct::new(Merge::of(sources, Direction::Forward, 0));
        let joined = write_run(&self.core, block_bytes(self.options.buffer_bytes), merges, &mut rows)?;
        self.spilled_bytes += joined.bytes();
        drop(rows);
        let (fs, replaced) = (&self.core.env.fs, self.spilled.split_off(from));
        self.spilled.push(joined);
        replaced.iter().try_for_each(|run| fs.remove(run.path())).map_err(Error::from)
    }

    fn remove_all(&mut self) {
        for run in self.spilled.drain(..) {
            if let Err(error) = self.core.env.fs.remove(run.path()) {
                tracing::warn!(%error, "cannot remove a temporary file; the next open will");
            }
        }
    }
}

impl Drop for BulkLoader<'_> {
    fn drop(&mut self) {
        self.remove_all();
    }
}

/// Writes sorted rows into a temporary file; removes it if that fails.
fn write_run<R: SortedRows>(core: &Core, block_bytes: usize, merges: u32, rows: &mut R) -> Result<Spilled> {
    let path = spill::path(&core.dir, core.next_file_number());
    let mut write = || -> Result<Spilled> {
        let mut writer = SpillWriter::create(&core.env, &path, block_bytes)?;
        while rows.advance()? {
            if let Some(closed) = writer.is_at_block_start().then(|| core.closed()).flatten() {
                return closed;
            }
            writer.add(rows.key(), rows.lsn(), rows.value())?;
        }
        writer.finish(merges)
    };
    let written = write();
    if written.is_err()
        && let Err(error) = core.env.fs.remove(&path)
        && !error.is_not_found()
    {
        tracing::warn!(%error, "cannot remove a temporary file; the next open will");
    }
    written
}

/// Removes temporary files that a crash has left in a tree's folder.
pub(crate) fn remove_leftovers<'n>(
    env: &Env,
    dir: &Path,
    names: impl Iterator<Item = &'n str>,
) -> Result<()> {
    for name in names.filter(|name| spill::is_name(name)) {
        env.fs.remove(&dir.join(name))?;
    }
    Ok(())
}

/// A sorted run.
#[derive(Debug)]
enum Source<'a> {
    Buffer(BufferCursor<'a>),
    Spill(Box<SpillCursor>),
}

impl SortedRows for Source<'_> {
    fn advance(&mut self) -> Result<bool> {
        match self {
            Source::Buffer(cursor) => cursor.advance(),
            Source::Spill(cursor) => cursor.advance(),
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Source::Buffer(cursor) => cursor.key(),
            Source::Spill(cursor) => cursor.key(),
        }
    }

    fn lsn(&self) -> Lsn {
        match self {
            Source::Buffer(cursor) => cursor.lsn(),
            Source::Spill(cursor) => cursor.lsn(),
        }
    }

    fn value(&self) -> Option<&[u8]> {
        match self {
            Source::Buffer(cursor) => cursor.value(),
            Source::Spill(cursor) => cursor.value(),
        }
    }
}

/// A merge without the rows that a later run has replaced: same key, same LSN.
struct Distinct<'a> {
    merge: Merge<Source<'a>>,
    last: Option<Lsn>,
    key: Vec<u8>,
}

impl<'a> Distinct<'a> {
    fn new(merge: Merge<Source<'a>>) -> Distinct<'a> {
        Distinct { merge, last: None, key: Vec::new() }
    }
}

impl SortedRows for Distinct<'_> {
    fn advance(&mut self) -> Result<bool> {
        while self.merge.advance()? {
            // LSNs first: they differ wherever many versions of one key follow each other.
            if self.last == Some(self.merge.lsn()) && self.key == self.merge.key() {
                continue;
            }
            self.last = Some(self.merge.lsn());
            self.key.clear();
            self.key.extend_from_slice(self.merge.key());
            return Ok(true);
        }
        Ok(false)
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn lsn(&self) -> Lsn {
        self.merge.lsn()
    }

    fn value(&self) -> Option<&[u8]> {
        self.merge.value()
    }
}
