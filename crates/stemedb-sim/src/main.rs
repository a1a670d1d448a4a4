//! Runs seeds from the command line: `stemedb-sim [--seed S] [--seeds N] [--minutes M] [--show]`.

use std::{process::ExitCode, time::Duration};

use stemedb_env::Env;
use stemedb_sim::{SwarmOptions, show_seed, swarm};

const USAGE: &str = "stemedb-sim [--seed FIRST] [--seeds COUNT] [--minutes AT_MOST] [--show]";
/// A run of fewer seeds may miss a rare event without being broken.
const ENOUGH_SEEDS: u64 = 60;
/// Seeds that are run twice.
const TWICE: u64 = 20;

struct Arguments {
    first_seed: u64,
    seeds: u64,
    limit: Option<Duration>,
    /// Print what happens in the first seed, instead of running many.
    show: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments { first_seed: 1, seeds: 2_000, limit: None, show: false };
    let mut counted = false;
    let mut words = std::env::args().skip(1);
    while let Some(option) = words.next() {
        let mut number = || -> Result<u64, String> {
            let word = words.next().ok_or(format!("{option} needs a number\n{USAGE}"))?;
            word.parse().map_err(|_| format!("{option} {word}: not a number\n{USAGE}"))
        };
        match option.as_str() {
            "--seed" => parsed.first_seed = number()?,
            "--seeds" => (parsed.seeds, counted) = (number()?, true),
            "--minutes" => parsed.limit = Some(Duration::from_secs(60 * number()?)),
            "--show" => parsed.show = true,
            _ => return Err(format!("unknown option {option}\n{USAGE}")),
        }
    }
    if parsed.limit.is_some() && !counted {
        parsed.seeds = u64::MAX;
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.show {
        let shown = show_seed(arguments.first_seed);
        println!("{:?}", shown.as_ref().map(|outcome| outcome.entries).map_err(ToString::to_string));
        return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let mut shown = start;
    let options = SwarmOptions {
        first_seed: arguments.first_seed,
        seeds: arguments.seeds,
        more: if arguments.seeds >= ENOUGH_SEEDS { arguments.seeds.saturating_mul(3) } else { 0 },
        twice: TWICE.min(arguments.seeds),
    };
    let report = swarm(&options, |report| {
        let now = clock.monotonic();
        if now - shown > Duration::from_secs(30) {
            shown = now;
            println!("{} seeds after {} s", report.seeds, (now - start).as_secs());
        }
        arguments.limit.is_none_or(|limit| now - start < limit)
    });
    let took = (clock.monotonic() - start).as_secs_f64();
    print!("{}", report.coverage);
    println!(
        "{} seeds from {} in {took:.1} s ({:.1} a second), {} run twice, {} entries",
        report.seeds,
        options.first_seed,
        report.seeds as f64 / took.max(1e-9),
        report.twice,
        report.entries
    );
    if let Some((seed, detail)) = &report.failure {
        println!("FAILED seed {seed}: {detail}");
        println!("again: cargo xtask sim --seed {seed} --seeds 1");
        return ExitCode::FAILURE;
    }
    let missing = report.missing();
    if report.seeds >= ENOUGH_SEEDS && !missing.is_empty() {
        println!("FAILED: never happened, so nothing is proved about it: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
