//! What every change must pass.

use std::{path::Path, process::Command, time::Duration};

use crate::{
    console, deny, dependencies, door, examples, interleavings, layers, machine_paths, openapi, python,
    readme, rig, server, sim,
    steps::{self, Budget, Outcome, Runner},
    torture,
};

const LINTS: Budget = Budget { name: "build, lints, docs", seconds: 12 * 60 };
const TESTS: Budget = Budget { name: "tests", seconds: 10 * 60 };
const RELIABILITY: Budget = Budget { name: "reliability", seconds: 12 * 60 };
const OPERATIONS: Budget = Budget { name: "operations, quick", seconds: 4 * 60 };
const EXAMPLES: Budget = Budget { name: "examples, README", seconds: 3 * 60 };

type Step = (&'static str, Budget, fn(&Path) -> Outcome);

/// Cheap checks first: whatever fails should fail early.
const STEPS: &[Step] = &[
    ("format", LINTS, format),
    ("door", LINTS, door::check),
    ("layers", LINTS, layers::check),
    ("machine paths", LINTS, machine_paths::check),
    ("dependencies", LINTS, dependencies::check),
    ("HTTP interface", LINTS, openapi::check),
    ("clippy", LINTS, clippy),
    ("docs", LINTS, docs),
    ("licences and bans", LINTS, deny::check),
    ("tests", TESTS, tests),
    ("doc tests", TESTS, doc_tests),
    ("python", TESTS, python::check),
    ("console", TESTS, console_in_a_browser),
    ("operations", OPERATIONS, operations),
    ("interleavings", RELIABILITY, interleavings::run),
    ("simulation", RELIABILITY, simulation),
    ("torture", RELIABILITY, journal_torture),
    ("power cuts", RELIABILITY, power_cuts),
    ("examples", EXAMPLES, examples::run),
    ("README", EXAMPLES, readme::run),
];

/// What `--only` may name.
pub fn names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(name, ..)| *name)
}

/// Runs all steps, or those named with `--only`.
pub fn run(root: &Path, options: &[&str]) -> Outcome {
    let mut only = Vec::new();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match *word {
            "--list" => {
                STEPS.iter().for_each(|(name, budget, _)| println!("{name}  ({})", budget.name));
                return Ok(());
            }
            "--only" => {
                let name = words.next().ok_or("--only needs the name of a step")?;
                if !STEPS.iter().any(|(step, ..)| step == name) {
                    return Err(format!("no step `{name}`; see cargo xtask ci --list"));
                }
                only.push(*name);
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    let mut runner = Runner::default();
    let chosen = STEPS.iter().filter(|(name, ..)| only.is_empty() || only.contains(name));
    let mut outcome = Ok(());
    for (name, budget, step) in chosen {
        outcome = runner.step(name, *budget, || step(root));
        if outcome.is_err() {
            break;
        }
    }
    println!("{}", runner.summary());
    outcome
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root);
    command
}

fn format(root: &Path) -> Outcome {
    steps::command(&mut cargo(root, &["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> Outcome {
    steps::command(&mut cargo(
        root,
        &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"],
    ))?;
    // The embedding facade alone, as applications take it.
    steps::command(&mut cargo(
        root,
        &[
            "clippy",
            "--package",
            "stemedb-api",
            "--no-default-features",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    ))
}

fn docs(root: &Path) -> Outcome {
    steps::command(
        cargo(root, &["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// With nextest where it is installed (it runs the binaries side by side), else with cargo alone.
fn tests(root: &Path) -> Outcome {
    let has_nextest =
        cargo(root, &["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let arguments: &[&str] = if has_nextest {
        &[
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--status-level",
            "slow",
            "--final-status-level",
            "slow",
        ]
    } else {
        &["test", "--workspace", "--lib", "--bins", "--tests", "--locked", "--quiet"]
    };
    let mut tests = cargo(root, arguments);
    if let Some(seed) = seed_of_this_commit(root) {
        println!("PROPTEST_RNG_SEED={seed}");
        tests.env("PROPTEST_RNG_SEED", seed.to_string());
    }
    steps::command(&mut tests)
}

/// What random tests begin from: every commit draws cases of its own, and the same commit the same ones, so that a
/// failure is seen again wherever the commit is tested again. None where somebody chose a seed, or outside git.
fn seed_of_this_commit(root: &Path) -> Option<u64> {
    if std::env::var_os("PROPTEST_RNG_SEED").is_some() {
        return None;
    }
    let head = Command::new("git").arg("-C").arg(root).args(["rev-parse", "HEAD"]).output().ok()?;
    seed(&String::from_utf8(head.stdout).ok()?)
}

/// The first sixteen digits of a commit's name.
fn seed(commit: &str) -> Option<u64> {
    u64::from_str_radix(commit.get(..16)?, 16).ok()
}

fn doc_tests(root: &Path) -> Outcome {
    steps::command(&mut cargo(root, &["test", "--workspace", "--doc", "--locked", "--quiet"]))
}

/// Every click of the console, in a real browser against real servers.
fn console_in_a_browser(root: &Path) -> Outcome {
    console::run(root, &[])
}

/// What of `deploy/` and `docs/operations/` can be run in three minutes, with the program that the tests have built.
fn operations(root: &Path) -> Outcome {
    let mut quick = cargo(root, &["xtask", "ops", "--quick"]);
    let built = server::target(root).join("debug/stemedb-api");
    if built.is_file() {
        quick.env(server::PROGRAM, built);
    }
    steps::command(&mut quick)
}

/// Other seeds than the tests use, and others with every commit, so that time widens what has been seen.
fn simulation(root: &Path) -> Outcome {
    let commit = cargo_free(root, "git", &["rev-parse", "HEAD"]);
    let first = u64::from_str_radix(commit.get(..8).unwrap_or("0"), 16).unwrap_or(0);
    let (seed, seeds) = (first.to_string(), SEEDS_PER_RUN.to_string());
    sim::run(root, &["--seed", &seed, "--seeds", &seeds, "--minutes", SIM_MINUTES])
}

/// As the simulation: every commit has other seeds, and another part of the planted defects.
fn journal_torture(root: &Path) -> Outcome {
    torture::for_ci(root, &cargo_free(root, "git", &["rev-parse", "HEAD"]))
}

/// On a real kernel; says loudly that it is skipped where it may not mount.
fn power_cuts(root: &Path) -> Outcome {
    rig::run(root, &[])
}

const SEEDS_PER_RUN: u64 = 500;
const SIM_MINUTES: &str = "3";

fn cargo_free(root: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// How long one example may take.
pub const EXAMPLE_LIMIT: Duration = Duration::from_secs(170);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_one_seed() {
        assert_eq!(seed("00000000000000ff2b1c\n"), Some(255));
        assert_eq!(seed("ffffffffffffffff0"), Some(u64::MAX));
        assert_eq!(seed("00ff"), None);
        assert_eq!(seed("no commit of anything"), None);
    }
}
