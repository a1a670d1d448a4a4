//! What one server takes, and what it does with more than that.
//!
//! ```text
//! cargo xtask bench load [--seconds N] [--connections N] [--claims N] [--cases NAME,NAME] [--rounds N] [--dir DIR] [--out DIR]
//! ```
//!
//! A real server process over loopback, and this program beside it on the same processors.
//!
//! | case | what is sent |
//! |---|---|
//! | `questions` | questions of the sample, one after the other on each connection; every reply is a whole answer |
//! | `asserts` | claims that are new, one a request, acknowledged when they are durable |
//! | `beside` | the same questions and asserts to this server and to PostgreSQL behind a minimal axum server that does the same work, by turns |
//! | `overload` | an endpoint of about a millisecond, at 0.5 to 5 times what the server can do, at moments that do not wait for replies |
//!
//! `overload` keeps the server on one processor and this program on the other. Latency counts from the moment at which a request
//! was to be sent, so that a queue in front of the server counts too.
#![allow(missing_docs)]
// It measures real time on real files, processes and sockets.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod beside;
mod report;
mod requests;
mod server;

use std::{path::PathBuf, process::ExitCode, rc::Rc, time::Duration};

use stemedb_api::load::{Offer, Pace, closed, open};

use crate::{
    report::{Report, Row, Stage},
    server::{Ground, Server},
};

pub use stemedb_benches::Failure;
use stemedb_benches::judged;

const USAGE: &str = "\
cargo xtask bench load [--seconds N] [--connections N] [--claims N] [--cases NAME,NAME] [--rounds N] [--dir DIR] [--out DIR]

  --seconds N      how long each rate is held (default: 10)
  --connections N  of questions, asserts and beside (default: 64)
  --claims N       claims in the database (default: 200000)
  --cases ...      questions, asserts, beside, overload (default: all)
  --rounds N       turns of everybody in beside (default: 3)
  --pg-server FILE the program that is PostgreSQL behind axum, for beside; cargo xtask builds and names it
  --dir DIR        where the database is made (default: the folder of the build)
  --out DIR        where load.md and load.json go (default: the folder of the build)
";

/// Times what the server can do, in the order in which they are offered; it ends as it begins.
const LOADS: [f64; 6] = [0.5, 0.9, 1.5, 2.0, 5.0, 0.5];
/// Connections of the open loop: more than the server lets in.
const OPEN_CONNECTIONS: usize = 768;
/// Connections at which the server's rate is taken for what it can do.
const FULL_CONNECTIONS: usize = 8;
/// How often all loads are offered.
const ROUNDS: usize = 3;

/// Before questions are measured.
const WARM_UP: Duration = Duration::from_secs(2);

struct Arguments {
    seconds: u64,
    connections: usize,
    claims: usize,
    cases: Vec<String>,
    rounds: usize,
    pg_server: Option<PathBuf>,
    dir: PathBuf,
    out: PathBuf,
}

fn arguments() -> Result<Option<Arguments>, Failure> {
    let target = stemedb_benches::target();
    let mut found = Arguments {
        seconds: 10,
        connections: 64,
        claims: 200_000,
        cases: ["questions", "asserts", "beside", "overload"].map(str::to_owned).to_vec(),
        rounds: 3,
        pg_server: None,
        dir: target.clone(),
        out: target,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "--seconds" => found.seconds = value()?.parse()?,
            "--connections" => found.connections = value()?.parse()?,
            "--claims" => found.claims = value()?.parse()?,
            "--cases" => {
                let cases: Vec<String> = value()?.split(',').map(str::to_owned).collect();
                if let Some(unknown) = cases.iter().find(|case| !found.cases.contains(case)) {
                    return Err(format!("no case {unknown}\n\n{USAGE}").into());
                }
                found.cases = cases;
            }
            "--rounds" => found.rounds = value()?.parse()?,
            "--pg-server" => found.pg_server = Some(value()?.into()),
            "--dir" => found.dir = value()?.into(),
            "--out" => found.out = value()?.into(),
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--help" => return Ok(None),
            other => return Err(format!("unknown option {other}\n\n{USAGE}").into()),
        }
    }
    Ok(Some(found))
}

fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let length = Duration::from_secs(arguments.seconds);
    let asked = |case: &str| arguments.cases.iter().any(|name| name == case);
    let folder = tempfile::Builder::new().prefix("stemedb-load-").tempdir_in(&arguments.dir)?;
    let ground = Ground::make(folder.path(), arguments.claims)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report { claims: arguments.claims, seconds: arguments.seconds, ..Report::default() };
    // First: both servers answer from the same entries.
    if asked("beside") {
        let how = beside::How {
            program: arguments.pg_server.as_deref().ok_or("the case beside needs --pg-server")?,
            folder: folder.path(),
            connections: arguments.connections,
            length,
            rounds: arguments.rounds,
        };
        report.beside = Some(beside::run(&how, &ground, &runtime)?);
        report.write(&arguments.out)?;
    }
    if asked("questions") || asked("asserts") {
        let server = Server::start(&ground.dir, &[], None)?;
        let (address, connections) = (server.address.as_str(), arguments.connections);
        if asked("questions") {
            let work = Rc::new(ground.questions());
            // Once round: what is asked again is what a cache has.
            runtime.block_on(closed(address, &work, connections, 0..u64::MAX, WARM_UP))?;
            let seen = runtime.block_on(closed(address, &work, connections, 0..u64::MAX, length))?;
            report.rows.push(Row::of("questions", connections, &seen));
        }
        if asked("asserts") {
            let work = Rc::new(ground.asserts());
            let seen = runtime.block_on(closed(address, &work, connections, 0..u64::MAX, length))?;
            report.rows.push(Row::of("asserts", connections, &seen));
        }
        report.write(&arguments.out)?;
    }
    if asked("overload") {
        let server = Server::start(&ground.dir, &[], Some(0))?;
        server::stay_on(1)?;
        let address = server.address.as_str();
        let (request, alone) = runtime.block_on(ground.busy(address))?;
        report.endpoint = alone;
        let work = Rc::new(request);
        let mut measured = vec![Vec::new(); LOADS.len()];
        for _ in 0..ROUNDS {
            for (load, stages) in LOADS.into_iter().zip(&mut measured) {
                // Just before: these machines do not keep their pace for long.
                let before =
                    runtime.block_on(closed(address, &work, FULL_CONNECTIONS, 0..u64::MAX, length / 2))?;
                let peak = Row::of("peak", FULL_CONNECTIONS, &before).good;
                let rate = load * peak;
                let offer =
                    Offer { rate, pace: Pace::Random, length, connections: OPEN_CONNECTIONS, first: 0 };
                let seen = runtime.block_on(open(address, &work, offer))?;
                stages.push(Stage::of(load, peak, &seen, server.memory_mib()?));
            }
        }
        (report.full_connections, report.rounds) = (FULL_CONNECTIONS, ROUNDS);
        report.stages = measured.iter().filter_map(|stages| Stage::middle(stages)).collect();
    }
    report.write(&arguments.out)?;
    print!("{}", report.markdown());
    Ok(report.is_good())
}

fn main() -> ExitCode {
    judged(USAGE, arguments().and_then(|arguments| arguments.as_ref().map(run).transpose()))
}
