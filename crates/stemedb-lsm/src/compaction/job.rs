//! The background job that compacts and removes obsolete files.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use stemedb_env::{Budget, Job, Lsn, Step};

use super::{
    forecast::{Forecast, Outlook, Room},
    idle::{IdleWatch, Spent, pick_idle},
    merge::Running,
    pick::{Facts, l0_is_due, pick_column, pick_crowded, pick_l0},
    removal::Removal,
    request::{Request, pick_request},
    reserve::Reserve,
    task::{Kind, Task},
};
use crate::{
    Error, Result,
    store::{Change, Core},
};

/// Between two looks at whether anybody has committed, or wants level 0 merged first.
const PIECE_BYTES: u64 = 1 << 20;
/// After a failure that may pass it is tried again this much later, and then each time twice as much.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const MOST_DOUBLINGS: u32 = 6;

/// One step does a part of one compaction, or removes one file.
///
/// Compactions form a stack: merging level 0 may begin while a larger merge is under way, which goes on afterwards. A
/// step is small, so that a flush, which runs as a job of its own, never waits for a merge.
pub(crate) struct CompactionJob {
    core: Arc<Core>,
    /// The last one is worked on.
    stack: Vec<Running>,
    idle: IdleWatch,
    removal: Removal,
    reserve: Reserve,
    forecast: Forecast,
    /// When to look for work again after a failure.
    retry_at: Option<Duration>,
    failures: u32,
    /// Without automatic compaction: pending bytes at which it is said next that nobody merges them.
    say_at_bytes: u64,
}

/// What to do in a step.
enum Next {
    Work,
    /// Compaction waits for this long; there may be files to remove meanwhile.
    Wait(Duration),
    Rest,
}

impl CompactionJob {
    pub(crate) fn new(core: Arc<Core>) -> CompactionJob {
        let idle = IdleWatch::new(core.options.idle_after);
        let reserve = Reserve::new(core.options.reserve_bytes);
        if !core.options.enable_auto_compaction {
            tracing::warn!(
                dir = %core.dir.display(),
                "automatic compaction is off: tables are merged on request alone, and reads get slower with every flush"
            );
        }
        let say_at_bytes = core.options.compaction_trigger_bytes.max(1);
        CompactionJob {
            core,
            stack: Vec::new(),
            idle,
            removal: Removal::default(),
            reserve,
            forecast: Forecast::default(),
            retry_at: None,
            failures: 0,
            say_at_bytes,
        }
    }

    /// Says that merges are due which nobody begins: at the trigger, and then whenever it is twice as much.
    fn say_what_is_left(&mut self) {
        let core = &self.core;
        if core.options.enable_auto_compaction {
            return;
        }
        let pending = core.admission.pending_bytes();
        if pending < core.options.compaction_trigger_bytes.max(1) {
            self.say_at_bytes = core.options.compaction_trigger_bytes.max(1);
        } else if pending >= self.say_at_bytes {
            self.say_at_bytes = pending.saturating_mul(2);
            tracing::warn!(
                pending_compaction_bytes = pending,
                level0_tables = core.state().version.l0.len(),
                "automatic compaction is off, and tables wait to be merged: ask for a compaction, or switch it on"
            );
        }
    }

    fn next(&mut self, now: Duration) -> Next {
        let core = Arc::clone(&self.core);
        let counters = &core.context.counters;
        if self.idle.look(counters.applied_bytes.get(), counters.flushes.get(), now) {
            self.cut_off_idle();
        }
        let mut claims = core.claims.lock();
        if let Some((task, request)) = self.choose(now) {
            let running = Running::start(&core, task, request);
            claims.extend(running.claim());
            self.stack.push(running);
        }
        drop(claims);
        self.say_what_is_left();
        let Some(running) = self.stack.last() else {
            core.pressure.rest();
            self.forecast.rest();
            core.admission.set_outlook(Outlook::default());
            let retry = self.retry_at.map(|at| at.saturating_sub(now));
            let wait = [self.idle.time_left(now), retry].into_iter().flatten().min();
            return wait.map_or(Next::Rest, |wait| Next::Wait(wait.max(Duration::from_millis(1))));
        };
        let pause =
            if running.task.rewrites() { core.pressure.pause(core.load().score().0) } else { Duration::ZERO };
        if pause.is_zero() { Next::Work } else { Next::Wait(pause) }
    }

    /// A merge that nobody needed gives way to the first write.
    fn cut_off_idle(&mut self) {
        while let Some(at) = self.stack.iter().rposition(|running| running.task.kind == Kind::Idle) {
            let running = self.stack.remove(at);
            tracing::debug!(
                written_bytes = running.written_bytes(),
                "merging while idle was cut off by a write"
            );
            self.idle.cut_off();
            self.discard(running);
            self.withdraw_claims();
        }
    }

    /// A merge has ended: its tables are there, or never will be.
    fn withdraw_claims(&self) {
        *self.core.claims.lock() = self.stack.iter().filter_map(Running::claim).collect();
    }

    /// Files of a merge that is given up.
    fn discard(&self, running: Running) {
        self.core.context.counters.compaction_bytes.add(running.written_bytes());
        let created = running.created.clone();
        drop(running);
        created.iter().for_each(|file| self.core.remove_table_file(*file));
    }

    fn choose(&mut self, now: Duration) -> Option<(Task, Option<Arc<Request>>)> {
        let core = Arc::clone(&self.core);
        let version = Arc::clone(&core.state().version);
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            core.hold_compaction(false);
        }
        let is_automatic = core.options.enable_auto_compaction && !core.compaction_is_held();
        // Only level 0 may cut in, and only into something larger.
        let cuts_in = match self.stack.last() {
            None => false,
            Some(running) if running.task.kind == Kind::Level0 => return None,
            Some(_) if !is_automatic || !l0_is_due(&version, &core.options) => return None,
            Some(_) => true,
        };
        let damaged = |file: u64| core.context.damage.contains(file);
        let busy: BTreeSet<u64> = self.stack.iter().flat_map(|running| running.task.files()).collect();
        let busy_ranges: Vec<_> = self.stack.iter().map(Running::range).collect();
        let reported = core.context.dense.files();
        let facts = Facts {
            version: &version,
            options: &core.options,
            damaged: &damaged,
            busy: &busy,
            busy_ranges: &busy_ranges,
            horizon: core.published_lsn(),
            reported: &reported,
        };
        if is_automatic && let Some(task) = pick_l0(&facts) {
            core.set_compaction_blocked(false);
            return Some((task, None));
        }
        if cuts_in {
            return None;
        }
        while let Some(request) = core.compaction_requests.first() {
            let damage = |file: u64| core.context.damage.error(&core.dir, file);
            let outcome = match pick_request(&facts, &request, &damage) {
                Ok(Some(task)) => return Some((task, Some(request))),
                Ok(None) => Ok(()),
                Err(error) => {
                    tracing::error!("StorageError: LSM tree compaction failed: {error}");
                    Err(error)
                }
            };
            core.compaction_requests.answer(&request, outcome);
            core.notify();
        }
        let task = if is_automatic { pick_column(&facts).or_else(|| pick_crowded(&facts)) } else { None };
        if task.is_none() {
            let is_due = l0_is_due(&version, &core.options) || core.admission.pending_bytes() > 0;
            core.set_compaction_blocked(is_due);
            if is_due {
                core.notify();
            }
        }
        if task.is_none() && is_automatic && self.idle.time_left(now).is_some_and(|left| left.is_zero()) {
            let counters = &core.context.counters;
            let spent = Spent {
                applied: counters.applied_bytes.get(),
                written: counters.flush_bytes.get() + counters.compaction_bytes.get(),
            };
            let task = pick_idle(&facts, spent);
            if task.is_none() {
                self.idle.done();
            }
            return task.map(|task| (task, None));
        }
        task.map(|task| (task, None))
    }

    fn finish(&mut self, running: Running) -> Result<()> {
        let core = &self.core;
        let written = running.written_bytes();
        let Running { task, outputs, horizon, started, rows_in, .. } = running;
        let moved = task.moves.iter().map(|(_, table, to)| (*to, table.meta.clone()));
        let installed = core.install(Change {
            removed: task.files().collect(),
            added: outputs.iter().cloned().chain(moved).collect(),
            horizon: if task.rewrites() { horizon } else { Lsn::ZERO },
            ..Change::default()
        })?;
        let counters = &core.context.counters;
        counters.compaction_bytes.add(written);
        if !installed {
            // An input was replaced by a repair meanwhile: this work is void.
            outputs.iter().for_each(|(_, meta)| core.remove_table_file(meta.file));
        } else if !task.rewrites() {
            counters.moves.add(1);
            tracing::debug!(tables = task.moves.len(), "compaction moved tables");
        } else {
            let took = core.env.clock.monotonic().saturating_sub(started);
            let from_l0 = task.inputs.iter().filter(|(level, _)| *level == 0);
            core.admission.note_l0_drain(from_l0.map(|(_, table)| table.meta.data_bytes).sum(), took);
            counters.compactions.add(1);
            counters.compaction_read_bytes.add(task.input_bytes());
            core.note_compaction(took);
            tracing::info!(
                kind = ?task.kind,
                inputs = task.inputs.len(),
                outputs = outputs.len(),
                moves = task.moves.len(),
                read_bytes = task.input_bytes(),
                written_bytes = written,
                rows_in,
                rows_out = outputs.iter().map(|(_, meta)| meta.rows).sum::<u64>(),
                ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "compaction finished"
            );
        }
        core.set_compaction_blocked(false);
        core.notify();
        self.failures = 0;
        Ok(())
    }

    fn fail(&mut self, error: &Error, request: Option<Arc<Request>>) {
        match error {
            Error::Env(env) => {
                tracing::error!(cause = ?env.logged(), "StorageError: LSM tree compaction failed: {error}")
            }
            _ => tracing::error!("StorageError: LSM tree compaction failed: {error}"),
        }
        let core = &self.core;
        if let Error::Env(env) = error
            && env.is_storage_full()
        {
            self.reserve.give_up(core);
        }
        if let Some(request) = request {
            core.compaction_requests.answer(&request, Err(error.again()));
        }
        // Corrupt inputs are marked and passed over from now on. What the system refuses may pass, as a full disk does;
        // anything else waits for the next flush.
        core.set_compaction_blocked(true);
        core.hold_compaction(!matches!(error, Error::Corruption { .. }));
        self.retry_at = matches!(error, Error::Env(_)).then(|| {
            let wait = RETRY_AFTER.saturating_mul(1 << self.failures.min(MOST_DOUBLINGS));
            core.env.clock.monotonic() + wait
        });
        self.failures = self.failures.saturating_add(1);
        core.notify();
    }

    /// Tells the valve for writers how full level 0 will be when the merge of level 0 under way has ended. Others do not hold level
    /// 0 up: it cuts into them, or its tables are joined meanwhile.
    fn look_ahead(&mut self, core: &Core, rows: u64) {
        self.forecast.note(core.env.clock.monotonic(), rows, core.context.counters.applied_bytes.get());
        let load = core.load();
        let counters = &core.context.counters;
        // Memtables hold less than their size: rows cost something beside, and little memory seals them early.
        let most = core.options.memtable_bytes as u64;
        let flushed = counters.applied_bytes.get() / counters.flushes.get().max(1);
        core.admission.set_outlook(self.forecast.outlook(Room {
            rows_left: match self.stack.last() {
                Some(running) if running.task.kind == Kind::Level0 => running.rows_left(),
                _ => 0,
            },
            tables: load.l0_tables + load.sealed,
            stop: load.l0_stop(),
            table_bytes: flushed.clamp(most / 8, most),
        }));
    }

    fn work(&mut self, budget: Budget) {
        let core = Arc::clone(&self.core);
        let Some(running) = self.stack.last_mut() else { return };
        let (before, rows_before) = (running.written_bytes(), running.rows_in);
        let outcome = running.work(&core, budget.bytes.min(PIECE_BYTES));
        core.pressure.charge(running.written_bytes().saturating_sub(before));
        let rows = running.rows_in - rows_before;
        let request = running.request.clone();
        self.look_ahead(&core, rows);
        match outcome {
            Ok(false) => {}
            Ok(true) => {
                if let Some(running) = self.stack.pop()
                    && let Err(error) = self.finish(running)
                {
                    // The edit may or may not be durable: the outputs stay, as orphans if it is not.
                    self.fail(&error, request);
                }
                self.withdraw_claims();
            }
            Err(error) => {
                if let Some(running) = self.stack.pop() {
                    self.discard(running);
                }
                self.withdraw_claims();
                self.fail(&error, request);
            }
        }
    }
}

impl Drop for CompactionJob {
    /// A tree that is closed in the middle of a merge leaves nothing of it: the next open would find tables that nobody names, and
    /// keep them as evidence of what nothing has happened to.
    fn drop(&mut self) {
        while let Some(running) = self.stack.pop() {
            self.discard(running);
        }
    }
}

impl Job for CompactionJob {
    fn step(&mut self, budget: Budget) -> Step {
        if self.core.is_closing() {
            return Step::Done;
        }
        let now = self.core.env.clock.monotonic();
        let wait = match self.next(now) {
            Next::Work => {
                self.work(budget);
                let _ = self.removal.step(&self.core, now);
                return Step::Again;
            }
            Next::Wait(wait) => Some(wait),
            Next::Rest => None,
        };
        if self.stack.is_empty() {
            self.reserve.keep(&self.core);
        }
        match (self.removal.step(&self.core, now), wait) {
            (Some(removal), Some(wait)) => Step::After(removal.min(wait)),
            (Some(wait), None) | (None, Some(wait)) => Step::After(wait),
            (None, None) => Step::Idle,
        }
    }
}
