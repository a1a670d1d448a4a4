//! `drill`: what would be lost, and how long it would take, if the server were gone now.
//!
//! ```text
//! ask the server what it shows ─ wait until the archive has it ─ restore exactly that elsewhere ─ open ─ read all ─ compare
//!     position S, root of its rows     how much it lacked: RPO      ╰──────────── RTO ───────────╯
//! ```

mod live;
mod report;

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use stemedb_api::{
    Database, DatabaseOptions,
    backup::{self, BackupTarget, Hex, Plan, Point, RestoreOptions},
};
use stemedb_env::{Env, Lsn, Micros, fs::tree::remove_tree};

use self::{live::Live, report::Report};
use super::{backup::open, client::ServerUrl, failure::Failure};

/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Of the restored copy: nobody is ever to take it for a writer, and no number is taken in the target.
const TIMELINE: u32 = u32::MAX;

/// Restore everything elsewhere, compare it with the server, and measure what a disaster would cost
#[derive(Debug, clap::Args)]
pub struct DrillArgs {
    /// Where backups and archive are: a folder, or s3://bucket/prefix. Nothing is written there
    #[arg(long, value_name = "TARGET")]
    from: String,
    /// An absent folder to restore into; it stays [default: a temporary one, removed afterwards]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// A folder for the report: drill.json, drill.md, and drill.prom for a textfile collector
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// The server whose archive it is, to compare with [default: with what the archive says]
    #[arg(long, value_name = "URL")]
    url: Option<ServerUrl>,
    /// More may not be lost
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    max_rpo_seconds: u64,
    /// It may not take longer
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    max_rto_seconds: u64,
    /// So long the archive is waited for until it has what the server shows
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    archived_within_seconds: u64,
}

/// Drills.
pub fn run(args: &DrillArgs) -> Result<(), Failure> {
    let env = Env::real();
    let target = open(&env, &args.from)?;
    let mut report = Report::begin(&env, target.describe());
    let outcome = drill(&env, &*target, args, &mut report);
    report.end(outcome, args.max_rpo_seconds, args.max_rto_seconds);
    if let Some(dir) = &args.report {
        report.write(&env, dir)?;
    }
    write!(anstream::stdout().lock(), "{}", report.markdown())?;
    match &report.problem {
        None => Ok(()),
        Some(problem) => Err(Failure::new(format!("the drill failed: {problem}"))),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn drill(env: &Env, target: &dyn BackupTarget, args: &DrillArgs, report: &mut Report) -> Result<(), String> {
    let began = env.clock.wall();
    let live = args.url.as_ref().map(Live::ask).transpose()?;
    let latest = RestoreOptions { new_timeline: Some(TIMELINE), ..RestoreOptions::to(Point::Latest) };
    let clock = env.clock.monotonic();
    let first = Plan::make(target, target, &latest).map_err(text)?;
    let (archived, mut plan) = (first.lsn.1, first);
    let within = Duration::from_secs(args.archived_within_seconds);
    if let Some(live) = &live {
        report.live_lsn = Some(live.lsn.0);
        while plan.lsn.1 < live.lsn {
            if env.clock.monotonic().saturating_sub(clock) > within {
                return Err(format!(
                    "the server shows LSN {}, and the archive ends at {} after {} s",
                    live.lsn, plan.lsn.1, args.archived_within_seconds
                ));
            }
            env.clock.sleep(LOOK_EVERY);
            plan = Plan::make(target, target, &latest).map_err(text)?;
        }
        let exact = RestoreOptions { point: Point::Lsn(live.lsn), ..latest.clone() };
        plan = Plan::make(target, target, &exact).map_err(text)?;
    }
    report.phase("archived", env.clock.monotonic().saturating_sub(clock));
    report.database = Some(plan.database.to_string());
    report.timeline = Some(plan.timeline);
    report.backup = plan.view.clone();
    report.fetched_bytes = plan.fetch_bytes;
    let dir = args.to.clone().unwrap_or_else(|| temporary(env));
    let drilled = restore_and_compare(env, target, &plan, &dir, &live, report).and_then(|database| {
        report.rpo_seconds = lost(&database, archived, &live, began)?;
        database.close().map_err(text)
    });
    if args.to.is_none() {
        remove_tree(&*env.fs, &dir).map_err(text)?;
    }
    drilled
}

/// A folder for temporary files that does not exist yet.
fn temporary(env: &Env) -> PathBuf {
    let mut random = [0; 8];
    env.random.fill(&mut random);
    std::env::temp_dir().join(format!("stemedb-drill-{}", Hex(random)))
}

/// How much older than the drill the first entry is that had not been archived by then; `None` without a server to ask.
fn lost(
    database: &Database,
    archived: Lsn,
    live: &Option<Live>,
    began: Micros,
) -> Result<Option<f64>, String> {
    let Some(live) = live else { return Ok(None) };
    if archived >= live.lsn {
        return Ok(Some(0.0));
    }
    let at = backup::recorded_at(database, archived.next()).map_err(text)?;
    let micros = at.map_or(0, |at| began.0.saturating_sub(at.0).max(0));
    Ok(Some(micros as f64 / 1e6))
}

fn restore_and_compare(
    env: &Env,
    target: &dyn BackupTarget,
    plan: &Plan,
    dir: &Path,
    live: &Option<Live>,
    report: &mut Report,
) -> Result<Database, String> {
    let point = match live {
        Some(live) => Point::Lsn(live.lsn),
        None => Point::Latest,
    };
    let options = RestoreOptions { new_timeline: Some(TIMELINE), ..RestoreOptions::to(point) };
    let begun = env.clock.monotonic();
    let restored = backup::restore(env, target, target, plan, &options, dir, &mut |_, _| {}).map_err(text)?;
    let after = env.clock.monotonic();
    report.phase("restored and proven", after.saturating_sub(begun));
    let options = DatabaseOptions { cache_bytes: 0, ..DatabaseOptions::default() };
    let database = Database::open(dir, options).map_err(text)?;
    let opened = env.clock.monotonic();
    report.phase("opened", opened.saturating_sub(after));
    let root = database.engine().state_root().map_err(text)?;
    let read = env.clock.monotonic();
    report.phase("all rows read", read.saturating_sub(opened));
    report.rto_seconds = Some(read.saturating_sub(begun).as_secs_f64());
    report.lsn = Some(restored.lsn.0);
    report.recorded_at = restored.recorded_at.map(|at| stemedb_api::core::Micros(at.0).to_string());
    report.entries = Some(restored.entries);
    report.rows = Some(root.rows());
    report.state_root = Some(root.to_string());
    report.compare("the archive's last entry", plan.lsn.1.0.to_string(), restored.lsn.0.to_string());
    if let Some(name) = &restored.compared_with {
        report.compare(format!("the state root of {name}"), restored.root.to_string(), root.to_string());
    }
    if let Some(live) = live {
        report.compare("the server's rows", live.rows.to_string(), root.rows().to_string());
        report.compare("the server's state root", live.root.clone(), root.to_string());
    }
    Ok(database)
}
