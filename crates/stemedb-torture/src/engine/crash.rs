//! Every short sequence of operations, cut at every point, in many ways.
//!
//! ```text
//! sequence of 1..n operations ─▶ crash points of its last one ─▶ the process dies, or the power goes: subsets of what was
//! not synced ─▶ open, come to rest ─▶ the state is that after entry M, acknowledged ≤ M ≤ submitted ─▶ go on, open again
//!        └─ for some: crash again at every point of that open and of what it heals
//! ```

use std::{path::PathBuf, sync::Arc};

use stemedb_env::fs::{SimFs, sim::CrashOptions};

use super::{
    open,
    oracle::Oracle,
    scene::{OPS, Op, Scene},
};
use crate::{
    crash::{Seen, Sweep},
    dice::fold,
    machine::Machine,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest sequences.
    pub length: u32,
    /// Stop after so many distinct states.
    pub states: u64,
    /// Threads.
    pub threads: usize,
    /// This sequence alone.
    pub only: Option<u64>,
    /// The first sequence of a run that does not reach the end: runs of different commits then see different ones.
    pub first: u64,
    /// Where the progress of a long run is kept.
    pub resume: Option<PathBuf>,
    /// Prints the progress now and then.
    pub chatty: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { length: 3, states: 100_000, threads: 1, only: None, first: 0, resume: None, chatty: false }
    }
}

/// Every so-manieth state is crashed again inside its recovery.
const NESTED_EVERY: u64 = 40;
const MOST_FAILURES: usize = 10;
/// Sequences that are handed out before the counts are looked at: one has about a hundred states.
const BATCH: u64 = 32;
const STRIDE: u64 = 677;
/// Changes with whatever decides which states a sequence has: the progress of an older plan is refused.
const PLAN: u64 = 1;

/// How many sequences there are of 1 to `length` operations.
fn sequences(length: u32) -> u64 {
    (1..=length).map(|n| (OPS.len() as u64).saturating_pow(n)).sum()
}

/// The sequence with this number; shorter ones come first.
fn sequence(mut number: u64, length: u32) -> Vec<Op> {
    for n in 1..=length {
        let all = (OPS.len() as u64).saturating_pow(n);
        if number < all {
            return (0..n)
                .map(|place| OPS[(number / (OPS.len() as u64).pow(place)) as usize % OPS.len()])
                .collect();
        }
        number -= all;
    }
    Vec::new()
}

/// Goes through sequences until enough states have been checked, or all sequences have, or one has failed.
///
/// # Errors
/// A message when the progress cannot be read or written, or a thread cannot be started.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    let all = sequences(options.length);
    let sweep = Sweep {
        suite: "engine-crash",
        tier: tier.to_owned(),
        sequences: all,
        batch: BATCH,
        states: options.states,
        threads: options.threads,
        only: options.only,
        resume: options.resume.clone(),
        fingerprint: fold(fold(u64::from(options.length), options.first), PLAN),
        chatty: options.chatty,
    };
    let (length, first, only) = (options.length, options.first % all, options.only);
    let mut report = sweep.run(
        &(Arc::new(move |nth: u64, seen: &Seen, report: &mut Report| {
            // A stride that shares no factor with the number of sequences: every part of a run sees all lengths.
            let number = if only.is_some() { nth } else { (first + nth * STRIDE) % all };
            let again = format!("torture engine-crash --length {length} --only {number}");
            Explorer { seen, report, again }.explore(&sequence(number, length));
        }) as _),
    )?;
    if options.only.is_none() {
        let classes = ["kill", "power_cut", "kill_in_recovery", "power_cut_in_recovery"];
        report.required = classes.map(str::to_owned).to_vec();
    }
    Ok(report)
}

struct Explorer<'a> {
    seen: &'a Seen,
    report: &'a mut Report,
    again: String,
}

/// What must hold after a crash.
struct Expected<'a> {
    oracle: &'a Oracle,
    acknowledged: u64,
}

impl Explorer<'_> {
    fn fail(&mut self, violation: Violation) {
        self.report.failures.push(Failure { violation, again: self.again.clone() });
    }

    fn explore(&mut self, ops: &[Op]) {
        let told = caught(|| {
            let mut scene = Scene::new()?;
            let Some((last, before)) = ops.split_last() else { return Ok(None) };
            before.iter().try_for_each(|op| scene.step(*op))?;
            let points = scene.recorded(*last)?;
            let oracle = scene.oracle()?;
            Ok(Some((points, oracle)))
        });
        self.report.did("sequences", 1);
        match told {
            Ok(Some((points, oracle))) => {
                for point in points {
                    self.report.did("points", 1);
                    let expected = Expected { oracle: &oracle, acknowledged: point.note };
                    self.visit_point(&point.fs, &expected, point.mutations, true, &|| {
                        format!("{ops:?} after {:?}", point.operation)
                    });
                }
            }
            Ok(None) => {}
            Err(violation) => self.fail(violation.at(&format!("{ops:?}"))),
        }
    }

    fn visit_point(
        &mut self,
        fs: &SimFs,
        expected: &Expected<'_>,
        seed: u64,
        outer: bool,
        place: &dyn Fn() -> String,
    ) {
        let classes =
            if outer { ("kill", "power_cut") } else { ("kill_in_recovery", "power_cut_in_recovery") };
        let salt = fold(expected.acknowledged, expected.oracle.last().0);
        let low = |hash: u128| (hash as u64) ^ ((hash >> 64) as u64);
        let (cached, lost) = (fs.image_hash(), fs.crash_losing_all().image_hash());
        if cached != lost {
            let key = fold(fold(fold(salt, low(cached)), low(lost)), 1);
            self.visit(fs.process_killed(), key, expected, classes.0, outer, &|| {
                format!("{}, killed", place())
            });
        }
        let samples = if outer { 4 } else { 1 };
        let exhaustive_units = if outer { 4 } else { 1 };
        for state in fs.crash_states(&CrashOptions { exhaustive_units, samples, seed }) {
            let (key, selection) = (fold(salt, low(state.hash)), state.selection);
            self.visit(state.fs, key, expected, classes.1, outer, &|| {
                format!("{}, survived {selection:?}", place())
            });
        }
    }

    fn visit(
        &mut self,
        disk: SimFs,
        key: u64,
        expected: &Expected<'_>,
        class: &'static str,
        outer: bool,
        place: &dyn Fn() -> String,
    ) {
        self.report.did("states", 1);
        if self.report.failures.len() >= MOST_FAILURES || !self.seen.insert(key) {
            return;
        }
        self.report.did(if outer { "distinct" } else { "nested" }, 1);
        self.report.injected(class, 1);
        let again = (outer && key.is_multiple_of(NESTED_EVERY)).then(|| disk.process_killed());
        match caught(|| check(disk, expected)) {
            Ok(outcome) => self.report.came_of(class, outcome, 1),
            Err(violation) => return self.fail(violation.at(&place())),
        }
        let Some(disk) = again else { return };
        let points = caught(|| {
            disk.record(true);
            let machine = Machine::plain(disk.clone());
            let engine = opened(&machine)?;
            machine.settle();
            drop(engine);
            disk.record(false);
            Ok(disk.take_crash_points())
        });
        match points {
            Ok(points) => {
                for point in points {
                    self.visit_point(&point.fs, expected, point.mutations, false, &|| {
                        format!("{}; recovery up to {:?}", place(), point.operation)
                    });
                }
            }
            Err(violation) => self.fail(violation.at(&place())),
        }
    }
}

fn opened(machine: &Machine) -> Result<stemedb_hybrid::ClaimEngine, Violation> {
    open(&machine.env)
        .map(|(engine, _)| engine)
        .map_err(|error| Violation::new(Promise::Durable, format!("does not open: {error}")))
}

/// Opens a disk after a crash, compares, writes, opens again.
fn check(disk: SimFs, expected: &Expected<'_>) -> Result<&'static str, Violation> {
    let machine = Machine::plain(disk);
    let engine = opened(&machine)?;
    machine.settle();
    let shown = engine.published_lsn();
    if shown.0 < expected.acknowledged {
        let detail = format!("entry {shown} of {} acknowledged ones", expected.acknowledged);
        return Err(Violation::new(Promise::Durable, detail));
    }
    let Some(root) = expected.oracle.root(shown) else {
        return Err(Violation::new(Promise::NoPhantom, format!("entry {shown} was never submitted")));
    };
    same_root(&engine, root)?;
    engine
        .commit(stemedb_index::Submission::new())
        .map_err(|error| Violation::new(Promise::Live, format!("does not go on: {error}")))?;
    engine.close().map_err(|error| Violation::new(Promise::Live, error.to_string()))?;
    let engine = opened(&machine)?;
    machine.settle();
    if engine.published_lsn() < shown {
        return Err(Violation::new(Promise::Stable, format!("entry {shown} was shown, and is gone")));
    }
    same_root(&engine, root)?;
    Ok(if shown == expected.oracle.last() {
        "all"
    } else if shown.0 == expected.acknowledged {
        "acknowledged"
    } else {
        "some"
    })
}

fn same_root(engine: &stemedb_hybrid::ClaimEngine, root: stemedb_hybrid::StateRoot) -> Result<(), Violation> {
    match engine.state_root() {
        Ok(found) if found == root => Ok(()),
        Ok(found) => Err(Violation::new(
            Promise::Prefix,
            format!(
                "{} rows in the place of {} at entry {}",
                found.rows(),
                root.rows(),
                engine.published_lsn()
            ),
        )),
        Err(error) => Err(Violation::new(Promise::Durable, format!("cannot be read: {error}"))),
    }
}
