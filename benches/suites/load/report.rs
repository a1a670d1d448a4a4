//! What was measured, as a page and as JSON.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use serde_json::json;
use stemedb_api::load::{Seen, percentile_ms};

use crate::{Failure, beside::Beside};

const QUESTIONS_GOAL: f64 = 20_000.0;
const ASSERTS_GOAL: f64 = 10_000.0;
const P99_GOAL_MS: f64 = 20.0;
/// Of the rate of good replies just before, at any load beyond what the server can do.
const GOODPUT_GOAL: f64 = 0.85;
const REFUSAL_GOAL_MS: f64 = 5.0;
/// The last stage repeats the first one: its latency is the same again.
const BACK_GOAL: f64 = 2.0;

/// In milliseconds; 0 of nothing.
fn percentile(of: &[u32], share: f64) -> f64 {
    percentile_ms(of, share).unwrap_or(0.0)
}

/// One after the other on each connection.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub case: &'static str,
    pub connections: usize,
    /// Good replies a second.
    pub good: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub refused: usize,
    pub failed: u64,
}

impl Row {
    pub fn of(case: &'static str, connections: usize, seen: &Seen) -> Row {
        Row {
            case,
            connections,
            good: seen.good.len() as f64 / seen.took.as_secs_f64(),
            p50_ms: percentile(&seen.good, 0.5),
            p99_ms: percentile(&seen.good, 0.99),
            refused: seen.refused.len(),
            failed: seen.failed,
        }
    }

    fn is_good(&self) -> bool {
        let goal = if self.case == "asserts" { ASSERTS_GOAL } else { QUESTIONS_GOAL };
        self.good >= goal && self.p99_ms <= P99_GOAL_MS && self.failed == 0
    }
}

/// One rate of an open loop.
#[derive(Clone, Debug)]
pub struct Stage {
    load: f64,
    /// What the server could do just before, good replies a second.
    peak: f64,
    offered: f64,
    good: f64,
    /// `good / peak`.
    share: f64,
    refused: f64,
    failed: u64,
    p50_ms: f64,
    p99_ms: f64,
    refusal_p50_ms: f64,
    refusal_p99_ms: f64,
    memory_mib: f64,
}

impl Stage {
    pub fn of(load: f64, peak: f64, seen: &Seen, memory_mib: f64) -> Stage {
        let seconds = seen.took.as_secs_f64();
        let good = seen.good.len() as f64 / seconds;
        Stage {
            load,
            peak,
            offered: load * peak,
            good,
            share: good / peak,
            refused: seen.refused.len() as f64 / seconds,
            failed: seen.failed,
            p50_ms: percentile(&seen.good, 0.5),
            p99_ms: percentile(&seen.good, 0.99),
            refusal_p50_ms: percentile(&seen.refused, 0.5),
            refusal_p99_ms: percentile(&seen.refused, 0.99),
            memory_mib,
        }
    }

    /// The middle of several, figure by figure; all replies that were wrong count.
    pub fn middle(of: &[Stage]) -> Option<Stage> {
        let median = |figure: fn(&Stage) -> f64| {
            let mut all: Vec<f64> = of.iter().map(figure).collect();
            all.sort_unstable_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Some(Stage {
            load: of.first()?.load,
            peak: median(|stage| stage.peak),
            offered: median(|stage| stage.offered),
            good: median(|stage| stage.good),
            share: median(|stage| stage.share),
            refused: median(|stage| stage.refused),
            failed: of.iter().map(|stage| stage.failed).sum(),
            p50_ms: median(|stage| stage.p50_ms),
            p99_ms: median(|stage| stage.p99_ms),
            refusal_p50_ms: median(|stage| stage.refusal_p50_ms),
            refusal_p99_ms: median(|stage| stage.refusal_p99_ms),
            memory_mib: median(|stage| stage.memory_mib),
        })
    }
}

#[derive(Debug, Default)]
pub struct Report {
    pub claims: usize,
    pub seconds: u64,
    pub rows: Vec<Row>,
    pub beside: Option<Beside>,
    /// What the busy endpoint takes alone.
    pub endpoint: Duration,
    /// Connections, one request after the other on each, at which the server's rate is its peak.
    pub full_connections: usize,
    /// How often each stage was measured.
    pub rounds: usize,
    pub stages: Vec<Stage>,
}

pub fn verdict(is_good: bool) -> &'static str {
    if is_good { "met" } else { "MISSED" }
}

impl Report {
    fn stage_is_good(&self, stage: &Stage) -> bool {
        let first = self.stages.first().filter(|first| first.load == stage.load);
        match stage.load > 1.0 {
            true => {
                stage.share >= GOODPUT_GOAL && stage.refusal_p99_ms <= REFUSAL_GOAL_MS && stage.failed == 0
            }
            false => stage.failed == 0 && first.is_none_or(|first| stage.p99_ms <= BACK_GOAL * first.p99_ms),
        }
    }

    pub fn is_good(&self) -> bool {
        self.rows.iter().all(Row::is_good)
            && self.beside.as_ref().is_none_or(Beside::is_good)
            && self.stages.iter().all(|stage| self.stage_is_good(stage))
    }

    pub fn markdown(&self) -> String {
        let mut page = format!(
            "# What one server takes\n\nMade by `cargo xtask bench load`. {} claims, {} s each; server and generator share the \
             machine.\n",
            self.claims, self.seconds
        );
        if !self.rows.is_empty() {
            page.push_str(
                "\n| case | connections | good replies a second | p50, ms | p99, ms | refused | failed | |\n|---|---:|---:|---:|---:|---:|---:|---|\n",
            );
        }
        for row in &self.rows {
            let Row { case, connections, good, p50_ms, p99_ms, refused, failed } = row;
            let _ = writeln!(
                page,
                "| {case} | {connections} | {good:.0} | {p50_ms:.2} | {p99_ms:.2} | {refused} | {failed} | {} |",
                verdict(row.is_good())
            );
        }
        if !self.rows.is_empty() {
            let _ = write!(
                page,
                "\nGoals: {QUESTIONS_GOAL:.0} questions and {ASSERTS_GOAL:.0} durable asserts a second, p99 at most {P99_GOAL_MS:.0} ms.\n"
            );
        }
        if let Some(beside) = &self.beside {
            page.push_str(&beside.markdown());
        }
        if self.stages.is_empty() {
            return page;
        }
        let _ = write!(
            page,
            "\n## More than it can do\n\nThe server on one processor, the generator on the other. The endpoint takes {:.2} ms alone. \
             Just before each stage the server's peak is measured: {} connections, one request after the other on each. Then \
             requests come at random moments and do not wait for each other. {} rounds of all stages; the middle of each figure.\n\n\
             | load | peak | offered | good | of the peak | refused | failed | p50, ms | p99, ms | refusal p50, ms | refusal p99, ms | memory, MiB | |\n\
             |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
            self.endpoint.as_secs_f64() * 1e3,
            self.full_connections,
            self.rounds,
        );
        for stage in &self.stages {
            let _ = writeln!(
                page,
                "| {:.1} × | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {} | {:.1} | {:.1} | {:.2} | {:.2} | {:.0} | {} |",
                stage.load,
                stage.peak,
                stage.offered,
                stage.good,
                stage.share,
                stage.refused,
                stage.failed,
                stage.p50_ms,
                stage.p99_ms,
                stage.refusal_p50_ms,
                stage.refusal_p99_ms,
                stage.memory_mib,
                verdict(self.stage_is_good(stage))
            );
        }
        let _ = write!(
            page,
            "\nGoals: beyond its peak at least {GOODPUT_GOAL} of it, 99 of 100 refusals within {REFUSAL_GOAL_MS:.0} ms; and when the load falls, \
             latency as before.\n"
        );
        page
    }

    pub fn write(&self, out: &Path) -> Result<(), Failure> {
        fs::create_dir_all(out)?;
        fs::write(out.join("load.md"), self.markdown())?;
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| json!({"case": row.case, "connections": row.connections, "good_per_second": row.good, "p50_ms": row.p50_ms, "p99_ms": row.p99_ms, "refused": row.refused, "failed": row.failed}))
            .collect();
        let stages: Vec<_> = self
            .stages
            .iter()
            .map(|stage| json!({"load": stage.load, "peak": stage.peak, "offered": stage.offered, "good": stage.good, "share": stage.share, "refused": stage.refused, "failed": stage.failed, "p99_ms": stage.p99_ms, "refusal_p50_ms": stage.refusal_p50_ms, "refusal_p99_ms": stage.refusal_p99_ms, "memory_mib": stage.memory_mib}))
            .collect();
        let all = json!({"claims": self.claims, "seconds": self.seconds, "rows": rows, "beside": self.beside.as_ref().map(Beside::json), "rounds": self.rounds, "stages": stages});
        fs::write(out.join("load.json"), format!("{all:#}\n"))?;
        Ok(())
    }
}
