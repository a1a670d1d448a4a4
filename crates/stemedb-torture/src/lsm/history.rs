//! Long random histories beside a sorted map of versions.
//!
//! A seed is one story of `STEPS` steps: batches in flight, published or forgotten; lookups of one and of many keys, scans
//! both ways, on the newest state, on held snapshots and on earlier LSNs; ingests, flushes, compactions, checks; reopening with other
//! options; the power cut after a random number of changes of the disk, with a random part of what was pending, also
//! inside recovery. After each start the state must be exactly that of the flushed LSN, which is at least the
//! acknowledged one, and after the journal's replay exactly the newest.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{story::Story, timed};
use crate::{
    progress::Progress,
    report::{Failure, Report},
    violation::{Violation, caught},
    workers::side_by_side,
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first seed; the others follow it.
    pub first: u64,
    /// Stop after so many operations: writes, lookups, scans and the like.
    pub operations: u64,
    /// Threads.
    pub threads: usize,
    /// Where the progress of a long run is kept.
    pub resume: Option<PathBuf>,
}

impl Options {
    /// On one thread.
    pub fn new(first: u64, operations: u64) -> Options {
        Options { first, operations, threads: 1, resume: None }
    }
}

/// Steps of one story.
const STEPS: u64 = 600;
/// Seeds that are handed out before the counts are looked at, and saved.
const BATCH: u64 = 40;
/// Failures after which a run ends: more tell nothing new.
const MOST_FAILURES: usize = 5;
/// Below so many operations a class may be missing without being broken.
const ENOUGH_OPERATIONS: u64 = 100_000;

/// Runs one seed.
///
/// # Errors
/// The first promise that was broken.
pub fn run_seed(seed: u64) -> Result<Report, Violation> {
    let mut story = Story::new(seed)?;
    for step in 0..STEPS {
        story.step().map_err(|violation| violation.at(&format!("step {step}")))?;
    }
    story.finish()?;
    story.report.did("seeds", 1);
    Ok(story.report)
}

/// Runs seeds until there were enough operations, or many have failed.
///
/// # Errors
/// A message when the progress cannot be read or written, or a thread not be started.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    timed("lsm", tier, |report| {
        let clock = stemedb_env::Env::real().clock;
        let start = clock.monotonic();
        let mut progress = None;
        let mut next = 0;
        if let Some(path) = &options.resume {
            let (opened, _) = Progress::open(path, options.first, report)?;
            (next, report.seconds) = (opened.next, opened.seconds);
            progress = Some(opened);
        }
        let done = |report: &Report| {
            report.work.iter().find(|(what, _)| what == "operations").map_or(0, |(_, times)| *times)
        };
        let before = report.seconds;
        while done(report) < options.operations && report.failures.len() < MOST_FAILURES {
            report.merge(&run_batch(options, next)?);
            next += BATCH;
            // What failed is run again by whoever continues.
            if let (Some(progress), true) = (&mut progress, report.failures.is_empty()) {
                progress.next = next;
                progress.seconds = before + (clock.monotonic() - start).as_secs_f64();
                progress.save(report, &[])?;
            }
        }
        if done(report) >= ENOUGH_OPERATIONS {
            report.required = ["power_cut", "power_cut_inside", "power_cut_in_recovery", "kill"]
                .map(str::to_owned)
                .to_vec();
        }
        Ok(())
    })
}

fn run_batch(options: &Options, from: u64) -> Result<Report, String> {
    let merged = Arc::new(Mutex::new(Report::new("lsm", "")));
    let work = {
        let (merged, first) = (Arc::clone(&merged), options.first);
        let next = AtomicU64::new(from);
        move || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= from + BATCH || merged.lock().failures.len() >= MOST_FAILURES {
                break;
            }
            let seed = first.wrapping_add(number);
            let outcome = caught(|| run_seed(seed));
            let mut merged = merged.lock();
            match outcome {
                Ok(report) => merged.merge(&report),
                Err(violation) => {
                    let again = format!("torture lsm --first {seed} --operations 1");
                    let violation = violation.at(&format!("seed {seed}"));
                    merged.failures.push(Failure { violation, again });
                }
            }
        }
    };
    side_by_side(options.threads, Arc::new(work)).map_err(|error| error.to_string())?;
    let merged = merged.lock().clone();
    Ok(merged)
}
