//! `bench pilot`: the gates that a pilot must pass, as one command.
//!
//! ```text
//! own server, or --url ─▶ 10,000 claims ─▶ 100 questions/s ─▶ 1,000 assertions/s ─▶ kill -9, start ─▶ read all back ─▶ gates
//!                                           └ open loops: latency from when a request was due     (own server alone)
//! ```
//!
//! What passes is a number of the contract beside a number that was seen. Nothing here repairs, repeats or leaves out: a request
//! that fails once fails the gate.

mod claims;
mod gates;
pub mod own_server;
mod read_back;
mod requests;
mod show;
mod storage;

use std::{
    io::Write,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use stemedb_api::load::{Offer, Pace, Seen, closed, open};
use stemedb_env::Env;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    claims::{Claims, QUESTIONS},
    gates::{Measured, gates},
    own_server::{OwnServer, Room},
    requests::{Asserts, Questions, Server},
};
use crate::cli::{client::ServerUrl, failure::Failure, paint::thousands};

/// Claims that the questions are about.
const LOADED: u64 = 10_000;
const QUESTIONS_PER_SECOND: f64 = 100.0;
const ASSERTS_PER_SECOND: f64 = 1_000.0;
/// Connections: of loading, of questions, of assertions.
const LOADING: usize = 32;
const ASKING: usize = 64;
const ASSERTING: usize = 256;

/// Check the pilot's gates: 100 questions a second over 10,000 claims, then 1,000 durable assertions a second, each for so long, and
/// whether every acknowledged one can be read back. Exit code 0 only if all pass
#[derive(Debug, clap::Args)]
pub struct PilotArgs {
    /// A running server, such as http://127.0.0.1:18180; the claims that are made stay in it [default: a server of its own, over a new
    /// database, which is also killed and started again before everything is read back]
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    url: Option<ServerUrl>,
    /// The folder, absent or empty, in which the server of its own has its database, which is kept: on the disk that is meant
    /// [default: a new one among the temporary files, which is removed]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How long each of the two rates is held
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0, value_parser = minutes)]
    minutes: f64,
    /// Also write what was seen into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, &'static str> {
    let minutes = text.parse().ok().filter(|minutes| (0.01..=120.0).contains(minutes));
    minutes.ok_or("a number of minutes from 0.01 to 120")
}

/// Measures, prints the table, and fails if a gate does.
pub fn run(args: &PilotArgs) -> Result<(), Failure> {
    let env = Env::real();
    let json = args.json.as_deref().map(|path| writable(&env, path)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(error).context("cannot start the generator"))?;
    // A server of its own, and its folder, go with the future when a signal comes.
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = measure(&env, args) => measured,
            signal = stopped() => Err(Failure::new(format!("stopped by {}", signal?))),
        }
    })?;
    let gates = gates(&measured);
    if let Some(path) = &json {
        let text = show::json(&measured, &gates)?;
        stemedb_env::fs::write_file_atomic(&*env.fs, path, text.as_bytes())?;
    }
    show::print(&mut anstream::stdout().lock(), &measured, &gates)?;
    match gates.iter().filter(|gate| !gate.passed).count() {
        0 => Ok(()),
        missed => Err(Failure::new(format!("{missed} of {} gates are not passed", gates.len()))
            .hint("docs/operations/pilot.md says what to look at")),
    }
}

/// Where the JSON goes. What is wrong with the place is said before anything is measured.
fn writable(env: &Env, path: &Path) -> Result<PathBuf, Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(error).context(format!("cannot write {}", path.display()))
    };
    let path = std::path::absolute(path).map_err(|error| cannot(&error))?;
    let folder = path.parent().map(|folder| env.fs.metadata(folder)).transpose()?.flatten();
    match folder {
        Some(found) if found.is_dir => Ok(path),
        _ => Err(cannot(&"its folder does not exist")),
    }
}

async fn stopped() -> Result<&'static str, Failure> {
    let install = |kind| signal(kind).map_err(|error| Failure::new(error).context("cannot handle signals"));
    let (mut terminate, mut interrupt) =
        (install(SignalKind::terminate())?, install(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

/// Says what is being done, on standard error.
fn tell(what: &str) {
    // Nothing can be done if printing fails.
    let _ = writeln!(anstream::stderr(), "{what}");
}

async fn measure(env: &Env, args: &PilotArgs) -> Result<Measured, Failure> {
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    let (room, mut own) = match &args.url {
        Some(_) => (None, None),
        None => {
            let room = Room::make(env, args.data_dir.as_deref())?;
            let own = OwnServer::start(&room)?;
            (Some(room), Some(own))
        }
    };
    let url = match (&args.url, &own) {
        (Some(url), _) => url.clone(),
        (None, Some(own)) => own.url.clone(),
        (None, None) => return Err(Failure::usage("give --url, or a place for a server")),
    };
    let place = match &room {
        Some(room) => format!("its own server over {}", room.dir().display()),
        None => url.to_string(),
    };
    let mut server = if own.is_some() { Server::own(&url) } else { Server::new(&url)? };
    let claims = Claims::new(env);
    tell(&format!("{place}: loading {} claims", thousands(LOADED)));
    load(&server, claims).await?;

    tell(&format!("{QUESTIONS_PER_SECOND} questions a second for {} minutes", args.minutes));
    let offer = Offer { rate: QUESTIONS_PER_SECOND, pace: Pace::Even, length, connections: ASKING, first: 0 };
    let work = Rc::new(Questions { server: server.clone(), claims });
    let mut storage = storage::Watched::default();
    let questions = watched(&server, &mut storage, &work, offer).await?;

    tell(&format!(
        "{} assertions a second for {} minutes",
        thousands(ASSERTS_PER_SECOND as u64),
        args.minutes
    ));
    let offer = Offer { rate: ASSERTS_PER_SECOND, connections: ASSERTING, first: LOADED, ..offer };
    let work = Rc::new(Asserts::new(server.clone(), claims));
    let asserts = watched(&server, &mut storage, &work, offer).await?;
    let mut acknowledged: Vec<u64> = (0..LOADED).collect();
    acknowledged.extend(work.acknowledged());

    let mut restarted = None;
    if let (Some(running), Some(room)) = (own.take(), &room) {
        tell("killing the server, and starting it again");
        running.kill()?;
        let begun = env.clock.monotonic();
        let again = OwnServer::start(room)?;
        restarted = Some(env.clock.monotonic().saturating_sub(begun));
        server = Server::own(&again.url);
        own = Some(again);
    }
    tell(&format!("reading {} acknowledged claims back", thousands(acknowledged.len() as u64)));
    let read_back = read_back::read(&server, claims, acknowledged).await?;
    drop(own);
    Ok(Measured { place, length, questions, asserts, restarted, read_back, storage })
}

/// Holds a rate, and looks at the storage meanwhile.
async fn watched<W: stemedb_api::load::Work + 'static>(
    server: &Server,
    storage: &mut storage::Watched,
    work: &Rc<W>,
    offer: Offer,
) -> Result<Seen, Failure> {
    let broken =
        |error: std::io::Error| Failure::new(error).context(format!("no connection to {}", server.address()));
    let seen = tokio::select! {
        seen = open(server.address(), work, offer) => seen.map_err(broken)?,
        never = storage.watch(server) => match never {},
    };
    // The end counts in any case, however short it was.
    storage.look(server).await;
    Ok(seen)
}

/// Makes the claims that the questions are about. Without them nothing can be measured.
async fn load(server: &Server, claims: Claims) -> Result<(), Failure> {
    let work = Rc::new(Asserts::new(server.clone(), claims));
    let seen = closed(server.address(), &work, LOADING, 0..LOADED, Duration::MAX).await;
    let seen = seen.map_err(|error| {
        Failure::new(error)
            .context(format!("no connection to {}", server.address()))
            .hint("is the server running? `stemedb-api serve --data-dir DIR` starts one")
    })?;
    match seen.first_failure {
        None => Ok(()),
        Some(why) => Err(Failure::new(format!(
            "only {} of {} claims for {QUESTIONS} questions could be recorded: {why}",
            seen.good.len(),
            seen.offered
        ))),
    }
}
