//! The background job that turns the oldest sealed memtable into a table of level 0.

use std::{sync::Arc, time::Duration};

use stemedb_env::{
    Budget, Job, Lsn, Step,
    planted::{Bug, planted},
};

use super::core::{Change, Core};
use crate::{
    Direction, Error, ObservedTable, Result, TableObserver,
    compaction::Gc,
    manifest::{Edit, Placing},
    memtable::{MemCursor, Memtable},
    ranges::{Cover, Fragments},
    table::{Bounds, TableBuilder, TableShape},
};

/// A flush that found the disk full is tried again this much later, whether or not a writer asks for it.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One step writes a part of one table.
pub(crate) struct FlushJob {
    core: Arc<Core>,
    running: Option<Running>,
}

struct Running {
    memtable: Arc<Memtable>,
    upto: Lsn,
    horizon: Lsn,
    cursor: MemCursor,
    gc: Gc,
    /// What removed ranges hide at the horizon.
    cover: Cover,
    /// Removed ranges of the table, from the first step on: gathering them takes no lock.
    ranges: Option<Fragments>,
    /// With its file number; made at the first row.
    builder: Option<(u64, TableBuilder)>,
    /// Who is told the rows, if anybody wants to know.
    observed: Option<Box<dyn ObservedTable>>,
    started: Duration,
}

impl FlushJob {
    pub(crate) fn new(core: Arc<Core>) -> FlushJob {
        FlushJob { core, running: None }
    }

    fn choose(&self) -> Option<Running> {
        let core = &self.core;
        // Nobody seals or splits a memtable meanwhile.
        let _writer = core.writer.lock();
        let state = core.state();
        let memtable = Arc::clone(state.sealed.last()?);
        let upto = memtable.upto();
        // Nothing that is not published may get into a table.
        let unpublished = upto > core.published_lsn() && !planted(Bug::LsmFlushesUnpublished);
        if unpublished || core.flush_failure.lock().is_some() {
            return None;
        }
        let horizon = core.begin_gc();
        let bounds = Arc::new(Bounds::default());
        Some(Running {
            cover: Cover::default(),
            ranges: None,
            cursor: MemCursor::new(&memtable, bounds, Direction::Forward, upto),
            memtable,
            upto,
            horizon,
            gc: Gc::new(horizon, false),
            builder: None,
            observed: None,
            started: core.env.clock.monotonic(),
        })
    }

    /// What to do after a failure: nothing, or to try again when there may be room.
    fn after_failure(&self) -> Step {
        let failure = self.core.flush_failure.lock();
        let is_full = matches!(&*failure, Some(Error::Env(error)) if error.is_storage_full());
        if is_full { Step::After(RETRY_AFTER) } else { Step::Idle }
    }

    /// Forgets that the disk was full when there is room for the oldest memtable again. Looking is not writing: no sync is
    /// ever repeated.
    fn look_for_room(&self) {
        let core = &self.core;
        let mut failure = core.flush_failure.lock();
        if !matches!(&*failure, Some(Error::Env(error)) if error.is_storage_full()) {
            return;
        }
        let needed = core.state().sealed.last().map_or(0, |memtable| memtable.bytes() as u64);
        if core.env.fs.space(&core.dir).is_ok_and(|space| space.available_bytes / 2 > needed) {
            tracing::info!("there is room again: flushing goes on");
            *failure = None;
        }
    }

    fn fail(&self, error: Error, file: Option<u64>) {
        tracing::error!(%error, "StorageError: flush failed");
        if let Some(file) = file {
            self.core.remove_table_file(file);
        }
        *self.core.flush_failure.lock() = Some(error);
        self.core.notify();
    }
}

impl Running {
    /// Writes about `budget` bytes; true when all rows are in the table.
    fn work(&mut self, core: &Core, budget: Budget) -> Result<bool> {
        if self.ranges.is_none() {
            let ranges = match self.memtable.has_ranges() {
                true => self.memtable.ranges_upto(self.upto).forgotten(self.horizon, false),
                false => Fragments::default(),
            };
            self.cover = Cover::new(&ranges, self.horizon);
            self.ranges = Some(ranges);
            self.observed = core.context.healer.observer().map(TableObserver::begin);
        }
        let mut done = 0;
        while done < budget.bytes {
            if !self.cursor.advance() {
                return Ok(true);
            }
            let (key, lsn, value) = (self.cursor.key(), self.cursor.lsn(), self.cursor.value());
            done += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
            // Of each key the first row is kept, so the builder knows the last key; or a removed range hides it, and all older
            // ones too.
            let is_new = self.builder.as_ref().is_none_or(|(_, builder)| builder.last_key() != key);
            let is_hidden = !self.cover.is_empty() && lsn < self.cover.newest(key);
            if !self.gc.keeps(is_new, lsn, value.is_none()) || is_hidden {
                continue;
            }
            builder_of(&mut self.builder, core, self.horizon)?.add(key, lsn, value)?;
            if let Some(observed) = &mut self.observed {
                observed.row(key, lsn);
            }
        }
        Ok(false)
    }

    /// Gives the removed ranges to the table, when all rows are in it.
    fn add_ranges(&mut self, core: &Core) -> Result<()> {
        if let Some(ranges) = self.ranges.take().filter(|ranges| !ranges.is_empty()) {
            if let Some(observed) = &mut self.observed {
                for span in ranges.spans() {
                    span.lsns.iter().for_each(|lsn| observed.range(&span.start, &span.end, *lsn));
                }
            }
            builder_of(&mut self.builder, core, self.horizon)?.set_ranges(ranges);
        }
        Ok(())
    }
}

/// The builder of the table; made at the first call.
fn builder_of<'a>(
    builder: &'a mut Option<(u64, TableBuilder)>,
    core: &Core,
    horizon: Lsn,
) -> Result<&'a mut TableBuilder> {
    match builder {
        Some((_, builder)) => Ok(builder),
        None => {
            let shape = TableShape::new(&core.options, false, horizon, false);
            let file = core.next_file_number();
            let made = TableBuilder::create(
                &core.env,
                &core.dir,
                core.context.database,
                file,
                shape,
                &core.context.memory,
            )?;
            Ok(&mut builder.insert((file, made)).1)
        }
    }
}

impl Job for FlushJob {
    fn step(&mut self, budget: Budget) -> Step {
        let core = Arc::clone(&self.core);
        if core.is_closing() {
            return Step::Done;
        }
        self.look_for_room();
        let Some(mut running) = self.running.take().or_else(|| self.choose()) else {
            return self.after_failure();
        };
        let worked = running.work(&core, budget).and_then(|done| {
            if done {
                running.add_ranges(&core)?;
            }
            Ok(done)
        });
        match worked {
            Ok(false) => {
                self.running = Some(running);
                return Step::Again;
            }
            Ok(true) => {}
            Err(error) => {
                self.fail(error, running.builder.map(|(file, _)| file));
                return self.after_failure();
            }
        }
        let Running { memtable, upto, horizon, builder, observed, started, .. } = running;
        let mut added = Vec::new();
        if let Some((file, builder)) = builder {
            let edit = Edit { flushed: upto, horizon, ..Edit::default() };
            let finished = core.finish_closing(builder, 0, Placing::AsTold, edit);
            match finished.and_then(|meta| core.sync_names().map(|()| meta)) {
                Ok(meta) => added.push((0, meta)),
                Err(error) => {
                    self.fail(error, Some(file));
                    return self.after_failure();
                }
            }
        }
        let written: u64 = added.iter().map(|(_, meta)| meta.bytes).sum();
        // Nobody else moves it: flushes are one job, and an ingest begins when there is nothing to flush.
        let flushed = core.flushed_lsn();
        let change = Change { added, flushed: upto, horizon, retired: Some(memtable), ..Change::default() };
        if let Err(error) = core.install(change) {
            // It is unknown whether the edit is durable: the table stays, as an orphan if it is not.
            self.fail(error, None);
            return self.after_failure();
        }
        // Also without a table: LSNs that have left nothing are accounted for.
        if let Some(observed) = observed.filter(|_| upto > flushed) {
            observed.finish(flushed.next()..=upto);
        }
        core.context.counters.flushes.add(1);
        core.context.counters.flush_bytes.add(written);
        core.admission.note_flush_drain(written, core.env.clock.monotonic().saturating_sub(started));
        tracing::debug!(bytes = written, upto = upto.0, "flushed a memtable");
        core.wake_compaction();
        Step::Again
    }
}
