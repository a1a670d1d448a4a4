//! `export`: what a database holds, in one of the formats of `docs/formats/`.
//!
//! A file appears under its name only when it is whole: it is written beside it, made durable and renamed. Standard output is
//! as whole as the exit code says.

mod output;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use stemedb_api::{AsOf, ExportOptions, ExportReport, Filter, Format};
use stemedb_env::Env;

use super::{
    At, Place,
    client::{Client, ServerUrl, with_parameters},
    failure::Failure,
    folder,
    paint::{count, thousands},
    progress::Progress,
};
use output::Output;

/// Export claims and all other records, or the claims that fit
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// jsonl (everything, without loss), csv, nquads, trig or nanopub [default: by the name of --out, else jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The file to write, compressed if it ends in .gz or .zst; must not exist [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// As it was known at a journal position or an RFC 3339 time
    #[arg(long, value_name = "LSN|TIME")]
    as_of: Option<String>,
    /// Only claims about this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only claims about subjects that begin so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only claims under this predicate
    #[arg(long, value_name = "PREDICATE")]
    predicate: Option<String>,
    /// Only claims of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
}

/// Exports, and says on standard error how much.
pub fn run(args: &ExportArgs) -> Result<(), Failure> {
    let env = Env::real();
    let named = args.out.as_deref().and_then(Format::of_path);
    let format = args.format.or(named).unwrap_or_default();
    let as_of = args.as_of.as_deref().map(AsOf::parse).transpose().map_err(Failure::usage)?;
    match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            let mut output = Output::create(&env, args.out.as_deref())?;
            let filter = Filter {
                subject: args.subject.clone(),
                prefix: args.prefix.clone(),
                predicate: args.predicate.clone(),
                source: args.source.clone(),
            };
            let options = ExportOptions { format, as_of, filter, ..ExportOptions::default() };
            let mut progress = Progress::start(&env, "records");
            let report = database.export(&options, &mut output, &mut |report| {
                progress.at(report.claims + report.others, None);
            });
            progress.finish();
            let report = report.map_err(|error| output.failure(error))?;
            output.finish()?;
            database.close()?;
            say(&report, format)?;
        }
        At::Server(url) => {
            let mut output = Output::create(&env, args.out.as_deref())?;
            fetch(args, format, url, &mut output)?;
            output.finish()?;
        }
    }
    Ok(())
}

fn say(report: &ExportReport, format: Format) -> io::Result<()> {
    let mut out = anstream::stderr().lock();
    let claims = count(report.claims, "claim", "claims");
    let others = count(report.others, "other record", "other records");
    writeln!(out, "{claims} and {others} as {format}, of LSN {}", thousands(report.lsn.0))?;
    if report.left_out > 0 {
        let left_out = count(report.left_out, "record is", "records are");
        writeln!(
            out,
            "{left_out} not in it: {format} has no place for them, or they refer to claims that are not in it"
        )?;
    }
    Ok(())
}

fn fetch(args: &ExportArgs, format: Format, url: &ServerUrl, out: &mut Output) -> Result<(), Failure> {
    let mut parameters = vec![("format", format.name())];
    let given = [
        ("as_of", &args.as_of),
        ("subject", &args.subject),
        ("prefix", &args.prefix),
        ("predicate", &args.predicate),
        ("source", &args.source),
    ];
    parameters.extend(given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let mut client = Client::new(url)?;
    let mut reply = client.get_streaming(&with_parameters("/v1/export", &parameters))?;
    while let Some(part) = reply.next_part()? {
        out.write_all(&part)?;
    }
    Ok(())
}
