//! `bench`: what a server does, measured from outside.

mod pilot;

pub(super) use pilot::own_server;

use clap::Subcommand;

use super::failure::Failure;

/// Measure a server
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    Pilot(pilot::PilotArgs),
}

/// Runs one of the measurements.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    match &args.command {
        BenchCommand::Pilot(args) => pilot::run(args),
    }
}
