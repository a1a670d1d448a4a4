//! The journal and the engine on a real kernel; the work is in `crates/stemedb-rig`.

use std::{path::Path, process::Command};

use crate::{
    steps::Outcome,
    torture::{keep, told},
};

/// How much of each suite.
struct Sizes {
    /// Power cuts below a journal.
    cuts: u64,
    /// Times that a disk is filled.
    cycles: u64,
    /// Kills of processes that run the whole engine.
    engine_kills: u64,
    /// Power cuts below such processes.
    engine_cuts: u64,
}

const PER_PUSH: Sizes = Sizes { cuts: 500, cycles: 3, engine_kills: 40, engine_cuts: 60 };
const DEEP: Sizes = Sizes { cuts: 5_000, cycles: 20, engine_kills: 300, engine_cuts: 1_500 };

/// Runs all suites, built with optimisation and with every assertion. Each prints one line with what it did; where the
/// machine does not let it mount, it prints why and that is no failure, unless `--require` is given.
///
/// `[--deep] [--require] [--only SUITE]... [--count N] [--ledger]`; `--count` takes the place of a suite's size.
pub fn run(root: &Path, options: &[&str]) -> Outcome {
    let (mut size, mut tier, mut require, mut ledger) = (PER_PUSH, "push", false, false);
    let (mut only, mut number) = (Vec::new(), None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--deep" => (size, tier) = (DEEP, "deep"),
            "--require" => require = true,
            "--ledger" => ledger = true,
            "--only" => only.push(*options.next().ok_or("--only needs the name of a suite")?),
            "--count" => {
                let text = options.next().ok_or("--count needs a number")?;
                number = Some(text.parse::<u64>().map_err(|error| format!("{text}: {error}"))?);
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    let suites = [
        ("power-cuts", "--cuts", size.cuts),
        ("full-disk", "--cycles", size.cycles),
        ("engine-kills", "--kills", size.engine_kills),
        ("engine-cuts", "--cuts", size.engine_cuts),
    ];
    if let Some(unknown) = only.iter().find(|name| !suites.iter().any(|(suite, ..)| suite == *name)) {
        return Err(format!("no suite `{unknown}` in the rig"));
    }
    let mut lines = Vec::new();
    let mut failed = Ok(());
    for (suite, option, size) in suites {
        if !(only.is_empty() || only.contains(&suite)) {
            continue;
        }
        let count = number.unwrap_or(size).to_string();
        let mut command = Command::new("cargo");
        command
            .args(["run", "--locked", "--quiet", "--profile", "sim", "--package", "stemedb-rig", "--"])
            .args([suite, option, &count])
            .args(require.then_some("--require"))
            .current_dir(root);
        println!("$ cargo run --profile sim -p stemedb-rig -- {suite} {option} {count}");
        let (told, outcome) = told(&mut command, suite);
        lines.extend(told.iter().map(|line| for_the_ledger(line, tier)));
        if outcome.is_err() {
            failed = outcome;
            break;
        }
    }
    if ledger {
        keep(root, &lines)?;
    }
    failed
}

/// A summary with what the ledger asks for beside it: here the faults are the cuts, kills and cycles themselves.
fn for_the_ledger(line: &str, tier: &str) -> String {
    let problems = line.split_whitespace().find_map(|word| word.strip_prefix("problems=")).unwrap_or("?");
    format!("{line} tier={tier} faults=none wrong={problems}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_what_is_wrong() {
        let line = for_the_ledger("suite=engine-kills deaths=300 lost=0 problems=2 seconds=9.5", "deep");
        assert!(line.ends_with("seconds=9.5 tier=deep faults=none wrong=2"), "{line}");
    }
}
