//! Developer tasks: `cargo xtask ci`, `test`, `bench`, `sim`, `torture`, `fuzz`, `rig`, `interleavings`, `python`,
//! `console`.
//!
//! `ci` is the same command for a person and for the build machine. Each of its steps is a function of this crate, or a
//! command line that it prints before running it, so that a failed step can be repeated by hand.
//!
//! - [`ci`]: the steps, their order and their time budgets; [`steps`] runs and measures them.
//! - [`source`]: reads Rust sources as tokens, for [`door`] (who may name the operating system).
//! - [`layers`]: arrows between crates point down only.
//! - [`machine_paths`]: nothing committed names a path of the machine it was written on.
//! - [`dependencies`], [`deny`], [`examples`], [`readme`]: cargo-deny, every example once, the README's commands.
//! - [`interleavings`]: the commit queue and the memtable under shuttle.
//! - [`mod@bench`], [`sim`], [`rig`]: the benchmarks with a table of ratios; the seeded simulation; a real kernel.
//! - [`console`]: the console of `stemedb-api`, clicked through in Chromium.
//! - [`peers`]: the benchmarks beside other engines.
//! - [`http_kills`]: servers that are killed under clients.
//! - [`torture`]: the suites that try to make the journal and the LSM tree lie, and the ledger of their runs.
//! - [`python`]: types of the client for Python, and its signatures.
//! - [`fuzz`]: the parsers and the recovery of the journal and of the LSM tree under a fuzzer, and what comes in over HTTP.
//! - [`server`]: the program, built, and servers over databases of their own; [`http`]: requests to programs of this machine.
//! - [`ops`]: everything in `deploy/` and `docs/operations/`, run; the pages themselves (`docs`, `transcripts`, `site`).
//! - [`mod@openapi`]: what a change of the HTTP interface would break; [`schemathesis`] asks a server in its document's own terms.

// Not part of the product: it starts processes, reads sources and measures time directly.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod bench;
mod ci;
mod console;
mod deny;
mod dependencies;
mod door;
mod examples;
mod fuzz;
mod http;
mod http_kills;
mod interleavings;
mod layers;
mod machine_paths;
mod openapi;
mod ops;
mod peers;
mod python;
mod readme;
mod rig;
mod schemathesis;
mod server;
mod sim;
mod source;
mod steps;
mod torture;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
cargo xtask <task>

  ci [--list] [--only STEP]...   everything that a change must pass, in the order of CI
  test                           the tests alone
  bench <wal|lsm|index|hybrid|api> [--quick] [--out DIR]
                                 benchmarks of one layer, with ratios to their yardsticks
  bench wal [--quick] [--no-peers]
                                 the journal, and durable commits beside RocksDB and others
  bench peers [--quick] [--rows small|claims|both] [--entries N] [--rounds N] [--workloads W,..] [--only NAME,..]
              [--claims FILE --sources FILE]
                                 the engine beside RocksDB and others: loads, reads, scans, sizes, openings; a run
                                 without --quick, --entries, --workloads and --only renews docs/benchmarks/engines.*
  bench questions [--claims FILE --sources FILE] [--limit N] [--generated N,N] [--questions N] [--rounds N] [--only NAME,..]
                                 one question of eight claims, beside SQLite, PostgreSQL and RocksDB: the same data, the
                                 same answers; a run without --limit, --questions and --only renews docs/benchmarks/questions.*
  bench soak [--minutes F] [--keys N] [--storm-every F] [--dir DIR] [--out DIR]
                                 half an hour of everything at once: does anything stall, grow or get out of shape?
  bench healing [--gb F,F] [--cases NAME,NAME] [--dir DIR] [--out DIR]
                                 damage of several kinds, how long it lasts, and what health costs
  bench load [--seconds N] [--connections N] [--claims N] [--cases NAME,NAME] [--rounds N] [--dir DIR] [--out DIR]
                                 a server process under load, beside PostgreSQL behind axum, and what it does with more
                                 than it can do
  bench device [--quick] [--dir DIR] [--seconds F] [--json FILE]
                                 what a disk charges for commits, reads and space, and a machine for wake-ups
  python                         types of the client for Python, and its signatures (with mypy and cryptography from PyPI)
  console [--only WORD] [--shots DIR] [--assets DIR]
                                 the console in a real browser against real servers (installs Chromium by apt-get where there is none)
  interleavings                  commit queue and memtable under a scheduler that explores interleavings (shuttle)
  sim [--seed S] [--seeds N] [--minutes M]
                                 seeded simulation of the engine with crashes and injected errors
  rig [--deep] [--require] [--only SUITE]... [--count N] [--ledger]
                                 journal and engine on a real kernel: power cuts, kills, full disks (as root, on Linux)
  torture [--deep] [--only SUITE]... [--planted] [--ledger] [--claims PATH]
                                 try to make the journal lie: crash, liar, swarm, errors, damage;
                                 and the LSM tree: lsm, lsm-options, lsm-errors, lsm-damage, lsm-cost, lsm-threads;
                                 the whole engine: engine-crash, engine-damage, answers (--claims FILE: of real claims);
                                 servers under clients: http-kills (with --deep, or named; else among the tests);
                                 --planted: each planted defect must be noticed; --ledger: keep the result
  ops [--quick] [--only PART]... [--list]
                                 what operators are given, used: units, rules, dashboards, packages, runbooks, drills
                                 (as root, on Debian; installs what it needs)
  runbooks [--quick] [--only PAGE]... [--scenario NAME] [--list]
                                 the runbooks, executed: faults, diagnosis, repair, and nothing acknowledged is lost (as root)
  drill [--write]                disasters done to servers that archive into a bucket: what is seen, lost, and for how long nobody can
                                 record (--write: writes docs/proof/drill.md anew)
  monitoring                     writes the dashboards, the tests of the alerts and their list in docs anew
  docs                           every flag, key, series, route and link that documentation names exists; every block of it is
                                 run or read by something; every page is in docs/SUMMARY.md
  site [--llms]                  the documentation as a site in target/site, with mdBook, and every link of it (--llms: writes
                                 docs/llms.txt anew)
  transcripts [--only PAGE]...   what the pages show being typed, typed again (as root, on Linux)
  openapi                        what docs/openapi.json would break for clients of the last release
  schemathesis [--seconds N] [--seed N]
                                 requests made from docs/openapi.json against a server: is every reply a documented one?
                                 (120 seconds; installs itself with pip into target/schemathesis)
  fuzz [--seconds N] [TARGET...] parsers and recovery under a fuzzer: frame, segments, packed (journal), block, index, filter, manifest,
                                 tree (LSM tree), body, cursor, configuration (from outside)
                                 (60 seconds each; needs a nightly toolchain)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root();
    let outcome = match words.as_slice() {
        ["ci", options @ ..] => ci::run(&root, options),
        ["test"] => ci::run(&root, &["--only", "tests", "--only", "doc tests"]),
        ["bench", suite, options @ ..] => bench::run(&root, suite, options),
        ["console", options @ ..] => console::run(&root, options),
        ["sim", options @ ..] => sim::run(&root, options),
        ["python"] => python::check(&root),
        ["interleavings"] => interleavings::run(&root),
        ["rig", options @ ..] => rig::run(&root, options),
        ["torture", options @ ..] => torture::run(&root, options),
        ["openapi"] => openapi::check(&root),
        ["schemathesis", options @ ..] => schemathesis::run(&root, options),
        ["fuzz", options @ ..] => fuzz::run(&root, options),
        ["ops", options @ ..] => ops::run(&root, options),
        ["runbooks", options @ ..] => ops::runbooks::run(&root, options),
        ["drill", options @ ..] => ops::drill::run(&root, options),
        ["monitoring"] => ops::monitoring::write(&root),
        ["docs"] => ops::docs::run(&root),
        ["site", options @ ..] => ops::site::run(&root, options),
        ["transcripts", options @ ..] => ops::transcripts::run(&root, options),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => Err(format!("unknown task {other:?}\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace's `Cargo.toml`.
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
