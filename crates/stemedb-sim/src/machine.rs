//! The simulated machine: a disk that forgets, faults on the way to it, a clock, background jobs.

use std::{path::Path, sync::Arc, time::Duration};

use stemedb_env::{
    Clock, Env, Micros, Tasks,
    clock::SimClock,
    fs::{
        FaultFs, SimFs,
        fault::{Fault, FaultClass, FaultRule},
        sim::{Profile, Selection},
    },
    tasks::SimTasks,
};

use crate::{Coverage, Dice, Event};

/// 2026-01-01T00:00:00Z.
const START: Micros = Micros(1_767_225_600_000_000);
/// All classes that a rule can inject.
const CLASSES: [FaultClass; 7] = [
    FaultClass::Eio,
    FaultClass::StorageFull,
    FaultClass::TooManyOpenFiles,
    FaultClass::Short,
    FaultClass::Interrupted,
    FaultClass::SyncFailsThenLies,
    FaultClass::Latency,
];

/// What goes wrong while the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing.
    Calm,
    /// Short and interrupted calls, and slow ones: nobody may notice.
    Rough,
    /// Some calls fail.
    Errors,
    /// The disk fills up.
    DiskFull,
}

/// One machine from power-on to power-off.
#[derive(Debug)]
pub struct Machine {
    /// The disk.
    pub fs: SimFs,
    /// What stands between the engine and the disk.
    pub faults: FaultFs,
    /// Time; survives restarts.
    pub clock: Arc<SimClock>,
    /// What the engine is given.
    pub env: Env,
    tasks: Arc<SimTasks>,
    /// Mutating operations after which the power goes.
    stop_at: Option<u64>,
    /// True once errors may have been seen in this life.
    disk_was_full: bool,
    /// Calls take time.
    rough: bool,
}

impl Machine {
    /// A machine with an empty disk.
    pub fn new(dice: &mut Dice) -> Machine {
        let profile = match dice.below(6) {
            0 => Profile::Ext4Like,
            1 => Profile::FourKn,
            2 => Profile::Prefix,
            _ => Profile::Adversarial,
        };
        Machine::over(SimFs::with_profile(profile), Arc::new(SimClock::new(START)), dice)
    }

    fn over(fs: SimFs, clock: Arc<SimClock>, dice: &mut Dice) -> Machine {
        fs.set_clock(Arc::clone(&clock));
        let (mut env, handles) = Env::over(fs.clone(), Arc::clone(&clock), dice.number());
        let faults =
            FaultFs::with_clock(Arc::new(fs.clone()), Arc::clone(&clock) as Arc<dyn Clock>, dice.number());
        env.fs = Arc::new(faults.clone());
        Machine {
            fs,
            faults,
            clock,
            env,
            tasks: handles.tasks,
            stop_at: None,
            disk_was_full: false,
            rough: false,
        }
    }

    /// The data directory.
    pub fn dir() -> &'static Path {
        Path::new("/db")
    }

    /// Lets the power go inside one of the next operations, unless fewer than `mutations` follow.
    pub fn arm_power_cut(&mut self, mutations: u64) {
        let at = self.fs.mutations() + mutations;
        self.fs.stop_after(Some(at));
        self.stop_at = Some(at);
    }

    /// Takes an armed power cut back.
    pub fn disarm_power_cut(&mut self) {
        self.fs.stop_after(None);
        self.stop_at = None;
    }

    /// True when the power has gone.
    pub fn is_off(&self) -> bool {
        self.stop_at.is_some_and(|at| self.fs.mutations() >= at)
    }

    /// Arms faults for this life.
    pub fn arm(&mut self, weather: Weather, dice: &mut Dice) {
        match weather {
            Weather::Calm => {}
            Weather::Rough => {
                self.rough = true;
                self.faults.add(FaultRule::new(Fault::Short).chance_per_million(150_000));
                self.faults.add(FaultRule::new(Fault::Interrupted).chance_per_million(100_000));
                let pause = Duration::from_micros(1 + dice.below(20_000));
                self.faults.add(FaultRule::new(Fault::Latency(pause)).chance_per_million(50_000));
            }
            Weather::Errors => {
                for _ in 0..=dice.below(2) {
                    self.faults.add(error_rule(dice));
                }
            }
            Weather::DiskFull => {
                self.disk_was_full = true;
                self.fs.set_capacity(Some(self.fs.total_bytes() + dice.below(24 << 10)));
            }
        }
    }

    /// Takes all faults back, and frees the disk.
    pub fn disarm(&mut self) {
        self.faults.clear();
        self.fs.set_capacity(None);
        self.rough = false;
    }

    /// True where calls take time: it moves the clock, and what was recorded then cannot be read without power.
    pub fn is_rough(&self) -> bool {
        self.rough
    }

    /// True when the disk was full before power-on, and may be so still.
    pub fn starts_full(&self) -> bool {
        self.disk_was_full
    }

    /// A disk that was full before a power cut is so afterwards, unless somebody makes room meanwhile.
    fn inherit(&self, mut next: Machine, dice: &mut Dice) -> Machine {
        if self.disk_was_full && dice.one_in(2) {
            next.disk_was_full = true;
        } else {
            next.fs.set_capacity(None);
        }
        next
    }

    /// How many injected errors the engine has met since power-on.
    pub fn errors(&self) -> u64 {
        let counts = self.faults.fault_counts();
        let errors = [
            FaultClass::Eio,
            FaultClass::StorageFull,
            FaultClass::TooManyOpenFiles,
            FaultClass::SyncFailsThenLies,
        ];
        errors.into_iter().map(|class| counts.class(class)).sum::<u64>() + u64::from(self.disk_was_full)
    }

    /// The names of all files, for traces.
    pub fn files(&self) -> String {
        let paths = self.fs.paths();
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    }

    /// Steps one background job; false when none is runnable.
    pub fn step(&self) -> bool {
        self.tasks.drive()
    }

    /// Lets the kernel write some of what is pending, as it may at any time.
    pub fn write_back(&self, dice: &mut Dice) {
        let units = self.fs.pending_units().len();
        self.fs.write_back(&Selection::from_fn(units, |_| dice.one_in(2)));
    }

    /// The machine after a power cut now: some of what was pending has survived.
    pub fn after_power_cut(&self, dice: &mut Dice, coverage: &mut Coverage) -> Machine {
        self.count(coverage);
        let units = self.fs.pending_units().len();
        let selection = match dice.below(5) {
            0 => Selection::none(units),
            1 => Selection::all(units),
            2 => Selection::prefix(units, usize::try_from(dice.below(units as u64 + 1)).unwrap_or(0)),
            _ => {
                let odds = 2 + dice.below(5);
                let inverted = dice.one_in(2);
                Selection::from_fn(units, |_| dice.one_in(odds) != inverted)
            }
        };
        self.inherit(Machine::over(self.fs.crash_image(&selection), Arc::clone(&self.clock), dice), dice)
    }

    /// The machine after the process alone was killed.
    pub fn after_kill(&self, dice: &mut Dice, coverage: &mut Coverage) -> Machine {
        self.count(coverage);
        self.inherit(Machine::over(self.fs.crash_keeping_all(), Arc::clone(&self.clock), dice), dice)
    }

    /// The same disk under a new process.
    pub fn after_restart(&self, dice: &mut Dice, coverage: &mut Coverage) -> Machine {
        self.count(coverage);
        self.fs.set_capacity(None);
        Machine::over(self.fs.clone(), Arc::clone(&self.clock), dice)
    }

    fn count(&self, coverage: &mut Coverage) {
        let counts = self.faults.fault_counts();
        for class in CLASSES {
            coverage.add(Event::Fault(class), counts.class(class));
        }
        coverage.add(Event::DiskFull, u64::from(self.disk_was_full));
    }
}

/// One or a few failing calls, somewhere ahead.
fn error_rule(dice: &mut Dice) -> FaultRule {
    let fault = match dice.below(7) {
        0 | 1 => Fault::SyncFailsThenLies,
        2 => Fault::StorageFull,
        3 => Fault::TooManyOpenFiles,
        _ => Fault::Eio,
    };
    let (skip, times) = match fault {
        Fault::SyncFailsThenLies => (dice.below(25), 1),
        Fault::TooManyOpenFiles => (dice.below(8), 1 + dice.below(4)),
        Fault::StorageFull => (dice.below(60), 1 + dice.below(6)),
        _ => (dice.below(250), 1 + dice.below(4)),
    };
    let rule = FaultRule::new(fault).after(skip).times(times);
    match dice.below(3) {
        0 => rule.path("/wal/"),
        1 => rule.path("/kv/"),
        _ => rule,
    }
}
