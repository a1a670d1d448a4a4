//! What must hold, beside what was seen.

use std::time::Duration;

use serde::Serialize;
use stemedb_api::load::{Seen, percentile_ms};

use super::{ASSERTS_PER_SECOND, QUESTIONS_PER_SECOND, read_back::ReadBack, storage::Watched};

/// Of questions, and of assertions.
const QUESTION_P99_MS: f64 = 1_000.0;
const ASSERT_P99_MS: f64 = 200.0;
/// Of the storage: beyond the first something is not healthy. The same numbers stand in its own checks and in the alerts.
const ERROR_RATE: f64 = 0.01;
const SST_FILES: f64 = 100.0;
const WRITE_AMPLIFICATION: f64 = 10.0;

/// Everything that was measured.
pub struct Measured {
    /// Which server.
    pub place: String,
    /// How long each rate was held.
    pub length: Duration,
    pub questions: Seen,
    pub asserts: Seen,
    /// How long the server took to start again after it was killed; `None` if it was not this program's.
    pub restarted: Option<Duration>,
    pub read_back: ReadBack,
    pub storage: Watched,
}

/// One gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// For programs.
    pub name: &'static str,
    /// For people.
    #[serde(skip)]
    pub about: &'static str,
    pub goal: Goal,
    /// In the goal's unit; `None` where nothing was seen, which never passes.
    pub seen: Option<f64>,
    pub passed: bool,
}

/// What a number must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    AtLeast(f64),
    Below(f64),
    /// Zero.
    None,
}

impl Gate {
    fn new(name: &'static str, about: &'static str, goal: Goal, seen: Option<f64>) -> Gate {
        let passed = seen.is_some_and(|seen| match goal {
            Goal::AtLeast(goal) => seen >= goal,
            Goal::Below(goal) => seen < goal,
            Goal::None => seen == 0.0,
        });
        Gate { name, about, goal, seen, passed }
    }
}

/// All gates, in the order in which they are shown.
pub fn gates(measured: &Measured) -> Vec<Gate> {
    let Measured { length, questions, asserts, read_back, storage, .. } = measured;
    let per_second =
        |seen: &Seen, goal_ms: f64| Some(rate(seen, *length, Duration::from_secs_f64(goal_ms / 1e3)));
    let bad = |seen: &Seen| Some((seen.refused.len() as u64 + seen.failed) as f64);
    let (p99, figures) = (|seen: &Seen| percentile_ms(&seen.good, 0.99), storage.figures().ok());
    let not_stored = (read_back.acknowledged > 0).then_some((read_back.lost + read_back.unknown) as f64);
    vec![
        Gate::new(
            "questions_per_second",
            "questions a second over 10,000 claims",
            Goal::AtLeast(QUESTIONS_PER_SECOND),
            per_second(questions, QUESTION_P99_MS),
        ),
        Gate::new("question_p99_ms", "p99 of questions, ms", Goal::Below(QUESTION_P99_MS), p99(questions)),
        Gate::new("question_errors", "questions refused, failed or incomplete", Goal::None, bad(questions)),
        Gate::new(
            "assertions_per_second",
            "durable assertions a second",
            Goal::AtLeast(ASSERTS_PER_SECOND),
            per_second(asserts, ASSERT_P99_MS),
        ),
        Gate::new("assertion_p99_ms", "p99 of assertions, ms", Goal::Below(ASSERT_P99_MS), p99(asserts)),
        Gate::new("assertion_errors", "assertions refused or failed", Goal::None, bad(asserts)),
        Gate::new("acknowledged_lost", "acknowledged and not read back", Goal::None, not_stored),
        Gate::new(
            "storage_error_rate",
            "storage operations that failed, part of all",
            Goal::Below(ERROR_RATE),
            figures.map(|figures| figures.error_rate),
        ),
        Gate::new(
            "sst_files",
            "tables, at most",
            Goal::Below(SST_FILES),
            figures.map(|figures| figures.sst_files as f64),
        ),
        Gate::new(
            "write_amplification",
            "write amplification",
            Goal::Below(WRITE_AMPLIFICATION),
            figures.map(|figures| figures.write_amplification),
        ),
    ]
}

/// Good replies a second. The last request is due just before the end, and its reply may come later by as much as the gate of the latency
/// lets it; what comes after that was not kept up with.
fn rate(seen: &Seen, length: Duration, late: Duration) -> f64 {
    let took = seen.took.saturating_sub(late).max(length);
    // A division that comes out even is even: all of them are as many as the goal asks for.
    (seen.good.len() as f64 / took.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(count: usize, micros: u32, took_ms: u64) -> Seen {
        Seen {
            offered: count as u64,
            good: vec![micros; count],
            took: Duration::from_millis(took_ms),
            ..Seen::default()
        }
    }

    fn measured() -> Measured {
        Measured {
            place: "there".to_owned(),
            length: Duration::from_secs(10),
            questions: seen(1_000, 3_000, 10_003),
            asserts: seen(10_000, 9_000, 10_150),
            restarted: None,
            read_back: ReadBack { acknowledged: 20_000, lost: 0, unknown: 0 },
            storage: Watched::of(3, 0.0, 2.0),
        }
    }

    /// The names of the gates that are not passed.
    fn missed(change: impl FnOnce(&mut Measured)) -> Vec<&'static str> {
        let mut measured = measured();
        change(&mut measured);
        gates(&measured).iter().filter(|gate| !gate.passed).map(|gate| gate.name).collect()
    }

    #[test]
    fn each_gate_fails_by_itself_just_where_the_contract_says() {
        assert_eq!(missed(|_| {}), [""; 0]);
        assert_eq!(missed(|of| of.questions.good = vec![1_000_000; 1_000]), ["question_p99_ms"]);
        assert_eq!(missed(|of| of.questions.good = vec![999_000; 1_000]), [""; 0]);
        assert_eq!(missed(|of| of.asserts.good = vec![200_000; 10_000]), ["assertion_p99_ms"]);
        assert_eq!(missed(|of| of.asserts.took = Duration::from_millis(10_300)), ["assertions_per_second"]);
        assert_eq!(missed(|of| of.questions.took = Duration::from_millis(11_100)), ["questions_per_second"]);
        assert_eq!(missed(|of| of.read_back.lost = 1), ["acknowledged_lost"]);
        assert_eq!(missed(|of| of.read_back.unknown = 1), ["acknowledged_lost"]);
        assert_eq!(missed(|of| of.storage = Watched::of(100, 0.0, 2.0)), ["sst_files"]);
        assert_eq!(missed(|of| of.storage = Watched::of(99, 0.01, 2.0)), ["storage_error_rate"]);
        assert_eq!(missed(|of| of.storage = Watched::of(99, 0.0, 10.0)), ["write_amplification"]);
    }

    #[test]
    fn one_request_that_fails_or_is_refused_fails_its_gate() {
        assert_eq!(missed(|of| of.questions.failed = 1), ["question_errors"]);
        assert_eq!(missed(|of| of.asserts.refused = vec![7]), ["assertion_errors"]);
    }

    #[test]
    fn what_was_not_seen_is_not_passed() {
        let nothing = missed(|of| {
            of.questions = Seen { took: of.length, ..Seen::default() };
            of.storage = Watched::default();
            of.read_back = ReadBack::default();
        });
        let expected = [
            "questions_per_second",
            "question_p99_ms",
            "acknowledged_lost",
            "storage_error_rate",
            "sst_files",
            "write_amplification",
        ];
        assert_eq!(nothing, expected);
    }
}
