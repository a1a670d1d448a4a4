//! The fuzz targets of the journal (any bytes as a frame, a damaged journal, any bytes as a compressed segment) and of the
//! LSM tree (any bytes as a block, an index, a filter; a damaged manifest; a damaged tree), and of what comes from outside (any bytes
//! as the body of a request, as a cursor, as a configuration).
//!
//! They want a nightly toolchain, for the instrumentation. What they do with an input is also run by ordinary tests, over
//! the committed corpora: `tests/fuzz_corpus.rs` of each crate.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::steps::{self, Outcome};

/// The crates whose folders `fuzz` have the targets.
const WAL: &str = "crates/stemedb-wal";
const LSM: &str = "crates/stemedb-lsm";
const API: &str = "crates/stemedb-api";

/// A target: its crate, its name, and the length that inputs of use to it have, at most.
#[derive(Clone, Copy)]
struct Target {
    folder: &'static str,
    name: &'static str,
    input_bytes: u32,
}

const fn target(folder: &'static str, name: &'static str, input_bytes: u32) -> Target {
    Target { folder, name, input_bytes }
}

const TARGETS: [Target; 11] = [
    target(WAL, "frame", 4096),
    target(WAL, "segments", 34),
    target(WAL, "packed", 8192),
    target(LSM, "block", 2048),
    target(LSM, "index", 1024),
    target(LSM, "filter", 2048),
    target(LSM, "manifest", 400),
    target(LSM, "tree", 20),
    target(API, "body", 2048),
    target(API, "cursor", 400),
    target(API, "configuration", 2048),
];
const SECONDS: &str = "60";
/// Where a run keeps what it learns. The committed corpus is only read.
const LEARNED: &str = "target/fuzz-corpus";

/// `[--seconds N] [TARGET...]`
pub fn run(root: &Path, words: &[&str]) -> Outcome {
    let mut seconds = SECONDS;
    let mut chosen = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--seconds" {
            seconds =
                words.next().filter(|text| text.parse::<u32>().is_ok()).ok_or("--seconds needs a number")?;
        } else {
            let target = TARGETS.into_iter().find(|target| target.name == *word);
            chosen.push(target.ok_or_else(|| format!("no fuzz target `{word}`; there are {}", names()))?);
        }
    }
    if !answers(root, &["+nightly", "--version"]) {
        println!("SKIPPED: fuzz, because there is no nightly toolchain (rustup toolchain install nightly)");
        return Ok(());
    }
    if !answers(root, &["fuzz", "--version"]) {
        steps::command(
            Command::new("cargo")
                .args(["install", "--locked", "cargo-fuzz"])
                .env_remove("CARGO_TARGET_DIR")
                .current_dir(root),
        )?;
    }
    let mut failed = Vec::new();
    for target in if chosen.is_empty() { TARGETS.to_vec() } else { chosen } {
        failed.extend(one(root, target, seconds).err());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn names() -> String {
    TARGETS.map(|target| target.name).join(", ")
}

/// True if cargo knows what these words mean.
fn answers(root: &Path, words: &[&str]) -> bool {
    let output = Command::new("cargo").args(words).current_dir(root).output();
    output.is_ok_and(|output| output.status.success())
}

/// Runs one target, shows what it says, and ends with a line for machines.
fn one(root: &Path, target: Target, seconds: &str) -> Outcome {
    let Target { folder: home, name: target, input_bytes } = target;
    let folder = root.join(home);
    let learned = root.join(LEARNED).join(target);
    std::fs::create_dir_all(&learned).map_err(|error| format!("{}: {error}", learned.display()))?;
    let mut command = Command::new("cargo");
    // libFuzzer writes to the first folder, and only reads the others.
    command
        .args(["+nightly", "fuzz", "run", "--sanitizer", "none", target])
        .arg(&learned)
        .arg(Path::new("fuzz/corpus").join(target))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={input_bytes}"))
        .args(["-rss_limit_mb=2048", "-malloc_limit_mb=256", "-print_final_stats=1"])
        .current_dir(&folder);
    let start = Instant::now();
    let shown = format!("cargo +nightly fuzz run {target} (in {home})");
    println!("$ {shown}");
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(|error| format!("`{shown}`: {error}"))?;
    let mut executions = None;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            executions = executed(&line).or(executions);
            eprintln!("{line}");
        }
    }
    let status = child.wait().map_err(|error| format!("`{shown}`: {error}"))?;
    let took = start.elapsed().as_secs_f64();
    let crashes = u8::from(!status.success());
    match executions {
        Some(executions) => {
            println!(
                "suite=fuzz target={target} seconds={took:.1} executions={executions} crashes={crashes}"
            );
        }
        // It was not built, or did not begin.
        None => return Err(format!("`{shown}` ended with {status}")),
    }
    if status.success() {
        Ok(())
    } else {
        Err(format!("fuzz target `{target}` has found something: {home}/fuzz/artifacts/{target}"))
    }
}

/// The number of inputs that libFuzzer says it has run.
fn executed(line: &str) -> Option<u64> {
    line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_executions_is_read_from_the_final_statistics() {
        assert_eq!(executed("stat::number_of_executed_units: 6054"), Some(6054));
        assert_eq!(executed("stat::average_exec_per_sec:     232"), None);
        assert_eq!(executed("#54653\tREDUCE cov: 603"), None);
    }

    #[test]
    fn an_unknown_target_is_refused_before_anything_is_run() {
        assert!(
            run(Path::new("."), &["nothing"]).unwrap_err().contains("frame, segments, packed, block, index")
        );
        assert!(run(Path::new("."), &["--seconds", "soon"]).is_err());
    }
}
