//! The background job that compacts and removes obsolete files.

use std::{sync::Arc, time::Duration};

use stemedb_env::{
    Budget, Job, Lsn, Step,
    planted::{Bug, planted},
};

use super::{
    Gc,
    pick::{Task, pick, pick_everything},
};
use crate::{
    Direction, Error, Result,
    iter::{Merge, Source},
    store::{Change, Core},
    table::{Bounds, Run, RunCursor, Table, TableBuilder, TableMeta, TableShape},
    version::LAST_LEVEL,
};

/// A healthy tree has fewer files than this.
const HEALTHY_FILES: u64 = 64;

/// One step does a part of one compaction, or removes one file.
pub(crate) struct CompactionJob {
    core: Arc<Core>,
    running: Option<Running>,
}

struct Running {
    task: Task,
    /// The request of [`crate::KvStore::compact`] that this answers.
    request: Option<u64>,
    merge: Merge,
    gc: Gc,
    shape: TableShape,
    table_bytes: u64,
    builder: Option<TableBuilder>,
    last_key: Vec<u8>,
    outputs: Vec<TableMeta>,
    /// Every file created, finished or not.
    created: Vec<u64>,
    horizon: Lsn,
    started: Duration,
    rows_in: u64,
}

impl CompactionJob {
    pub(crate) fn new(core: Arc<Core>) -> CompactionJob {
        CompactionJob { core, running: None }
    }

    fn choose(&mut self) -> Option<Running> {
        let core = &self.core;
        let version = Arc::clone(&core.state().version);
        let damaged = |file: u64| core.context.damage.contains(file);
        let request = core.compaction_requests.pending();
        let task = match request {
            Some(request) => match pick_everything(&version, &damaged) {
                Some(task) => Some(task),
                None => {
                    let refused = version.tables().find(|(_, table)| damaged(table.meta.file));
                    let outcome = refused.map_or(Ok(()), |(_, table)| {
                        Err(core.context.damage.error(&core.dir, table.meta.file))
                    });
                    core.compaction_requests.answer(request, outcome);
                    core.notify();
                    return self.choose();
                }
            },
            None if core.options.enable_auto_compaction && !core.compaction_is_held() => {
                pick(&version, &core.options, &damaged)
            }
            None => None,
        };
        let over = version.l0.len() >= core.options.l0_trigger;
        core.set_compaction_blocked(over && task.is_none());
        Some(self.start(task?, request))
    }

    fn start(&self, task: Task, request: Option<u64>) -> Running {
        let core = &self.core;
        let horizon = core.begin_gc();
        let drops = task.is_bottom || planted(Bug::LsmDropsTombstonesEarly);
        let bounds = Arc::new(Bounds::default());
        let cursor = |run: Run| {
            Source::Run(Box::new(RunCursor::new(run, Arc::clone(&bounds), Direction::Forward, false)))
        };
        let level = |wanted: usize| -> Vec<Arc<Table>> {
            let tables = task.inputs.iter().filter(|(level, _)| *level == wanted);
            let mut tables: Vec<_> = tables.map(|(_, table)| Arc::clone(table)).collect();
            tables.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
            tables
        };
        let mut sources: Vec<Source> = level(0).into_iter().map(|table| cursor(Run::new([table]))).collect();
        sources.extend(
            (1..=LAST_LEVEL).map(level).filter(|run| !run.is_empty()).map(|run| cursor(Run::new(run))),
        );
        if !task.moves {
            tracing::debug!(
                inputs = task.inputs.len(),
                output_level = task.output_level,
                horizon = horizon.0,
                "compaction started"
            );
        }
        Running {
            shape: TableShape::new(&core.options, task.output_level == LAST_LEVEL, horizon, drops),
            table_bytes: table_bytes(core),
            merge: Merge::new(sources, Direction::Forward, 0),
            gc: Gc::new(horizon, drops),
            request,
            builder: None,
            last_key: Vec::new(),
            outputs: Vec::new(),
            created: Vec::new(),
            horizon,
            started: core.env.clock.monotonic(),
            rows_in: 0,
            task,
        }
    }

    fn finish(&mut self, running: Running) -> Result<()> {
        let core = &self.core;
        let Running { task, request, outputs, horizon, started, rows_in, .. } = running;
        let written: u64 = outputs.iter().map(|meta| meta.bytes).sum();
        let read: u64 = task.inputs.iter().map(|(_, table)| table.meta.bytes).sum();
        let moved = || task.inputs.iter().map(|(_, table)| table.meta.clone()).collect();
        let added = if task.moves { moved() } else { outputs.clone() };
        let installed = core.install(Change {
            removed: task.inputs.iter().map(|(_, table)| table.meta.file).collect(),
            added: added.into_iter().map(|meta| (task.output_level, meta)).collect(),
            horizon: if task.moves { Lsn::ZERO } else { horizon },
            ..Change::default()
        })?;
        let counters = &core.context.counters;
        if !installed {
            // An input was replaced by a repair meanwhile: this work is void.
            outputs.iter().for_each(|meta| core.remove_table_file(meta.file));
        } else if task.moves {
            counters.moves.add(1);
            tracing::debug!(tables = task.inputs.len(), level = task.output_level, "compaction moved tables");
        } else {
            let took = core.env.clock.monotonic().saturating_sub(started);
            counters.compactions.add(1);
            counters.compaction_bytes.add(written);
            counters.compaction_read_bytes.add(read);
            core.note_compaction(took);
            tracing::info!(
                inputs = task.inputs.len(),
                outputs = outputs.len(),
                level = task.output_level,
                read_bytes = read,
                written_bytes = written,
                rows_in,
                rows_out = outputs.iter().map(|meta| meta.rows).sum::<u64>(),
                ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "compaction finished"
            );
        }
        if let Some(request) = request.filter(|_| installed) {
            core.compaction_requests.answer(request, Ok(()));
        }
        core.set_compaction_blocked(false);
        core.notify();
        core.wake_flush();
        Ok(())
    }

    fn fail(&mut self, error: &Error, outputs: &[u64], request: Option<u64>) {
        tracing::error!(%error, "LSM tree compaction failed");
        outputs.iter().for_each(|file| self.core.remove_table_file(*file));
        if let Some(request) = request {
            self.core.compaction_requests.answer(request, Err(error.again()));
        }
        // Corrupt inputs are marked and passed over from now on; anything else waits for the next wake.
        self.core.set_compaction_blocked(true);
        self.core.hold_compaction(!matches!(error, Error::Corruption { .. }));
        self.core.notify();
        self.core.wake_flush();
    }
}

/// Doubles the target size as often as needed to keep the number of files small.
fn table_bytes(core: &Core) -> u64 {
    let total = core.state().version.total_bytes();
    let mut target = core.options.target_table_bytes.max(1);
    while total / target >= HEALTHY_FILES {
        target *= 2;
    }
    target
}

impl Running {
    /// Merges about `budget` bytes; true when all rows have passed.
    fn work(&mut self, core: &Core, budget: Budget) -> Result<bool> {
        if self.task.moves {
            return Ok(true);
        }
        let mut done = 0;
        while done < budget.bytes {
            if !self.merge.advance()? {
                if let Some(builder) = self.builder.take() {
                    self.outputs.push(builder.finish()?);
                    core.sync_names()?;
                }
                return Ok(true);
            }
            let (key, lsn, value) = (self.merge.key(), self.merge.lsn(), self.merge.value());
            self.rows_in += 1;
            done += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
            if !self.gc.keeps(key, lsn, value.is_none()) {
                continue;
            }
            // All versions of a key stay in one table of a level.
            let full = self.builder.as_ref().is_some_and(|builder| builder.file_bytes() >= self.table_bytes);
            if full
                && self.last_key != key
                && let Some(builder) = self.builder.take()
            {
                self.outputs.push(builder.finish()?);
            }
            if self.builder.is_none() {
                let file = core.next_file_number();
                self.created.push(file);
                self.builder = Some(TableBuilder::create(
                    &core.env,
                    &core.dir,
                    core.context.database,
                    file,
                    self.shape,
                )?);
            }
            if let Some(builder) = &mut self.builder {
                builder.add(key, lsn, value)?;
            }
            if self.last_key != key {
                self.last_key.clear();
                self.last_key.extend_from_slice(key);
            }
        }
        Ok(false)
    }
}

impl Job for CompactionJob {
    fn step(&mut self, budget: Budget) -> Step {
        if self.core.is_closing() {
            return Step::Done;
        }
        let Some(mut running) = self.running.take().or_else(|| self.choose()) else {
            // One file at a time: unlinking large files is slow on some file systems.
            return if self.core.remove_one_obsolete_file() { Step::Again } else { Step::Idle };
        };
        let core = Arc::clone(&self.core);
        match running.work(&core, budget) {
            Ok(false) => {
                self.running = Some(running);
            }
            Ok(true) => {
                let request = running.request;
                if let Err(error) = self.finish(running) {
                    // The edit may or may not be durable: the outputs stay, as orphans if it is not.
                    self.fail(&error, &[], request);
                }
            }
            Err(error) => {
                self.fail(&error, &running.created, running.request);
            }
        }
        Step::Again
    }
}
