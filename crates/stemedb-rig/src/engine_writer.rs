//! The child process that runs the whole engine: several threads that commit, flush, merge and read, and say what they were
//! answered.
//!
//! An acknowledgement is said after `commit` has returned, never before; see [`crate::writer`] for why that is enough.

use std::{
    io::BufRead,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use stemedb_env::Env;
use stemedb_hybrid::{ClaimEngine, Error};
use stemedb_index::{ClaimReader, Claims, Outcome};
use stemedb_lsm::KvSnapshot as _;

use crate::{
    content::OpId,
    dice::Dice,
    engine_content as content,
    engine_examine::{fallback_is_young, noticed},
    engine_life::{EngineWriterOptions, Pace, engine_options, pace, threads},
    protocol::{Line, Work as Aside},
    slow_fs::{Habits, SlowFs},
    writer::{be_a_child, say, wrong},
};

/// Runs until its standard input ends.
pub fn run(options: EngineWriterOptions) -> ExitCode {
    be_a_child();
    let work = Work::begin(options);
    thread::scope(|scope| {
        for thread in 0..threads(work.options.seed, work.options.life) {
            let work = &work;
            scope.spawn(move || work.commit_for_ever(thread));
        }
        std::io::stdin().lock().lines().for_each(drop);
        std::process::exit(0)
    })
}

struct Work {
    options: EngineWriterOptions,
    pace: Pace,
    engine: ClaimEngine,
    /// See [`fallback_is_young`].
    young_fallback: bool,
    bytes: AtomicU64,
    done: AtomicBool,
    /// What was acknowledged to this process, with its LSN.
    acked: Mutex<Vec<(u64, OpId)>>,
    /// Held while something is asked for beside commits.
    aside: Mutex<()>,
}

fn env(options: &EngineWriterOptions, pace: Pace) -> Env {
    if !pace.dawdles && !options.without_sync {
        return Env::real();
    }
    let habits = Habits { dawdles: pace.dawdles, without_sync: options.without_sync, ..Habits::default() };
    let seed = Dice::of(options.seed, 1 << 40 | u64::from(options.life)).number();
    Env { fs: Arc::new(SlowFs::new(habits, seed)), ..Env::real() }
}

fn open(env: &Env, options: &EngineWriterOptions) -> Result<ClaimEngine, Error> {
    let sizes = engine_options(options.seed, options.life);
    match ClaimEngine::open(env, &options.dir, Claims, &sizes) {
        Ok((_, report)) if report.rebuilt || !report.damaged_tables.is_empty() => {
            wrong(format!("opened with damage: {report:?}"))
        }
        Ok((engine, _)) => Ok(engine),
        Err(Error::NotADatabase { .. }) if !options.exists => {
            ClaimEngine::create(env, &options.dir, Claims, &sizes)
        }
        Err(error) => Err(error),
    }
}

impl Work {
    fn begin(options: EngineWriterOptions) -> Work {
        let pace = pace(options.seed, options.life);
        let young_fallback = fallback_is_young(&options.dir);
        // Stands still when it cannot: the parent looks at the disk as it is.
        let engine = open(&env(&options, pace), &options)
            .unwrap_or_else(|error| wrong(format!("it does not open: {error}")));
        say(&Line::Open { last_lsn: engine.published_lsn().0 });
        Work {
            options,
            pace,
            engine,
            young_fallback,
            bytes: AtomicU64::new(0),
            done: AtomicBool::new(false),
            acked: Mutex::default(),
            aside: Mutex::new(()),
        }
    }

    fn commit_for_ever(&self, thread: u16) {
        let mut dice = Dice::of(!self.options.seed, u64::from(self.options.life) << 16 | u64::from(thread));
        let mut seq = 0;
        loop {
            if self.bytes.load(Ordering::Relaxed) > self.options.bytes {
                if !self.done.swap(true, Ordering::Relaxed) {
                    say(&Line::Done);
                }
                // Merges, packing and the like go on.
                thread::sleep(Duration::from_millis(20));
                self.read_back(&mut dice);
                continue;
            }
            match dice.below(1000) {
                0..60 => self.aside(Aside::Flush, || self.engine.flush().map(drop)),
                60..70 => self.aside(Aside::Merge, || self.engine.compact()),
                70..120 => self.read_back(&mut dice),
                120..140 => self.repeat(&mut dice),
                140..160 => thread::sleep(Duration::from_micros(dice.below(12_000))),
                _ => {
                    self.commit(thread, seq);
                    seq += 1;
                    if self.pace.calm_us > 0 {
                        thread::sleep(Duration::from_micros(dice.below(self.pace.calm_us)));
                    }
                }
            }
        }
    }

    /// One at a time, so that the parent knows what is under way.
    fn aside(&self, what: Aside, ask: impl FnOnce() -> Result<(), Error>) {
        let Some(_one) = self.aside.try_lock() else { return };
        say(&Line::Begins(what));
        if let Err(error) = ask() {
            wrong(format!("{what:?}: {error}"));
        }
        say(&Line::Ends(what));
    }

    fn hand_in(&self, op: OpId) -> Result<Vec<Outcome>, Error> {
        let claims = content::claims(self.options.seed, op);
        let request = content::submission(&claims).unwrap_or_else(|what| wrong(format!("{op:?}: {what}")));
        self.bytes.fetch_add(request.encoded_bytes() as u64, Ordering::Relaxed);
        let outcomes = self.engine.commit(request)?;
        let ids = outcomes.iter().map(|outcome| outcome.id);
        if !ids.eq(claims.iter().map(|claim| Some(claim.id()))) {
            wrong(format!("{op:?} was answered with other claims: {outcomes:?}"));
        }
        Ok(outcomes)
    }

    fn commit(&self, thread: u16, seq: u32) {
        let op = OpId { life: self.options.life, thread, seq };
        let outcomes = match self.hand_in(op) {
            Ok(outcomes) => outcomes,
            // A machine that stood still for too long; nothing was applied.
            Err(error @ (Error::LockTimeout { .. } | Error::Overloaded { .. })) => {
                say(&Line::Refused { thread, seq, why: error.to_string() });
                return;
            }
            Err(error) => wrong(format!("commit: {error}")),
        };
        let lsn = outcomes.first().map_or(0, |outcome| outcome.position.lsn.0);
        let is_in_place = |(n, outcome): (usize, &Outcome)| {
            outcome.created && outcome.position.lsn.0 == lsn && outcome.position.ordinal as usize == n
        };
        if !outcomes.iter().enumerate().all(is_in_place) {
            wrong(format!("{op:?} is not one new entry: {outcomes:?}"));
        }
        self.acked.lock().push((lsn, op));
        let hash = content::hash(&content::claims(self.options.seed, op));
        say(&Line::Acked { thread, seq, lsn, hash });
    }

    /// Often the newest, which is still in memory.
    fn one_of_mine(&self, dice: &mut Dice) -> Option<(u64, OpId)> {
        let acked = self.acked.lock();
        let newest = acked.len().saturating_sub(1);
        let at = if dice.one_in(3) {
            newest
        } else {
            usize::try_from(dice.below(acked.len() as u64)).unwrap_or(newest)
        };
        acked.get(at).copied()
    }

    /// Handed in again, it is where it was, and nothing is new.
    fn repeat(&self, dice: &mut Dice) {
        let Some((lsn, op)) = self.one_of_mine(dice) else { return };
        match self.hand_in(op) {
            Ok(outcomes) => {
                if outcomes.iter().any(|outcome| outcome.created || outcome.position.lsn.0 != lsn) {
                    wrong(format!("{op:?} was acknowledged at {lsn}, and again as {outcomes:?}"));
                }
            }
            Err(Error::LockTimeout { .. } | Error::Overloaded { .. }) => {}
            Err(error) => wrong(format!("commit again: {error}")),
        }
    }

    /// What was acknowledged is read; and nobody may have noticed damage, also none that was mended.
    fn read_back(&self, dice: &mut Dice) {
        if let Err(what) = noticed(&self.engine, self.young_fallback) {
            wrong(what);
        }
        let Some((lsn, op)) = self.one_of_mine(dice) else { return };
        let claims = content::claims(self.options.seed, op);
        let at = usize::try_from(dice.below(claims.len() as u64)).unwrap_or(0);
        let Some(claim) = claims.get(at) else { return };
        let view = self.engine.snapshot().unwrap_or_else(|error| wrong(format!("snapshot: {error}")));
        let shown = view.lsn().0;
        match ClaimReader::new(view).claim(claim.id()) {
            Ok(Some(found)) if found.assertion == *claim && found.position.lsn.0 == lsn => {
                say(&Line::Seen { lsn: shown });
            }
            Ok(found) => wrong(format!("claim {at} of {op:?}, acknowledged at {lsn}, is {found:?}")),
            Err(error) => wrong(format!("claim {at} of {op:?}, acknowledged at {lsn}: {error}")),
        }
    }
}
