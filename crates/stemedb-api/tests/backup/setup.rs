//! Small databases on a simulated machine, with a record of what they were at every LSN.

use std::{path::Path, sync::Arc, time::Duration};

use stemedb_api::{
    Database, DatabaseOptions,
    backup::{self, BackupTarget, CreateOptions, CreateReport, Plan, Point, RestoreOptions, RestoreReport},
    core::{Assertion, Object},
    hybrid::{HybridOptions, StateRoot},
};
use stemedb_env::{Env, Lsn, Micros, SimHandles, clock::SimClock, fs::SimFs};

pub fn machine(seed: u64) -> (Env, SimHandles) {
    Env::sim(seed)
}

/// A machine that starts on a disk image.
pub fn machine_on(fs: SimFs, seed: u64) -> (Env, SimHandles) {
    Env::over(fs, Arc::new(SimClock::new(Micros(1_800_000_000_000_000))), seed)
}

pub fn options(env: &Env) -> DatabaseOptions {
    DatabaseOptions { engine: HybridOptions::tiny(), env: env.clone(), ..DatabaseOptions::default() }
}

pub fn data() -> &'static Path {
    Path::new("/db")
}

pub fn claim(n: u64) -> Assertion {
    let text = format!("value {n} of a claim that is as long as a claim may well be");
    Assertion::new(format!("s{}", n % 17), "p", Object::Text(text), format!("t{}", n % 5))
}

/// What a database was after an entry.
#[derive(Clone, Copy, Debug)]
pub struct Was {
    pub lsn: Lsn,
    pub at: Micros,
    pub root: StateRoot,
}

/// A database and its past.
pub struct History {
    pub database: Database,
    pub env: Env,
    pub sim: SimHandles,
    pub past: Vec<Was>,
    next: u64,
}

impl History {
    pub fn begin(seed: u64) -> History {
        let (env, sim) = machine(seed);
        let database = Database::create(data(), options(&env)).unwrap();
        History { database, env, sim, past: Vec::new(), next: 0 }
    }

    /// Goes on with a database that is there.
    pub fn over(database: Database, env: Env, sim: SimHandles, next: u64) -> History {
        History { database, env, sim, past: Vec::new(), next }
    }

    /// Adds entries, with time passing between them, and remembers what each of them led to.
    pub fn write(&mut self, entries: u64) {
        for _ in 0..entries {
            self.sim.clock.advance(Duration::from_millis(1_500));
            let commands: Vec<_> = (0..12)
                .map(|_| {
                    self.next += 1;
                    stemedb_api::core::Command::Assert(claim(self.next))
                })
                .collect();
            let at = self.env.clock.wall();
            self.database.submit(&commands).unwrap();
            let root = self.database.engine().state_root().unwrap();
            self.past.push(Was { lsn: self.database.published_lsn(), at, root });
        }
    }

    pub fn flush(&self) {
        self.database.flush().unwrap();
        self.sim.tasks.settle(200);
    }

    pub fn at(&self, lsn: Lsn) -> Was {
        *self.past.iter().find(|was| was.lsn == lsn).unwrap()
    }

    pub fn back_up(&self, target: &dyn BackupTarget) -> CreateReport {
        // Names tell seconds.
        self.sim.clock.advance(Duration::from_secs(1));
        create(&self.database, target).unwrap()
    }
}

pub fn create(database: &Database, target: &dyn BackupTarget) -> backup::Result<CreateReport> {
    backup::create(database, target, &CreateOptions::default(), &mut |_, _| {})
}

pub fn restore_to(
    env: &Env,
    target: &dyn BackupTarget,
    point: Point,
    dir: &Path,
) -> backup::Result<RestoreReport> {
    let options = RestoreOptions::to(point);
    let plan = Plan::make(target, target, &options)?;
    backup::restore(env, target, target, &plan, &options, dir, &mut |_, _| {})
}

/// Opens a restored database.
pub fn reopen(env: &Env, dir: &Path) -> Database {
    Database::open(dir, options(env)).unwrap()
}

/// Numbers from a seed (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % bound
    }
}
