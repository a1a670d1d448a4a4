//! `agent`: what is known about an agent, and what is to be known from now on.

use std::io::Write;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use stemedb_api::{
    AsOf,
    core::{AgentId, Nano, SourceClass},
    json::{self, AgentJson},
};

use super::{
    At, Place,
    client::{Client, Content, with_parameters},
    failure::Failure,
    folder,
    paint::visible,
};

/// Say what is known about an agent, or record it with --name, --class, --trust or --forget
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    #[command(flatten)]
    place: Place,
    /// The agent's public key, 64 hexadecimal digits
    #[arg(value_name = "AGENT")]
    id: AgentId,
    /// Record: what people call it
    #[arg(long, value_name = "NAME", conflicts_with = "as_of")]
    name: Option<String>,
    /// Record: its class, 0 to 5, which decides whose claims it may set aside
    #[arg(long, value_name = "CLASS", conflicts_with = "as_of")]
    class: Option<u8>,
    /// Record: how far its claims are trusted, 0 to 1
    #[arg(long, value_name = "TRUST", conflicts_with = "as_of")]
    trust: Option<String>,
    /// Record: nothing is known about it any more
    #[arg(long, conflicts_with_all = ["as_of", "name", "class", "trust"])]
    forget: bool,
    /// As it was known at a journal position or an RFC 3339 time
    #[arg(long, value_name = "LSN|TIME")]
    as_of: Option<String>,
    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// The parts of the JSON that are shown.
#[derive(Deserialize)]
struct View {
    recorded: bool,
    name: Option<String>,
    class: u8,
    trust: f64,
    lsn: Option<u64>,
    recorded_at: Option<String>,
}

/// Records if there is something to record; then says what is known.
pub fn run(args: &AgentArgs) -> Result<(), Failure> {
    let record = record(args)?;
    let path = format!("/v1/agents/{}", args.id);
    let answer: Bytes = match args.place.at()? {
        At::Folder(dir) => {
            let as_of = args.as_of.as_deref().map(AsOf::parse).transpose().map_err(Failure::usage)?;
            let database = folder::open(dir)?;
            if let Some(body) = &record {
                database.agent(json::agent(body).map_err(Failure::new)?)?;
            }
            let known = database.agent_known(args.id, as_of)?;
            database.close()?;
            serde_json::to_vec(&AgentJson::new(&known)).map_err(Failure::new)?.into()
        }
        At::Server(url) => {
            let mut client = Client::new(url)?;
            if let Some(body) = record {
                client.post("/v1/agent", Content { media_type: "application/json", body: body.into() })?;
            }
            let as_of: Vec<_> = args.as_of.as_deref().map(|as_of| ("as_of", as_of)).into_iter().collect();
            client.get(&with_parameters(&path, &as_of))?
        }
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let view: View = serde_json::from_slice(&answer)
        .map_err(|error| Failure::new(error).context("the answer is not what this version understands"))?;
    print(&mut out, args.id, &view)
}

/// The body of the record that the options make; `None` without any.
fn record(args: &AgentArgs) -> Result<Option<Vec<u8>>, Failure> {
    if !args.forget && args.name.is_none() && args.class.is_none() && args.trust.is_none() {
        return Ok(None);
    }
    if let Some(class) = args.class {
        SourceClass::new(class).map_err(|problem| Failure::usage(problem).context("--class"))?;
    }
    let mut body = json!({ "id": args.id.to_string() });
    if let Some(name) = &args.name {
        body["name"] = name.as_str().into();
    }
    if let Some(class) = args.class {
        body["class"] = class.into();
    }
    let mut body = body.to_string();
    if let Some(trust) = &args.trust {
        Nano::parse_json_number(trust).map_err(|problem| Failure::usage(problem).context("--trust"))?;
        // As it was typed: a fraction keeps its digits.
        body.truncate(body.len() - 1);
        body.push_str(&format!(",\"trust\":{trust}}}"));
    }
    json::agent(body.as_bytes()).map_err(Failure::usage)?;
    Ok(Some(body.into_bytes()))
}

fn print(out: &mut impl Write, id: AgentId, view: &View) -> Result<(), Failure> {
    writeln!(out, "agent   {id}")?;
    if let Some(name) = &view.name {
        writeln!(out, "name    {}", visible(name))?;
    }
    writeln!(out, "class   {}", view.class)?;
    writeln!(out, "trust   {}", view.trust)?;
    match (view.recorded, view.lsn, &view.recorded_at) {
        (true, Some(lsn), Some(at)) => writeln!(out, "        as recorded at LSN {lsn}, {at}")?,
        _ => writeln!(out, "        nothing was recorded: this is what counts for an unknown one")?,
    }
    Ok(())
}
