//! `query`: one question.
//!
//! A folder and a server give the same JSON, and the table is drawn from the JSON: what is shown cannot depend on where
//! it came from.

mod answer;
mod explain;
mod receipt;
mod table;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use stemedb_api::{
    AsOf, Database, Query,
    core::{Lens, Micros, SourceClass, lens::Counterfactual, lens::Tolerance},
    json::AnswerJson,
    leave_out,
};

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
    /// Like --as-of, and say what the newest knowledge was that was used
    #[arg(long, value_name = "LSN|TIME", conflicts_with = "as_of")]
    known_at: Option<String>,
    /// Write a signed receipt of the answer into a file that is not there yet; `verify-receipt` checks it
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Let confidences fade with the age of the claim and the class of its source
    #[arg(long, overrides_with = "no_decay")]
    decay: bool,
    /// Take confidences as they were said (the default)
    #[arg(long, overrides_with = "decay")]
    no_decay: bool,
    /// Numbers this near are one value: 0.5, or 0.1% of the best supported one
    #[arg(long, value_name = "WIDTH")]
    tolerance: Option<Tolerance>,
    /// What the answer would be if a source or an agent had never spoken; may be repeated
    #[arg(long, value_name = "source:ID|agent:HEX")]
    without: Vec<String>,
    /// What the answer would be without claims of a worse class
    #[arg(long, value_name = "0-5", value_parser = clap::value_parser!(u8).range(0..=5))]
    max_class: Option<u8>,
    /// Count voices that copy each other once
    #[arg(long)]
    independent: bool,
    /// Find out how little must be taken away to change the answer
    #[arg(long)]
    fragility: bool,
}

impl QueryArgs {
    fn counterfactual(&self) -> Result<Counterfactual, Failure> {
        let mut counterfactual = Counterfactual::default();
        for text in &self.without {
            leave_out(&mut counterfactual, text).map_err(Failure::usage)?;
        }
        let class = self.max_class.map(SourceClass::new).transpose();
        counterfactual.max_class = class.map_err(|problem| Failure::usage(problem).context("--max-class"))?;
        Ok(counterfactual)
    }
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
    if let Some(file) = &args.receipt {
        receipt::write(file, &answer)?;
    }
    let mut out = anstream::stdout().lock();
    if args.json {
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let view = AnswerView::parse(&answer)?;
    print_table(&mut out, &view)?;
    if let Some(known) = &view.known {
        writeln!(out, "{known}")?;
    }
    if let Some(file) = &args.receipt {
        writeln!(out, "receipt in {}", file.display())?;
    }
    Ok(())
}

fn ask_folder(args: &QueryArgs, dir: &Path) -> Result<Vec<u8>, Failure> {
    let as_of = args.as_of.as_deref().map(AsOf::parse).transpose().map_err(Failure::usage)?;
    let known_at = args.known_at.as_deref().map(|text| AsOf::parse_parameter("known_at", text)).transpose();
    let known_at = known_at.map_err(Failure::usage)?;
    let evaluated_at = args.evaluated_at.as_deref().map(Micros::parse_rfc3339).transpose();
    let evaluated_at = evaluated_at.map_err(|problem| Failure::usage(problem).context("--evaluated-at"))?;
    let counterfactual = args.counterfactual()?;
    let database = folder::open(dir)?;
    let query = Query {
        as_of,
        epoch: args.epoch.clone(),
        decay: args.decay,
        evaluated_at,
        known_at,
        tolerance: args.tolerance,
        counterfactual,
        independent: args.independent,
        fragility: args.fragility,
        ..Query::new(args.subject.as_str(), args.predicate.as_str(), args.lens)
    };
    let answer = match args.receipt {
        None => ask(&database, query, args.explain)?,
        Some(_) => {
            let (resolved, receipt) = database.query_with_receipt(query)?;
            json(&AnswerJson::new(&resolved, args.explain).with_receipt(Some(&receipt)))?
        }
    };
    database.close()?;
    Ok(answer)
}

/// Asks a database; the answer as JSON.
pub fn ask(database: &Database, query: Query, explain: bool) -> Result<Vec<u8>, Failure> {
    let resolved = database.query(query)?;
    json(&AnswerJson::new(&resolved, explain))
}

fn json(answer: &AnswerJson<'_>) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(answer).map_err(|error| Failure::new(error).context("cannot write the answer as JSON"))
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
    parameters.extend(args.known_at.as_deref().map(|bound| ("known_at", bound)));
    if args.receipt.is_some() {
        parameters.push(("receipt", "true"));
    }
    let (tolerance, max_class) = (
        args.tolerance.map(|tolerance| tolerance.to_string()),
        args.max_class.map(|class| class.to_string()),
    );
    parameters.extend(tolerance.as_deref().map(|tolerance| ("tolerance", tolerance)));
    parameters.extend(args.without.iter().map(|without| ("without", without.as_str())));
    parameters.extend(max_class.as_deref().map(|class| ("max_class", class)));
    for (name, given) in
        [("explain", args.explain), ("independent", args.independent), ("fragility", args.fragility)]
    {
        if given {
            parameters.push((name, "true"));
        }
    }
    let answer = Client::new(url)?.get(&with_parameters("/v1/query", &parameters))?;
    Ok(answer.to_vec())
}
