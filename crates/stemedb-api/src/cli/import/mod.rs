//! `import`: records from JSON lines, CSV or RDF, into a folder or into a server.
//!
//! ```text
//! file or stdin ─▶ input (what is it? gzip, zstd, plain) ─▶ embedded: Database::import_as ───────┐
//!                                                       └▶ remote: POST /v1/import, in chunks ──┴▶ tally ─▶ summary
//!                                                          (other formats as JSON lines, made here)
//! ```
//!
//! Importing is idempotent, because the id of a claim is its content: an import that was cut short is resumed by running
//! it again.

mod embedded;
mod input;
mod remote;
mod sources;
mod tally;

use std::{io::Write, path::PathBuf};

use clap::ValueEnum;
use stemedb_api::{Format, OnError, ReadOptions};
use stemedb_env::Env;

use super::{At, Place, failure::Failure, folder, paint, process::peak_memory_bytes, progress::Progress};
pub use embedded::import_into;
pub use input::Input;
use sources::read as read_sources;
pub use sources::{parse as parse_source_list, register};
pub use tally::Tally;

/// Import claims and other records: JSON lines (a claim has at least subject, predicate, object and source), CSV or RDF
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    #[command(flatten)]
    place: Place,
    /// A file, plain, gzip or zstd; - reads standard input
    file: PathBuf,
    /// jsonl, csv, nquads, trig or nanopub [default: by the file's name, else jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Of RDF: the source of quads that are in no named graph
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Of RDF: the name under which blank nodes are known outside of their file
    #[arg(long, value_name = "NAME")]
    scope: Option<String>,
    /// Register the sources in this JSON file first: a list of {id, class, title, uri}
    #[arg(long, value_name = "FILE")]
    sources: Option<PathBuf>,
    /// What to do after a line that is refused
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = After::Continue)]
    on_error: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum After {
    /// Go on with the next line
    Continue,
    /// Keep the lines before it and stop
    Stop,
}

impl From<After> for OnError {
    fn from(after: After) -> OnError {
        match after {
            After::Continue => OnError::Continue,
            After::Stop => OnError::Stop,
        }
    }
}

/// What is imported, and how.
pub struct How<'a> {
    /// The format of the input.
    pub read: &'a ReadOptions,
    /// Sources that are registered first.
    pub sources: &'a [stemedb_api::core::Source],
    /// What to do after a refused line.
    pub on_error: OnError,
}

/// Imports and says what became of the lines. Refused lines make the command fail at its end.
pub fn run(args: &ImportArgs) -> Result<(), Failure> {
    let env = Env::real();
    // Everything that can be refused is refused before a folder is created.
    let input = Input::open(&env, &args.file)?;
    let sources = args.sources.as_deref().map(|file| read_sources(&env, file)).transpose()?;
    let sources = sources.unwrap_or_default();
    let format = args.format.or_else(|| Format::of_path(&args.file)).unwrap_or_default();
    let read = ReadOptions { format, default_source: args.source.clone(), blank_scope: args.scope.clone() };
    let how = How { read: &read, sources: &sources, on_error: args.on_error.into() };
    let mut tally = Tally::default();
    let mut progress = Progress::start(&env, "lines");
    let ended = match args.place.at()? {
        At::Folder(dir) => embed(&env, dir, input, &how, &mut tally, &mut progress),
        At::Server(url) => remote::import(&env, url, input, &how, &mut tally, &mut progress),
    };
    let elapsed = progress.finish();
    tally.print_refused(&mut anstream::stderr().lock())?;
    tally.print_summary(&mut anstream::stdout().lock(), elapsed, peak_memory_bytes(&env))?;
    ended?;
    if tally.refused > 0 {
        let refused = paint::count(tally.refused, "line was refused", "lines were refused");
        let rest = if tally.stopped { "the lines after it were not read" } else { "all others are recorded" };
        return Err(Failure::new(format!("{refused}; {rest}")));
    }
    Ok(())
}

fn embed(
    env: &Env,
    dir: &std::path::Path,
    input: Input,
    how: &How<'_>,
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let (database, created) = folder::open_or_create_absent(env, dir)?;
    if created {
        writeln!(anstream::stderr(), "created a database in {}", dir.display())?;
    }
    let sources = register(&database, how.sources)?;
    tally.sources = sources;
    let imported = import_into(&database, input, how.read, how.on_error, tally, progress);
    // What was acknowledged is durable; flushing makes the next open quick.
    database.flush()?;
    database.close()?;
    imported
}
