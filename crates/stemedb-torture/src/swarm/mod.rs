//! Random long runs: 10 to 50 processes, one after the other, under faults that a seed chooses.
//!
//! ```text
//! seed ─▶ options, classes of faults, a machine, an oracle outside of it
//!   round: append, read, rotate, release, idle, step jobs; faults hit; the process is closed, dropped, killed or loses power
//!   start on what that left, through more of it ─▶ everything is compared ─▶ next round …
//!   liveness: faults off ─▶ ten appends are accepted and kept
//! ```
//!
//! Everything follows from the seed: the same seed gives the same trace.

mod class;
mod round;
mod story;

use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_env::Env;

pub use self::class::Class;
use self::{round::Round, story::Story};
use crate::{
    progress::Progress,
    report::{Failure, Report},
    subject::{OURS, RESUME, Resume, Subject},
    violation::{Promise, Violation, caught},
    workers::side_by_side,
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first seed; the others follow it.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// The first so many are run twice, and their traces compared.
    pub twice: u64,
    /// Threads.
    pub threads: usize,
    /// Where the progress of a long run is kept.
    pub resume: Option<PathBuf>,
}

impl Options {
    /// Seeds from `first` on, on one thread.
    pub fn new(first: u64, seeds: u64) -> Options {
        Options { first, seeds, twice: seeds.min(50), threads: 1, resume: None }
    }
}

/// What a seed showed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Hash over everything that happened.
    pub trace: u64,
    /// Counts.
    pub report: Report,
}

/// Appends that must be accepted and kept when the faults have stopped.
const LAST_APPENDS: u64 = 10;
/// Below so many seeds a class may be missing without being broken.
const ENOUGH_SEEDS: u64 = 150;

/// Runs one seed; `shown` prints what happens.
///
/// # Errors
/// The first promise that was broken.
pub fn run_seed(seed: u64, shown: bool) -> Result<Outcome, Violation> {
    let mut story = Story::new(seed, shown);
    let mut subject = Subject::create(&story.machine.env, OURS, &story.shape)
        .map_err(|refusal| Violation::new(Promise::Live, format!("cannot create: {refusal}")))?;
    let rounds = 10 + story.dice.below(41);
    for _ in 0..rounds {
        subject = round(&mut story, subject)?;
    }
    live(&mut story, subject)?;
    story.report.did("seeds", 1);
    story.report.did("rounds", rounds);
    story.note(&format!("{:032x}", story.machine.disk.trace_hash()));
    Ok(Outcome { trace: story.trace(), report: story.report })
}

/// A process from its start to its end, and the start of the next one.
fn round(story: &mut Story, subject: Subject) -> Result<Subject, Violation> {
    story.arm();
    let stops = story.has(Class::PowerCut) || story.has(Class::Kill);
    if stops && story.dice.one_in(3) {
        let mutations = 1 + story.dice.below(60);
        story.machine.arm_stop(mutations);
    }
    let steps = 3 + story.dice.below(16);
    let subject = Round::new(story, subject).run(steps)?;
    end(story, subject)?;
    story.open()
}

fn end(story: &mut Story, subject: Subject) -> Result<(), Violation> {
    let (cuts, kills) = (story.has(Class::PowerCut), story.has(Class::Kill));
    if story.machine.is_off() {
        drop(subject);
        match cuts && (!kills || story.dice.one_in(2)) {
            true => story.cut_power("power_cut_inside"),
            false => story.kill("kill_inside"),
        }
        return Ok(());
    }
    story.machine.disarm_stop();
    match story.dice.below(4) {
        0 | 1 if cuts => {
            // Cut first: what dropping the journal might still write comes too late.
            story.cut_power("power_cut");
            drop(subject);
        }
        2 if kills => {
            story.kill("kill");
            drop(subject);
        }
        3 => {
            drop(subject);
            story.start_on(story.machine.disk.clone());
        }
        _ => {
            let closed = subject.close();
            story.note(&format!("close: {closed:?}"));
            let excused = story.noticeable() > 0;
            if let (Err(refusal), false) = (closed, excused) {
                let detail = format!("close failed without any fault: {refusal}");
                return Err(Violation::new(Promise::Live, detail));
            }
            drop(subject);
            story.start_on(story.machine.disk.clone());
        }
    }
    Ok(())
}

/// A last round whose faults stop while the journal runs: it must come back, accept and keep.
fn live(story: &mut Story, subject: Subject) -> Result<(), Violation> {
    story.arm();
    let steps = 3 + story.dice.below(10);
    let mut subject = Round::new(story, subject).run(steps)?;
    story.disarm();
    story.note("liveness");
    match RESUME {
        Resume::AfterReopen => {
            story.start_on(story.machine.disk.clone());
            drop(subject);
            subject = calm_open(story)?;
        }
        Resume::ByItself { within } => story.machine.idle(20, within / 20),
    }
    if !story.machine.settle() {
        return Err(Violation::new(Promise::Live, "background work never comes to rest"));
    }
    let before = story.report.work.iter().find(|(name, _)| name == "acknowledged").map_or(0, |(_, n)| *n);
    let mut last = Round::new(story, subject);
    for _ in 0..LAST_APPENDS {
        last.append()?;
    }
    let subject = last.run(0)?;
    let after = story.report.work.iter().find(|(name, _)| name == "acknowledged").map_or(0, |(_, n)| *n);
    if after - before < LAST_APPENDS {
        let detail = format!("of {LAST_APPENDS} appends after the faults {} were accepted", after - before);
        return Err(Violation::new(Promise::Live, detail));
    }
    drop(subject);
    story.start_on(story.machine.disk.crash_losing_all());
    calm_open(story).map(drop)
}

fn calm_open(story: &mut Story) -> Result<Subject, Violation> {
    let classes = std::mem::take(&mut story.classes);
    let opened = story.open();
    story.classes = classes;
    opened
}

/// Seeds that are handed out before the counts are looked at, and saved.
const BATCH: u64 = 250;
/// Failures after which a run ends: more tell nothing new.
const MOST_FAILURES: usize = 10;

/// Runs seeds until all are done or many have failed.
///
/// # Errors
/// A message when the progress cannot be read or written, or a thread not be started.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut report = Report::new("swarm", tier);
    let mut progress = None;
    let (mut next, mut before) = (0, 0.0);
    if let Some(path) = &options.resume {
        let (opened, _) = Progress::open(path, options.first, &mut report)?;
        (next, before) = (opened.next, opened.seconds);
        progress = Some(opened);
    }
    while next < options.seeds && report.failures.len() < MOST_FAILURES {
        let batch = next..options.seeds.min(next + BATCH);
        next = batch.end;
        report.merge(&run_batch(options, batch)?);
        let took = before + (clock.monotonic() - start).as_secs_f64();
        // What failed is run again by whoever continues.
        if let (Some(progress), true) = (&mut progress, report.failures.is_empty()) {
            (progress.next, progress.seconds) = (next, took);
            progress.save(&report, &[])?;
        }
    }
    report.seconds = before + (clock.monotonic() - start).as_secs_f64();
    if next >= ENOUGH_SEEDS {
        report.required = Class::ALL.into_iter().map(|class| class.name().to_owned()).collect();
        let crashes = ["power_cut_inside", "power_cut_in_recovery", "kill_inside", "kill_in_recovery"]
            .map(str::to_owned);
        report.required.extend(crashes);
    }
    Ok(report)
}

fn run_batch(options: &Options, batch: Range<u64>) -> Result<Report, String> {
    let merged = Arc::new(Mutex::new(Report::new("swarm", "")));
    let work = {
        let (merged, first, twice) = (Arc::clone(&merged), options.first, options.twice);
        let next = AtomicU64::new(batch.start);
        move || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= batch.end || merged.lock().failures.len() >= MOST_FAILURES {
                break;
            }
            let seed = first.wrapping_add(number);
            let outcome = compared(seed, number < twice);
            let mut merged = merged.lock();
            match outcome {
                Ok(outcome) => {
                    merged.merge(&outcome.report);
                    merged.did("twice", u64::from(number < twice));
                }
                Err(violation) => {
                    let again = format!("torture swarm --first {seed} --seeds 1");
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

fn compared(seed: u64, twice: bool) -> Result<Outcome, Violation> {
    let outcome = caught(|| run_seed(seed, false))?;
    if twice {
        let again = caught(|| run_seed(seed, false))?;
        if again.trace != outcome.trace {
            let detail = "two runs of the same seed went different ways";
            return Err(Violation::new(Promise::Deterministic, detail));
        }
    }
    Ok(outcome)
}
