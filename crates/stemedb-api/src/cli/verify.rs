//! `verify`: every byte read back and checked.

use std::{io::Write, path::PathBuf};

use stemedb_env::Env;
use stemedb_hybrid::{ClassCount, FileClass, ScrubReport};

use super::{failure::Failure, folder, paint};

/// Read everything back and check it: journal frames, table blocks, the order of rows
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The database's folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Verifies; damage is a failure that names file and offset.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let database = folder::open(&args.data_dir)?;
    let report = database.scrub()?;
    let seconds = (clock.monotonic() - start).as_secs_f64();
    let mut out = anstream::stdout();
    for line in lines(&report) {
        writeln!(out, "{line}")?;
    }
    let mended = report.findings.iter().filter(|finding| finding.healed).count() as u64;
    let verified = database.engine().verified(report).map_err(stemedb_api::Error::from)?;
    database.close()?;
    let entries = paint::count(verified.entries, "journal entry", "journal entries");
    let rows = paint::count(verified.rows, "row", "rows");
    let found = match mended {
        0 => "no damage".to_owned(),
        n => format!("{} damaged and written again", paint::count(n, "file", "files")),
    };
    writeln!(out, "{found}: {entries} and {rows} checked in {seconds:.1} s")?;
    Ok(())
}

/// A line for each class of files, then one for each damaged place.
fn lines(report: &ScrubReport) -> Vec<String> {
    let class = |(class, count): (&FileClass, &ClassCount)| {
        let name = paint::left(&class.name().replace('_', " "), 16);
        let files = paint::right(&paint::count(count.files, "file", "files"), 12);
        let bytes = paint::right(&paint::bytes(count.bytes), 12);
        let read = if class.is_checked() { "checked" } else { "read" };
        format!("{name}{files}{bytes}  {read}")
    };
    let damage = report.findings.iter().map(|finding| {
        let mended = if finding.healed { " (written again)" } else { "" };
        let text = format!("{}: {}{mended}", finding.file.display(), finding.text);
        format!("damage: {}", paint::visible(&text))
    });
    report.classes.iter().map(class).chain(damage).collect()
}
