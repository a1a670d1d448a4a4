//! The n-th call fails: once, and from then on, for every n, every kind of error and every call of fixed scripts.
//!
//! The method is SQLite's. A run without faults is not needed to know how many calls there are: n grows until the fault hits
//! no more. Every run must end with every entry acknowledged, refused or honestly unknown; and when the faults stop, full
//! service must return.

mod script;
mod trial;

use stemedb_env::{Env, fs::fault::Fault};

pub use self::{
    script::{SCRIPTS, Script, Step},
    trial::{Failing, Verdict},
};
use crate::{
    report::{Failure, Report},
    subject::Shape,
    violation::caught,
};

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// This script alone.
    pub script: Option<String>,
    /// This trial alone: fault, process, calls before, how many fail.
    pub only: Option<(String, u64, u64, u64)>,
    /// Every so-manieth n; 0 and 1 are all.
    pub every: u64,
}

/// The errors, and the names under which they are counted.
pub const FAULTS: [(Fault, &str); 6] = [
    (Fault::Eio, "eio"),
    (Fault::StorageFull, "enospc"),
    (Fault::Short, "short"),
    (Fault::Interrupted, "eintr"),
    (Fault::SyncFailsThenLies, "sync_fails_then_lies"),
    (Fault::TooManyOpenFiles, "emfile"),
];

/// Interruptions in a row. A call that is interrupted for ever never ends, and need not.
const BURST: u64 = 50;

fn modes(fault: Fault) -> [(u64, &'static str); 2] {
    let then_on = if fault == Fault::Interrupted { BURST } else { u64::MAX };
    [(1, "once"), (then_on, "then_on")]
}

fn lives(script: &Script) -> u64 {
    let starts = |step: &&Step| matches!(step, Step::Close | Step::Kill | Step::PowerCut);
    1 + script.steps.iter().filter(starts).count() as u64
}

/// Runs the sweep.
///
/// # Errors
/// A message when the options name something that does not exist.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut report = Report::new("errors", tier);
    let named = |script: &&Script| options.script.as_ref().is_none_or(|name| name == script.name);
    let scripts: Vec<&Script> = SCRIPTS.iter().filter(named).collect();
    if scripts.is_empty() {
        return Err("there is no such script".to_owned());
    }
    for script in scripts {
        report.did("scripts", 1);
        match &options.only {
            Some((name, life, after, times)) => {
                let found = FAULTS.iter().find(|(_, known)| known == name);
                let (fault, _) = found.ok_or_else(|| format!("there is no fault `{name}`"))?;
                let failing = Failing { fault: *fault, life: *life, after: *after, times: *times };
                trial(script, failing, name, &mut report);
            }
            None => sweep(script, options.every.max(1), &mut report),
        }
    }
    if options.only.is_none() && options.script.is_none() {
        let class = |(fault, name): &(Fault, &str)| modes(*fault).map(|(_, mode)| format!("{name}_{mode}"));
        report.required = FAULTS.iter().flat_map(class).collect();
    }
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}

fn sweep(script: &Script, every: u64, report: &mut Report) {
    for (fault, name) in FAULTS {
        for (times, _) in modes(fault) {
            for life in 0..lives(script) {
                let mut after = 0;
                while trial(script, Failing { fault, life, after, times }, name, report) {
                    after += every;
                }
            }
        }
    }
}

/// Runs one trial; false when its fault did not hit (then there are no more calls), or too much has failed already.
fn trial(script: &Script, failing: Failing, name: &str, report: &mut Report) -> bool {
    report.did("trials", 1);
    let mode = if failing.times == 1 { "once" } else { "then_on" };
    let class = format!("{name}_{mode}");
    match caught(|| trial::run(script, failing, Shape::TINY)) {
        Ok(Verdict { began: false, .. }) => false,
        Ok(Verdict { hits, outcome, .. }) => {
            report.injected(&class, hits);
            report.came_of(&class, outcome, 1);
            true
        }
        Err(violation) => {
            let Failing { life, after, times, .. } = failing;
            let place = format!("{} {class}, process {life}, after {after} calls", script.name);
            let again =
                format!("torture errors --script {} --only {name},{life},{after},{times}", script.name);
            report.failures.push(Failure { violation: violation.at(&place), again });
            report.failures.len() < MOST_FAILURES
        }
    }
}

/// More tell nothing new.
const MOST_FAILURES: usize = 20;
