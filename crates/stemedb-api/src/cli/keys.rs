//! `keys`: making, listing and revoking API keys, in a folder or through a running server.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;
use stemedb_api::{
    core::{AgentId, Micros},
    http::{KeyId, KeyJson, KeyStore, KeysError, NewKey, Scope, Scopes},
};
use stemedb_env::{Env, FileLock};
use stemedb_hybrid::Layout;

use super::{
    At, Place,
    client::{Client, Content},
    failure::Failure,
    paint::visible,
};

/// API keys: who may read, write and administer
#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it; it cannot be had again
    Create(CreateArgs),
    /// List the keys, without their secrets
    List(ListArgs),
    /// Revoke a key
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    #[command(flatten)]
    place: Place,
    /// What it may do: read, write, admin; several with commas
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// The agent whose records alone it may make (its public key, 64 hexadecimal digits)
    #[arg(long, value_name = "AGENT")]
    agent: Option<AgentId>,
    /// When it ends by itself: an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Write the key into this new file, that its owner alone may read, and print its id
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    #[command(flatten)]
    place: Place,
    /// The key's id: the twelve digits behind `stemedb_`
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs one of them.
pub fn run(args: &KeysArgs) -> Result<(), Failure> {
    match &args.command {
        KeysCommand::Create(args) => create(args),
        KeysCommand::List(args) => list(args),
        KeysCommand::Revoke(args) => revoke(args),
    }
}

/// The parts of a key's JSON that are shown.
#[derive(Debug, Deserialize)]
struct View {
    id: String,
    label: String,
    scopes: Vec<String>,
    agent: Option<String>,
    state: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    key: Option<String>,
}

/// The keys of a folder that no server has open.
struct Folder {
    keys: KeyStore,
    _lock: Box<dyn FileLock>,
}

impl Folder {
    fn open(dir: &Path) -> Result<Folder, Failure> {
        let (env, layout) = (Env::real(), Layout::of(dir));
        let [a, b] = layout.identities();
        if env.fs.metadata(&a)?.is_none() && env.fs.metadata(&b)?.is_none() {
            let hint = "`stemedb-api init --data-dir DIR` creates a database";
            return Err(Failure::new(format!("{} holds no database", dir.display())).hint(hint));
        }
        let holder = format!("pid {}", std::process::id());
        let lock = env.fs.lock(&layout.lock(), &holder).map_err(|error| {
            // A server keeps its keys in memory: what is changed behind its back would not be in force.
            Failure::new(error).hint("ask the server that has it open, with --url")
        })?;
        let keys = KeyStore::open(&env, layout.api_keys());
        keys.check().map_err(|error| failed(&error))?;
        Ok(Folder { keys, _lock: lock })
    }
}

fn failed(error: &KeysError) -> Failure {
    let failure = Failure::new(error);
    match error {
        KeysError::Damaged { .. } => {
            failure.hint("put the file back from where it is kept, or move it away and make new keys")
        }
        _ => failure,
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let expires_at = match &args.expires_at {
        None => None,
        Some(text) => {
            Some(Micros::parse_rfc3339(text).map_err(|e| Failure::usage(e).context("--expires-at"))?)
        }
    };
    let view = match args.place.at()? {
        At::Folder(dir) => {
            let folder = Folder::open(dir)?;
            let scopes = Scopes::new(args.scopes.iter().copied());
            let scopes = scopes.ok_or_else(|| Failure::usage("--scopes names none"))?;
            let new = NewKey { label: args.label.clone(), scopes, agent: args.agent, expires_at };
            let (token, key) = folder.keys.create(new).map_err(|error| failed(&error))?;
            let json = KeyJson::new(&key, None, folder.keys.now()).with_token(&token);
            parse(&serde_json::to_vec(&json).map_err(Failure::new)?)?
        }
        At::Server(url) => {
            let body = json!({
                "label": args.label, "scopes": args.scopes,
                "agent": args.agent.map(|agent| agent.to_string()), "expires_at": args.expires_at,
            });
            let content = Content { media_type: "application/json", body: body.to_string().into() };
            parse(&Client::new(url)?.post("/v1/admin/keys", content)?)?
        }
    };
    let key = view.key.ok_or_else(|| Failure::new("the answer has no key"))?;
    let mut out = anstream::stdout().lock();
    match &args.out {
        None => writeln!(out, "{key}")?,
        Some(file) => {
            let env = Env::real();
            if env.fs.metadata(file)?.is_some() {
                let what = format!("{} exists; the key {} was made and is lost", file.display(), view.id);
                return Err(Failure::new(what).hint("revoke it, and choose another file"));
            }
            stemedb_env::fs::write_private_file_atomic(&*env.fs, file, format!("{key}\n").as_bytes())?;
            writeln!(out, "{}", view.id)?;
        }
    }
    Ok(())
}

fn parse(body: &[u8]) -> Result<View, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(error).context("the answer is not what this version understands"))
}

#[derive(Deserialize)]
struct ListView {
    keys: Vec<View>,
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let answer: Bytes = match args.place.at()? {
        At::Folder(dir) => {
            let folder = Folder::open(dir)?;
            let (keys, now) = (folder.keys.list().map_err(|error| failed(&error))?, folder.keys.now());
            let keys: Vec<KeyJson> = keys.iter().map(|(key, used)| KeyJson::new(key, *used, now)).collect();
            json!({ "keys": keys }).to_string().into()
        }
        At::Server(url) => Client::new(url)?.get("/v1/admin/keys")?,
    };
    let mut out = anstream::stdout().lock();
    if args.json {
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let ListView { keys } = serde_json::from_slice(&answer)
        .map_err(|error| Failure::new(error).context("the answer is not what this version understands"))?;
    for key in keys {
        write!(out, "{}  {:<8} {:<17} {}", key.id, key.state, key.scopes.join(","), visible(&key.label))?;
        for (what, value) in
            [("agent", key.agent), ("until", key.expires_at), ("last used", key.last_used_at)]
        {
            if let Some(value) = value {
                write!(out, "  {what} {value}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let id = KeyId::parse(&args.id)
        .ok_or_else(|| Failure::usage("the id is the twelve digits behind `stemedb_`"))?;
    let found = match args.place.at()? {
        At::Folder(dir) => Folder::open(dir)?.keys.revoke(id).map_err(|error| failed(&error))?,
        At::Server(url) => Client::new(url)?.delete(&format!("/v1/admin/keys/{id}")).map(|_| true)?,
    };
    if !found {
        return Err(Failure::new(format!("no key has the id {id}")).hint("`keys list` shows them"));
    }
    writeln!(anstream::stdout(), "revoked {id}")?;
    Ok(())
}
