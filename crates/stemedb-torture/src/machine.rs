//! The simulated machine under a journal: a disk that forgets, faults on the way to it, a clock, background jobs.

use std::{path::Path, sync::Arc, time::Duration};

use stemedb_env::{
    Clock, Env, Micros, Tasks,
    clock::SimClock,
    fs::{FaultFs, SimFs, sim::Profile},
    tasks::SimTasks,
};

/// 2026-01-01T00:00:00Z.
const START: Micros = Micros(1_767_225_600_000_000);
/// Background work that has not come to rest after so many steps never will.
const RESTS_WITHIN_STEPS: usize = 10_000;

/// A machine from power-on to power-off.
#[derive(Debug)]
pub struct Machine {
    /// The disk.
    pub disk: SimFs,
    /// What stands between the journal and the disk; `None` where nothing is to fail.
    pub faults: Option<FaultFs>,
    /// Time.
    pub clock: Arc<SimClock>,
    /// Background jobs.
    pub tasks: Arc<SimTasks>,
    /// What the journal is given.
    pub env: Env,
    /// Changes of the disk after which every call fails.
    stop_at: Option<u64>,
}

impl Machine {
    /// A machine that starts on this disk and on which nothing fails.
    pub fn plain(disk: SimFs) -> Machine {
        Machine::seeded(disk, 1)
    }

    /// The same with random numbers of its own: databases made on machines of different seeds have different identities.
    pub fn seeded(disk: SimFs, seed: u64) -> Machine {
        let clock = Arc::new(SimClock::new(START));
        let (env, handles) = Env::over(disk.clone(), Arc::clone(&clock), seed);
        Machine { disk, faults: None, clock, tasks: handles.tasks, env, stop_at: None }
    }

    /// A machine that starts on this disk, with a [`FaultFs`] in between. `seed` decides the order of background steps and the
    /// draws of rules.
    pub fn faulty(disk: SimFs, clock: Arc<SimClock>, seed: u64) -> Machine {
        let (mut env, handles) = Env::over(disk.clone(), Arc::clone(&clock), seed);
        let faults =
            FaultFs::with_clock(Arc::new(disk.clone()), Arc::clone(&clock) as Arc<dyn Clock>, seed ^ 1);
        env.fs = Arc::new(faults.clone());
        Machine { disk, faults: Some(faults), clock, tasks: handles.tasks, env, stop_at: None }
    }

    /// A clock for the machines of one run.
    pub fn clock() -> Arc<SimClock> {
        Arc::new(SimClock::new(START))
    }

    /// An empty disk with the folder above the journal's.
    pub fn disk(profile: Profile) -> SimFs {
        let disk = SimFs::with_profile(profile);
        // Nothing is there that could refuse it.
        let _ = disk.install_dir(Path::new("/db"));
        disk
    }

    /// Lets the machine stop inside one of the next `mutations` changes of the disk: every later call fails.
    pub fn arm_stop(&mut self, mutations: u64) {
        let at = self.disk.mutations() + mutations;
        self.disk.stop_after(Some(at));
        self.stop_at = Some(at);
    }

    /// Takes that back.
    pub fn disarm_stop(&mut self) {
        self.disk.stop_after(None);
        self.stop_at = None;
    }

    /// True when it has stopped.
    pub fn is_off(&self) -> bool {
        self.stop_at.is_some_and(|at| self.disk.mutations() >= at)
    }

    /// Does something that is not a part of the workload: nothing fails meanwhile, not even without power.
    pub fn undisturbed<T>(&self, work: impl FnOnce() -> T) -> T {
        self.disk.stop_after(None);
        self.faults.iter().for_each(|faults| faults.pause(true));
        let result = work();
        self.faults.iter().for_each(|faults| faults.pause(false));
        self.disk.stop_after(self.stop_at);
        result
    }

    /// Steps background jobs until none is runnable; false if that never comes.
    pub fn settle(&self) -> bool {
        self.tasks.settle(RESTS_WITHIN_STEPS) < RESTS_WITHIN_STEPS
    }

    /// Lets time pass in pieces of `pause` and the background jobs run in between.
    pub fn idle(&self, pieces: usize, pause: Duration) {
        for _ in 0..pieces {
            self.settle();
            self.clock.sleep(pause);
        }
        self.settle();
    }

    /// Steps one background job; false when none is runnable.
    pub fn step(&self) -> bool {
        self.tasks.drive()
    }
}
