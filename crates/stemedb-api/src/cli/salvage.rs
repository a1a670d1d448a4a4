//! `salvage`: what is readable of a damaged view, with the database closed.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use stemedb_api::{DatabaseOptions, hybrid};
use stemedb_index::Claims;
use stemedb_lsm::{Loss, ManifestUse, SalvageReport};

use super::{failure::Failure, paint};

/// Write what is still readable of a damaged view into a new folder, offline; `rebuild` is better where the journal is whole
#[derive(Debug, clap::Args)]
pub struct SalvageArgs {
    /// The database's folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the new view goes: absent or empty [default: DIR/kv.salvaged]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Read tables in DIR/quarantine, too: rows removed or replaced long ago may come back with them
    #[arg(long)]
    quarantine: bool,
}

/// Damaged places that are listed one by one.
const MOST_LISTED: usize = 20;
/// Bytes of a key that are shown.
const KEY_BYTES: usize = 40;

/// Salvages; what is lost is told on standard output, and is no failure.
pub fn run(args: &SalvageArgs) -> Result<(), Failure> {
    let DatabaseOptions { env, engine, .. } = DatabaseOptions::default();
    let into = args.into.clone().unwrap_or_else(|| args.data_dir.join("kv.salvaged"));
    let start = env.clock.monotonic();
    let report = match hybrid::salvage(&env, &args.data_dir, &into, &Claims, &engine, args.quarantine) {
        Ok(report) => report,
        Err(error @ hybrid::Error::AlreadyExists { .. }) => {
            return Err(Failure::new(error).hint("choose an absent or empty folder with --into"));
        }
        Err(error) => return Err(stemedb_api::Error::from(error).into()),
    };
    let seconds = (env.clock.monotonic() - start).as_secs_f64();
    print(&report, &into, seconds)
}

fn print(report: &SalvageReport, into: &Path, seconds: f64) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let rows = paint::count(report.written.kept, "row", "rows");
    let tables = paint::count(report.tables_read, "table", "tables");
    writeln!(
        out,
        "salvaged {rows} of {tables}, up to LSN {}, into {} in {seconds:.1} s",
        report.upto,
        into.display()
    )?;
    if report.tables_searched > 0 {
        writeln!(out, "without index   {}", paint::count(report.tables_searched, "table", "tables"))?;
    }
    if report.left_out > 0 {
        let rows = paint::count(report.left_out, "row", "rows");
        writeln!(out, "left out        {rows} newer than that: what wrote them did not end")?;
    }
    for loss in report.lost.iter().take(MOST_LISTED) {
        writeln!(out, "lost            {}", lost(loss))?;
    }
    if let Some(more) = report.lost.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        writeln!(out, "lost            {more} more places")?;
    }
    if report.lost.is_empty() {
        writeln!(out, "nothing is lost")?;
    } else {
        let places = paint::count(report.lost.len() as u64, "place", "places");
        writeln!(out, "lost in all     {} in {places}", paint::bytes(report.lost_bytes()))?;
    }
    if report.manifest == ManifestUse::Lost {
        writeln!(out, "no manifest     every table was read: rows removed or replaced since may be back")?;
    } else if report.may_hold_old_rows() {
        writeln!(out, "beware          older versions of what is lost may be back")?;
    }
    Ok(())
}

fn lost(loss: &Loss) -> String {
    let key = |key: &Option<Vec<u8>>| key.as_ref().map_or_else(|| "?".to_owned(), |key| shown(key));
    format!(
        "{} at offset {}, {}: {} (keys {} to {})",
        loss.file.display(),
        loss.offset,
        paint::bytes(loss.bytes),
        loss.kind,
        key(&loss.from),
        key(&loss.upto)
    )
}

/// A key for people: what is not printable is escaped, and a long one is cut.
fn shown(key: &[u8]) -> String {
    let cut = key.get(..KEY_BYTES).unwrap_or(key);
    let more = if cut.len() < key.len() { "…" } else { "" };
    format!("{}{more}", cut.escape_ascii())
}
