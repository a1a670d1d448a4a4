//! `backup restore`.

use std::{io::Write, path::PathBuf};

use stemedb_api::{
    backup::{self, Hex, Plan, Point, RestoreOptions},
    core::Micros,
};
use stemedb_env::{Env, Lsn};

use super::{failed, open};
use crate::cli::{Failure, paint, progress::Progress};

/// Make a database from a backup and the journal of later ones, in a folder that does not exist
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("point").required(true))]
pub struct RestoreArgs {
    /// Where the backups are: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "TARGET")]
    from: String,
    /// Where archived segments are [default: the same as --from]
    #[arg(long, value_name = "TARGET")]
    archive: Option<String>,
    /// The new database's folder
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// To the last entry that backups and archive hold
    #[arg(long, group = "point")]
    latest: bool,
    /// To this backup
    #[arg(long, value_name = "NAME", group = "point")]
    backup: Option<String>,
    /// To this entry
    #[arg(long, value_name = "N", group = "point")]
    lsn: Option<u64>,
    /// To the last entry recorded at or before this time (RFC 3339)
    #[arg(long, value_name = "TIME", group = "point")]
    time: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// The database's id, where the target holds several
    #[arg(long, value_name = "ID")]
    database: Option<String>,
    /// The timeline to restore from [default: that of the newest verified backup]
    #[arg(long, value_name = "N")]
    timeline: Option<u32>,
    /// Number of the new timeline [default: the next one, taken in the target]
    #[arg(long, value_name = "N", conflicts_with = "keep_timeline")]
    new_timeline: Option<u32>,
    /// Begin no new timeline: only for a database that was closed and moves, and only with --backup
    #[arg(long)]
    keep_timeline: bool,
}

impl RestoreArgs {
    fn point(&self) -> Result<Point, Failure> {
        if let Some(name) = &self.backup {
            return Ok(Point::Backup(name.clone()));
        }
        if let Some(lsn) = self.lsn {
            return Ok(Point::Lsn(Lsn(lsn)));
        }
        match &self.time {
            None => Ok(Point::Latest),
            Some(text) => Micros::parse_rfc3339(text)
                .map(|time| Point::Time(stemedb_env::Micros(time.0)))
                .map_err(|_| Failure::usage("--time takes an RFC 3339 date and time with an offset")),
        }
    }
}

/// Plans, and restores.
pub fn run(args: &RestoreArgs) -> Result<(), Failure> {
    if args.keep_timeline && args.backup.is_none() {
        return Err(Failure::usage("--keep-timeline needs --backup: only a backup can keep its timeline"));
    }
    let env = Env::real();
    let target = open(&env, &args.from)?;
    let archive = open(&env, args.archive.as_ref().unwrap_or(&args.from))?;
    let database = match &args.database {
        None => None,
        Some(text) => {
            let id = Hex::parse(text);
            Some(id.ok_or_else(|| Failure::usage("--database takes an id of 32 hexadecimal digits"))?)
        }
    };
    let options = RestoreOptions {
        point: args.point()?,
        database,
        timeline: args.timeline,
        keep_timeline: args.keep_timeline,
        new_timeline: args.new_timeline,
        standby: None,
    };
    let plan = Plan::make(&*target, &*archive, &options).map_err(failed)?;
    let mut out = anstream::stdout().lock();
    if env.fs.metadata(&args.into)?.is_some() && args.dry_run {
        writeln!(out, "beware       {} is there already", args.into.display())?;
    }
    show(&mut out, &plan, &options)?;
    if args.dry_run {
        writeln!(out, "nothing was done")?;
        return Ok(());
    }
    let mut shown = Progress::start(&env, "bytes");
    let mut at = |done, total| shown.at(done, Some((done, total)));
    let done = backup::restore(&env, &*target, &*archive, &plan, &options, &args.into, &mut at);
    let seconds = shown.finish().as_secs_f64();
    let report = done.map_err(failed)?;
    let time = report.recorded_at.map_or_else(String::new, |at| format!(", recorded {}", Micros(at.0)));
    writeln!(
        out,
        "restored LSN {}{time}, as timeline {}, into {} in {seconds:.1} s",
        report.lsn,
        report.timeline,
        args.into.display()
    )?;
    let rows = paint::count(report.root.rows(), "row", "rows");
    writeln!(out, "checked      {}, {rows}", paint::count(report.entries, "entry", "entries"))?;
    writeln!(out, "state root   {}", report.root)?;
    if let Some(name) = &report.compared_with {
        writeln!(out, "compared     it is what {name} says")?;
    }
    Ok(())
}

fn show(out: &mut impl Write, plan: &Plan, options: &RestoreOptions) -> Result<(), Failure> {
    writeln!(out, "database     {}, timeline {}", plan.database, plan.timeline)?;
    match plan.lsn {
        (first, last) if first == last => writeln!(out, "to           LSN {last}")?,
        (first, last) => writeln!(
            out,
            "to           LSN {first} to {last}: the last one recorded by then, found by reading the journal"
        )?,
    }
    if let Some(at) = plan.recorded_at {
        writeln!(out, "recorded     {}", Micros(at.0))?;
    }
    match &plan.view {
        Some(name) => {
            let files = paint::count(plan.view_files as u64, "file", "files");
            writeln!(out, "view         {files} of {name}, up to LSN {}", plan.view_lsn)?;
        }
        None => writeln!(out, "view         derived from the first entry on")?,
    }
    let (parts, archived) = plan.segments;
    let parts = paint::count(parts as u64, "segment", "segments");
    writeln!(out, "journal      from LSN {}: {parts} of backups, {archived} of the archive", plan.first_lsn)?;
    writeln!(out, "to fetch     {}", paint::bytes(plan.fetch_bytes))?;
    let timeline = match options {
        RestoreOptions { keep_timeline: true, .. } => "kept".to_owned(),
        RestoreOptions { new_timeline: Some(number), .. } => format!("{number}"),
        _ => format!("the next free one after {}", plan.timeline),
    };
    writeln!(out, "new timeline {timeline}")?;
    Ok(())
}
