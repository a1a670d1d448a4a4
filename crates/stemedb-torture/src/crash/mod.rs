//! Exhaustive in the small: every short sequence of operations, cut at every point, in every way.
//!
//! ```text
//! sequence of 1..n operations ─▶ crash points of its last one ─▶ the process dies, or the power goes: every subset of what
//! was not synced ─▶ open, compare, lose power again, append, lose power again, compare
//!        └─ for some: crash again at every point of that first open
//! ```
//!
//! Most crash bugs of file systems that are known today need no more than three operations (CrashMonkey, OSDI 2018), so a
//! complete enumeration of short sequences is worth more than a long random one. `swarm` does the other half.

mod check;
mod explore;
mod ops;
mod order;
mod seen;
mod workload;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_env::Env;

use self::explore::Explorer;
pub use self::{
    check::{Found, Verdict, check, check_liar},
    ops::{OPS, Op},
    order::{Ground, Plan, Sequence},
    seen::Seen,
    workload::{Promised, Workload},
};
use crate::{progress::Progress, report::Report, workers::side_by_side};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sequences, disks, sizes.
    pub plan: Plan,
    /// Stop after so many distinct states.
    pub states: u64,
    /// Threads.
    pub threads: usize,
    /// This sequence alone.
    pub only: Option<u64>,
    /// Where the progress of a long run is kept.
    pub resume: Option<PathBuf>,
    /// Prints the progress now and then.
    pub chatty: bool,
}

impl Options {
    /// A run of `states` states on one thread.
    pub fn new(plan: Plan, states: u64) -> Options {
        Options { plan, states, threads: 1, only: None, resume: None, chatty: false }
    }
}

/// Sequences that are handed out before the counts are looked at.
const BATCH: u64 = 256;
/// Time between two saves of the progress.
const SAVE_EVERY_SECONDS: f64 = 20.0;
/// Below so many states a class may be missing without being broken.
const ENOUGH_STATES: u64 = 20_000;

const REQUIRED: [&str; 10] = [
    "kill",
    "power_cut",
    "kill_in_recovery",
    "power_cut_in_recovery",
    "kill_between",
    "power_cut_between",
    "torn_append",
    "failed_sync",
    "failed_dir_sync",
    "disk_full",
];

fn checked(report: &Report) -> u64 {
    let of = |name: &str| report.work.iter().find(|(what, _)| what == name).map_or(0, |(_, times)| *times);
    of("distinct") + of("nested")
}

/// Goes through sequences until enough states have been checked, or all sequences have, or one has failed.
///
/// # Errors
/// A message when the progress cannot be read or written, or a thread not be started.
pub fn run(suite: &'static str, tier: &str, options: &Options) -> Result<Report, String> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut report = Report::new(suite, tier);
    for name in ["states", "distinct", "nested", "sequences", "points", "torn", "adopted"] {
        report.did(name, 0);
    }
    let seen = Arc::new(Seen::new(options.resume.is_some()));
    let mut progress = None;
    let mut next = 0;
    let mut before = 0.0;
    if let Some(path) = &options.resume {
        let (opened, keys) = Progress::open(path, options.plan.fingerprint(), &mut report)?;
        seen.restore(keys);
        (next, before) = (opened.next, opened.seconds);
        progress = Some(opened);
    }
    let end = options.plan.len();
    if let Some(only) = options.only {
        Explorer::explore(&options.plan, only, &seen, &mut report);
        next = end;
    }
    let mut saved = 0.0;
    while next < end && checked(&report) < options.states && report.failures.is_empty() {
        let batch = next..end.min(next + BATCH);
        report.merge(&explore_batch(options, &seen, suite, batch.clone())?);
        next = batch.end;
        let took = (clock.monotonic() - start).as_secs_f64();
        let done = next == end || checked(&report) >= options.states;
        if took - saved > SAVE_EVERY_SECONDS || done {
            saved = took;
            if let Some(progress) = &mut progress {
                (progress.next, progress.seconds) = (next, before + took);
                progress.save(&report, &seen.take_new())?;
            }
            if options.chatty {
                println!("{} states, {next} of {end} sequences after {took:.0} s", checked(&report));
            }
        }
    }
    report.seconds = before + (clock.monotonic() - start).as_secs_f64();
    report.did("rate", (checked(&report) as f64 / report.seconds.max(1e-9)) as u64);
    report.did("next", next);
    if options.only.is_none() && checked(&report) >= ENOUGH_STATES.min(options.states) {
        let wanted = |class: &&&str| suite == "crash" || !class.ends_with("_in_recovery");
        report.required = REQUIRED.iter().filter(wanted).map(|class| (*class).to_owned()).collect();
    }
    Ok(report)
}

fn explore_batch(
    options: &Options,
    seen: &Arc<Seen>,
    suite: &'static str,
    batch: std::ops::Range<u64>,
) -> Result<Report, String> {
    let next = AtomicU64::new(batch.start);
    let merged = Arc::new(Mutex::new(Report::new(suite, "")));
    let work = {
        let (merged, plan, seen, end) =
            (Arc::clone(&merged), options.plan.clone(), Arc::clone(seen), batch.end);
        move || {
            let mut report = Report::new(suite, "");
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    break;
                }
                Explorer::explore(&plan, number, &seen, &mut report);
            }
            merged.lock().merge(&report);
        }
    };
    side_by_side(options.threads, Arc::new(work)).map_err(|error| error.to_string())?;
    let merged = merged.lock().clone();
    Ok(merged)
}
