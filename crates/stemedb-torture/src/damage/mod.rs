//! Damage: every byte, every sector, every file; the verdict is an error that names the place, or exactly the right entries.
//!
//! A journal that ends early without a word is right only where nothing can tell the damage from a torn tail: that is
//! computed from the layout ([`layout`]), by the format's page and not by the journal's code.

mod harm;
mod judge;
pub mod layout;
mod scene;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use stemedb_env::Env;

pub use self::{
    harm::Harm,
    judge::{Depth, Verdict, judge},
    scene::{Left, Past, Scene, files},
};
use crate::{
    Dice,
    report::{Failure, Report},
    subject::{OURS, Shape, THEIRS},
    violation::{Violation, caught},
    workers::side_by_side,
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every so-manieth byte, and cut.
    pub every: usize,
    /// Each bit of a byte instead of one.
    pub each_bit: bool,
    /// Pairs of harms per journal.
    pub pairs: usize,
    /// Threads.
    pub threads: usize,
    /// This harm alone: the number of the journal and of the harm.
    pub only: Option<(usize, usize)>,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { every: 1, each_bit: false, pairs: 5_000, threads: 1, only: None, seed: 1 }
    }
}

/// One harm in so many is followed further.
const FOLLOWED: usize = 16;

/// Classes that every run has.
const REQUIRED: [&str; 17] = [
    "flip_live",
    "flip_released",
    "flip_head",
    "cut_live",
    "cut_released",
    "cut_head",
    "missing_live",
    "missing_head",
    "sector_zeroed",
    "sector_garbage",
    "sectors_exchanged",
    "file_foreign",
    "frame_of_another_past",
    "file_older",
    "file_duplicated",
    "stale_frames_behind",
    "pair",
];

/// How the journals are left, and their habits.
const JOURNALS: [(Left, bool); 5] =
    [(Left::Closed, false), (Left::Idle, false), (Left::Busy, false), (Left::Idle, true), (Left::Busy, true)];

/// A journal, and everything that is done to it.
struct Sweep {
    number: usize,
    scene: Scene,
    harms: Vec<Harm>,
}

fn sweep(number: usize, left: Left, recycles: bool, options: &Options) -> Result<Sweep, Violation> {
    let shape = Shape { compress: true, recycles, ..Shape::SMALLEST };
    let scene = Scene::build(left, OURS, Past::This, shape)?;
    let foreign = Scene::build(left, THEIRS, Past::This, shape)?.files;
    let other_past = Scene::build(left, OURS, Past::That, shape)?.files;
    let mut dice = Dice::new(options.seed);
    let mut harms = harm::bytes(&scene, options.every, options.each_bit, &mut dice);
    harms.extend(harm::fields(&scene, options.every == 1));
    harms.extend(harm::frames(&scene, &other_past));
    harms.extend(harm::cuts(&scene, options.every));
    harms.extend(harm::sectors(&scene, &mut dice));
    harms.extend(harm::whole_files(&scene, &foreign, &other_past));
    harms.extend(harm::pairs(&harms, options.pairs, &mut dice));
    Ok(Sweep { number, scene, harms })
}

/// Runs the sweep over a journal left in each way.
///
/// # Errors
/// A message when a thread cannot be started.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut report = Report::new("damage", tier);
    for (number, (left, recycles)) in JOURNALS.into_iter().enumerate() {
        match caught(|| sweep(number, left, recycles, options)) {
            Ok(sweep) => report.merge(&over(Arc::new(sweep), options)?),
            Err(violation) => {
                let again = "torture damage".to_owned();
                report.failures.push(Failure { violation: violation.at(&format!("{left:?}")), again });
            }
        }
    }
    // A run that ends early has not come to all of them.
    if options.only.is_none() && report.failures.is_empty() {
        report.required = REQUIRED.map(str::to_owned).to_vec();
    }
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}

fn over(sweep: Arc<Sweep>, options: &Options) -> Result<Report, String> {
    let merged = Arc::new(Mutex::new(Report::new("damage", "")));
    let work = {
        let (merged, options, next) = (Arc::clone(&merged), options.clone(), AtomicUsize::new(0));
        move || {
            let mut report = Report::new("damage", "");
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(harm) = sweep.harms.get(at) else { break };
                if options.only.is_none_or(|only| only == (sweep.number, at)) {
                    trial(&sweep, at, harm, &options, &mut report);
                }
                if report.failures.len() >= MOST_FAILURES {
                    break;
                }
            }
            merged.lock().merge(&report);
        }
    };
    side_by_side(options.threads, Arc::new(work)).map_err(|error| error.to_string())?;
    let merged = merged.lock().clone();
    Ok(merged)
}

/// More tell nothing new.
const MOST_FAILURES: usize = 10;

fn trial(sweep: &Sweep, at: usize, harm: &Harm, options: &Options, report: &mut Report) {
    let class = harm.class();
    report.did("trials", 1);
    report.injected(&class, 1);
    let depth = if at.is_multiple_of(FOLLOWED) { Depth::GoesOn } else { Depth::Plain };
    match caught(|| judge(&sweep.scene, harm, depth)) {
        Ok(verdict) => report.came_of(&class, verdict.name(), 1),
        Err(violation) => {
            let Options { every, each_bit, pairs, seed, .. } = options;
            let bits = if *each_bit { " --deep" } else { "" };
            let number = sweep.number;
            let again = format!(
                "torture damage --every {every} --pairs {pairs} --seed {seed}{bits} --only {number},{at}"
            );
            let violation = violation.at(&format!("{:?}, {harm}", sweep.scene.left));
            report.failures.push(Failure { violation, again });
        }
    }
}
