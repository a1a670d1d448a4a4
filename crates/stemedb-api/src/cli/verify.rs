//! `verify`: every byte read back and checked, of a folder or of a running server.

use std::{io::Write, path::Path};

use stemedb_env::Env;
use stemedb_hybrid::{ClassCount, FileClass, ScrubReport};

use super::{
    At, Place,
    backup::remote,
    client::{Client, ServerUrl},
    failure::Failure,
    folder, paint,
};

/// Read everything back and check it: journal frames, table blocks, the order of rows
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: Place,
}

/// Verifies; damage is a failure that names file and offset.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    match args.place.at()? {
        At::Folder(dir) => embedded(dir),
        At::Server(url) => served(url),
    }
}

fn embedded(dir: &Path) -> Result<(), Failure> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let database = folder::open(dir)?;
    let report = database.scrub()?;
    let seconds = (clock.monotonic() - start).as_secs_f64();
    let mut out = anstream::stdout();
    for line in lines(&report) {
        writeln!(out, "{line}")?;
    }
    let mended = report.findings.iter().filter(|finding| finding.healed).count() as u64;
    let verified = database.engine().verified(report).map_err(stemedb_api::Error::from)?;
    database.close()?;
    writeln!(out, "{}", verdict(mended, verified.entries, verified.rows, seconds))?;
    Ok(())
}

/// The server reads its files itself, beside its work.
fn served(url: &ServerUrl) -> Result<(), Failure> {
    let mut client = Client::new(url)?;
    let ended = remote::ended(&mut client, "/v1/admin/storage/verify", &serde_json::json!({}))?;
    let result = ended.result();
    let findings = result["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = anstream::stdout();
    for finding in findings {
        let word = |name: &str| finding[name].as_str().unwrap_or_default();
        writeln!(out, "{}", damage(word("file"), word("text"), finding["healed"] == true))?;
    }
    if let Some(problem) = ended.problem() {
        return Err(Failure::new(problem).hint("the server mends what its journal has; its log says more"));
    }
    let count = |name: &str| result[name].as_u64().unwrap_or(0);
    let mended = findings.iter().filter(|finding| finding["healed"] == true).count() as u64;
    writeln!(out, "{}", verdict(mended, count("entries"), count("rows"), ended.seconds))?;
    Ok(())
}

fn verdict(mended: u64, entries: u64, rows: u64, seconds: f64) -> String {
    let entries = paint::count(entries, "journal entry", "journal entries");
    let rows = paint::count(rows, "row", "rows");
    let found = match mended {
        0 => "no damage".to_owned(),
        n => format!("{} damaged and written again", paint::count(n, "file", "files")),
    };
    format!("{found}: {entries} and {rows} checked in {seconds:.1} s")
}

fn damage(file: &str, text: &str, is_healed: bool) -> String {
    let mended = if is_healed { " (written again)" } else { "" };
    format!("damage: {}", paint::visible(&format!("{file}: {text}{mended}")))
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
    let damaged = report
        .findings
        .iter()
        .map(|finding| damage(&finding.file.display().to_string(), &finding.text, finding.healed));
    report.classes.iter().map(class).chain(damaged).collect()
}
