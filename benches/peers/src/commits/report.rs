//! The workload's report: the tables on standard output, the JSON, the plot.

use std::{fmt::Write, io, path::Path};

use super::{
    Contender, Failure, Options, Outcome, Slice,
    entries::{KEY_BYTES, VALUE_BYTES},
    requirements::{Verdict, best_rival, check},
    statistics::{Summary, summarize},
};
use crate::{
    engine::Kind,
    engines::names,
    report::{
        json,
        machine::Machine,
        svg::{Bar, Chart, Panel, Tone},
        table::{Table, grouped, micros, ratio},
    },
};

const RIVALS_NOTE: &str = "Rivals are fjall (the better of its two modes), redb, LMDB and SQLite. \"rounds\": the least and \
     the greatest ratio of two slices of one round.";

/// Everything as one JSON document.
#[derive(serde::Serialize)]
struct Document<'a> {
    workload: &'static str,
    key_bytes: usize,
    value_bytes: usize,
    seconds_per_slice: f64,
    rounds: usize,
    machine: &'a Machine,
    contenders: &'a [Contender],
    requirements: Vec<Verdict>,
    summaries: Vec<Summary>,
    failures: &'a [Failure],
    slices: &'a [Slice],
}

/// The report in text, as Markdown.
pub fn text(options: &Options, outcome: &Outcome, machine: &Machine) -> String {
    let mut text = format!("# Durable commits of one entry\n\n{}\n\n{machine}\n", subtitle(options));
    for &writers in &options.writers {
        let best = best_rival(outcome, writers);
        let _ =
            writeln!(text, "\n## {}\n\n{}", writers_title(writers), figures(outcome, writers, best.as_ref()));
    }
    let _ = writeln!(text, "\n## Requirements\n\n{}\n\n{RIVALS_NOTE}", requirements(outcome));
    if !outcome.failures.is_empty() {
        let _ = writeln!(text, "\n## Failures\n");
        for Failure { contender, writers, message } in &outcome.failures {
            let _ = writeln!(text, "- {contender}, {}: {message}", writers_title(*writers));
        }
    }
    let _ = writeln!(text, "\n## Contenders\n");
    for Contender { name, configuration, .. } in &outcome.contenders {
        let _ = writeln!(text, "- {name}: {configuration}");
    }
    text
}

fn subtitle(options: &Options) -> String {
    format!(
        "Key {KEY_BYTES} bytes, value {VALUE_BYTES} bytes, one entry per commit. Medians of {} interleaved slices of {} s.",
        options.rounds, options.seconds_per_slice
    )
}

/// `1 writer`, `8 writers`.
pub fn writers_title(writers: usize) -> String {
    if writers == 1 { "1 writer".to_owned() } else { format!("{writers} writers") }
}

fn figures(outcome: &Outcome, writers: usize, best: Option<&Summary>) -> Table {
    let rate_of = |name| summarize(&outcome.slices, name, writers).map(|summary| summary.commits_per_s);
    let (rocksdb, raw) = (rate_of(names::ROCKSDB), rate_of(names::RAW));
    let mut table = Table::new(&[
        "",
        "commits/s",
        "±",
        "p50 µs",
        "p99 µs",
        "× RocksDB",
        "× best rival",
        "× raw",
        "syncs/commit",
    ]);
    for Contender { name, .. } in &outcome.contenders {
        let Some(summary) = summarize(&outcome.slices, name, writers) else {
            if let Some(failure) = failure_of(outcome, name, writers) {
                let mut row = vec![(*name).to_owned(), failure.message.clone()];
                row.resize(9, String::new());
                table.row(row);
            }
            continue;
        };
        let times =
            |other: Option<f64>| other.map_or("–".to_owned(), |other| ratio(summary.commits_per_s / other));
        let mark = if best.is_some_and(|best| best.contender == *name) { " (best rival)" } else { "" };
        table.row(vec![
            format!("{name}{mark}"),
            grouped(summary.commits_per_s),
            format!("{:.0}%", summary.spread() * 100.0),
            micros(summary.p50_us),
            micros(summary.p99_us),
            times(rocksdb),
            times(best.map(|best| best.commits_per_s)),
            times(raw),
            summary.syncs_per_commit.map_or("–".to_owned(), |syncs| format!("{syncs:.3}")),
        ]);
    }
    table
}

fn failure_of<'a>(outcome: &'a Outcome, name: &str, writers: usize) -> Option<&'a Failure> {
    outcome.failures.iter().find(|failure| failure.contender == name && failure.writers == writers)
}

fn requirements(outcome: &Outcome) -> Table {
    let mut table = Table::new(&["required", "measured", "rounds", ""]);
    for Verdict { requirement, measured, by_round, met } in check(outcome) {
        table.row(vec![
            requirement,
            measured.map_or("–".to_owned(), ratio),
            by_round.map_or("–".to_owned(), |(least, most)| format!("{} to {}", ratio(least), ratio(most))),
            match met {
                Some(true) => "met".to_owned(),
                Some(false) => "NOT met".to_owned(),
                None => "not measured".to_owned(),
            },
        ]);
    }
    table
}

/// Writes the run, with every slice, to a file.
pub fn write_json(path: &Path, options: &Options, outcome: &Outcome, machine: &Machine) -> io::Result<()> {
    let mut summaries = Vec::new();
    for &writers in &options.writers {
        summaries.extend(
            outcome.contenders.iter().filter_map(|one| summarize(&outcome.slices, one.name, writers)),
        );
    }
    let document = Document {
        workload: "commits",
        key_bytes: KEY_BYTES,
        value_bytes: VALUE_BYTES,
        seconds_per_slice: options.seconds_per_slice,
        rounds: options.rounds,
        machine,
        contenders: &outcome.contenders,
        requirements: check(outcome),
        summaries,
        failures: &outcome.failures,
        slices: &outcome.slices,
    };
    json::write(path, &document)
}

/// The plot: a panel per number of writers, a bar per contender.
pub fn chart(options: &Options, outcome: &Outcome, machine: &Machine) -> Chart {
    Chart {
        title: "Durable commits per second".to_owned(),
        subtitle: subtitle(options),
        limits: "limits: the bare disk; our journal without syncs",
        footer: vec![
            "Whiskers: slowest and fastest slice. × is the ratio to RocksDB. A limit that is far off the scale is cut.".to_owned(),
            machine.to_string(),
        ],
        panels: options.writers.iter().map(|&writers| panel(outcome, writers)).collect(),
    }
}

fn panel(outcome: &Outcome, writers: usize) -> Panel {
    let rocksdb = summarize(&outcome.slices, names::ROCKSDB, writers);
    let mut bars = Vec::new();
    for Contender { name, kind, .. } in &outcome.contenders {
        let tone = match kind {
            Kind::Ours => Tone::Ours,
            Kind::Peer => Tone::Peer,
            Kind::Limit => Tone::Limit,
        };
        if let Some(summary) = summarize(&outcome.slices, name, writers) {
            let mut note = format!("{}/s", grouped(summary.commits_per_s));
            if let Some(rocksdb) = &rocksdb {
                let _ = write!(note, " · {}×", ratio(summary.commits_per_s / rocksdb.commits_per_s));
            }
            let _ = write!(note, " · p99 {} µs", micros(summary.p99_us));
            let (value, range) = (summary.commits_per_s, (summary.least_per_s, summary.greatest_per_s));
            bars.push(Bar { label: (*name).to_owned(), value, range, tone, note });
        } else if let Some(failure) = failure_of(outcome, name, writers) {
            let note = failure.message.chars().take(80).collect();
            bars.push(Bar { label: (*name).to_owned(), value: 0.0, range: (0.0, 0.0), tone, note });
        }
    }
    Panel { title: writers_title(writers), bars }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contender_that_failed_stands_in_the_table_with_its_reason() {
        let contender = Contender { name: "redb", kind: Kind::Peer, configuration: "as it is" };
        let failure = Failure { contender: "redb", writers: 8, message: "cannot open: no room".to_owned() };
        let outcome = Outcome { contenders: vec![contender], slices: Vec::new(), failures: vec![failure] };
        let options = Options {
            seconds_per_slice: 1.0,
            rounds: 2,
            writers: vec![8],
            only: Vec::new(),
            dir: std::env::temp_dir(),
        };
        let text = text(&options, &outcome, &Machine::default());
        assert!(text.contains("| redb "), "{text}");
        assert_eq!(text.matches("cannot open: no room").count(), 2, "{text}");
        assert!(text.contains("not measured"), "{text}");
    }
}
