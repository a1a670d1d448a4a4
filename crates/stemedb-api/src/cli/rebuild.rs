//! `rebuild`: the view from the journal, with the database closed.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use stemedb_api::{DatabaseOptions, hybrid};
use stemedb_index::Claims;

use super::{failure::Failure, paint, progress::Progress};

/// Derive the view again from the journal, offline, into a folder that is absent or empty
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    /// The database's folder: DIR/kv from DIR/wal
    #[arg(long, value_name = "DIR", conflicts_with_all = ["wal", "kv"], required_unless_present_all = ["wal", "kv"])]
    data_dir: Option<PathBuf>,
    /// The journal's folder
    #[arg(id = "wal", long = "wal", value_name = "DIR", requires = "kv")]
    wal: Option<PathBuf>,
    /// The view's folder
    #[arg(id = "kv", long = "kv", value_name = "DIR", requires = "wal")]
    kv: Option<PathBuf>,
}

impl RebuildArgs {
    /// From two folders.
    pub fn of_paths(wal: PathBuf, kv: PathBuf) -> RebuildArgs {
        RebuildArgs { data_dir: None, wal: Some(wal), kv: Some(kv) }
    }
}

/// Rebuilds, shows progress, says `rebuild complete`.
pub fn run(args: &RebuildArgs) -> Result<(), Failure> {
    match args {
        RebuildArgs { wal: Some(wal), kv: Some(kv), .. } => rebuild(wal, kv),
        RebuildArgs { data_dir: Some(dir), .. } => rebuild(&dir.join("wal"), &dir.join("kv")),
        _ => Err(Failure::usage("give --data-dir")),
    }
}

fn rebuild(wal: &Path, kv: &Path) -> Result<(), Failure> {
    let DatabaseOptions { env, engine, .. } = DatabaseOptions::default();
    let mut progress = Progress::start(&env, "entries");
    let mut show = |at: hybrid::RebuildProgress| progress.at(at.done.0, Some((at.done.0, at.end.0)));
    let done = hybrid::rebuild(&env, wal, kv, &Claims, &engine, &mut show);
    let seconds = progress.finish().as_secs_f64();
    let report = match done {
        Ok(report) => report,
        Err(error @ hybrid::Error::AlreadyExists { .. }) => {
            let aside = format!("mv {0} {0}.corrupted.$(date +%Y%m%d)", kv.display());
            return Err(Failure::new(error).hint(format!("move the old view aside first: {aside}")));
        }
        Err(error) => return Err(stemedb_api::Error::from(error).into()),
    };
    let entries = paint::count(report.entries, "entry", "entries");
    let kv = kv.display();
    writeln!(anstream::stdout(), "rebuild complete: {entries} from the journal into {kv} in {seconds:.1} s")?;
    Ok(())
}
