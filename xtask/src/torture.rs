//! The suites that try to make the journal and the LSM tree lie; the work is in `crates/stemedb-torture`.
//!
//! Each suite ends with one line for machines. They are collected here, and kept in `docs/proof/ledger.md` when asked for.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use crate::{http_kills, steps::Outcome};

const LEDGER: &str = "docs/proof/ledger.md";
/// Where runs that take hours keep their progress.
const PROGRESS: &str = "target/torture";
const SUITES: [&str; 15] = [
    "crash",
    "liar",
    "swarm",
    "errors",
    "damage",
    "heal",
    "lsm",
    "lsm-options",
    "lsm-errors",
    "lsm-damage",
    "lsm-cost",
    "lsm-threads",
    "engine-crash",
    "engine-damage",
    "answers",
];
/// A third of the planted defects per run, by the commit.
const PARTS: u64 = 3;

struct Options<'a> {
    deep: bool,
    only: Vec<&'a str>,
    planted: bool,
    /// Only this part of the planted defects.
    part: Option<u64>,
    ledger: bool,
    /// First seed of what is random: the swarm, and the histories of the tree.
    first: u64,
    /// A file of claims for `answers`, instead of the committed sample.
    claims: Option<&'a str>,
}

/// `[--deep] [--only SUITE]... [--planted] [--ledger] [--claims PATH]`
pub fn run(root: &Path, words: &[&str]) -> Outcome {
    let mut options = Options {
        deep: false,
        only: Vec::new(),
        planted: false,
        part: None,
        ledger: false,
        first: 1,
        claims: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--deep" => options.deep = true,
            "--planted" => options.planted = true,
            "--ledger" => options.ledger = true,
            "--claims" => options.claims = Some(words.next().ok_or("--claims needs a file")?),
            "--only" => {
                let name = words.next().ok_or("--only needs the name of a suite")?;
                if !SUITES.contains(name) && *name != http_kills::SUITE {
                    let all = SUITES.join(", ");
                    return Err(format!("no suite `{name}`; there are {all}, {}", http_kills::SUITE));
                }
                options.only.push(name);
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    suites(root, &options)
}

/// What every push runs: all suites, with other seeds for every commit, and a part of the planted defects.
pub fn for_ci(root: &Path, commit: &str) -> Outcome {
    let number = u64::from_str_radix(commit.get(..8).unwrap_or("0"), 16).unwrap_or(0);
    let options = Options {
        deep: false,
        only: Vec::new(),
        planted: true,
        part: Some(number % PARTS),
        ledger: false,
        first: number,
        claims: None,
    };
    suites(root, &options)
}

fn suites(root: &Path, options: &Options<'_>) -> Outcome {
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    // `--planted` alone is about the planted defects.
    let others = !options.planted || !options.only.is_empty() || options.part.is_some();
    let chosen = |suite: &str| others && (options.only.is_empty() || options.only.contains(&suite));
    for suite in SUITES.into_iter().filter(|suite| chosen(suite)) {
        let (found, outcome) = one(root, &arguments(suite, options), false);
        lines.extend(found);
        failed.extend(outcome.err());
    }
    // What every change runs of it is among the tests.
    if chosen(http_kills::SUITE) && (options.deep || !options.only.is_empty()) {
        let (found, outcome) = http_kills::run(root, options.deep);
        lines.extend(found);
        failed.extend(outcome.err());
    }
    if options.planted {
        let mut words = vec!["planted".to_owned()];
        if let Some(part) = options.part {
            words.extend(["--part".to_owned(), part.to_string(), "--of".to_owned(), PARTS.to_string()]);
        }
        let (found, outcome) = one(root, &words, true);
        lines.extend(found);
        failed.extend(outcome.err());
    }
    if options.ledger {
        keep(root, &lines)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn arguments(suite: &str, options: &Options<'_>) -> Vec<String> {
    let threads = thread::available_parallelism().map_or(1, usize::from).to_string();
    let (tier, first) = (if options.deep { "deep" } else { "push" }, options.first.to_string());
    let resume = format!("{PROGRESS}/{suite}.progress");
    let mut sizes: Vec<&str> = match (suite, options.deep) {
        ("crash", false) => vec!["--states", "1000000", "--threads", &threads],
        ("crash", true) => vec!["--states", "10000000", "--threads", &threads, "--resume", &resume],
        ("liar", false) => vec!["--states", "100000", "--threads", &threads],
        ("liar", true) => vec!["--states", "1000000", "--threads", &threads, "--resume", &resume],
        ("swarm", false) => vec!["--seeds", "2000", "--first", &first, "--threads", &threads],
        ("swarm", true) => {
            vec!["--seeds", "50000", "--first", &first, "--threads", &threads, "--resume", &resume]
        }
        ("lsm", false) => vec!["--operations", "3000000", "--first", &first, "--threads", &threads],
        ("lsm", true) => {
            vec!["--operations", "10000000", "--first", &first, "--threads", &threads, "--resume", &resume]
        }
        ("lsm-options", deep) => vec!["--seeds", if deep { "200" } else { "20" }, "--first", &first],
        ("lsm-damage", true) => vec!["--data-every", "1"],
        ("lsm-threads", true) => vec!["--batches", "100000"],
        ("engine-crash", false) => vec!["--states", "100000", "--first", &first, "--threads", &threads],
        ("engine-crash", true) => {
            vec!["--states", "10000000", "--length", "5", "--threads", &threads, "--resume", &resume]
        }
        ("engine-damage", false) => vec!["--every", "2", "--seed", &first, "--threads", &threads],
        ("engine-damage", true) => vec!["--deep", "--pairs", "100000", "--threads", &threads],
        ("answers", false) => vec!["--questions", "500", "--seed", &first, "--threads", &threads],
        ("answers", true) => {
            vec!["--questions", "20000", "--seed", &first, "--threads", &threads, "--resume", &resume]
        }
        ("damage", false) => vec!["--threads", &threads],
        ("damage", true) => vec!["--deep", "--pairs", "100000", "--threads", &threads],
        _ => Vec::new(),
    };
    if let ("answers", Some(claims)) = (suite, options.claims) {
        sizes.extend(["--claims", claims]);
    }
    [suite, "--tier", tier].into_iter().chain(sizes).map(str::to_owned).collect()
}

/// Runs one suite with optimisation and every assertion, shows what it prints and returns its lines for machines.
fn one(root: &Path, arguments: &[String], planted: bool) -> (Vec<String>, Outcome) {
    let mut command = Command::new("cargo");
    command.args(["run", "--locked", "--quiet", "--profile", "sim", "--package", "stemedb-torture"]);
    if planted {
        command.args(["--features", "planted"]);
    }
    command.arg("--").args(arguments).current_dir(root);
    let words = arguments.join(" ");
    println!("$ cargo run --profile sim -p stemedb-torture -- {words}");
    match told(&mut command, &format!("torture {words}")) {
        (lines, Ok(())) if lines.is_empty() => (lines, Err(format!("`torture {words}` said nothing"))),
        told => told,
    }
}

/// Runs a program, shows what it prints, and returns its lines for machines.
pub fn told(command: &mut Command, what: &str) -> (Vec<String>, Outcome) {
    command.stdout(Stdio::piped());
    let mut lines = Vec::new();
    let status = command.spawn().and_then(|mut child| {
        if let Some(out) = child.stdout.take() {
            for line in BufReader::new(out).lines() {
                let line = line?;
                println!("{line}");
                if line.starts_with("suite=") {
                    lines.push(line);
                }
            }
        }
        child.wait()
    });
    let outcome = match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{what}` ended with {status}")),
        Err(error) => Err(format!("`{what}`: {error}")),
    };
    (lines, outcome)
}

/// Appends a row per suite to the ledger.
pub fn keep(root: &Path, lines: &[String]) -> Outcome {
    let path = root.join(LEDGER);
    let shown = |error: std::io::Error| format!("{LEDGER}: {error}");
    let mut text = fs::read_to_string(&path).map_err(shown)?;
    let date = output(root, "date", &["-u", "+%Y-%m-%d"]);
    let mut commit = output(root, "git", &["rev-parse", "--short=10", "HEAD"]);
    if !output(root, "git", &["status", "--porcelain", "--", "crates"]).is_empty() {
        commit.push_str(" and changes");
    }
    for line in lines {
        text.push_str(&row(&date, &commit, line));
    }
    fs::write(&path, text).map_err(shown)
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// A suite's line as a row of the table: what has a column of its own goes there, every other number is work done.
fn row(date: &str, commit: &str, line: &str) -> String {
    let pairs: Vec<(&str, &str)> = line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
    let of = |name: &str| pairs.iter().find(|(key, _)| *key == name).map_or("?", |(_, value)| *value);
    const COLUMNS: [&str; 11] = [
        "suite", "tier", "faults", "outcomes", "lost", "wrong", "problems", "idle", "seconds", "verdict",
        "next",
    ];
    let work: Vec<String> = pairs
        .iter()
        .filter(|(key, _)| !COLUMNS.contains(key))
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    let faults = of("faults").replace(',', ", ").replace(':', " ");
    let (suite, tier, seconds) = (of("suite"), of("tier"), of("seconds"));
    let (lost, wrong, work) = (of("lost"), of("wrong"), work.join(", "));
    format!("| {date} | {commit} | {suite} | {tier} | {work} | {faults} | {lost} | {wrong} | {seconds} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_suite_becomes_a_row_of_the_ledger() {
        let line = "suite=crash tier=push states=12 distinct=9 faults=kill:2,power_cut:7 \
                    outcomes=kill.torn:2 lost=0 wrong=1 idle=none seconds=1.5 verdict=FAILED";
        assert_eq!(
            row("2026-11-25", "abc", line),
            "| 2026-11-25 | abc | crash | push | states 12, distinct 9 | kill 2, power_cut 7 | 0 | 1 | 1.5 |\n"
        );
    }

    #[test]
    fn the_deep_tier_is_resumed_and_larger() {
        let options = Options {
            deep: true,
            only: Vec::new(),
            planted: false,
            part: None,
            ledger: false,
            first: 1,
            claims: Some("claims.jsonl"),
        };
        let words = arguments("crash", &options).join(" ");
        assert!(
            words.contains("--states 10000000") && words.contains("--resume target/torture/crash.progress")
        );
        assert!(!words.contains("--claims"));
        let words = arguments("answers", &options).join(" ");
        assert!(words.contains("--questions 20000") && words.ends_with("--claims claims.jsonl"), "{words}");
    }
}
