//! Small engines on a simulated machine.

use std::{path::Path, sync::Arc};

use stemedb_core::{Assertion, Command, Object};
use stemedb_env::{Env, SimHandles, clock::SimClock, fs::SimFs};
use stemedb_hybrid::{ClaimEngine, HybridOptions, OpenReport};
use stemedb_index::{ClaimReader, Claims, Outcome, Submission};

pub const DIR: &str = "/db";

pub fn dir() -> &'static Path {
    Path::new(DIR)
}

pub fn create(seed: u64) -> (ClaimEngine, Env, SimHandles) {
    let (env, sim) = Env::sim(seed);
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::tiny()).unwrap();
    (engine, env, sim)
}

pub fn open(env: &Env) -> (ClaimEngine, OpenReport) {
    ClaimEngine::open(env, dir(), Claims, &HybridOptions::tiny()).unwrap()
}

/// A machine that starts on a disk image.
pub fn machine(fs: SimFs, seed: u64) -> (Env, SimHandles) {
    Env::over(fs, Arc::new(SimClock::new(stemedb_env::Micros(1_800_000_000_000_000))), seed)
}

/// Claim number `n`: every one has another value.
pub fn claim(n: u64) -> Command {
    let subject = format!("cas:{}", n % 7);
    Command::Assert(Assertion::new(
        subject,
        "melting_point_K",
        Object::Integer(n as i64),
        format!("source {}", n % 3),
    ))
}

pub fn submission(numbers: impl IntoIterator<Item = u64>) -> Submission {
    let mut submission = Submission::new();
    for n in numbers {
        submission.push(&claim(n)).unwrap();
    }
    submission
}

pub fn assert_claims(engine: &ClaimEngine, numbers: impl IntoIterator<Item = u64>) -> Vec<Outcome> {
    engine.commit(submission(numbers)).unwrap()
}

/// The numbers of all claims that can be found by question, sorted.
pub fn found(engine: &ClaimEngine) -> Vec<u64> {
    let reader = ClaimReader::new(engine.snapshot().unwrap());
    let mut numbers = Vec::new();
    let mut questions = reader.questions_from("");
    while let Some((_, candidates)) = questions.next_question().unwrap() {
        for candidate in candidates {
            assert!(
                reader.claim(candidate.id).unwrap().is_some(),
                "what a question shows must be found by its id"
            );
            let Object::Integer(n) = candidate.assertion.object else { panic!("not one of ours") };
            numbers.push(n as u64);
        }
    }
    numbers.sort_unstable();
    numbers
}
