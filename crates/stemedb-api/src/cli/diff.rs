//! `diff`: what changed between two moments.

use std::{io::Write, path::Path};

use serde::Deserialize;
use serde_json::value::RawValue;
use stemedb_api::{
    AsOf, DifferenceQuery, QuestionKey,
    core::{Lens, Micros},
    json::DifferenceJson,
};

use super::{
    At, Place,
    client::{Client, ServerUrl, with_parameters},
    failure::Failure,
    folder, paint,
    query::plain,
};

/// Show which answers changed between two moments, and what came that changed them
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    #[command(flatten)]
    place: Place,
    /// The earlier moment: a journal position or an RFC 3339 time
    #[arg(value_name = "FROM")]
    from: String,
    /// The later moment [default: now]
    #[arg(value_name = "TO")]
    to: Option<String>,
    /// A lens, or all
    #[arg(long, value_name = "LENS", default_value = "consensus")]
    lens: String,
    /// Only questions about this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only questions under this predicate
    #[arg(long, value_name = "PREDICATE")]
    predicate: Option<String>,
    /// The instant at which age and validity are measured on both sides, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    evaluated_at: Option<String>,
    /// Let confidences fade with age
    #[arg(long)]
    decay: bool,
    /// Print JSON, one object for each piece of at most 100 questions
    #[arg(long)]
    json: bool,
}

/// Questions in one piece.
const PIECE: usize = 100;

#[derive(Deserialize)]
struct View {
    from: u64,
    to: u64,
    evaluated_at: String,
    changes: Vec<ChangeView>,
    next: Option<NextView>,
}

#[derive(Deserialize)]
struct NextView {
    subject: String,
    predicate: String,
}

#[derive(Deserialize)]
struct ChangeView {
    subject: String,
    predicate: String,
    answers: Vec<AnswersView>,
    claims: Vec<String>,
    votes: Vec<serde::de::IgnoredAny>,
    supersessions: Vec<serde::de::IgnoredAny>,
    cosignatures: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct AnswersView {
    lens: String,
    changed: bool,
    before: SideView,
    after: SideView,
}

#[derive(Deserialize)]
struct SideView {
    value: Option<Box<RawValue>>,
    status: String,
    confidence: f64,
    margin: f64,
    conflict_score: f64,
}

/// Asks piece after piece and prints.
pub fn run(args: &DiffArgs) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let mut questions = 0;
    let mut show = |json: &[u8]| -> Result<View, Failure> {
        let view: View = serde_json::from_slice(json)
            .map_err(|error| Failure::new(error).context("the reply is not what this version understands"))?;
        if args.json {
            out.write_all(json)?;
            writeln!(out)?;
            return Ok(view);
        }
        for change in &view.changes {
            questions += 1;
            for line in lines(change) {
                writeln!(out, "{line}")?;
            }
        }
        if view.next.is_none() {
            let changed = paint::count(questions, "question", "questions");
            writeln!(
                out,
                "{changed} between LSN {} and LSN {} · at {}",
                view.from, view.to, view.evaluated_at
            )?;
        }
        Ok(view)
    };
    match args.place.at()? {
        At::Folder(dir) => ask_folder(args, dir, &mut show),
        At::Server(url) => ask_server(args, url, &mut show),
    }
}

fn lines(change: &ChangeView) -> Vec<String> {
    let question = paint::visible(&format!("{}  {}", change.subject, change.predicate));
    let mut came = Vec::new();
    for (count, one, many) in [
        (change.claims.len(), "claim", "claims"),
        (change.votes.len(), "vote", "votes"),
        (change.supersessions.len(), "supersession", "supersessions"),
        (change.cosignatures.len(), "co-signature", "co-signatures"),
    ] {
        if count > 0 {
            came.push(paint::count(count as u64, one, many));
        }
    }
    let came = if came.is_empty() { "nothing of its own".to_owned() } else { came.join(", ") };
    let mut lines = vec![format!("{question}  (+ {came})")];
    for answers in &change.answers {
        let AnswersView { lens, before, after, .. } = answers;
        let value = |side: &SideView| side.value.as_ref().map_or("none".to_owned(), |value| plain(value));
        let lens = paint::left(lens, 10);
        if !answers.changed {
            lines.push(format!("  {lens}  {} as before", value(after)));
            continue;
        }
        lines.push(format!("  {lens}  {} -> {}", value(before), value(after)));
        lines.push(format!(
            "              {} -> {} · confidence {:.3} -> {:.3} · margin {:.3} -> {:.3} · conflict {:.3} -> {:.3}",
            before.status,
            after.status,
            before.confidence,
            after.confidence,
            before.margin,
            after.margin,
            before.conflict_score,
            after.conflict_score
        ));
    }
    lines
}

type Show<'a> = &'a mut dyn FnMut(&[u8]) -> Result<View, Failure>;

fn ask_folder(args: &DiffArgs, dir: &Path, show: Show<'_>) -> Result<(), Failure> {
    let moment = |name, text: &str| AsOf::parse_parameter(name, text).map_err(Failure::usage);
    let from = moment("from", &args.from)?;
    let to = args.to.as_deref().map(|to| moment("to", to)).transpose()?;
    let lenses = match args.lens.as_str() {
        "all" => Lens::ALL.to_vec(),
        name => vec![name.parse().map_err(|_| Failure::usage(format!("there is no lens {name}")))?],
    };
    let evaluated_at = args.evaluated_at.as_deref().map(Micros::parse_rfc3339).transpose();
    let evaluated_at = evaluated_at.map_err(|problem| Failure::usage(problem).context("--evaluated-at"))?;
    let database = folder::open(dir)?;
    let mut query = DifferenceQuery {
        to,
        lenses,
        subject: args.subject.clone(),
        predicate: args.predicate.clone(),
        decay: args.decay,
        evaluated_at,
        limit: PIECE,
        ..DifferenceQuery::since(from, Lens::Consensus)
    };
    loop {
        let difference = database.difference(query.clone())?;
        let json = serde_json::to_vec(&DifferenceJson(&difference)).map_err(Failure::new)?;
        show(&json)?;
        // The pieces belong together: one moment, one instant.
        query.to = Some(AsOf::Lsn(difference.to));
        query.evaluated_at = Some(difference.evaluated_at);
        query.after = difference.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(database.close()?)
}

fn ask_server(args: &DiffArgs, url: &ServerUrl, show: Show<'_>) -> Result<(), Failure> {
    let mut client = Client::new(url)?;
    let (mut to, mut evaluated_at) = (args.to.clone(), args.evaluated_at.clone());
    let mut after: Option<QuestionKey> = None;
    let limit = PIECE.to_string();
    loop {
        let mut parameters =
            vec![("from", args.from.as_str()), ("lens", args.lens.as_str()), ("limit", &limit)];
        parameters.push(("decay", if args.decay { "true" } else { "false" }));
        parameters.extend(to.as_deref().map(|to| ("to", to)));
        parameters.extend(evaluated_at.as_deref().map(|at| ("evaluated_at", at)));
        parameters.extend(args.subject.as_deref().map(|subject| ("subject", subject)));
        parameters.extend(args.predicate.as_deref().map(|predicate| ("predicate", predicate)));
        if let Some(after) = &after {
            parameters.push(("after_subject", &after.subject));
            parameters.push(("after_predicate", &after.predicate));
        }
        let view = show(&client.get(&with_parameters("/v1/diff", &parameters))?)?;
        let Some(next) = view.next else { return Ok(()) };
        after = Some(QuestionKey { subject: next.subject, predicate: next.predicate });
        to = Some(view.to.to_string());
        evaluated_at = Some(view.evaluated_at);
    }
}
