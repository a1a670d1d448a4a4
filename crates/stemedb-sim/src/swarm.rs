//! Many seeds, and whether they proved anything.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Coverage, Event, Outcome, Violation, run_seed};

/// Which seeds, and for how long.
#[derive(Clone, Debug)]
pub struct SwarmOptions {
    /// The first seed; the others follow it.
    pub first_seed: u64,
    /// How many.
    pub seeds: u64,
    /// How many more, at most, as long as something that must happen has not: the rarest events come a few times in
    /// 500 seeds, and by chance not at all.
    pub more: u64,
    /// The first so many are run twice, and their traces compared.
    pub twice: u64,
}

/// What a swarm showed.
#[derive(Clone, Debug, Default)]
pub struct SwarmReport {
    /// Seeds run.
    pub seeds: u64,
    /// Seeds run twice.
    pub twice: u64,
    /// Entries written by all of them.
    pub entries: u64,
    /// What happened how often.
    pub coverage: Coverage,
    /// The first seed that failed, and how.
    pub failure: Option<(u64, String)>,
}

impl SwarmReport {
    /// What must have happened and never did.
    pub fn missing(&self) -> Vec<Event> {
        self.coverage.missing()
    }
}

/// Runs seeds until one fails, all are done, or `go_on` (asked before each) says no.
pub fn swarm(options: &SwarmOptions, mut go_on: impl FnMut(&SwarmReport) -> bool) -> SwarmReport {
    let mut report = SwarmReport::default();
    for number in 0..options.seeds.saturating_add(options.more) {
        let enough = number >= options.seeds && report.missing().is_empty();
        if enough || !go_on(&report) {
            break;
        }
        let seed = options.first_seed.wrapping_add(number);
        let outcome = match caught(seed) {
            Ok(outcome) => outcome,
            Err(detail) => {
                report.failure = Some((seed, detail));
                break;
            }
        };
        if number < options.twice {
            report.twice += 1;
            if let Some(detail) = differs(&outcome, caught(seed)) {
                report.failure = Some((seed, detail));
                break;
            }
        }
        report.seeds += 1;
        report.entries += outcome.entries;
        report.coverage.merge(&outcome.coverage);
    }
    report
}

/// A panic is a failure like any other, and must not hide its seed.
fn caught(seed: u64) -> Result<Outcome, String> {
    match catch_unwind(AssertUnwindSafe(|| run_seed(seed))) {
        Ok(outcome) => outcome.map_err(|violation: Violation| violation.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}

fn differs(first: &Outcome, second: Result<Outcome, String>) -> Option<String> {
    match second {
        Ok(second) if second == *first => None,
        Ok(_) => Some("two runs of the same seed went different ways".to_owned()),
        Err(detail) => Some(format!("the second run of the same seed failed: {detail}")),
    }
}
