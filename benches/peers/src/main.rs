//! `peers`: runs one workload over StemeDB and its peers, and reports.

use std::{env, fs, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use stemedb_peers::{
    commits::{self, Options, report},
    engine::Result,
    report::machine::Machine,
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

fn main() -> ExitCode {
    let Workload::Commits(arguments) = Arguments::parse().workload;
    match run_commits(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
