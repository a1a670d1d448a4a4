//! `conflicts`: the most contested questions, and how all questions stand together.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Deserialize;
use serde_json::value::RawValue;
use stemedb_api::{ConflictQuery, Database, ListQuery, core::Decimal, core::Nano, json::ConflictPageJson};
use stemedb_env::Env;

use super::{
    At, Place,
    client::{Client, ClientError, with_parameters},
    failure::Failure,
    folder,
    paint::{BAR, COLUMNS, FAINT, bar, count, fit, left, paint, right, thousands, visible},
};

/// Show the questions whose claims disagree the most. The first call looks through all claims
#[derive(Debug, clap::Args)]
pub struct ConflictsArgs {
    #[command(flatten)]
    place: Place,
    /// Only conflicts with at least this score, 0 to 1
    #[arg(long, value_name = "SCORE", default_value = "0", value_parser = score)]
    min_score: Score,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "all")]
    limit: usize,
    /// Show all
    #[arg(long)]
    all: bool,
    /// Print one line of JSON for each
    #[arg(long)]
    json: bool,
}

/// A score as it was written, and in units of 10⁻⁹.
#[derive(Clone, Debug)]
struct Score {
    text: String,
    nano: u32,
}

fn score(text: &str) -> Result<Score, &'static str> {
    let nano = Decimal::parse(text).ok().and_then(|number| number.to_nano());
    let nano = nano.filter(|nano| (0..=Nano::ONE.0).contains(&nano.0));
    let nano = nano.and_then(|nano| u32::try_from(nano.0).ok()).ok_or("must be a number from 0 to 1")?;
    Ok(Score { text: text.to_owned(), nano })
}

#[derive(Debug, Deserialize)]
struct PageView {
    conflicts: Vec<Box<RawValue>>,
    knowledge: KnowledgeView,
    complete: bool,
    lsn: u64,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ContestedView {
    subject: String,
    predicate: String,
    conflict_score: f64,
    status: String,
    values: u64,
    considered: u64,
}

/// The parts of the summary that are shown.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct KnowledgeView {
    pub questions: u64,
    pub unanimous: u64,
    pub agreed: u64,
    pub open_conflicts: u64,
    pub claims: u64,
    pub single_source_share: f64,
    pub unsigned_share: f64,
}

/// Asks and prints, page by page.
pub fn run(args: &ConflictsArgs) -> Result<(), Failure> {
    match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            print(args, |limit, cursor| ask(args, &database, limit, cursor))?;
            database.close()?;
            Ok(())
        }
        At::Server(url) => {
            let mut client = Client::new(url)?;
            let clock = Env::real().clock;
            print(args, |limit, cursor| {
                let limit = limit.to_string();
                let mut parameters =
                    vec![("limit", limit.as_str()), ("min_score", args.min_score.text.as_str())];
                parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                let target = with_parameters("/v1/conflicts", &parameters);
                loop {
                    match client.get(&target) {
                        // It goes on while nobody waits, and says so: it ends some day.
                        Err(ClientError::Refused(refusal)) if refusal.code() == "conflicts_building" => {
                            clock.sleep(refusal.retry_after.unwrap_or(Duration::from_secs(1)));
                        }
                        reply => return Ok(reply?.to_vec()),
                    }
                }
            })
        }
    }
}

fn ask(
    args: &ConflictsArgs,
    database: &Database,
    limit: usize,
    cursor: Option<String>,
) -> Result<Vec<u8>, Failure> {
    let query = ConflictQuery { min_score: args.min_score.nano, limit, cursor, wait: None };
    serde_json::to_vec(&ConflictPageJson(&database.conflicts(&query)?))
        .map_err(|error| Failure::new(error).context("cannot write the page as JSON"))
}

const BAR_CELLS: usize = 8;

fn print(
    args: &ConflictsArgs,
    mut page: impl FnMut(usize, Option<String>) -> Result<Vec<u8>, Failure>,
) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let (mut shown, mut cursor, mut begun) = (0, None, false);
    loop {
        let left = if args.all { usize::MAX } else { args.limit.saturating_sub(shown) };
        if left == 0 {
            return Err(Failure::usage("--limit 0 shows nothing; --all shows everything"));
        }
        let json = page(left.min(ListQuery::LIMIT_MAX), cursor)?;
        let view: PageView = parse(&json)?;
        if !std::mem::replace(&mut begun, true) && !args.json {
            let head =
                format!("{}  values  claims  status     question", self::left("conflict", BAR_CELLS + 6));
            writeln!(out, "{}", paint(FAINT, &head))?;
        }
        for item in &view.conflicts {
            if args.json {
                writeln!(out, "{}", item.get())?;
            } else {
                line(&mut out, &parse(item.get().as_bytes())?)?;
            }
        }
        shown += view.conflicts.len();
        if view.cursor.is_none() || (!args.all && shown >= args.limit) {
            if !args.json {
                foot(&mut out, &view)?;
            }
            return Ok(());
        }
        cursor = view.cursor;
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(json)
        .map_err(|error| Failure::new(error).context("the page is not what this version understands"))
}

fn line(out: &mut impl Write, contested: &ContestedView) -> io::Result<()> {
    let ContestedView { conflict_score, status, values, considered, .. } = contested;
    let bar = bar(*conflict_score, BAR_CELLS);
    let before = format!(
        " {conflict_score:.3}  {}  {}  {}  ",
        right(&thousands(*values), 6),
        right(&thousands(*considered), 6),
        left(status, 9),
    );
    let question = format!("{}  {}", visible(&contested.subject), visible(&contested.predicate));
    let room = COLUMNS.saturating_sub(BAR_CELLS + before.len());
    writeln!(out, "{}{before}{}", paint(BAR, &bar), fit(&question, room))
}

fn foot(out: &mut impl Write, view: &PageView) -> io::Result<()> {
    writeln!(out)?;
    print_knowledge(out, &view.knowledge, view.lsn)?;
    if !view.complete {
        writeln!(out, "the least contested questions found no room in memory and are not listed")?;
    }
    Ok(())
}

/// Prints how all questions stand together.
pub fn print_knowledge(out: &mut impl Write, knowledge: &KnowledgeView, lsn: u64) -> io::Result<()> {
    let KnowledgeView { questions, unanimous, agreed, open_conflicts, claims, .. } = knowledge;
    writeln!(
        out,
        "{}: {} open conflicts, {} agreed, {} unanimous",
        count(*questions, "question", "questions"),
        thousands(*open_conflicts),
        thousands(*agreed),
        thousands(*unanimous),
    )?;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let line = format!(
        "{} of them with one source alone · {} of {} unsigned · LSN {lsn}",
        percent(knowledge.single_source_share),
        percent(knowledge.unsigned_share),
        count(*claims, "claim", "claims"),
    );
    writeln!(out, "{}", paint(FAINT, &line))
}
