//! Tests the tests: every planted defect must be noticed, and without one nothing.
//!
//! A suite that cannot fail proves nothing. This program starts itself once per defect (`STEMEDB_PLANTED`), lets the
//! child run [`crate::quick`] (the suites of the part that has the defect) and requires that it fails in time.

use std::{
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use stemedb_env::{
    Clock, Env,
    planted::{ALL, Bug},
};

use crate::{
    report::{Failure, Report},
    violation::{Promise, Violation},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only the defects whose number leaves this rest...
    pub part: usize,
    /// ...when divided by this.
    pub of: usize,
    /// Only this defect.
    pub only: Option<String>,
    /// Time for one defect.
    pub limit: Duration,
    /// Go on after the first suite that notices it, to see which others do.
    pub all_suites: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { part: 0, of: 1, only: None, limit: Duration::from_secs(60), all_suites: false }
    }
}

/// What became of one child.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// These suites failed.
    Caught(String),
    /// All suites passed.
    Passed,
    /// It did not end in time.
    Hung,
    /// It ended otherwise.
    Odd(String),
}

const PAUSE: Duration = Duration::from_millis(10);

/// Runs the children one after the other and prints a table.
///
/// # Errors
/// A message when this build has no defects to plant, or a child cannot be started.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    if !cfg!(feature = "planted") {
        return Err("this build has no defects: build it with `--features planted`".to_owned());
    }
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut report = Report::new("planted", tier);
    let chosen: Vec<Bug> = ALL
        .into_iter()
        .enumerate()
        .filter(|(number, bug)| match &options.only {
            Some(name) => *name == bug.name(),
            None => number % options.of.max(1) == options.part % options.of.max(1),
        })
        .map(|(_, bug)| bug)
        .collect();
    if chosen.is_empty() {
        return Err("there is no such defect".to_owned());
    }
    println!("{:<28} {:<34} {:>8}", "defect", "suite", "seconds");
    let (fate, seconds) = child(&*clock, None, options)?;
    let calm = if fate == Fate::Passed { "passed" } else { shown(&fate) };
    println!("{:<28} {calm:<34} {seconds:>8.1}", "(none)");
    if fate != Fate::Passed {
        let detail = format!("without a planted defect the suites must pass: {fate:?}");
        report.failures.push(failure(detail, "torture quick"));
    }
    let mut slowest: f64 = 0.0;
    for bug in chosen {
        let name = bug.name();
        let (fate, seconds) = child(&*clock, Some(bug), options)?;
        slowest = slowest.max(seconds);
        println!("{name:<28} {:<34} {seconds:>8.1}", shown(&fate));
        report.did("defects", 1);
        report.injected(&name, 1);
        report.came_of(&name, shown(&fate), 1);
        match fate {
            Fate::Caught(_) => report.did("caught", 1),
            other => {
                let again = format!("STEMEDB_PLANTED={name} torture quick --part {}", bug.part().name());
                report.failures.push(failure(format!("{name} was not noticed: {other:?}"), &again));
            }
        }
    }
    report.did("slowest_ms", (slowest * 1000.0) as u64);
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}

fn failure(detail: String, again: &str) -> Failure {
    Failure { violation: Violation::new(Promise::Noticed, detail), again: again.to_owned() }
}

fn shown(fate: &Fate) -> &str {
    match fate {
        Fate::Caught(suite) => suite,
        Fate::Passed => "MISSED",
        Fate::Hung => "HUNG",
        Fate::Odd(_) => "ODD",
    }
}

/// Runs the quick suites in a process of their own.
fn child(clock: &dyn Clock, bug: Option<Bug>, options: &Options) -> Result<(Fate, f64), String> {
    let start = clock.monotonic();
    let exe = std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let mut command = Command::new(exe);
    command
        .arg("quick")
        .args(options.all_suites.then_some("--keep-going"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_remove("STEMEDB_PLANTED");
    if let Some(bug) = bug {
        command.args(["--part", bug.part().name()]).env("STEMEDB_PLANTED", bug.name());
    }
    let mut child = command.spawn().map_err(|error| format!("cannot start a child: {error}"))?;
    let status = loop {
        match child.try_wait().map_err(|error| format!("a child: {error}"))? {
            Some(status) => break Some(status),
            None if clock.monotonic() - start > options.limit => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => clock.sleep(PAUSE),
        }
    };
    let seconds = (clock.monotonic() - start).as_secs_f64();
    let mut text = String::new();
    // What it printed is a few lines: they fit into the pipe while nobody reads.
    let _ = child.stdout.take().map(|mut out| out.read_to_string(&mut text));
    let failed = text.lines().filter(|line| line.starts_with("suite=") && line.ends_with("verdict=FAILED"));
    let names = failed.filter_map(|line| line.split_whitespace().next()?.strip_prefix("suite="));
    let suites = names.collect::<Vec<_>>().join("+");
    let fate = match (status, suites.is_empty()) {
        (None, _) => Fate::Hung,
        (Some(status), true) if status.success() => Fate::Passed,
        (Some(status), false) if !status.success() => Fate::Caught(suites),
        (Some(status), _) => Fate::Odd(status.to_string()),
    };
    Ok((fate, seconds))
}
