//! The benchmarks of one layer, and what they say as a table.
//!
//! criterion measures and keeps its estimates under `target/criterion`; this prints the medians beside each other. Within
//! a group a function named `yardstick…` is what the others are divided by: the same bytes written by hand, the same keys
//! in a sorted map.

mod page;
mod pg_server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use serde_json::Value;

use crate::{
    peers,
    steps::{self, Outcome},
};

const PACKAGE: &str = "stemedb-benches";
const SUITES: [&str; 5] = ["wal", "lsm", "index", "hybrid", "api"];

/// Not a layer: the disk below them. It measures and prints by itself.
const DEVICE: &str = "device";

/// Nor this: the whole engine under everything at once, for half an hour. It judges by itself.
const SOAK: &str = "soak";

/// Nor this: damage, and how long it lasts. It judges by itself too.
const HEALING: &str = "healing";

/// Nor this: a server process under load. It judges by itself, and needs the program.
const LOAD: &str = "load";

/// Not a layer either: the whole engine, beside others.
const PEERS: &str = "peers";

/// Nor this: claims and questions, beside databases that a user would have taken instead.
const QUESTIONS: &str = "questions";

/// Runs a suite and prints its table.
pub fn run(root: &Path, suite: &str, options: &[&str]) -> Outcome {
    if suite == LOAD {
        let mut server = Command::new("cargo");
        server
            .args(["build", "--release", "--locked", "--quiet", "--package", "stemedb-api"])
            .current_dir(root);
        steps::command(&mut server)?;
        if pg_server::is_asked_for(options) {
            let program = pg_server::ready(root)?.display().to_string();
            return own_program(root, suite, &[options, &["--pg-server", &program]].concat());
        }
    }
    if [DEVICE, SOAK, HEALING, LOAD].contains(&suite) {
        return own_program(root, suite, options);
    }
    if suite == PEERS {
        return peers::stores(root, options);
    }
    if suite == QUESTIONS {
        return peers::questions(root, options);
    }
    if !SUITES.contains(&suite) {
        return Err(format!(
            "no suite `{suite}`; there are {}, {PEERS}, {QUESTIONS}, {SOAK}, {HEALING}, {LOAD} and {DEVICE}",
            SUITES.join(", ")
        ));
    }
    let mut command = cargo_bench(root, suite);
    let (mut peers, mut quick, mut out) = (suite == "wal", false, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--out" => out = Some(PathBuf::from(options.next().ok_or("--out needs a folder")?)),
            "--no-peers" if suite == "wal" => peers = false,
            "--quick" => {
                quick = true;
                command.args(["--warm-up-time", "0.3", "--measurement-time", "1", "--sample-size", "10"]);
                command.env("STEMEDB_BENCH_QUICK", "1");
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    let start = SystemTime::now();
    steps::command(&mut command)?;
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let mut rows = Vec::new();
    collect(&folder.join("criterion"), start, &mut rows)?;
    if rows.is_empty() {
        return Err("the suite left no estimates".to_owned());
    }
    sort(&mut rows);
    print!("{}", table(&rows));
    if let Some(out) = out {
        let command = if quick { format!("{suite} --quick") } else { suite.to_owned() };
        page::write(&out, suite, &command, &rows)?;
    }
    if peers { peers::commits(root, quick) } else { Ok(()) }
}

fn cargo_bench(root: &Path, suite: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["bench", "--locked", "--quiet", "--package", PACKAGE, "--bench", suite, "--"])
        .current_dir(root);
    command
}

/// The program knows its options itself; only paths are made independent of where cargo starts it.
fn own_program(root: &Path, suite: &str, options: &[&str]) -> Outcome {
    let mut command = cargo_bench(root, suite);
    let mut is_path = false;
    for option in options {
        if is_path {
            command.arg(std::path::absolute(option).map_err(|error| format!("{option}: {error}"))?);
        } else {
            command.arg(option);
        }
        is_path = matches!(*option, "--dir" | "--json" | "--out" | "--pg-server");
    }
    steps::command(&mut command)
}

/// One measured function.
#[derive(Clone, Debug)]
struct Row {
    group: String,
    function: String,
    parameter: String,
    median_ns: f64,
    /// Units and amount of work per iteration.
    work: Option<(&'static str, f64)>,
}

/// Finds every `new/benchmark.json` written since `start`, with its estimates.
fn collect(folder: &Path, start: SystemTime, rows: &mut Vec<Row>) -> Outcome {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let benchmark = path.join("benchmark.json");
        let is_new = path.ends_with("new")
            && fs::metadata(&benchmark)
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|time| time >= start);
        if is_new {
            rows.extend(row(&read(&benchmark)?, &read(&path.join("estimates.json"))?));
        } else {
            collect(&path, start, rows)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Value, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn row(benchmark: &Value, estimates: &Value) -> Option<Row> {
    let text = |field: &str| benchmark.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let throughput = benchmark.get("throughput");
    let work = [("Bytes", "MB/s"), ("Elements", "/s")].into_iter().find_map(|(kind, unit)| {
        let amount = throughput?.get(kind)?.as_f64()?;
        Some((unit, if unit == "MB/s" { amount / 1e6 } else { amount }))
    });
    Some(Row {
        group: text("group_id"),
        function: text("function_id"),
        parameter: text("value_str"),
        median_ns: estimates.get("median")?.get("point_estimate")?.as_f64()?,
        work,
    })
}

impl Row {
    /// Unit and amount of work.
    fn per_second(&self) -> Option<(&'static str, f64)> {
        self.work.map(|(unit, amount)| (unit, amount * 1e9 / self.median_ns))
    }
}

fn sort(rows: &mut [Row]) {
    rows.sort_by(|a, b| {
        (&a.group, natural(&a.parameter), &a.function).cmp(&(&b.group, natural(&b.parameter), &b.function))
    });
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("\n{:<44} {:>12} {:>16} {:>10}\n", "median of", "time", "throughput", "ratio");
    for row in rows {
        let name = [&row.group, &row.function, &row.parameter]
            .into_iter()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join("/");
        let per_second =
            row.per_second().map_or(String::new(), |(unit, amount)| format!("{} {unit}", grouped(amount)));
        let ratio = match yardstick(rows, row) {
            Some(yardstick) if yardstick.function != row.function => {
                format!("{:.2} ×", row.median_ns / yardstick.median_ns)
            }
            _ => String::new(),
        };
        text.push_str(&format!("{name:<44} {:>12} {per_second:>16} {ratio:>10}\n", time(row.median_ns)));
    }
    text.push_str("ratio: time divided by that of the group's yardstick, measured in the same run\n");
    text
}

/// The yardstick of a row's group: that of the same parameter, else the only one.
fn yardstick<'a>(rows: &'a [Row], of: &Row) -> Option<&'a Row> {
    let mut found = rows.iter().filter(|row| row.group == of.group && row.function.starts_with("yardstick"));
    let mut all = found.clone();
    found.find(|row| row.parameter == of.parameter).or_else(|| {
        let first = all.next()?;
        all.next().is_none().then_some(first)
    })
}

/// Numbers sort by value.
fn natural(parameter: &str) -> (u64, String) {
    let digits: String = parameter.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse().unwrap_or(0), parameter.to_owned())
}

fn time(ns: f64) -> String {
    match ns {
        _ if ns < 1e3 => format!("{ns:.1} ns"),
        _ if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        _ if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

fn grouped(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.2}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(function: &str, parameter: &str, median_ns: f64) -> Row {
        Row {
            group: "g".into(),
            function: function.into(),
            parameter: parameter.into(),
            median_ns,
            work: Some(("/s", 10.0)),
        }
    }

    #[test]
    fn ratios_are_to_the_yardstick_of_the_same_parameter() {
        let mut rows = vec![
            row("own", "64", 300.0),
            row("yardstick", "64", 100.0),
            row("own", "1", 50.0),
            row("yardstick", "1", 100.0),
        ];
        sort(&mut rows);
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("g/own/1 ") && lines[2].ends_with("0.50 ×"), "{text}");
        assert!(lines[4].starts_with("g/own/64 ") && lines[4].ends_with("3.00 ×"), "{text}");
        assert!(lines[4].contains("33 333 333 /s"), "{text}");
    }
}
