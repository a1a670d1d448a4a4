//! `feed`: what changed from a position on.

use std::io::Write;

use stemedb_api::json::ChangeJson;
use stemedb_env::Lsn;

use super::{
    At, Place,
    client::{Client, with_parameters},
    failure::Failure,
    folder,
};

/// Print what was recorded from a journal position on, one JSON object a line
#[derive(Debug, clap::Args)]
pub struct FeedArgs {
    #[command(flatten)]
    place: Place,
    /// The first journal entry
    #[arg(long, value_name = "LSN", default_value_t = 1)]
    from: u64,
    /// At most so many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Entries asked of a server at once.
const ENTRIES_AT_ONCE: u64 = 10_000;

/// Prints.
pub fn run(args: &FeedArgs) -> Result<(), Failure> {
    match args.place.at()? {
        At::Folder(dir) => {
            let database = folder::open(dir)?;
            print(&database, args)?;
            Ok(database.close()?)
        }
        At::Server(url) => stream(&mut Client::new(url)?, args),
    }
}

fn print(database: &stemedb_api::Database, args: &FeedArgs) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let mut feed = database.feed(Lsn(args.from))?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(entry) = feed.next_entry()? else { break };
        let of = u32::try_from(entry.commands.len()).unwrap_or(u32::MAX);
        for (ordinal, command) in (0..).zip(&entry.commands) {
            let change = ChangeJson::new(entry.lsn, (ordinal, of), entry.recorded_at, command);
            let line = serde_json::to_string(&change).map_err(Failure::new)?;
            writeln!(out, "{line}")?;
        }
        left -= 1;
    }
    Ok(())
}

/// The end record of a reply says where to go on; it is not printed.
fn stream(client: &mut Client, args: &FeedArgs) -> Result<(), Failure> {
    #[derive(serde::Deserialize)]
    struct End {
        #[allow(dead_code)] // only an end record has it
        end: bool,
        entries: u64,
        next: String,
        error: Option<EndError>,
    }
    #[derive(serde::Deserialize)]
    struct EndError {
        code: String,
        detail: String,
    }
    let mut out = anstream::stdout().lock();
    let (mut from, mut left) = (args.from.to_string(), args.limit.unwrap_or(u64::MAX));
    while left > 0 {
        let limit = left.min(ENTRIES_AT_ONCE);
        let path = with_parameters("/v1/feed", &[("from", &from), ("limit", &limit.to_string())]);
        let mut reply = client.get_streaming(&path)?;
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
        }
        let Some(end) = ended else {
            return Err(Failure::new("the reply was cut off").hint("run it again from the last LSN shown"));
        };
        if let Some(error) = end.error {
            return Err(Failure::new(format!("{} ({})", error.detail, error.code)));
        }
        if end.entries < limit {
            break;
        }
        left -= limit;
        from = end.next;
    }
    Ok(())
}
