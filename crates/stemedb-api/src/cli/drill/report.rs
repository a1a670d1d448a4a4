//! What a drill has found: for programs, for people, and for Prometheus.

use std::{fmt::Write, path::Path, time::Duration};

use serde::Serialize;
use stemedb_api::core::Micros;
use stemedb_env::{Env, fs::tree::create_dir_durably, fs::write_file_atomic};

use crate::cli::{failure::Failure, paint};

/// Everything that is known of a drill.
#[derive(Debug, Serialize)]
pub struct Report {
    format: u32,
    began_at: String,
    began_seconds: f64,
    target: String,
    pub passed: bool,
    /// Why it did not pass.
    pub problem: Option<String>,
    pub database: Option<String>,
    pub timeline: Option<u32>,
    /// The backup whose tables were used.
    pub backup: Option<String>,
    /// What the server showed when the drill began.
    pub live_lsn: Option<u64>,
    /// What was restored.
    pub lsn: Option<u64>,
    pub recorded_at: Option<String>,
    pub entries: Option<u64>,
    pub rows: Option<u64>,
    pub state_root: Option<String>,
    compared: Vec<Compared>,
    /// How much older than the drill the first entry was that had not been archived; there with a server alone.
    pub rpo_seconds: Option<f64>,
    /// From the beginning of the restore until every row was read.
    pub rto_seconds: Option<f64>,
    phases: Vec<Phase>,
    pub fetched_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Compared {
    what: String,
    expected: String,
    found: String,
    same: bool,
}

#[derive(Debug, Serialize)]
struct Phase {
    what: &'static str,
    seconds: f64,
}

impl Report {
    pub fn begin(env: &Env, target: String) -> Report {
        let now = env.clock.wall();
        Report {
            format: 0,
            began_at: Micros(now.0).to_string(),
            began_seconds: now.0 as f64 / 1e6,
            target,
            passed: false,
            problem: None,
            database: None,
            timeline: None,
            backup: None,
            live_lsn: None,
            lsn: None,
            recorded_at: None,
            entries: None,
            rows: None,
            state_root: None,
            compared: Vec::new(),
            rpo_seconds: None,
            rto_seconds: None,
            phases: Vec::new(),
            fetched_bytes: 0,
        }
    }

    pub fn phase(&mut self, what: &'static str, took: Duration) {
        self.phases.push(Phase { what, seconds: took.as_secs_f64() });
    }

    pub fn compare(&mut self, what: impl Into<String>, expected: String, found: String) {
        let same = expected == found;
        self.compared.push(Compared { what: what.into(), expected, found, same });
    }

    /// Judges.
    pub fn end(&mut self, outcome: Result<(), String>, max_rpo_seconds: u64, max_rto_seconds: u64) {
        let beyond = |what: &str, seconds: Option<f64>, most: u64| {
            let seconds = seconds.filter(|seconds| *seconds > most as f64)?;
            Some(format!("the {what} is {seconds:.1} s, and may be {most} s"))
        };
        let differs = self.compared.iter().find(|one| !one.same);
        let differs = differs.map(|one| format!("{} is {}, not {}", one.what, one.found, one.expected));
        self.problem = outcome
            .err()
            .or(differs)
            .or_else(|| beyond("RPO", self.rpo_seconds, max_rpo_seconds))
            .or_else(|| beyond("RTO", self.rto_seconds, max_rto_seconds));
        self.passed = self.problem.is_none();
    }

    /// Writes `drill.json`, `drill.md` and `drill.prom` into a folder.
    pub fn write(&self, env: &Env, dir: &Path) -> Result<(), Failure> {
        create_dir_durably(&*env.fs, dir)?;
        let json = serde_json::to_string_pretty(self).map_err(Failure::new)?;
        for (name, text) in
            [("drill.json", json + "\n"), ("drill.md", self.markdown()), ("drill.prom", self.metrics())]
        {
            write_file_atomic(&*env.fs, &dir.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let verdict = if self.passed { "passed" } else { "FAILED" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# Drill of {}: {verdict}\n", self.began_at);
        if let Some(problem) = &self.problem {
            let _ = writeln!(out, "{problem}\n");
        }
        let _ = writeln!(out, "| | |\n|---|---|");
        let mut row = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(out, "| {name} | {value} |");
            }
        };
        let number = |value: Option<u64>| value.map(paint::thousands);
        let seconds = |value: Option<f64>| value.map(|seconds| format!("{seconds:.2} s"));
        row("target", Some(self.target.clone()));
        row("database", self.database.clone());
        row("timeline", self.timeline.map(|timeline| timeline.to_string()));
        row("backup", self.backup.clone());
        row("server showed LSN", number(self.live_lsn));
        row("restored LSN", number(self.lsn));
        row("recorded", self.recorded_at.clone());
        row("entries", number(self.entries));
        row("rows", number(self.rows));
        row("state root", self.state_root.clone());
        row("fetched", Some(paint::bytes(self.fetched_bytes)));
        row("**RPO**", seconds(self.rpo_seconds));
        row("**RTO**", seconds(self.rto_seconds));
        for Phase { what, seconds } in &self.phases {
            let _ = writeln!(out, "| … {what} | {seconds:.2} s |");
        }
        for Compared { what, expected, found, same } in &self.compared {
            let is = if *same { "the same".to_owned() } else { format!("{found}, not {expected}") };
            let _ = writeln!(out, "| {what} | {is} |");
        }
        out
    }

    /// For a textfile collector.
    fn metrics(&self) -> String {
        let mut out = String::new();
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                let _ = writeln!(out, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}");
            }
        };
        let success = f64::from(u8::from(self.passed));
        gauge("stemedb_drill_success", "1 if the newest drill passed", Some(success));
        let began = Some(self.began_seconds);
        gauge("stemedb_drill_last_run_timestamp_seconds", "When the newest drill began", began);
        gauge("stemedb_drill_rpo_seconds", "What would have been lost", self.rpo_seconds);
        gauge(
            "stemedb_drill_rto_seconds",
            "How long it took to restore and read everything",
            self.rto_seconds,
        );
        gauge("stemedb_drill_restored_lsn", "Last entry restored", self.lsn.map(|lsn| lsn as f64));
        gauge("stemedb_drill_fetched_bytes", "Bytes fetched", Some(self.fetched_bytes as f64));
        out
    }
}
