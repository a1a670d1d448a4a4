//! `wal`: looks at a journal's files, also beside a running server, without changing anything.

mod dump;
mod verify;

use std::path::PathBuf;

use super::failure::Failure;

/// Look at the files of a journal, also beside a running server; nothing is changed
#[derive(Debug, clap::Args)]
pub struct WalArgs {
    #[command(subcommand)]
    command: WalCommand,
}

#[derive(Debug, clap::Subcommand)]
enum WalCommand {
    Dump(dump::DumpArgs),
    Verify(verify::VerifyArgs),
}

/// Where the journal is.
#[derive(Debug, clap::Args)]
struct JournalPlace {
    /// The database's folder; the journal is in its `wal` folder
    #[arg(long, value_name = "DIR", required_unless_present = "wal_path", conflicts_with = "wal_path")]
    data_dir: Option<PathBuf>,
    /// The journal's own folder
    #[arg(long, value_name = "DIR")]
    wal_path: Option<PathBuf>,
    /// Another folder that released segments were moved to (may be repeated)
    #[arg(long, value_name = "DIR")]
    archive: Vec<PathBuf>,
}

impl JournalPlace {
    fn folder(&self) -> Result<PathBuf, Failure> {
        match (&self.data_dir, &self.wal_path) {
            (_, Some(wal)) => Ok(wal.clone()),
            (Some(dir), None) => Ok(dir.join("wal")),
            (None, None) => Err(Failure::usage("give either --data-dir or --wal-path")),
        }
    }
}

/// Runs the command.
pub fn run(args: &WalArgs) -> Result<(), Failure> {
    match &args.command {
        WalCommand::Dump(args) => dump::run(args),
        WalCommand::Verify(args) => verify::run(args),
    }
}
