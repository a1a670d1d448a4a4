//! `list`: claims or questions, in pages until enough are shown.
//!
//! A folder and a server give the same JSON, and the table is drawn from the JSON.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::value::RawValue;
use stemedb_api::{
    AsOf, Database, ListQuery, Selection,
    json::{ClaimPageJson, QuestionPageJson},
};

use super::{
    At, Place,
    client::{Client, with_parameters},
    failure::Failure,
    folder,
    paint::{COLUMNS, FAINT, count, fit, left, paint, right, thousands, visible},
    query::{plain, short_id},
};

/// List claims or questions: all of them, or those that one of the groups of options selects
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    what: What,
    #[command(flatten)]
    place: Place,
    /// All about a subject; with --predicate one question
    #[arg(long, value_name = "S")]
    subject: Option<String>,
    /// All under a predicate
    #[arg(long, value_name = "P")]
    predicate: Option<String>,
    /// With --predicate: the smallest value, a number, true, false or an RFC 3339 time
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    min: Option<String>,
    /// With --predicate: the greatest value, of the same kind
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    max: Option<String>,
    /// What a source said
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// What an agent asserted, signed or co-signed
    #[arg(long, value_name = "HEX")]
    agent: Option<String>,
    /// All about subjects that begin so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// All under predicates that begin so
    #[arg(long, value_name = "TEXT")]
    predicate_prefix: Option<String>,
    /// As it was known at a journal position or an RFC 3339 time
    #[arg(long, value_name = "LSN|TIME")]
    as_of: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "all")]
    limit: usize,
    /// Show all
    #[arg(long)]
    all: bool,
    /// Print one line of JSON for each
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Claims, as they were asserted
    Claims,
    /// Questions, with the number of their claims
    Questions,
}

/// A page, as the server writes it.
#[derive(Debug, Deserialize)]
struct PageView {
    #[serde(alias = "claims", alias = "questions")]
    items: Vec<Box<RawValue>>,
    lsn: u64,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ClaimView {
    id: String,
    lsn: u64,
    subject: String,
    predicate: String,
    object: Box<RawValue>,
    source: String,
}

#[derive(Debug, Deserialize)]
struct QuestionView {
    subject: String,
    predicate: String,
    claims: u64,
    newest_lsn: u64,
}

/// Lists and prints, page by page.
pub fn run(args: &ListArgs) -> Result<(), Failure> {
    match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            print(args, |limit, cursor| ask(args, &database, limit, cursor))?;
            database.close()?;
            Ok(())
        }
        At::Server(url) => {
            let mut client = Client::new(url)?;
            print(args, |limit, cursor| Ok(client.get(&target(args, limit, cursor.as_deref()))?.to_vec()))
        }
    }
}

impl ListArgs {
    fn selection(&self) -> Selection {
        Selection {
            subject: self.subject.clone(),
            predicate: self.predicate.clone(),
            min: self.min.clone(),
            max: self.max.clone(),
            source: self.source.clone(),
            agent: self.agent.clone(),
            prefix: self.prefix.clone(),
            predicate_prefix: self.predicate_prefix.clone(),
        }
    }
}

fn ask(
    args: &ListArgs,
    database: &Database,
    limit: usize,
    cursor: Option<String>,
) -> Result<Vec<u8>, Failure> {
    let as_of = args.as_of.as_deref().map(AsOf::parse).transpose().map_err(Failure::usage)?;
    let query = ListQuery { selection: args.selection(), as_of, limit, cursor };
    let json = match args.what {
        What::Claims => serde_json::to_vec(&ClaimPageJson(&database.claims(&query)?)),
        What::Questions => serde_json::to_vec(&QuestionPageJson(&database.questions(&query)?)),
    };
    json.map_err(|error| Failure::new(error).context("cannot write the page as JSON"))
}

fn target(args: &ListArgs, limit: usize, cursor: Option<&str>) -> String {
    let limit = limit.to_string();
    let mut parameters = vec![("limit", limit.as_str())];
    let optional = [
        ("subject", &args.subject),
        ("predicate", &args.predicate),
        ("min", &args.min),
        ("max", &args.max),
        ("source", &args.source),
        ("agent", &args.agent),
        ("prefix", &args.prefix),
        ("predicate_prefix", &args.predicate_prefix),
        ("as_of", &args.as_of),
    ];
    parameters.extend(optional.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))));
    parameters.extend(cursor.map(|cursor| ("cursor", cursor)));
    with_parameters(if args.what == What::Claims { "/v1/claims" } else { "/v1/questions" }, &parameters)
}

fn print(
    args: &ListArgs,
    mut page: impl FnMut(usize, Option<String>) -> Result<Vec<u8>, Failure>,
) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let (mut shown, mut cursor, mut begun) = (0, None, false);
    let (lsn, more) = loop {
        let left = if args.all { usize::MAX } else { args.limit.saturating_sub(shown) };
        if left == 0 {
            return Err(Failure::usage("--limit 0 shows nothing; --all shows everything"));
        }
        let PageView { items, lsn, cursor: next } = parse(&page(left.min(ListQuery::LIMIT_MAX), cursor)?)?;
        if !std::mem::replace(&mut begun, true) && !args.json {
            writeln!(out, "{}", paint(FAINT, &head(args.what)))?;
        }
        for item in &items {
            if args.json {
                writeln!(out, "{}", item.get())?;
            } else {
                line(&mut out, args.what, item)?;
            }
        }
        shown += items.len();
        cursor = next;
        if cursor.is_none() || (!args.all && shown >= args.limit) {
            break (lsn, cursor.is_some());
        }
    };
    if !args.json {
        let what = match args.what {
            What::Claims => count(shown as u64, "claim", "claims"),
            What::Questions => count(shown as u64, "question", "questions"),
        };
        let more = if more { ", there may be more (--limit, --all)" } else { "" };
        writeln!(out, "{}", paint(FAINT, &format!("{what}{more} · LSN {lsn}")))?;
    }
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(json)
        .map_err(|error| Failure::new(error).context("the page is not what this version understands"))
}

const SUBJECT_CELLS: usize = 15;
const PREDICATE_CELLS: usize = 20;
const VALUE_CELLS: usize = 13;

fn head(what: What) -> String {
    let question = format!("{}  {}", left("subject", SUBJECT_CELLS), left("predicate", PREDICATE_CELLS));
    match what {
        What::Claims => format!("{question}  {}  {}  source", left("value", VALUE_CELLS), left("id", 8)),
        What::Questions => format!("{question}  {}  {}", right("claims", 10), right("newest LSN", 12)),
    }
}

fn line(out: &mut impl Write, what: What, item: &RawValue) -> Result<(), Failure> {
    let cells = |text: &str, cells: usize| left(&fit(&visible(text), cells), cells);
    let json = item.get().as_bytes();
    let line = match what {
        What::Claims => {
            let claim: ClaimView = parse(json)?;
            format!(
                "{}  {}  {}  {}  {} @{}",
                cells(&claim.subject, SUBJECT_CELLS),
                cells(&claim.predicate, PREDICATE_CELLS),
                left(&fit(&plain(&claim.object), VALUE_CELLS), VALUE_CELLS),
                short_id(&claim.id),
                visible(&claim.source),
                claim.lsn,
            )
        }
        What::Questions => {
            let question: QuestionView = parse(json)?;
            format!(
                "{}  {}  {}  {}",
                cells(&question.subject, SUBJECT_CELLS),
                cells(&question.predicate, PREDICATE_CELLS),
                right(&thousands(question.claims), 10),
                right(&question.newest_lsn.to_string(), 12),
            )
        }
    };
    writeln!(out, "{}", fit(&line, COLUMNS)).map_err(|error: io::Error| error.into())
}
