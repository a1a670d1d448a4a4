//! `wal archive` and `wal prune`: segments kept elsewhere, and those that are no longer kept here.

use std::{io::Write, path::PathBuf, time::Duration};

use stemedb_api::backup::{self, PruneOptions, PruneReport};
use stemedb_env::Env;

use crate::cli::{
    At, Place,
    backup::{failed, open, remote},
    failure::Failure,
    folder, paint,
};

/// Copy released segments, packed, into an archive, and prove every copy
#[derive(Debug, clap::Args)]
pub struct ArchiveArgs {
    #[command(flatten)]
    place: Place,
    /// Where to: a folder, or s3://bucket/prefix. A server has a target of its own (`serve --backup-to`)
    #[arg(long, value_name = "TARGET", required_unless_present = "url", conflicts_with = "url")]
    to: Option<String>,
    /// End the segment that is being written first, so that everything up to now is archived
    #[arg(long)]
    rotate: bool,
    /// Then remove segments whose last entry was recorded so many days ago, as `wal prune` does: never the only copy
    #[arg(long, value_name = "DAYS")]
    prune_older_than_days: Option<u64>,
}

/// Archives.
pub fn archive(args: &ArchiveArgs) -> Result<(), Failure> {
    let (dir, to) = match (args.place.at()?, &args.to) {
        (At::Folder(dir), Some(to)) => (dir, to),
        (At::Server(url), None) => {
            let mut body = serde_json::json!({ "rotate": args.rotate });
            if let Some(days) = args.prune_older_than_days {
                body["prune_older_than_days"] = days.into();
            }
            return remote::run(url, "/v1/admin/wal/archive", &body);
        }
        _ => return Err(Failure::usage("give --to with --data-dir")),
    };
    let env = Env::real();
    let target = open(&env, to)?;
    let database = folder::open(dir)?;
    let done = backup::archive(&database, &*target, args.rotate);
    let pruned = match (&done, args.prune_older_than_days) {
        (Ok(_), Some(days)) => {
            let options = PruneOptions { older_than: days_long(days), dry_run: false };
            Some(backup::prune_journal(&database, &*target, &*target, options))
        }
        _ => None,
    };
    database.close()?;
    let report = done.map_err(failed)?;
    let mut out = anstream::stdout().lock();
    for record in &report.archived {
        writeln!(
            out,
            "segment {}: LSN {} to {}, {}, packed {}",
            record.segment,
            record.first_lsn,
            record.last_lsn,
            paint::bytes(record.bytes),
            paint::bytes(record.packed_bytes)
        )?;
    }
    let new = paint::count(report.archived.len() as u64, "segment", "segments");
    let known = paint::thousands(report.known);
    writeln!(out, "archived {new}, {known} known already; the archive reaches LSN {}", report.upto)?;
    match pruned {
        Some(pruned) => print_pruned(&mut out, &pruned.map_err(failed)?, false),
        None => Ok(()),
    }
}

fn days_long(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(24 * 60 * 60))
}

/// Remove segments that are applied, checkpointed, archived, verified, and old
#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    /// The database's folder (no other process may have it open)
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the archived segments are: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "TARGET")]
    archive: String,
    /// Where the backups are [default: the same as --archive]
    #[arg(long, value_name = "TARGET")]
    backups: Option<String>,
    /// How long ago the last entry of a segment must have been recorded
    #[arg(long, value_name = "DAYS")]
    older_than_days: u64,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Lets go of segments.
pub fn prune(args: &PruneArgs) -> Result<(), Failure> {
    let env = Env::real();
    let archive = open(&env, &args.archive)?;
    let backups = open(&env, args.backups.as_ref().unwrap_or(&args.archive))?;
    let database = folder::open(&args.data_dir)?;
    let options = PruneOptions { older_than: days_long(args.older_than_days), dry_run: args.dry_run };
    let done = backup::prune_journal(&database, &*archive, &*backups, options);
    database.close()?;
    print_pruned(&mut anstream::stdout().lock(), &done.map_err(failed)?, args.dry_run)
}

fn print_pruned(out: &mut impl Write, report: &PruneReport, is_dry: bool) -> Result<(), Failure> {
    let removed = paint::count(report.removed.len() as u64, "segment", "segments");
    let verb = if is_dry { "would remove" } else { "removed" };
    writeln!(out, "{verb} {removed}")?;
    if let Some((segment, reason)) = &report.stays {
        writeln!(out, "segment {segment} stays: {reason}")?;
    }
    if report.floor.0 > 1 {
        let floor = report.floor;
        writeln!(out, "tables below LSN {floor} cannot be repaired from the journal here")?;
    }
    Ok(())
}
