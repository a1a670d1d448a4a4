//! `backup create`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use stemedb_api::backup::{self, CreateOptions, CreateReport};
use stemedb_env::Env;

use super::{failed, open, remote};
use crate::cli::{At, Failure, Place, folder, paint, progress::Progress};

/// Back a database up; only what has changed is sent
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    #[command(flatten)]
    place: Place,
    /// Where to: a folder, or s3://bucket/prefix. A server has a target of its own (`serve --backup-to`)
    #[arg(long, value_name = "TARGET", required_unless_present = "url", conflicts_with = "url")]
    to: Option<String>,
    /// Do not restore and compare it: it is not the latest one then, and does not count for `backup prune`
    #[arg(long)]
    no_verify: bool,
    /// An absent folder to restore into for the comparison [default: in the data directory]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    scratch: Option<PathBuf>,
}

/// Makes a backup.
pub fn run(args: &CreateArgs) -> Result<(), Failure> {
    match (args.place.at()?, &args.to) {
        (At::Folder(dir), Some(to)) => embedded(args, dir, to),
        (At::Server(url), None) => {
            let body = serde_json::json!({ "verify": !args.no_verify });
            remote::run(url, "/v1/admin/backup", &body)
        }
        _ => Err(Failure::usage("give --to with --data-dir")),
    }
}

fn embedded(args: &CreateArgs, dir: &Path, to: &str) -> Result<(), Failure> {
    let env = Env::real();
    let target = open(&env, to)?;
    let database = folder::open(dir)?;
    let options = CreateOptions { verify: !args.no_verify, scratch: args.scratch.clone() };
    let mut shown = Progress::start(&env, "bytes");
    let mut at = |done, total| shown.at(done, Some((done, total)));
    let made = backup::create(&database, &*target, &options, &mut at);
    let seconds = shown.finish().as_secs_f64();
    // Closed either way: a failed backup is no reason to replay.
    database.close()?;
    print(&made.map_err(failed)?, seconds)
}

fn print(report: &CreateReport, seconds: f64) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let metadata = &report.metadata;
    writeln!(out, "{} in {seconds:.1} s", report.name)?;
    writeln!(out, "LSN          {} (timeline {})", metadata.lsn, metadata.timeline)?;
    writeln!(out, "rows         {}", paint::thousands(metadata.rows))?;
    writeln!(out, "state root   {}", metadata.state_root)?;
    writeln!(out, "files        {}, {}", metadata.files.len(), paint::bytes(metadata.total_bytes()))?;
    let parts = paint::count(report.sent_objects, "part", "parts");
    writeln!(out, "sent         {parts}, {}", paint::bytes(report.sent_bytes))?;
    if report.mended > 0 {
        let parts = paint::count(report.mended, "part", "parts");
        writeln!(out, "sent again   {parts} that had been damaged in the target")?;
    }
    let verified = if report.verified { "yes: restored and compared" } else { "no" };
    writeln!(out, "verified     {verified}")?;
    Ok(())
}
