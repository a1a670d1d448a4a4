//! The way of a batch: apply, publish, abandon; sealing and waiting.

use std::sync::{Arc, atomic::Ordering};

use stemedb_env::Lsn;

use super::{
    DelayCause,
    core::{Core, State},
};
use crate::{
    Error, Op, Result, WriteBatch,
    kv::check_row_sizes,
    memtable::{Memtable, RunBuilder, SortedRun, Sorter, batch_bytes},
};

/// What only the one who applies may touch.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) applied: Lsn,
    pub(super) sorter: Sorter,
    /// Why nobody may write.
    pub(super) shut: Option<Shut>,
}

/// Why nobody may write.
#[derive(Debug)]
pub(super) enum Shut {
    /// Until the ingest ends that goes so far.
    Ingest(Lsn),
    /// Until the tree is opened again: only that tells whether an ingest whose last write failed took effect.
    Unknown(String),
}

impl Writer {
    pub(super) fn new(applied: Lsn, sorter: Sorter) -> Writer {
        Writer { applied, sorter, shut: None }
    }

    /// An error if nobody may write now.
    pub(super) fn check(&self) -> Result<()> {
        match &self.shut {
            None => Ok(()),
            Some(Shut::Ingest(upto)) => Err(Error::Ingesting { upto: *upto }),
            Some(Shut::Unknown(cause)) => Err(Error::ReadOnly { cause: cause.clone() }),
        }
    }
}

pub(super) fn check_sizes(batch: &WriteBatch) -> Result<()> {
    let (bytes, _) = batch.raw();
    if bytes.len() >= u32::MAX as usize {
        return Err(Error::TooLarge { what: "batch", bytes: bytes.len(), limit_bytes: u32::MAX as usize });
    }
    for op in batch.iter() {
        let value_bytes = op.value().map_or(0, <[u8]>::len);
        let key_bytes = match op {
            Op::DeleteRange { start, end } => start.len().max(end.len()),
            _ => op.key().len(),
        };
        check_row_sizes(key_bytes, value_bytes)?;
    }
    Ok(())
}

/// A batch may make a memtable so much larger than it should be: an eighth.
const OVERFLOW_PART: usize = 8;
/// Without memory for more, a memtable is sealed when it has this part of its size: a quarter.
const TIGHT_PART: usize = 4;

impl Core {
    pub(super) fn apply(&self, batch: &WriteBatch, lsn: Lsn) -> Result<()> {
        check_sizes(batch)?;
        self.admit(batch.data_bytes() as u64)?;
        loop {
            let mut writer = self.writer.lock();
            writer.check()?;
            let applied = writer.applied.max(self.published_lsn());
            if lsn <= applied {
                return Err(Error::OutOfOrder { lsn, applied });
            }
            if self.takes_whole(batch) {
                let mut run = RunBuilder::new(&self.memtables);
                run.add(batch, lsn);
                self.seal_run(run.finish(&mut writer.sorter), lsn);
                writer.sorter.trim();
                writer.applied = lsn;
                self.context.counters.applied_bytes.add(batch.data_bytes() as u64);
                return Ok(());
            }
            if self.make_room(lsn, batch_bytes(batch)) {
                let active = Arc::clone(&self.state().active);
                active.insert_batch(batch, lsn, &mut writer.sorter);
                writer.sorter.trim();
                writer.applied = lsn;
                self.context.counters.applied_bytes.add(batch.data_bytes() as u64);
                return Ok(());
            }
            drop(writer);
            self.wait_for_flush()?;
        }
    }

    /// Sees to it that the active memtable takes another batch of about so many bytes; false if a flush must end first.
    /// Called by the writer.
    pub(super) fn make_room(&self, lsn: Lsn, bytes: usize) -> bool {
        let state = self.state();
        if !self.is_full(&state.active, bytes) {
            return true;
        }
        if state.sealed.len() < self.options.max_sealed_memtables {
            let upto = state.active.max_lsn();
            debug_assert!(upto < lsn);
            drop(state);
            self.seal_active(upto);
            return true;
        }
        self.flush_must_wait(&state)
    }

    /// True if the active memtable should take no more: it has its size, or would have well beyond it, or it has a part of
    /// it and there is no memory for more. In the last case even less would make the memory last longer, and would make more
    /// tables than merging them is worth.
    fn is_full(&self, active: &Memtable, bytes: usize) -> bool {
        let (held, limit) = (active.bytes(), self.options.memtable_bytes);
        let overflows = held >= limit / 2 && held.saturating_add(bytes) > limit + limit / OVERFLOW_PART;
        held >= limit
            || overflows
            || (held >= limit / TIGHT_PART && held > 0 && self.context.memory.is_tight())
    }

    /// True if no flush can go on before more is published: waiting for one could be waiting for our own caller.
    fn flush_must_wait(&self, state: &State) -> bool {
        let oldest = state.sealed.last().map(|memtable| memtable.upto());
        oldest.is_none_or(|upto| upto > self.published_lsn())
    }

    /// Called with the writer's lock held.
    fn seal_active(&self, upto: Lsn) {
        self.edit_state(|state| {
            state.active.seal(upto);
            let mut sealed = Vec::with_capacity(state.sealed.len() + 1);
            sealed.push(Arc::clone(&state.active));
            sealed.extend(state.sealed.iter().cloned());
            State {
                active: Arc::new(Memtable::new(&self.memtables)),
                sealed,
                version: Arc::clone(&state.version),
            }
        });
        self.wake_flush();
    }

    /// True if a batch is so large that it becomes a sealed memtable of its own, and there is room for one.
    fn takes_whole(&self, batch: &WriteBatch) -> bool {
        let is_large = batch.data_bytes() >= self.options.memtable_bytes / 2 && !batch.is_empty();
        is_large && self.has_room_for_run()
    }

    /// True if a sorted run may be sealed now. With rows in the active memtable that is two memtables; the second may come
    /// on top of those that are allowed, because the active one is empty then.
    pub(super) fn has_room_for_run(&self) -> bool {
        let state = self.state();
        let only_one = state.active.max_lsn() == Lsn::ZERO && !self.context.memory.is_tight();
        state.sealed.len() < self.options.max_sealed_memtables + usize::from(only_one)
    }

    /// Seals the active memtable, and then a sorted run of newer rows up to `upto`. Called with the writer's lock held.
    pub(super) fn seal_run(&self, run: SortedRun, upto: Lsn) {
        let run = Arc::new(Memtable::sorted(run, &self.memtables));
        run.seal(upto);
        let before = self.state().active.max_lsn();
        if before > Lsn::ZERO {
            self.seal_active(before);
        }
        self.edit_state(|state| {
            let mut sealed = Vec::with_capacity(state.sealed.len() + 1);
            sealed.push(run);
            sealed.extend(state.sealed.iter().cloned());
            State { active: Arc::clone(&state.active), sealed, version: Arc::clone(&state.version) }
        });
        self.wake_flush();
    }

    pub(super) fn wait_for_flush(&self) -> Result<()> {
        // A flush that failed is tried once more for every batch that needs it.
        self.forget_flush_failure();
        self.wake_flush();
        let counters = &self.context.counters;
        counters.apply_waits.add(1);
        let since = self.env.clock.monotonic();
        let outcome = self.wait_while_delayed(DelayCause::Memtables, || {
            if let Some(error) = &*self.flush_failure.lock() {
                let storage_full = matches!(error, Error::Env(error) if error.is_storage_full());
                return Some(Err(Error::Stalled { cause: error.to_string(), storage_full }));
            }
            let state = self.state();
            let free = state.sealed.len() < self.options.max_sealed_memtables;
            // A large batch may have been sealed on top of those that are allowed. Then the flush of one frees no place, and
            // the next may be what our own caller has still to publish.
            (free || self.flush_must_wait(&state)).then_some(Ok(()))
        });
        let waited = self.env.clock.monotonic().saturating_sub(since);
        self.note_delay(DelayCause::Memtables, waited);
        counters.apply_wait_us.add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        outcome
    }

    pub(super) fn publish(&self, lsn: Lsn) {
        self.published.fetch_max(lsn.0, Ordering::AcqRel);
        if !self.state().sealed.is_empty() {
            self.wake_flush();
        }
    }

    pub(super) fn abandon(&self) {
        let mut writer = self.writer.lock();
        let published = self.published_lsn();
        // A memtable in the middle of a flush has no row above the published LSN that the flush would take.
        let state = self.state_full();
        state.sealed.iter().for_each(|memtable| memtable.remove_above(published));
        if state.active.max_lsn() > published {
            // The LSNs will be used again: a memtable without them takes over, and readers keep the old one.
            let kept = Arc::new(state.active.without_above(published));
            self.edit_state(|state| State {
                active: kept,
                sealed: state.sealed.clone(),
                version: Arc::clone(&state.version),
            });
        }
        writer.applied = published;
        drop(writer);
        self.wake_flush();
    }

    /// Seals what is published, so that the flush job takes it; does not wait.
    pub(super) fn begin_flush(&self) {
        if self.flushed_lsn() < self.published_lsn() {
            self.seal_published();
        }
        self.wake_flush();
    }

    /// Makes everything published so far durable in tables.
    pub(super) fn flush(&self) -> Result<Lsn> {
        let target = self.published_lsn();
        if self.flushed_lsn() < target {
            self.seal_published();
        }
        self.forget_flush_failure();
        self.wake_flush();
        self.wait_until(|| {
            if self.flushed_lsn() >= target {
                return Some(Ok(self.flushed_lsn()));
            }
            let failure = self.flush_failure.lock().as_ref().map(Error::again);
            failure.map(Err).or_else(|| self.closed())
        })
    }

    /// Seals what is published. Rows that are not yet move on to a newer memtable first; the sealed one keeps its
    /// copies, so that whoever reads the old state misses nothing if they become visible meanwhile.
    ///
    /// The flush job chooses its memtable under the same lock: it never sees one half split.
    fn seal_published(&self) {
        let _writer = self.writer.lock();
        let target = self.published_lsn();
        let state = self.state_full();
        // At most one lies across the target: what is beyond goes into one of its own, in front of it.
        let across =
            state.sealed.iter().position(|memtable| memtable.min_lsn() <= target && memtable.upto() > target);
        if let Some((at, memtable)) = across.and_then(|at| Some((at, state.sealed.get(at)?))) {
            let newer = Arc::new(memtable.rows_above(target));
            newer.seal(memtable.upto());
            memtable.seal(target);
            self.edit_state(|state| {
                let mut sealed = state.sealed.clone();
                sealed.insert(at.min(sealed.len()), newer);
                State { active: Arc::clone(&state.active), sealed, version: Arc::clone(&state.version) }
            });
        }
        let state = self.state_full();
        let beyond = state.sealed.iter().take_while(|memtable| memtable.upto() > target).count();
        if beyond > 0 {
            // The newest sealed memtables are beyond the target, and so is the active one. Batches without rows may lie
            // between the others and the target: an empty memtable carries the flush that far.
            let reached = state.sealed.get(beyond).is_some_and(|memtable| memtable.upto() >= target);
            if !reached {
                let empty = Arc::new(Memtable::new(&self.memtables));
                empty.seal(target);
                self.edit_state(|state| {
                    let mut sealed = state.sealed.clone();
                    sealed.insert(beyond.min(sealed.len()), empty);
                    State { active: Arc::clone(&state.active), sealed, version: Arc::clone(&state.version) }
                });
            }
            return;
        }
        if state.active.max_lsn() <= target {
            self.seal_active(target);
            return;
        }
        let fresh = Arc::new(state.active.rows_above(target));
        self.edit_state(|state| {
            state.active.seal(target);
            let mut sealed = vec![Arc::clone(&state.active)];
            sealed.extend(state.sealed.iter().cloned());
            State { active: fresh, sealed, version: Arc::clone(&state.version) }
        });
    }
}
