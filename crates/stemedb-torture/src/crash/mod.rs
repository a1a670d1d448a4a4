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
mod sweep;
mod workload;

use std::{path::PathBuf, sync::Arc};

use self::explore::Explorer;
pub use self::{
    check::{Found, Verdict, check, check_liar},
    ops::{OPS, Op},
    order::{Ground, Plan, Sequence},
    seen::Seen,
    sweep::{Sweep, checked},
    workload::{Promised, Workload},
};
use crate::report::Report;

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

/// Goes through sequences until enough states have been checked, or all sequences have, or one has failed.
///
/// # Errors
/// A message when the progress cannot be read or written, or a thread not be started.
pub fn run(suite: &'static str, tier: &str, options: &Options) -> Result<Report, String> {
    let sweep = Sweep {
        suite,
        tier: tier.to_owned(),
        sequences: options.plan.len(),
        batch: BATCH,
        states: options.states,
        threads: options.threads,
        only: options.only,
        resume: options.resume.clone(),
        fingerprint: options.plan.fingerprint(),
        chatty: options.chatty,
    };
    let plan = options.plan.clone();
    let mut report = sweep.run(
        &(Arc::new(move |number, seen: &Seen, report: &mut Report| {
            Explorer::explore(&plan, number, seen, report)
        }) as _),
    )?;
    for name in ["torn", "adopted"] {
        report.did(name, 0);
    }
    if options.only.is_none() && checked(&report) >= ENOUGH_STATES.min(options.states) {
        let wanted = |class: &&&str| suite == "crash" || !class.ends_with("_in_recovery");
        report.required = REQUIRED.iter().filter(wanted).map(|class| (*class).to_owned()).collect();
    }
    Ok(report)
}
