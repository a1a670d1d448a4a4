//! What a disk charges for the primitives that a commit is made of, and for what goes on beside it.
//!
//! ```text
//! cargo xtask bench device [--quick] [--dir DIR] [--seconds F] [--json FILE]
//! ```
//!
//! Choices of the journal (fill files ahead or not, O_DIRECT or the page cache, who wakes whom) rest on figures of one kind
//! of machine. This program measures them again on another. It uses nothing of the engine. All variants of a part take
//! turns in short slices ([`slices`]), so that they see the same disk; figures are medians over a variant's slices.
//!
//! - A, [`primitives`]: states of a file × ways to make a block durable × block sizes.
//! - B, [`company`]: the best three of A beside another file's commits, and beside a background writer.
//! - C, [`reads`]: random reads of a cold file, alone and beside commits.
//! - D, [`threads`]: waking one thread and sixty-four.
//! - E, [`space`]: zero-filling, allocating, unlinking, truncating; and what commits feel of it.
//! - Requests to the disk per commit, where the kernel counts them: [`counters`], in the tables of A to C and E.
//!
//! Everything happens in a fresh folder below DIR (else below the folder of the build), which is removed in the end. It needs
//! 3 GB of free space.
//!
//! # Another file system
//!
//! On a file in a loop device, for example ext4 with a journal (as root; `mkfs` as here writes everything at once, else the
//! kernel would go on initialising the file system during the measurement):
//!
//! ```text
//! head -c 4G /dev/zero > disk.img && sync disk.img
//! mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 disk.img
//! mkdir mnt && mount -o loop disk.img mnt
//! cargo xtask bench device --dir mnt
//! umount mnt
//! ```
//!
//! A flush of the loop device is an fsync of `disk.img`, so every figure contains the file system below as well: compare such
//! a run with itself only. How to read the tables is in `docs/design/device.md`.
#![allow(missing_docs)]
// It measures the operating system itself; going through `stemedb-env` would measure that too.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod company;
mod counters;
mod files;
mod follows;
mod machine;
mod primitives;
mod reads;
mod report;
mod slices;
mod space;
mod threads;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{counters::Device, machine::Machine, report::Table};

const USAGE: &str = "\
cargo xtask bench device [--quick] [--dir DIR] [--seconds F] [--json FILE]

  --dir DIR     measure the disk that holds this folder (default: that of the build)
  --seconds F   about how long all of it takes (default: 150, with --quick 20)
  --json FILE   where the figures go (default: device.json in the folder of the build)
";
/// Files of all parts at their largest.
const NEEDED_BYTES: u64 = 3_000_000_000;

/// How much is measured.
pub struct Plan {
    pub is_quick: bool,
    seconds: f64,
    pub rounds: usize,
    /// The actions of [`space`] take as long as they take; only how often is free.
    pub space_rounds: usize,
}

impl Plan {
    fn new(is_quick: bool, seconds: Option<f64>) -> Self {
        let seconds = seconds.unwrap_or(if is_quick { 20.0 } else { 150.0 });
        let rounds = if is_quick { 3 } else { 9 };
        Self { is_quick, seconds, rounds, space_rounds: ((seconds / 30.0) as usize).clamp(1, 20) }
    }

    /// The length of a slice, if `share` of the time is for so many.
    pub fn slice(&self, share: f64, slices: usize) -> Duration {
        Duration::from_secs_f64(self.seconds * share / slices.max(1) as f64)
    }
}

struct Options {
    plan: Plan,
    dir: PathBuf,
    json: PathBuf,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let (mut is_quick, mut seconds, mut dir, mut json) = (false, None, None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value\n\n{USAGE}"));
            match word.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--quick" => is_quick = true,
                "--dir" => dir = Some(PathBuf::from(value()?)),
                "--json" => json = Some(PathBuf::from(value()?)),
                "--seconds" => {
                    let number = value()?.parse().ok().filter(|number| (1.0..=86_400.0).contains(number));
                    seconds = Some(number.ok_or("--seconds needs a number from 1 to 86400")?);
                }
                other => return Err(format!("unknown option {other}\n\n{USAGE}")),
            }
        }
        Ok(Self {
            plan: Plan::new(is_quick, seconds),
            dir: dir.unwrap_or_else(stemedb_benches::target),
            json: json.unwrap_or_else(|| stemedb_benches::target().join("device.json")),
        })
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        // `cargo test --benches` starts it like this, to see whether it starts.
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match Options::parse(&words).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("device: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let plan = &options.plan;
    let failed = |error: io::Error| format!("{}: {error}", options.dir.display());
    let scratch =
        tempfile::Builder::new().prefix("bench-device-").tempdir_in(&options.dir).map_err(failed)?;
    let dir = scratch.path();
    let space = rustix::fs::statvfs(dir).map_err(|error| failed(error.into()))?;
    if space.f_bavail * space.f_frsize < NEEDED_BYTES {
        return Err(format!(
            "{} has less than {} GB free",
            options.dir.display(),
            NEEDED_BYTES / 1_000_000_000
        ));
    }
    let device = Device::of(dir);
    let mut machine = Machine::look(dir, &device);
    print!("{}", machine.text());
    machine.notes().iter().for_each(|note| println!("{note}"));
    let device = device.as_ref().ok();

    let mut parts = Parts { tables: Vec::new(), start: Instant::now() };
    let mut ranked = Vec::new();
    parts.add("A commit primitives", || {
        let (tables, ranking) = primitives::run(plan, dir, device);
        ranked = ranking;
        Ok(tables)
    });
    let Some(best_zeroed) = ranked.iter().find(|primitive| primitive.state == files::State::Zeroed).copied()
    else {
        return Err("no commit primitive works on pre-zeroed files here".to_owned());
    };
    let best = &ranked[..ranked.len().min(3)];
    parts.add("B commits in company", || company::run(plan, dir, device, best));
    parts.add("C cold reads", || reads::run(plan, dir, device, best_zeroed));
    parts.add("D waking threads", || threads::run(plan));
    parts.add("E space", || space::run(plan, dir, device, best_zeroed));

    for table in &parts.tables {
        print!("{}", table.text());
    }
    let follows = follows::lines(&follows::Figures(&parts.tables));
    let doubt = if plan.is_quick { "; after 3 rounds, a first look only" } else { "" };
    println!("\nWhat follows (p50 of 4 KiB commits, if not said otherwise{doubt})");
    follows.iter().for_each(|line| println!("  {line}"));
    let seconds = parts.start.elapsed().as_secs_f64();
    machine.end();
    println!();
    machine.notes().iter().for_each(|note| println!("{note}"));
    let json = json!({
        "program": "stemedb bench device",
        "format": 1,
        "seconds": seconds,
        "rounds": plan.rounds,
        "machine": machine.json(),
        "tables": parts.tables.iter().map(Table::json).collect::<Vec<_>>(),
        "follows": follows,
    });
    write_json(&options.json, &json).map_err(|error| format!("{}: {error}", options.json.display()))?;
    println!("{seconds:.0} s; the figures are in {}", options.json.display());
    Ok(())
}

/// Runs parts one after the other. A part that fails leaves a table that says so; the others go on.
struct Parts {
    tables: Vec<Table>,
    start: Instant,
}

impl Parts {
    fn add(&mut self, name: &str, part: impl FnOnce() -> io::Result<Vec<Table>>) {
        eprint!("{name} … ");
        let start = Instant::now();
        let tables = part().unwrap_or_else(|error| {
            let mut table = Table::new(name, name, &[]);
            table.notes.push(format!("NOT AVAILABLE: {error}"));
            vec![table]
        });
        self.tables.extend(tables);
        eprintln!("{:.1} s", start.elapsed().as_secs_f64());
    }
}

fn write_json(path: &Path, json: &serde_json::Value) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    serde_json::to_writer_pretty(&mut file, json)?;
    file.write_all(b"\n")
}
