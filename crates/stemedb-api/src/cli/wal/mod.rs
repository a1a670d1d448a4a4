//! `wal`: looks at a journal's files, also beside a running server, without changing anything; and moves old ones away.

mod archive;
mod dump;
mod verify;

use std::path::{Path, PathBuf};

use stemedb_env::Lsn;
use stemedb_wal::{Error, inspect::Finding};

use super::failure::Failure;

/// Look at the files of a journal, also beside a running server; archive them, and let go of what is archived
#[derive(Debug, clap::Args)]
pub struct WalArgs {
    #[command(subcommand)]
    command: WalCommand,
}

#[derive(Debug, clap::Subcommand)]
enum WalCommand {
    Dump(dump::DumpArgs),
    Verify(verify::VerifyArgs),
    Archive(archive::ArchiveArgs),
    Prune(archive::PruneArgs),
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

/// The journal could not be looked at.
fn failed(folder: &Path, error: &Error) -> Failure {
    match error {
        Error::NoJournal { .. } => Failure::new(error)
            .hint("--data-dir takes the database's folder, --wal-path the one with the live.*.wal files"),
        _ => Failure::new(error).context(format!("the journal in {}", folder.display())),
    }
}

/// A file's name; its path if it is in another folder.
fn short_path(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).display().to_string()
}

/// A damaged place.
fn damage_text(folder: &Path, error: &Error) -> String {
    match error {
        Error::Corruption { file, offset, damage, first_lsn, .. } => {
            let lsn = if *first_lsn == Lsn::ZERO { String::new() } else { format!(" (at LSN {first_lsn})") };
            format!("{} is damaged at offset {offset}: {damage}{lsn}", short_path(folder, file))
        }
        other => other.to_string(),
    }
}

/// Segments that are not there.
fn gap_text(finding: &Finding) -> Option<String> {
    let Finding::Gap { first_segment, last_segment, first_lsn, last_lsn, recycled } = finding else {
        return None;
    };
    let (segments, are) = if first_segment == last_segment {
        (format!("segment {first_segment}"), "is")
    } else {
        (format!("segments {first_segment} to {last_segment}"), "are")
    };
    let entries = match last_lsn {
        Some(last) if last < first_lsn => "no entries".to_owned(),
        Some(last) if last == first_lsn => format!("LSN {first_lsn}"),
        Some(last) => format!("LSN {first_lsn} to {last}"),
        None => format!("LSN {first_lsn} and later"),
    };
    let why = if *recycled { "recycled" } else { "not here" };
    Some(format!("gap: {segments} {are} {why} ({entries})"))
}

/// Runs the command.
pub fn run(args: &WalArgs) -> Result<(), Failure> {
    match &args.command {
        WalCommand::Dump(args) => dump::run(args),
        WalCommand::Verify(args) => verify::run(args),
        WalCommand::Archive(args) => archive::archive(args),
        WalCommand::Prune(args) => archive::prune(args),
    }
}
