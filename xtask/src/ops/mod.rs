//! What operators are given, used: units, rules, dashboards, packages, runbooks and drills.
//!
//! Nothing under `deploy/` and `docs/operations/` is prose only. Each part installs what it needs (from Debian or PyPI), starts
//! the real component, and prints what it has seen. `--quick` is the part of it that CI can afford.

mod bucket;
mod bundle;
mod debian;
pub mod docs;
pub mod drill;
mod guides;
pub mod monitoring;
mod package;
mod pilot;
mod proxies;
pub mod runbooks;
mod scripts;
pub mod site;
pub mod transcripts;
mod units;

use std::path::Path;

use crate::steps::{Budget, Outcome, Runner};

const WHOLE: Budget = Budget { name: "operations", seconds: 25 * 60 };
const QUICK: Budget = Budget { name: "operations, quick", seconds: 3 * 60 };

/// How much of a part is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// What CI can afford.
    Quick,
    /// All of it.
    Whole,
}

type Part = (&'static str, fn(&Path, Depth) -> Outcome);

/// Cheap ones first.
const PARTS: &[Part] = &[
    ("docs", docs::part),
    ("units", units::run),
    ("scripts", scripts::run),
    ("package", package::run),
    ("exporter", monitoring::exporter),
    ("dashboards", monitoring::dashboards),
    ("rules", monitoring::rules),
    ("guides", guides::part),
    ("site", site::part),
    ("transcripts", transcripts::part),
    ("live fire", monitoring::live_fire),
    ("runbooks", runbooks::part),
    ("bundle, sizes", bundle::run),
    ("pilot", pilot::run),
    ("drill", drill::part),
    ("proxies", proxies::part),
];

/// Runs all parts, or those named with `--only`.
pub fn run(root: &Path, options: &[&str]) -> Outcome {
    let (mut depth, mut only) = (Depth::Whole, Vec::new());
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match *word {
            "--list" => {
                PARTS.iter().for_each(|(name, _)| println!("{name}"));
                return Ok(());
            }
            "--quick" => depth = Depth::Quick,
            "--only" => {
                let name = words.next().ok_or("--only needs the name of a part")?;
                if !PARTS.iter().any(|(part, _)| part == name) {
                    return Err(format!("no part `{name}`; see cargo xtask ops --list"));
                }
                only.push(*name);
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    let budget = if depth == Depth::Quick { QUICK } else { WHOLE };
    let mut runner = Runner::default();
    let chosen = PARTS.iter().filter(|(name, _)| only.is_empty() || only.contains(name));
    let outcome =
        chosen.into_iter().try_for_each(|(name, part)| runner.step(name, budget, || part(root, depth)));
    println!("{}", runner.summary());
    outcome
}
