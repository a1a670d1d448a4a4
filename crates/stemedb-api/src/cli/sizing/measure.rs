//! A short measurement on this machine, whose figures take the place of those of the pages.
//!
//! ```text
//! a database in a folder of its own   claims in batches ─▶ merged, closed: bytes of tables, journal, indexes
//!                                     lone assertions   ─▶ commits a second
//!                                     opened again      ─▶ blocks read by a question, all of it cold
//!                                     journal alone     ─▶ the view derived again: claims a second
//! a server over it                    connections that wait ─▶ memory of each
//! ```

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use serde::Serialize;
use stemedb_api::{
    Database, DatabaseOptions, Query,
    core::{Assertion, Command, Lens, Object},
    hybrid,
};
use stemedb_env::Env;
use stemedb_index::Claims;

use crate::cli::{
    bench::own_server::{OwnServer, Room},
    client::ServerUrl,
    failure::Failure,
    folder, process,
};

const BATCH: u64 = 1_000;
/// Claims about each question.
const PER_QUESTION: u64 = 8;
const LONE: u64 = 2_000;
const QUESTIONS: u64 = 500;

/// What was measured. Names are those of the figures that these take the place of.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub table_bytes_per_claim: f64,
    pub journal_bytes_per_claim: f64,
    pub journal_plain_bytes_per_claim: f64,
    pub index_bytes_per_claim: f64,
    pub connection_bytes: f64,
    pub block_reads_per_question: f64,
    pub rebuild_claims_per_second: f64,
    pub lone_commits_per_second: f64,
    pub loaded_claims_per_second: f64,
}

/// A fact about a substance from one of eight sources, as the generated claims of the benchmarks are.
fn claim(number: u64) -> Assertion {
    let (question, source) = (number / PER_QUESTION, number % PER_QUESTION);
    // Spread over the keys, as subjects of real claims are.
    let subject = format!("sizing:{:08x}", question.wrapping_mul(2_654_435_761) & 0xFFFF_FFFF);
    let value = format!("{}.{}", 100 + question % 900, source % 3 + 1);
    Assertion::new(subject, "boiling_point_K", Object::Number(value), format!("source:{source}"))
}

fn engine(error: hybrid::Error) -> Failure {
    stemedb_api::Error::from(error).into()
}

/// Measures with so many claims and connections, in a folder that is absent or empty and stays, or in one that is removed.
pub fn measure(env: &Env, dir: Option<&Path>, claims: u64, connections: u64) -> Result<Measured, Failure> {
    let room = Room::make(env, dir)?;
    let data = room.dir().join("db");
    let options = || DatabaseOptions { cache_bytes: 0, ..DatabaseOptions::default() };
    let database = Database::create(&data, options())?;
    let begun = env.clock.monotonic();
    for first in (0..claims).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let batch: Vec<Command> =
            (first..claims.min(first + BATCH)).map(|number| Command::Assert(claim(number))).collect();
        database.submit(&batch)?;
    }
    let loaded = env.clock.monotonic().saturating_sub(begun).as_secs_f64();
    let plain = database.stats().journal.file_bytes;
    let begun = env.clock.monotonic();
    for number in claims..claims + LONE {
        database.assert(claim(number))?;
    }
    let lone = env.clock.monotonic().saturating_sub(begun).as_secs_f64();
    database.flush()?;
    database.compact()?;
    let all = (claims + LONE) as f64;
    let lsm = database.stats().lsm;
    let tables: u64 = lsm.levels.iter().map(|level| level.bytes).sum();
    database.close()?;
    let wal = hybrid::Layout::of(&data).wal();
    // Closing has packed what no view needs; what is live is as it was written.
    let journal = folder::bytes_in(env, &wal)?;

    let cold = Database::open(&data, options())?;
    let mut reads = 0;
    for n in 0..QUESTIONS {
        let asked = claim(n * 7_919 % (claims / PER_QUESTION).max(1) * PER_QUESTION);
        let (_, cost) = cold.query_measured(Query::new(asked.subject, asked.predicate, Lens::Consensus))?;
        reads += cost.block_reads;
    }
    // Indexes and filters are read when somebody needs them: by now of every table.
    let index = cold.stats().lsm.index_memory_bytes;
    cold.close()?;

    let aside = room.dir().join("kv.again");
    let begun = env.clock.monotonic();
    hybrid::rebuild(env, &wal, &aside, &Claims, &options().engine, &mut |_| {}).map_err(engine)?;
    let rebuilt = env.clock.monotonic().saturating_sub(begun).as_secs_f64();

    let server = OwnServer::start(&room)?;
    let connection_bytes = per_connection(env, &server, connections)?;
    drop(server);
    Ok(Measured {
        table_bytes_per_claim: tables as f64 / all,
        journal_bytes_per_claim: journal as f64 / all,
        journal_plain_bytes_per_claim: plain as f64 / claims.max(1) as f64,
        index_bytes_per_claim: index as f64 / all,
        connection_bytes,
        block_reads_per_question: reads as f64 / QUESTIONS as f64,
        rebuild_claims_per_second: all / rebuilt.max(1e-6),
        lone_commits_per_second: LONE as f64 / lone.max(1e-6),
        loaded_claims_per_second: claims as f64 / loaded.max(1e-6),
    })
}

/// Memory of a connection that has asked once and waits, of many.
fn per_connection(env: &Env, server: &OwnServer, connections: u64) -> Result<f64, Failure> {
    let id = server.id();
    let unknown = || Failure::new("the system does not say how much memory a process has");
    let broken = |error: std::io::Error| Failure::new(error).context("cannot hold connections open");
    // The first ones are not like the others: the server makes what all of them need.
    let warm: Vec<TcpStream> =
        (0..16).map(|_| asked_once(&server.url)).collect::<Result<_, _>>().map_err(broken)?;
    let before = process::memory_bytes(env, id).ok_or_else(unknown)?;
    let held: Vec<TcpStream> =
        (0..connections).map(|_| asked_once(&server.url)).collect::<Result<_, _>>().map_err(broken)?;
    let after = process::memory_bytes(env, id).ok_or_else(unknown)?;
    drop((warm, held));
    Ok(after.saturating_sub(before) as f64 / connections.max(1) as f64)
}

/// A connection that has had a reply, and is kept.
fn asked_once(url: &ServerUrl) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(url.authority())?;
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", url.authority())?;
    let mut reply = [0; 2048];
    let mut filled = 0;
    while !reply.get(..filled).is_some_and(|seen| seen.ends_with(b"ok\n")) {
        let Some(rest) = reply.get_mut(filled..).filter(|rest| !rest.is_empty()) else { break };
        match stream.read(rest)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(stream)
}
