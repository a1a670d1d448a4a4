//! `query`: one question.
//!
//! A folder and a server give the same JSON, and the table is drawn from the JSON: what is shown cannot depend on where
//! it came from.

mod answer;
mod explain;
mod table;

use std::{io::Write, path::Path};

use stemedb_api::{AsOf, Database, Query, core::Lens, core::Micros, json::AnswerJson};

pub use answer::{AnswerView, plain, short_id};
pub use table::{headline, print_table};

use super::{
    At, Place,
    client::{Client, ServerUrl, with_parameters},
    failure::Failure,
    folder,
};

/// Ask what is claimed about a subject under a predicate, through a lens
#[derive(Debug, clap::Args)]
pub struct QueryArgs {
    #[command(flatten)]
    place: Place,
    /// What the claims are about, such as cas:7732-18-5
    subject: String,
    /// What they say about it, such as boiling_point_K
    predicate: String,
    /// How disagreement becomes an answer
    #[arg(long, value_name = "LENS", value_parser = lens_parser(), default_value = "consensus")]
    lens: Lens,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
    /// As it was known at a journal position or an RFC 3339 time
    #[arg(long, value_name = "LSN|TIME")]
    as_of: Option<String>,
    /// Only claims of this epoch (and of none)
    #[arg(long, value_name = "EPOCH")]
    epoch: Option<String>,
    /// Show the arithmetic behind the answer
    #[arg(long)]
    explain: bool,
    /// The instant at which age and validity are measured, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    evaluated_at: Option<String>,
    /// Let confidences fade with the age of the claim and the class of its source
    #[arg(long, overrides_with = "no_decay")]
    decay: bool,
    /// Take confidences as they were said (the default)
    #[arg(long, overrides_with = "decay")]
    no_decay: bool,
}

fn lens_parser() -> impl clap::builder::TypedValueParser<Value = Lens> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    let names = Lens::ALL.map(Lens::name);
    PossibleValuesParser::new(names)
        .try_map(|name| name.parse::<Lens>().map_err(|problem| problem.to_string()))
}

/// Asks and prints.
pub fn run(args: &QueryArgs) -> Result<(), Failure> {
    let answer = match args.place.at()? {
        At::Folder(dir) => ask_folder(args, dir)?,
        At::Server(url) => ask_server(args, url)?,
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let view = AnswerView::parse(&answer)?;
    print_table(&mut out, &view)?;
    Ok(())
}

fn ask_folder(args: &QueryArgs, dir: &Path) -> Result<Vec<u8>, Failure> {
    let as_of = args.as_of.as_deref().map(AsOf::parse).transpose().map_err(Failure::usage)?;
    let evaluated_at = args.evaluated_at.as_deref().map(Micros::parse_rfc3339).transpose();
    let evaluated_at = evaluated_at.map_err(|problem| Failure::usage(problem).context("--evaluated-at"))?;
    let database = folder::open(dir)?;
    let query = Query {
        as_of,
        epoch: args.epoch.clone(),
        decay: args.decay,
        evaluated_at,
        ..Query::new(args.subject.as_str(), args.predicate.as_str(), args.lens)
    };
    let answer = ask(&database, query, args.explain)?;
    database.close()?;
    Ok(answer)
}

/// Asks a database; the answer as JSON.
pub fn ask(database: &Database, query: Query, explain: bool) -> Result<Vec<u8>, Failure> {
    let resolved = database.query(query)?;
    serde_json::to_vec(&AnswerJson::new(&resolved, explain))
        .map_err(|error| Failure::new(error).context("cannot write the answer as JSON"))
}

fn ask_server(args: &QueryArgs, url: &ServerUrl) -> Result<Vec<u8>, Failure> {
    let mut parameters = vec![
        ("subject", args.subject.as_str()),
        ("predicate", args.predicate.as_str()),
        ("lens", args.lens.name()),
        ("decay", if args.decay { "true" } else { "false" }),
    ];
    parameters.extend(args.as_of.as_deref().map(|as_of| ("as_of", as_of)));
    parameters.extend(args.epoch.as_deref().map(|epoch| ("epoch", epoch)));
    parameters.extend(args.evaluated_at.as_deref().map(|at| ("evaluated_at", at)));
    if args.explain {
        parameters.push(("explain", "true"));
    }
    let answer = Client::new(url)?.get(&with_parameters("/v1/query", &parameters))?;
    Ok(answer.to_vec())
}
