//! `peers`: runs one workload over StemeDB and its peers, and reports.

use std::{env, fs, io, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use stemedb_peers::{
    commits::{self, Options, report},
    engine::{Result, Shape},
    questions::{self, data::Origin},
    report::machine::Machine,
    workloads::{self, claims, phases, plan, report::Report},
};

/// StemeDB beside RocksDB, fjall, redb, LMDB, SQLite and sled: the same work, in the same run.
#[derive(Parser)]
#[command(name = "peers", version)]
struct Arguments {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Durable commits of one entry.
    Commits(Commits),
    /// Storing and reading: loads, reads, scans, mixed work, sizes, memory, openings.
    Store(Store),
    /// Questions about claims, beside SQLite, PostgreSQL and RocksDB.
    Questions(Questions),
    /// One phase, as the program tells itself.
    #[command(hide = true)]
    Phase {
        /// What to do, as JSON.
        task: String,
    },
    /// One contender for questions, as the program tells itself.
    #[command(hide = true)]
    QuestionWorker {
        /// Which, as JSON.
        task: String,
    },
}

#[derive(Args)]
struct Store {
    /// Rows to store.
    #[arg(long, value_enum, default_value_t = RowsArgument::Both)]
    rows: RowsArgument,
    /// How many of them; 1,000,000 if not given, 200,000 with --quick.
    #[arg(long)]
    entries: Option<u64>,
    /// Rounds; 3 if not given, 1 with --quick.
    #[arg(long, value_parser = at_least_one)]
    rounds: Option<usize>,
    /// Length of a measured part, in seconds; 3 if not given, 0.8 with --quick.
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// A few minutes instead of an hour; figures to look at, not to quote.
    #[arg(long)]
    quick: bool,
    /// Workloads; all if not given.
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<plan::Workload>,
    /// Contenders, by name; all if not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Claims that rows are derived from, .jsonl or .jsonl.zst; the sample of the repository if not given.
    #[arg(long)]
    claims: Option<PathBuf>,
    /// The sources of the claims, .json.
    #[arg(long)]
    sources: Option<PathBuf>,
    /// Writes the report to this file as well.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Writes everything, with every slice, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws a plot into this file; those of further shapes get the name of the shape before the extension.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// The command that the report names.
    #[arg(long, hide = true)]
    command: Option<String>,
    /// Where the databases are made and removed again; the system's folder for temporary files if not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum RowsArgument {
    Small,
    Claims,
    Both,
}

#[derive(Args)]
struct Commits {
    /// Measured length of one slice, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds_per_slice: f64,
    /// Slices per contender and number of writers.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    rounds: usize,
    /// Numbers of writers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64], value_parser = at_least_one)]
    writers: Vec<usize>,
    /// Contenders, by name; all if not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes everything, with every slice, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws a plot into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Where the databases are made and removed again; the system's folder for temporary files if not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Args)]
struct Questions {
    /// Claims, .jsonl or .jsonl.zst; the sample of the repository if not given.
    #[arg(long)]
    claims: Option<PathBuf>,
    /// The sources of the claims, .json.
    #[arg(long)]
    sources: Option<PathBuf>,
    /// At most so many claims of the file.
    #[arg(long)]
    limit: Option<u64>,
    /// Makes so many claims as well, about subjects of very different fame; several numbers are several runs.
    #[arg(long, value_delimiter = ',')]
    generated: Vec<u64>,
    /// Questions that are measured.
    #[arg(long, default_value_t = 2000, value_parser = at_least_one)]
    questions: usize,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,
    /// Memory for blocks or pages, in MiB.
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    cache_mib: usize,
    /// Contenders, by name; all if not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes the report to this file as well.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Writes everything, with every slice, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws a plot into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// The command that the report names.
    #[arg(long, hide = true)]
    command: Option<String>,
    /// Where the databases are made and removed again; the system's folder for temporary files if not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.01 to 3600".to_owned()),
    }
}

fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err("a whole number, at least 1".to_owned()),
    }
}

fn run_commits(arguments: Commits) -> Result<()> {
    let Commits { seconds_per_slice, rounds, writers, only, json, svg, dir } = arguments;
    let dir = dir.unwrap_or_else(env::temp_dir);
    let machine = Machine::of(&dir);
    if machine.in_memory {
        eprintln!(
            "warning: the databases are in memory, so syncs cost nothing; choose a folder on a disk with --dir"
        );
    }
    let options = Options { seconds_per_slice, rounds, writers, only, dir };
    let outcome = commits::run(&options, &mut |what| eprintln!("{what}"))?;
    print!("{}", report::text(&options, &outcome, &machine));
    if let Some(path) = json {
        report::write_json(&path, &options, &outcome, &machine)?;
    }
    if let Some(path) = svg {
        fs::write(path, report::chart(&options, &outcome, &machine).draw())?;
    }
    Ok(())
}

fn run_store(arguments: Store) -> Result<()> {
    let dir = arguments.dir.unwrap_or_else(env::temp_dir);
    let machine = Machine::of(&dir);
    let options = workloads::Options {
        shapes: match arguments.rows {
            RowsArgument::Small => vec![Shape::Small],
            RowsArgument::Claims => vec![Shape::Claims],
            RowsArgument::Both => vec![Shape::Small, Shape::Claims],
        },
        entries: arguments.entries.unwrap_or(if arguments.quick { 200_000 } else { 1_000_000 }),
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 }),
        seconds: arguments.seconds.unwrap_or(if arguments.quick { 0.8 } else { 3.0 }),
        workloads: arguments.workloads,
        only: arguments.only,
        dir,
        claims: claims::Files { claims: arguments.claims, sources: arguments.sources },
    };
    let outcomes = workloads::run(&options, &mut |what| eprintln!("{what}"))?;
    let typed = || format!("peers {}", env::args().skip(1).collect::<Vec<_>>().join(" "));
    let command = arguments.command.unwrap_or_else(typed);
    let report = Report { options: &options, command: &command, machine: &machine, outcomes: &outcomes };
    print!("{}", report.text());
    if let Some(path) = arguments.markdown {
        fs::write(path, report.text())?;
    }
    if let Some(path) = arguments.json {
        report.write_json(&path)?;
    }
    if let Some(path) = arguments.svg {
        for (at, outcome) in outcomes.iter().enumerate() {
            let path = if at == 0 {
                path.clone()
            } else {
                path.with_extension(format!("{:?}.svg", outcome.shape).to_lowercase())
            };
            fs::write(path, report.chart(outcome).draw())?;
        }
    }
    Ok(())
}

fn run_questions(arguments: Questions) -> Result<()> {
    let dir = arguments.dir.unwrap_or_else(env::temp_dir);
    let machine = Machine::of(&dir);
    let file = claims::Files { claims: arguments.claims, sources: arguments.sources };
    let generated = arguments.generated.iter().map(|count| Origin::Generated(*count));
    let options = questions::Options {
        origins: match (&file.claims, arguments.generated.is_empty()) {
            (None, false) => generated.collect(),
            _ => [Origin::File(file, arguments.limit)].into_iter().chain(generated).collect(),
        },
        cache_bytes: arguments.cache_mib << 20,
        questions: arguments.questions,
        rounds: arguments.rounds,
        only: arguments.only,
        dir,
    };
    let outcomes = questions::run(&options, &mut |what| eprintln!("{what}"))?;
    let typed = || format!("peers {}", env::args().skip(1).collect::<Vec<_>>().join(" "));
    let command = arguments.command.unwrap_or_else(typed);
    let report = questions::report::Report {
        options: &options,
        command: &command,
        machine: &machine,
        outcomes: &outcomes,
    };
    print!("{}", report.text());
    if let Some(path) = arguments.markdown {
        fs::write(path, report.text())?;
    }
    if let Some(path) = arguments.json {
        report.write_json(&path)?;
    }
    if let Some(path) = arguments.svg {
        fs::write(path, report.chart().draw())?;
    }
    Ok(())
}

fn run_phase(task: &str) -> Result<()> {
    println!("{}", serde_json::to_string(&phases::run(&serde_json::from_str(task)?)?)?);
    Ok(())
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().workload {
        Workload::Commits(arguments) => run_commits(arguments),
        Workload::Store(arguments) => run_store(arguments),
        Workload::Questions(arguments) => run_questions(arguments),
        Workload::Phase { task } => run_phase(&task),
        Workload::QuestionWorker { task } => {
            questions::worker::serve(&task, io::stdin().lock(), io::stdout().lock())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
