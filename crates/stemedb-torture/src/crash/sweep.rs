//! Goes through numbered sequences on several threads until enough distinct states have been seen, and can be continued.

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

use super::Seen;
use crate::{progress::Progress, report::Report, workers::side_by_side};

/// What to go through, and how far.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Name of the suite.
    pub suite: &'static str,
    /// `push`, `deep` or `quick`.
    pub tier: String,
    /// There are so many sequences.
    pub sequences: u64,
    /// Handed out before the counts are looked at.
    pub batch: u64,
    /// Stop after so many distinct states.
    pub states: u64,
    /// Threads.
    pub threads: usize,
    /// This sequence alone.
    pub only: Option<u64>,
    /// Where the progress of a long run is kept.
    pub resume: Option<PathBuf>,
    /// Of everything that decides which sequence has which number.
    pub fingerprint: u64,
    /// Prints the progress now and then.
    pub chatty: bool,
}

/// Time between two saves of the progress.
const SAVE_EVERY_SECONDS: f64 = 20.0;

/// Distinct states that a report counts, those inside a recovery among them.
pub fn checked(report: &Report) -> u64 {
    let of = |name: &str| report.work.iter().find(|(what, _)| what == name).map_or(0, |(_, times)| *times);
    of("distinct") + of("nested")
}

/// Explores the sequence with a number, and adds what it did and found to the report.
type Explore = Arc<dyn Fn(u64, &Seen, &mut Report) + Send + Sync>;

impl Sweep {
    /// Explores sequences until enough states have been checked, or all sequences have, or one has failed.
    ///
    /// # Errors
    /// A message when the progress cannot be read or written, or a thread not be started.
    pub fn run(&self, explore: &Explore) -> Result<Report, String> {
        let clock = Env::real().clock;
        let start = clock.monotonic();
        let mut report = Report::new(self.suite, &self.tier);
        for name in ["states", "distinct", "nested", "sequences", "points"] {
            report.did(name, 0);
        }
        let seen = Arc::new(Seen::new(self.resume.is_some()));
        let mut progress = None;
        let (mut next, mut before) = (0, 0.0);
        if let Some(path) = &self.resume {
            let (opened, keys) = Progress::open(path, self.fingerprint, &mut report)?;
            seen.restore(keys);
            (next, before) = (opened.next, opened.seconds);
            progress = Some(opened);
        }
        let end = self.sequences;
        if let Some(only) = self.only {
            explore(only, &seen, &mut report);
            next = end;
        }
        let mut saved = 0.0;
        while next < end && checked(&report) < self.states && report.failures.is_empty() {
            let batch = next..end.min(next + self.batch);
            report.merge(&self.batch(batch.clone(), explore, &seen)?);
            next = batch.end;
            let took = (clock.monotonic() - start).as_secs_f64();
            let done = next == end || checked(&report) >= self.states;
            if took - saved > SAVE_EVERY_SECONDS || done {
                saved = took;
                if let Some(progress) = &mut progress {
                    (progress.next, progress.seconds) = (next, before + took);
                    progress.save(&report, &seen.take_new())?;
                }
                if self.chatty {
                    println!("{} states, {next} of {end} sequences after {took:.0} s", checked(&report));
                }
            }
        }
        report.seconds = before + (clock.monotonic() - start).as_secs_f64();
        report.did("rate", (checked(&report) as f64 / report.seconds.max(1e-9)) as u64);
        report.did("next", next);
        Ok(report)
    }

    fn batch(&self, batch: Range<u64>, explore: &Explore, seen: &Arc<Seen>) -> Result<Report, String> {
        let next = AtomicU64::new(batch.start);
        let merged = Arc::new(Mutex::new(Report::new(self.suite, "")));
        let work = {
            let (merged, explore, seen) = (Arc::clone(&merged), Arc::clone(explore), Arc::clone(seen));
            let (suite, end) = (self.suite, batch.end);
            move || {
                let mut report = Report::new(suite, "");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        break;
                    }
                    explore(number, &seen, &mut report);
                }
                merged.lock().merge(&report);
            }
        };
        side_by_side(self.threads, Arc::new(work)).map_err(|error| error.to_string())?;
        let merged = merged.lock().clone();
        Ok(merged)
    }
}
