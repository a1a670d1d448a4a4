//! `check-config` and `config`: what the server would be started with, and where that comes from.
//!
//! The keys, the layers and the checks are [`stemedb_api::config`]'s. Here is how they are asked.

mod flags;

use std::io::Write;

use clap::{Subcommand, ValueEnum};
use stemedb_api::config::{self, Config, Origin, Problems, Sources};
use stemedb_env::Env;

pub use flags::Flags;

use super::{failure::Failure, logs::LogArgs, paint};

/// Check the server's configuration: the file, the environment, and the same flags as those of `serve`
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    flags: Flags,
}

/// Look at the server's configuration
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Show(ShowArgs),
    Example(ExampleArgs),
}

/// Print the effective value of every key, as a configuration file
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Print a commented example with every key
#[derive(Debug, clap::Args)]
struct ExampleArgs {
    /// A configuration file, or environment variables
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = ExampleFormat::Toml)]
    format: ExampleFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExampleFormat {
    Toml,
    Env,
}

/// The configuration of the server that these arguments ask for.
pub fn of_server(env: &Env, flags: &Flags, logs: &LogArgs) -> Result<Config, Failure> {
    load(env, flags, logs).map_err(|problems| {
        let is_of_flags = problems.iter().all(|problem| matches!(problem.origin(), Some(Origin::Flag(_))));
        let mut out = anstream::stderr().lock();
        for problem in problems.iter() {
            // Nothing can be done if printing fails.
            let _ = writeln!(out, "{problem}");
        }
        let what = counted(&problems);
        let failure = if is_of_flags { Failure::usage(what) } else { Failure::new(what) };
        failure.hint("nothing was started; `stemedb-api config example` shows every key")
    })
}

fn load(env: &Env, flags: &Flags, logs: &LogArgs) -> Result<Config, Problems> {
    let given = flags.given().iter().cloned().chain(logs.given()).collect();
    config::load(env, &Sources::of_process(flags.file(), given))
}

fn counted(problems: &Problems) -> String {
    format!("the configuration has {}", paint::count(problems.count() as u64, "problem", "problems"))
}

/// Prints every problem, or what was read.
pub fn check(args: &CheckArgs, logs: &LogArgs) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let config = match load(&Env::real(), &args.flags, logs) {
        Ok(config) => config,
        Err(problems) => {
            writeln!(out, "{problems}")?;
            return Err(Failure::new(counted(&problems)));
        }
    };
    let of = |is_it: fn(&Origin) -> bool| {
        let count = config.entries().iter().filter(|entry| is_it(&entry.origin)).count();
        paint::count(count as u64, "key", "keys")
    };
    let file = match config.file() {
        Some(path) => path.display().to_string(),
        None => format!("a file (there is no {})", config::DEFAULT_FILE),
    };
    writeln!(
        out,
        "the configuration is right: {} from {file}, {} from the environment, {} from flags",
        of(|origin| matches!(origin, Origin::File { .. })),
        of(|origin| matches!(origin, Origin::Variable(_))),
        of(|origin| matches!(origin, Origin::Flag(_))),
    )?;
    Ok(())
}

/// Prints the effective configuration, or an example.
pub fn run(args: &ConfigArgs, logs: &LogArgs) -> Result<(), Failure> {
    let text = match &args.command {
        ConfigCommand::Show(args) => of_server(&Env::real(), &args.flags, logs)?.show(args.origin),
        ConfigCommand::Example(args) => match args.format {
            ExampleFormat::Toml => config::example_file(),
            ExampleFormat::Env => config::example_environment(),
        },
    };
    write!(anstream::stdout().lock(), "{text}")?;
    Ok(())
}
