//! The writes of a span, found by sidecars and derived from the journal.

use std::{
    fmt,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stemedb_env::Lsn;
use stemedb_index::Derive;
use stemedb_lsm::{CorruptionKind, DerivedWrite, RangeRemoval, WriteBatch, WriteSource};
use stemedb_wal::{Entry, Journal, JournalReader, SegmentedJournal};

use super::{
    name::SidecarName,
    sample::Sampler,
    set::{Part, SidecarSet},
};
use crate::{Error, Result};

/// Derives again what a table has lost.
///
/// Sidecars say which entries a span needs. Those are read one by one or in a row, as their distances decide: reading goes on from
/// one to the next unless a known position of the journal lies between, so no plan has to be made and no estimate can be wrong. What no
/// sidecar covers is read whole.
pub(crate) struct JournalSource<D> {
    set: Arc<SidecarSet>,
    journal: Arc<SegmentedJournal>,
    derive: Arc<D>,
    /// The journal's folder, for errors.
    wal: PathBuf,
    reads: Reads,
}

impl<D> fmt::Debug for JournalSource<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalSource")
            .field("wal", &self.wal)
            .field("reads", &self.reads)
            .finish_non_exhaustive()
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Entries that were derived.
    pub entries: AtomicU64,
    /// Frames of the journal that were read and verified.
    pub frames: AtomicU64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Everything,
    RangeRemovals,
}

/// Derives of entries what meets a span.
struct Gather<'a, D> {
    derive: &'a D,
    keys: &'a RangeInclusive<&'a [u8]>,
    asked: Asked,
    batch: WriteBatch,
}

impl<D: Derive> Gather<'_, D> {
    fn take(&mut self, entry: &Entry, writes: &mut Vec<DerivedWrite>) -> Result<()> {
        self.batch.clear();
        self.derive.derive_within(entry.lsn, &entry.bytes, self.keys, &mut self.batch)?;
        if self.batch.has_ranges() {
            // Ranges that touch become one: which ones meet the span is known of all of them together.
            self.batch.clear();
            self.derive.derive(entry.lsn, &entry.bytes, &mut self.batch)?;
            let (start, end) = (*self.keys.start(), *self.keys.end());
            let asked_for = |write: &DerivedWrite| {
                let kind = self.asked == Asked::Everything || matches!(write, DerivedWrite::Range(_));
                kind && write.meets(start, end)
            };
            writes.extend(DerivedWrite::of_batch(&self.batch, entry.lsn).into_iter().filter(asked_for));
        } else if self.asked == Asked::Everything {
            writes.extend(DerivedWrite::of_batch(&self.batch, entry.lsn));
        }
        Ok(())
    }
}

impl<D: Derive> JournalSource<D> {
    pub fn new(
        set: &Arc<SidecarSet>,
        journal: &Arc<SegmentedJournal>,
        derive: &Arc<D>,
        wal: PathBuf,
    ) -> Self {
        let (set, journal, derive) = (Arc::clone(set), Arc::clone(journal), Arc::clone(derive));
        JournalSource { set, journal, derive, wal, reads: Reads::default() }
    }

    /// Counters.
    #[cfg(test)]
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The part of a range of LSNs that exists.
    fn existing(&self, lsns: &RangeInclusive<Lsn>) -> RangeInclusive<Lsn> {
        *lsns.start().max(&Lsn(1))..=*lsns.end().min(&self.journal.durable_lsn())
    }

    /// Visits every entry of a range, which must exist.
    fn each_entry(
        &self,
        lsns: &RangeInclusive<Lsn>,
        mut visit: impl FnMut(&Entry) -> Result<()>,
    ) -> Result<()> {
        let mut reader = self.journal.read_from(*lsns.start())?.up_to(*lsns.end());
        let mut next = *lsns.start();
        while let Some(entry) = reader.next_entry()? {
            if entry.lsn != next {
                break;
            }
            next = next.next();
            visit(&entry)?;
        }
        self.reads.entries.fetch_add(next.0 - lsns.start().0, Ordering::Relaxed);
        self.reads.frames.fetch_add(reader.frames_read(), Ordering::Relaxed);
        if next == lsns.end().next() {
            return Ok(());
        }
        let (first_lsn, durable_lsn) = (self.journal.first_lsn(), self.journal.durable_lsn());
        Err(Error::Journal(stemedb_wal::Error::OutOfRange { lsn: next, first_lsn, durable_lsn }))
    }

    /// The entries that a sidecar names for a span, read and derived. `false` if the sidecar is of no use.
    fn by_sidecar(
        &self,
        name: SidecarName,
        lsns: &RangeInclusive<Lsn>,
        gather: &mut Gather<'_, D>,
        writes: &mut Vec<DerivedWrite>,
    ) -> Result<bool> {
        let Some(sidecar) = self.set.load(name) else { return Ok(false) };
        let mut wanted = Vec::new();
        let rows = match gather.asked {
            Asked::Everything => sidecar.find_rows(gather.keys, &mut wanted),
            Asked::RangeRemovals => Ok(()),
        };
        let found = rows.and_then(|()| sidecar.find_removals(gather.keys, &mut wanted));
        if let Err(error) = found {
            self.set.reject(name, &error);
            return Ok(false);
        }
        wanted.retain(|lsn| lsns.contains(lsn));
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(true);
        }
        let entries = wanted.len() as u64;
        let mut picked = self.journal.pick(wanted, sidecar.marks.clone());
        while let Some(entry) = picked.next_entry()? {
            gather.take(&entry, writes)?;
        }
        self.reads.entries.fetch_add(entries, Ordering::Relaxed);
        self.reads.frames.fetch_add(picked.frames_read(), Ordering::Relaxed);
        Ok(true)
    }

    fn gather(
        &self,
        asked: Asked,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
    ) -> Result<Vec<DerivedWrite>> {
        let mut writes = Vec::new();
        if keys.start() > keys.end() {
            return Ok(writes);
        }
        let mut gather = Gather { derive: self.derive.as_ref(), keys, asked, batch: WriteBatch::new() };
        for part in self.set.plan(&self.existing(lsns)) {
            let lsns = match part {
                Part::Sidecar(name, lsns) => {
                    if self.by_sidecar(name, &lsns, &mut gather, &mut writes)? {
                        continue;
                    }
                    lsns
                }
                Part::Uncovered(lsns) => lsns,
            };
            self.each_entry(&lsns, |entry| gather.take(entry, &mut writes))?;
        }
        Ok(writes)
    }

    fn sample_keys(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
        sampler: &mut Sampler,
    ) -> Result<()> {
        let is_within = |key: &[u8]| *keys.start() < key && key <= *keys.end();
        let mut batch = WriteBatch::new();
        for part in self.set.plan(&self.existing(lsns)) {
            let lsns = match part {
                Part::Sidecar(name, lsns) => {
                    let Some(sidecar) = self.set.load(name) else { continue };
                    let offered = sidecar.rows(keys, &mut |key, lsn| {
                        if lsns.contains(&lsn) && is_within(key) {
                            sampler.offer(key);
                        }
                    });
                    if let Err(error) = offered {
                        // What has been offered is good enough.
                        self.set.reject(name, &error);
                    }
                    continue;
                }
                Part::Uncovered(lsns) => lsns,
            };
            self.each_entry(&lsns, |entry| {
                batch.clear();
                self.derive.derive_within(entry.lsn, &entry.bytes, keys, &mut batch)?;
                batch
                    .iter()
                    .map(|op| op.key())
                    .filter(|key| is_within(key))
                    .for_each(|key| sampler.offer(key));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What the tree is told: rows that cannot be derived are damage of the place where they should be found.
    fn as_store_error(&self, error: Error) -> stemedb_lsm::Error {
        tracing::error!(error = ?error, "rows cannot be derived again from the journal: {error}");
        let corruption = |kind, file, offset| stemedb_lsm::Error::Corruption { kind, file, offset };
        let wal = self.wal.clone();
        match error {
            Error::Store(error) => error,
            Error::Journal(stemedb_wal::Error::Corruption { file, offset, .. }) => {
                corruption(CorruptionKind::Unreadable, file, offset)
            }
            Error::Journal(stemedb_wal::Error::Env(error)) => {
                let file = match &*error {
                    stemedb_env::Error::Io { path, .. } => path.clone(),
                    _ => wal,
                };
                corruption(CorruptionKind::Unreadable, file, 0)
            }
            Error::Index(_) => corruption(CorruptionKind::BlockFormat, wal, 0),
            _ => corruption(CorruptionKind::Unreadable, wal, 0),
        }
    }
}

impl<D: Derive> WriteSource for JournalSource<D> {
    fn writes(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
    ) -> stemedb_lsm::Result<Vec<DerivedWrite>> {
        self.gather(Asked::Everything, keys, lsns).map_err(|error| self.as_store_error(error))
    }

    fn range_removals(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
    ) -> stemedb_lsm::Result<Vec<RangeRemoval>> {
        let found = self.gather(Asked::RangeRemovals, keys, lsns);
        let ranges = found.map_err(|error| self.as_store_error(error))?.into_iter();
        Ok(ranges
            .filter_map(|write| match write {
                DerivedWrite::Range(range) => Some(range),
                DerivedWrite::Row(_) => None,
            })
            .collect())
    }

    fn cuts(
        &self,
        keys: &RangeInclusive<&[u8]>,
        lsns: &RangeInclusive<Lsn>,
        rows: usize,
    ) -> stemedb_lsm::Result<Vec<Vec<u8>>> {
        let mut sampler = Sampler::new(super::sample::MAX_SAMPLES);
        self.sample_keys(keys, lsns, &mut sampler).map_err(|error| self.as_store_error(error))?;
        Ok(sampler.cuts(rows))
    }
}
