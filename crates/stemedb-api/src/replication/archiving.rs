//! The jobs that archive the journal of an open database.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use stemedb_env::{Budget, Job, Lsn, Step, TaskHandle};

use crate::{
    Database,
    backup::{BackupTarget, CountedTarget, Error, Hex, Keeper, Result, ShipOptions, Shipper},
};

/// Between two looks at whether the first step has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How the journal is archived.
#[derive(Clone, Copy, Debug)]
pub struct ArchivingOptions {
    /// Between two times at which what is durable is sent.
    pub every: Duration,
    /// How it is sent.
    pub ship: ShipOptions,
}

impl Default for ArchivingOptions {
    fn default() -> ArchivingOptions {
        ArchivingOptions { every: Duration::from_secs(5), ship: ShipOptions::default() }
    }
}

/// The archiving of one open database. It ends when this is dropped; [`Archiving::finish`] sends what is left before.
#[derive(Debug)]
pub struct Archiving {
    // Dropped first: they use the rest.
    tasks: Vec<TaskHandle>,
    shipper: Arc<Mutex<Shipper>>,
}

impl Archiving {
    /// Begins to archive. Nothing is asked of the target here: whether this server may be the writer is found by the first step, and
    /// writes are acknowledged meanwhile.
    ///
    /// Errors: [`Error::Env`] where no job can be started.
    pub fn start(
        database: &Database,
        target: Arc<dyn BackupTarget>,
        options: ArchivingOptions,
    ) -> Result<Archiving> {
        let target = counted(database, target);
        let shipper = Shipper::new(database, Arc::clone(&target), options.ship);
        Archiving::over(database, target, shipper, options)
    }

    /// [`Archiving::start`] of a writer whose epoch has begun already.
    pub(super) fn holding(
        database: &Database,
        target: Arc<dyn BackupTarget>,
        (epoch, holder): (u64, Hex<16>),
        options: ArchivingOptions,
    ) -> Result<Archiving> {
        let target = counted(database, target);
        let shipper = Shipper::new(database, Arc::clone(&target), options.ship).holding(epoch, holder);
        Archiving::over(database, target, shipper, options)
    }

    fn over(
        database: &Database,
        target: Arc<dyn BackupTarget>,
        shipper: Shipper,
        options: ArchivingOptions,
    ) -> Result<Archiving> {
        let env = database.env();
        database.role().note_archiving(env.clock.monotonic());
        let shipper = Arc::new(Mutex::new(shipper));
        let ship = ShipJob {
            shipper: Arc::clone(&shipper),
            every: options.every,
            clock: Arc::clone(&env.clock),
            failing: None,
        };
        let keeper = Keeper::new(database, target, options.ship.keep_superseded);
        let keep = KeepJob { keeper, every: options.every, failing: None };
        let tasks = vec![
            env.tasks.spawn("stemedb-ship", Box::new(ship))?,
            env.tasks.spawn("stemedb-keep-archive", Box::new(keep))?,
        ];
        Ok(Archiving { tasks, shipper })
    }

    /// Waits until it is known whether this server may be the writer, or the archive has failed to say so; at most for `limit`.
    pub fn await_turn(&self, database: &Database, limit: Duration) {
        let clock = &database.env().clock;
        let began = clock.monotonic();
        let is_known = || {
            let status = database.archive_status();
            status.epoch.is_some() || status.errors > 0 || database.role().fenced().is_some()
        };
        while !is_known() && clock.monotonic().saturating_sub(began) < limit {
            clock.sleep(LOOK_EVERY);
        }
    }

    /// Ends the jobs, and sends what is durable by now. Returns the last entry that counts as archived.
    ///
    /// Errors: those of [`Shipper::step`]; what was sent before stays.
    pub fn finish(mut self) -> Result<Lsn> {
        self.tasks.clear();
        let mut shipper = self.shipper.lock();
        loop {
            let report = shipper.step()?;
            if !report.more {
                return Ok(report.upto);
            }
        }
    }
}

fn counted(database: &Database, target: Arc<dyn BackupTarget>) -> Arc<dyn BackupTarget> {
    Arc::new(CountedTarget::new(target, database.role().requests()))
}

/// Says what fails once, and when it does not any more.
pub(super) fn tell(failing: &mut Option<String>, what: &str, outcome: std::result::Result<(), String>) {
    match outcome {
        Err(text) if failing.as_ref() != Some(&text) => {
            tracing::warn!("{what} fails, and is tried again: {text}");
            *failing = Some(text);
        }
        Err(_) => {}
        Ok(()) => {
            if failing.take().is_some() {
                tracing::info!("{what} goes on");
            }
        }
    }
}

struct ShipJob {
    shipper: Arc<Mutex<Shipper>>,
    every: Duration,
    clock: Arc<dyn stemedb_env::Clock>,
    failing: Option<String>,
}

impl Job for ShipJob {
    fn step(&mut self, _: Budget) -> Step {
        let began = self.clock.monotonic();
        let stepped = self.shipper.lock().step();
        if let Err(Error::Fenced { .. }) = stepped {
            return Step::Done;
        }
        let more = stepped.as_ref().is_ok_and(|report| report.more);
        let outcome = stepped.map(|_| ()).map_err(|error| error.to_string());
        tell(&mut self.failing, "archiving the journal", outcome);
        let took = self.clock.monotonic().saturating_sub(began);
        if more { Step::Again } else { Step::After(self.every.saturating_sub(took)) }
    }
}

struct KeepJob {
    keeper: Keeper,
    every: Duration,
    failing: Option<String>,
}

impl Job for KeepJob {
    fn step(&mut self, _: Budget) -> Step {
        let outcome = self.keeper.step().map_err(|error| error.to_string());
        tell(&mut self.failing, "archiving released segments", outcome);
        Step::After(self.every)
    }
}
