//! `backup`: copies that are proven by restoring them, and going back to a point in time.

mod create;
mod list;
pub mod remote;
mod restore;

use std::{io::Write, path::PathBuf, sync::Arc};

use stemedb_api::backup::{self, BackupTarget};
use stemedb_env::Env;

use super::{failure::Failure, paint};

/// Back up, verify and restore databases, in a folder or an S3-compatible service
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BackupCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Verify(VerifyArgs),
    Restore(restore::RestoreArgs),
    Prune(PruneArgs),
}

/// Restore a backup into a scratch folder, read all of it, and compare it with what the database was
#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// Where the backups are: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "TARGET")]
    from: String,
    /// Which backup [default: the newest]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// An absent folder to restore into; it is removed afterwards [default: in the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// Remove old backups, and the parts that no other backup needs
#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// Where the backups are: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "TARGET")]
    from: String,
    /// So many of the newest verified backups of each database stay
    #[arg(long, value_name = "N")]
    keep: usize,
    /// Also while a mark says that a backup is being written: whoever left it is known to be dead
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &BackupArgs) -> Result<(), Failure> {
    match &args.command {
        BackupCommand::Create(args) => create::run(args),
        BackupCommand::List(args) => list::run(args),
        BackupCommand::Verify(args) => verify(args),
        BackupCommand::Restore(args) => restore::run(args),
        BackupCommand::Prune(args) => prune(args),
    }
}

/// Opens a target.
pub fn open(env: &Env, text: &str) -> Result<Arc<dyn BackupTarget>, Failure> {
    backup::open_target(env, text).map_err(failed)
}

/// Why a backup did not come about, and what to do.
pub fn failed(error: backup::Error) -> Failure {
    use backup::Error;
    let error = match error {
        Error::Engine(error) => return stemedb_api::Error::from(error).into(),
        other => other,
    };
    let hint = match &error {
        Error::Target { .. } => Some("running the same command again sends only what is missing"),
        Error::Damaged { .. } | Error::Missing { .. } => {
            Some("`backup create` sends damaged parts again; `backup verify` says which backups are whole")
        }
        Error::NoBackup { .. } => Some("`backup list` shows what there is"),
        Error::NotCovered { .. } => Some("name the archive with --archive, or restore to an earlier point"),
        Error::Exists { .. } => Some("choose a folder that does not exist"),
        Error::Differs { .. } => Some("do not use this backup; the next `backup create` makes another one"),
        Error::StorageFull { .. } => Some("free some space and run the same command again"),
        Error::Conflict { .. } => Some("give each database a target or a timeline of its own"),
        _ => None,
    };
    match hint {
        Some(hint) => Failure::new(error).hint(hint),
        None => Failure::new(error),
    }
}

/// A folder for temporary files that does not exist yet.
fn scratch(env: &Env) -> PathBuf {
    let mut random = [0; 8];
    env.random.fill(&mut random);
    std::env::temp_dir().join(format!("stemedb-verify-{}", backup::Hex(random)))
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let env = Env::real();
    let start = env.clock.monotonic();
    let target = open(&env, &args.from)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let catalog = backup::Catalog::load(&*target).map_err(failed)?;
            let newest = catalog.backups.last().map(|entry| entry.name.clone());
            newest.ok_or_else(|| Failure::new(format!("{} holds no backup", target.describe())))?
        }
    };
    let scratch = args.scratch.clone().unwrap_or_else(|| scratch(&env));
    let report = backup::verify(&env, &*target, &name, &scratch).map_err(failed)?;
    let seconds = (env.clock.monotonic() - start).as_secs_f64();
    writeln!(
        anstream::stdout(),
        "{name} is whole: LSN {}, {}, {}, {} restored and compared in {seconds:.1} s",
        report.lsn,
        paint::count(report.entries, "entry", "entries"),
        paint::count(report.rows, "row", "rows"),
        paint::bytes(report.bytes),
    )?;
    Ok(())
}

fn prune(args: &PruneArgs) -> Result<(), Failure> {
    let env = Env::real();
    let target = open(&env, &args.from)?;
    let report = backup::clean(&*target, args.keep, args.force).map_err(failed)?;
    let mut out = anstream::stdout().lock();
    for name in &report.backups {
        writeln!(out, "removed {name}")?;
    }
    let backups = paint::count(report.backups.len() as u64, "backup", "backups");
    let parts = paint::count(report.objects, "part", "parts");
    writeln!(out, "removed {backups} and {parts}, {}", paint::bytes(report.bytes))?;
    Ok(())
}
