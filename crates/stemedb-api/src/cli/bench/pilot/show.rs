//! The gates as a table, and everything as JSON.

use std::io::{self, Write};

use serde::Serialize;
use stemedb_api::load::{Seen, percentile_ms};

use super::gates::{Gate, Goal, Measured};
use crate::cli::{
    failure::Failure,
    paint::{ERROR, FAINT, GOOD, left, paint, right, thousands, visible},
};

/// Writes the table.
pub fn print(out: &mut impl Write, measured: &Measured, gates: &[Gate]) -> io::Result<()> {
    let minutes = measured.length.as_secs_f64() / 60.0;
    writeln!(out, "{}, {minutes} minutes each\n", measured.place)?;
    let head = format!("{}{}{}", left("gate", 48), right("goal", 10), right("seen", 12));
    writeln!(out, "{}", paint(FAINT, &head))?;
    for gate in gates {
        let verdict = if gate.passed { paint(GOOD, "pass") } else { paint(ERROR, "FAIL") };
        let seen = gate.seen.map_or_else(|| "not seen".to_owned(), figure);
        writeln!(
            out,
            "{}{}{}  {verdict}",
            left(gate.about, 48),
            right(&goal(gate.goal), 10),
            right(&seen, 12)
        )?;
    }
    writeln!(out)?;
    let read = thousands(measured.read_back.acknowledged);
    match measured.restarted {
        Some(took) => {
            let seconds = took.as_secs_f64();
            writeln!(
                out,
                "{read} acknowledged claims read back, after kill -9 and a start of {seconds:.1} s"
            )?;
        }
        None => writeln!(out, "{read} acknowledged claims read back")?,
    }
    // Replies come from outside.
    for (name, seen) in [("question", &measured.questions), ("assertion", &measured.asserts)] {
        if let Some(why) = &seen.first_failure {
            writeln!(out, "the first {name} that was not good: {}", visible(why))?;
        }
    }
    if let Err(why) = measured.storage.figures() {
        writeln!(out, "the storage's figures were not seen: {}", visible(why))?;
    }
    Ok(())
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::AtLeast(number) => format!("≥ {}", figure(number)),
        Goal::Below(number) => format!("< {}", figure(number)),
        Goal::None => "0".to_owned(),
    }
}

/// As many digits as matter.
fn figure(number: f64) -> String {
    match number {
        _ if number == number.trunc() && number.abs() < 1e15 => thousands(number.abs() as u64),
        _ if number >= 100.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    server: &'a str,
    minutes: f64,
    passed: bool,
    gates: &'a [Gate],
    questions: Requests<'a>,
    assertions: Requests<'a>,
    restart_seconds: Option<f64>,
    read_back: super::read_back::ReadBack,
    storage: &'a super::storage::Watched,
}

#[derive(Serialize)]
struct Requests<'a> {
    offered: u64,
    good: usize,
    refused: usize,
    failed: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    longest_ms: Option<f64>,
    first_failure: Option<&'a str>,
    seconds: f64,
}

impl<'a> Requests<'a> {
    fn of(seen: &'a Seen) -> Requests<'a> {
        let at = |share| percentile_ms(&seen.good, share);
        Requests {
            offered: seen.offered,
            good: seen.good.len(),
            refused: seen.refused.len(),
            failed: seen.failed,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            longest_ms: at(1.0),
            first_failure: seen.first_failure.as_deref(),
            seconds: seen.took.as_secs_f64(),
        }
    }
}

/// Everything, for programs.
pub fn json(measured: &Measured, gates: &[Gate]) -> Result<String, Failure> {
    let whole = Whole {
        server: &measured.place,
        minutes: measured.length.as_secs_f64() / 60.0,
        passed: gates.iter().all(|gate| gate.passed),
        gates,
        questions: Requests::of(&measured.questions),
        assertions: Requests::of(&measured.asserts),
        restart_seconds: measured.restarted.map(|took| took.as_secs_f64()),
        read_back: measured.read_back,
        storage: &measured.storage,
    };
    serde_json::to_string_pretty(&whole).map(|text| text + "\n").map_err(Failure::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_matter() {
        assert_eq!(figure(1_000.0), "1,000");
        assert_eq!(figure(999.66), "999.7");
        assert_eq!(figure(3.456), "3.46");
        assert_eq!(figure(0.0), "0");
        assert_eq!(goal(Goal::AtLeast(1_000.0)), "≥ 1,000");
        assert_eq!(goal(Goal::Below(0.01)), "< 0.01");
    }
}
