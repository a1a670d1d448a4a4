//! `watch`: being told when an answer crosses a line.

use std::{
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
};

use serde::Deserialize;
use serde_json::value::RawValue;
use stemedb_api::{
    Database, Watch,
    json::{NoticeJson, WatchPageJson, watch},
};
use stemedb_env::{Env, Lsn};

use super::{
    At, Place,
    client::{Client, Content, with_parameters},
    failure::Failure,
    folder,
    import::Input,
};

/// Be told when an answer crosses a line
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    #[command(subcommand)]
    command: WatchCommand,
}

#[derive(Debug, clap::Subcommand)]
enum WatchCommand {
    Add(AddArgs),
    Remove(RemoveArgs),
    List(ListArgs),
    Follow(FollowArgs),
}

/// Register a watch, or many from a file with one JSON object a line
#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    place: Place,
    /// Watches, one a line, perhaps compressed; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "subject", "predicate"])]
    file: Option<PathBuf>,
    /// Its id, 1 to 200 bytes
    #[arg(required_unless_present = "file")]
    id: Option<String>,
    /// The subject asked about
    #[arg(required_unless_present = "file")]
    subject: Option<String>,
    /// The predicate asked about
    #[arg(required_unless_present = "file")]
    predicate: Option<String>,
    /// recency, consensus, confidence, authority, skeptic or layered
    #[arg(long, value_name = "LENS", default_value = "consensus", conflicts_with = "file")]
    lens: String,
    /// The epoch asked about
    #[arg(long, value_name = "EPOCH", conflicts_with = "file")]
    epoch: Option<String>,
    /// How far apart numbers may be and still be one value: 0.5 or 0.1%
    #[arg(long, value_name = "WIDTH", conflicts_with = "file")]
    tolerance: Option<String>,
    /// Leave out source:ID or agent:HEX
    #[arg(long, value_name = "WHO", conflicts_with = "file")]
    without: Vec<String>,
    /// Leave out claims of worse classes
    #[arg(long, value_name = "0-5", conflicts_with = "file")]
    max_class: Option<u8>,
    /// Tell when the margin falls below this, or does not lie below it any more
    #[arg(long, value_name = "0-1", conflicts_with = "file")]
    margin_below: Option<String>,
    /// Tell when the conflict score rises above this, or does not lie above it any more
    #[arg(long, value_name = "0-1", conflicts_with = "file")]
    conflict_above: Option<String>,
}

/// Remove watches
#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// Their ids
    #[arg(required = true)]
    ids: Vec<String>,
}

/// Print the watches, in the order of their ids
#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Only those whose ids begin so
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Print one line of JSON for each
    #[arg(long)]
    json: bool,
}

/// Print what there is to tell, one JSON object a line: of a server as it comes, of a folder up to now
#[derive(Debug, clap::Args)]
struct FollowArgs {
    #[command(flatten)]
    place: Place,
    /// Where to begin: an LSN, or the position that an earlier run ended with
    #[arg(long, value_name = "LSN|POSITION", default_value = "1")]
    from: String,
    /// Only of watches whose ids begin so
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// End when all up to now is told
    #[arg(long)]
    once: bool,
}

/// Watches that are registered in one request.
const AT_ONCE: usize = 10_000;
/// Bytes after which a request is sent.
const REQUEST_BYTES: usize = 4 << 20;
/// Seconds that one request waits for something to tell.
const WAIT: &str = "50";

/// Runs the command.
pub fn run(args: &WatchArgs) -> Result<(), Failure> {
    match &args.command {
        WatchCommand::Add(args) => add(args),
        WatchCommand::Remove(args) => remove(args),
        WatchCommand::List(args) => list(args),
        WatchCommand::Follow(args) => follow(args),
    }
}

impl AddArgs {
    /// The watch of the arguments, as a line.
    fn line(&self) -> Result<String, Failure> {
        let mut members = serde_json::Map::new();
        let mut text = |name: &str, text: Option<&String>| {
            if let Some(text) = text {
                members.insert(name.to_owned(), text.as_str().into());
            }
        };
        text("id", self.id.as_ref());
        text("subject", self.subject.as_ref());
        text("predicate", self.predicate.as_ref());
        text("lens", Some(&self.lens));
        text("epoch", self.epoch.as_ref());
        text("tolerance", self.tolerance.as_ref());
        if !self.without.is_empty() {
            members.insert("without".to_owned(), self.without.clone().into());
        }
        if let Some(class) = self.max_class {
            members.insert("max_class".to_owned(), class.into());
        }
        for (name, line) in [("margin_below", &self.margin_below), ("conflict_above", &self.conflict_above)] {
            if let Some(line) = line {
                let number = line.parse::<serde_json::Number>();
                let number = number.map_err(|_| Failure::usage(format!("{line} is not a number")))?;
                members.insert(name.to_owned(), number.into());
            }
        }
        serde_json::to_string(&members).map_err(Failure::new)
    }
}

/// How many watches were new, and how many there were before.
type Counts = (usize, usize);

fn add(args: &AddArgs) -> Result<(), Failure> {
    let mut input: Box<dyn BufRead> = match &args.file {
        None => Box::new(io::Cursor::new(args.line()?)),
        Some(path) => Box::new(BufReader::new(Input::open(&Env::real(), path)?.text)),
    };
    let counts = match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            let counts = in_parts(&mut input, |lines| register(&database, lines))?;
            database.close()?;
            counts
        }
        At::Server(url) => {
            let mut client = Client::new(url)?;
            in_parts(&mut input, |lines| post(&mut client, lines))?
        }
    };
    println!("created {}\nexisting {}", counts.0, counts.1);
    Ok(())
}

fn in_parts(
    input: &mut dyn BufRead,
    mut send: impl FnMut(&[Vec<u8>]) -> Result<Counts, Failure>,
) -> Result<Counts, Failure> {
    let (mut lines, mut bytes, mut counts) = (Vec::new(), 0, (0, 0));
    loop {
        let mut line = Vec::new();
        let more = input.read_until(b'\n', &mut line)? > 0;
        if !line.trim_ascii().is_empty() {
            bytes += line.len();
            lines.push(line);
        }
        if lines.len() == AT_ONCE || bytes >= REQUEST_BYTES || (!more && !lines.is_empty()) {
            let (created, existing) = send(&lines)?;
            counts = (counts.0 + created, counts.1 + existing);
            lines.clear();
            bytes = 0;
        }
        if !more {
            return Ok(counts);
        }
    }
}

fn register(database: &Database, lines: &[Vec<u8>]) -> Result<Counts, Failure> {
    let read = |line: &Vec<u8>| watch(line, None).map_err(stemedb_api::Error::from);
    let watches: Vec<Watch> = lines.iter().map(read).collect::<Result<_, _>>()?;
    let watched = database.watch_all(watches)?;
    let created = watched.iter().filter(|one| one.created).count();
    Ok((created, watched.len() - created))
}

fn post(client: &mut Client, lines: &[Vec<u8>]) -> Result<Counts, Failure> {
    #[derive(Deserialize)]
    struct Reply {
        created: usize,
        existing: usize,
    }
    let mut body = Vec::new();
    for line in lines {
        body.extend_from_slice(line.trim_ascii());
        body.push(b'\n');
    }
    let content = Content { media_type: "application/x-ndjson", body: body.into() };
    let reply: Reply = serde_json::from_slice(&client.post("/v1/watches", content)?).map_err(Failure::new)?;
    Ok((reply.created, reply.existing))
}

fn remove(args: &RemoveArgs) -> Result<(), Failure> {
    let missing = |id: &str| Failure::new(format!("no watch {id} is registered"));
    match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            for id in &args.ids {
                if !database.unwatch(id)? {
                    return Err(missing(id));
                }
            }
            Ok(database.close()?)
        }
        At::Server(url) => {
            let mut client = Client::new(url)?;
            for id in &args.ids {
                // Encoded as a parameter's value is, so that an id may have slashes.
                let encoded = with_parameters("", &[("", id)]);
                client.delete(&format!("/v1/watches/{}", encoded.trim_start_matches("?=")))?;
            }
            Ok(())
        }
    }
}

#[derive(Deserialize)]
struct PageView {
    watches: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct WatchView {
    id: String,
    subject: String,
    predicate: String,
    lens: String,
    since: u64,
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            let timeline = database.timeline();
            print(args, |prefix, after| {
                let page = database.watches(prefix, after, AT_ONCE)?;
                serde_json::to_vec(&WatchPageJson::new(&page, timeline)).map_err(Failure::new)
            })?;
            Ok(database.close()?)
        }
        At::Server(url) => {
            let mut client = Client::new(url)?;
            print(args, |prefix, after| {
                let limit = AT_ONCE.to_string();
                let mut parameters = vec![("limit", limit.as_str())];
                parameters
                    .extend(Some(prefix).filter(|prefix| !prefix.is_empty()).map(|one| ("prefix", one)));
                parameters.extend(after.map(|after| ("after", after)));
                Ok(client.get(&with_parameters("/v1/watches", &parameters))?.to_vec())
            })
        }
    }
}

fn print(
    args: &ListArgs,
    mut page: impl FnMut(&str, Option<&str>) -> Result<Vec<u8>, Failure>,
) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let mut after: Option<String> = None;
    loop {
        let json = page(args.prefix.as_deref().unwrap_or_default(), after.as_deref())?;
        let view: PageView = serde_json::from_slice(&json).map_err(Failure::new)?;
        for raw in &view.watches {
            if args.json {
                writeln!(out, "{}", raw.get())?;
                continue;
            }
            let WatchView { id, subject, predicate, lens, since } =
                serde_json::from_str(raw.get()).map_err(Failure::new)?;
            writeln!(out, "{id}  {subject}  {predicate}  {lens}  since {since}")?;
        }
        match view.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn follow(args: &FollowArgs) -> Result<(), Failure> {
    match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            let next = tell(&database, args)?;
            eprintln!("next {next}");
            Ok(database.close()?)
        }
        At::Server(url) => stream(&mut Client::new(url)?, args),
    }
}

fn tell(database: &Database, args: &FollowArgs) -> Result<String, Failure> {
    let timeline = database.timeline();
    let lsn = match args.from.split_once('.') {
        Some((theirs, lsn)) if theirs.parse() == Ok(timeline) => lsn,
        Some(_) => {
            return Err(Failure::new(format!("{} is of another timeline than {timeline}", args.from)));
        }
        None => &args.from,
    };
    let lsn = lsn.parse().map_err(|_| Failure::usage(format!("{} is no position", args.from)))?;
    let mut out = anstream::stdout().lock();
    let mut notices = database.notices(Lsn(lsn), &args.prefix)?;
    while let Some(notice) = notices.next_notice()? {
        let line = serde_json::to_string(&NoticeJson::new(&notice, timeline)).map_err(Failure::new)?;
        writeln!(out, "{line}")?;
    }
    Ok(format!("{timeline}.{}", notices.position()))
}

/// Asks again and again; each reply's end record says where to go on.
fn stream(client: &mut Client, args: &FollowArgs) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct End {
        #[allow(dead_code)] // only an end record has it
        end: bool,
        next: String,
        error: Option<EndError>,
    }
    #[derive(Deserialize)]
    struct EndError {
        code: String,
        detail: String,
    }
    let mut out = anstream::stdout().lock();
    let mut from = args.from.clone();
    loop {
        let mut parameters = vec![("from", from.as_str())];
        parameters
            .extend(Some(args.prefix.as_str()).filter(|one| !one.is_empty()).map(|one| ("prefix", one)));
        parameters.extend(Some(WAIT).filter(|_| !args.once).map(|wait| ("wait", wait)));
        let path = with_parameters("/v1/watches/events", &parameters);
        let on = |error| Failure::from(error).hint(format!("go on with --from {from}"));
        let mut reply = client.get_streaming(&path).map_err(on)?;
        let (mut line, mut ended) = (Vec::new(), None);
        while let Some(part) = reply.next_part()? {
            for byte in part {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                match line.starts_with(b"{\"end\":").then(|| serde_json::from_slice::<End>(&line)) {
                    Some(Ok(end)) => ended = Some(end),
                    _ => {
                        out.write_all(&line)?;
                        out.write_all(b"\n")?;
                    }
                }
                line.clear();
            }
            out.flush()?;
        }
        let Some(end) = ended else {
            let hint = format!("go on with --from {from}, and leave out what was told of later entries");
            return Err(Failure::new("the reply was cut off").hint(hint));
        };
        if let Some(error) = end.error {
            return Err(Failure::new(format!("{} ({})", error.detail, error.code)));
        }
        if args.once {
            eprintln!("next {}", end.next);
            return Ok(());
        }
        from = end.next;
    }
}
