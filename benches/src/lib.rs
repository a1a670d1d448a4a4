//! What the suites share: real claims, scratch folders on a real disk, writers on threads.
//!
//! Each suite measures one layer beside a yardstick in the same group and the same run (the same bytes written by hand, the
//! same rows in a sorted map), because absolute times say more about the machine than about the code. `cargo xtask bench`
//! prints the ratios.
#![deny(missing_docs)]
// Measures real time on real files and threads, and a benchmark that cannot set itself up should stop.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used, clippy::expect_used)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Barrier,
    time::{Duration, Instant},
};

use serde_json::{Value, value::RawValue};
use stemedb_core::{Assertion, Command, Object, Source, SourceClass};
use stemedb_index::Submission;
use tempfile::TempDir;

const SAMPLE: &str = include_str!("../../examples/data/chemistry-sample.jsonl");
const SOURCES: &str = include_str!("../../examples/data/sources.json");

/// The chemistry sample as commands, in the order of the file.
pub fn sample() -> Vec<Command> {
    SAMPLE.lines().map(|line| Command::Assert(claim(line))).collect()
}

fn claim(line: &str) -> Assertion {
    let fields: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(line).expect("a line");
    let text = |name: &str| serde_json::from_str::<String>(fields[name].get()).expect("a text");
    let object = Object::from_json(fields["object"].get()).expect("an object");
    Assertion::new(text("subject"), text("predicate"), object, text("source"))
}

/// What is known about the sample's sources.
pub fn sources() -> Vec<Command> {
    let list: Vec<Value> = serde_json::from_str(SOURCES).expect("the sources");
    let source = |entry: &Value| {
        let class = entry["class"].as_u64().and_then(|class| u8::try_from(class).ok()).expect("a class");
        Command::Source(Source::new(
            entry["id"].as_str().expect("an id"),
            SourceClass::new(class).expect("a class"),
        ))
    };
    list.iter().map(source).collect()
}

/// Claims like the sample's without end: the same shapes about other subjects in every round.
pub fn endless() -> impl Iterator<Item = Command> {
    let sample = sample();
    (0_u64..).flat_map(move |round| {
        sample.clone().into_iter().map(move |command| match command {
            Command::Assert(mut claim) => {
                claim.subject = format!("{}#{round}", claim.subject);
                Command::Assert(claim)
            }
            other => other,
        })
    })
}

/// One submission of many commands.
pub fn submission(commands: &[Command]) -> Submission {
    let mut submission = Submission::new();
    for command in commands {
        submission.push(command).expect("a valid command");
    }
    submission
}

/// The question about eight candidates: a subject and predicate of the sample that as many sources speak about.
pub fn contested_question() -> (String, String, Vec<Command>) {
    let mut questions = std::collections::BTreeMap::<(String, String), Vec<Command>>::new();
    for command in sample() {
        if let Command::Assert(claim) = &command {
            let question = (claim.subject.clone(), claim.predicate.clone());
            questions.entry(question).or_default().push(command);
        }
    }
    let ((subject, predicate), claims) =
        questions.into_iter().find(|(_, claims)| claims.len() == 8).expect("a question with eight claims");
    (subject, predicate, claims)
}

/// Whatever stops a suite that judges by itself.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How such a suite ends: `None` for who asked what it takes, else whether every goal was met.
pub fn judged(usage: &str, ended: Result<Option<bool>, Failure>) -> ExitCode {
    match ended {
        Ok(None) => {
            print!("{usage}");
            ExitCode::SUCCESS
        }
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => {
            eprintln!("error: a goal was missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the build.
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    std::fs::create_dir_all(&target).expect("the target folder");
    target
}

/// A folder on the disk that holds the build, not in memory.
pub fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(target()).expect("a scratch folder")
}

/// True for a first look: smaller sets, fewer samples.
pub fn is_quick() -> bool {
    std::env::var_os("STEMEDB_BENCH_QUICK").is_some()
}

/// `full`, or a tenth of it for a first look.
pub fn scaled(full: usize) -> usize {
    if is_quick() { (full / 10).max(1) } else { full }
}

/// Lets `writers` threads each do `each(writer, round)` for as many rounds as make `total` together; returns the time from
/// the common start to the last one's end.
pub fn together(writers: usize, total: u64, each: impl Fn(usize, u64) + Sync) -> Duration {
    let rounds = total.div_ceil(writers as u64).max(1);
    let start = Barrier::new(writers + 1);
    let mut began = None;
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (start, each) = (&start, &each);
            scope.spawn(move || {
                start.wait();
                (0..rounds).for_each(|round| each(writer, round));
            });
        }
        start.wait();
        began = Some(Instant::now());
    });
    began.map(|began| began.elapsed()).unwrap_or_default()
}

/// Numbers that look random and are always the same.
pub fn scattered(count: u64) -> impl Iterator<Item = u64> {
    // A multiplier that is odd visits every residue of a power of two; the caller takes what it needs.
    (0..count).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8)
}
