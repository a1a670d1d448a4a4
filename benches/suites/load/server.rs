//! The database, and server processes.

use std::{
    fs,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use stemedb_api::{Database, DatabaseOptions, json::RecordJson, load::Connection};
use stemedb_benches::{endless, sources, target};
use stemedb_core::{Assertion, Command as Record, Object};

use crate::{
    Failure,
    requests::{Asserts, Prepared, encoded, get},
};

/// Claims of the questions that one request shall take a millisecond for.
const BUSY: [usize; 13] = [16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];
const BUSY_GOAL: Duration = Duration::from_millis(1);
/// Questions that are asked.
const QUESTIONS: usize = 20_000;
/// Claims of an entry.
const BATCH: usize = 1_000;

/// A database that was closed.
pub struct Ground {
    /// Its folder.
    pub dir: PathBuf,
    claims: usize,
    questions: Vec<(String, String)>,
}

fn busy_subject(claims: usize) -> String {
    format!("busy:{claims}")
}

/// Claims like the sample's, and a few questions with very many.
fn records(claims: usize) -> impl Iterator<Item = Record> {
    endless().take(claims).chain(BUSY.into_iter().flat_map(|claims| {
        (0..claims).map(move |n| {
            let object = Object::Integer(n as i64 % 7);
            Record::Assert(Assertion::new(busy_subject(claims), "value", object, format!("source:{n}")))
        })
    }))
}

impl Ground {
    /// Makes the database.
    pub fn make(folder: &Path, claims: usize) -> Result<Ground, Failure> {
        let dir = folder.join("db");
        let database = Database::create(&dir, DatabaseOptions::default())?;
        database.submit(&sources())?;
        let mut questions = Vec::new();
        let mut batch = Vec::new();
        for record in records(claims) {
            if let Record::Assert(claim) = &record
                && questions.len() < QUESTIONS
            {
                let question = (claim.subject.clone(), claim.predicate.clone());
                if questions.last() != Some(&question) {
                    questions.push(question);
                }
            }
            batch.push(record);
            if batch.len() == BATCH {
                database.submit(&batch)?;
                batch.clear();
            }
        }
        database.submit(&batch)?;
        database.flush()?;
        database.close()?;
        Ok(Ground { dir, claims, questions })
    }

    /// Writes everything that is in it, in its order, a record a line.
    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        let mut out = BufWriter::new(fs::File::create(file)?);
        for command in sources().into_iter().chain(records(self.claims)) {
            serde_json::to_writer(&mut out, &RecordJson { command: &command, id: None, recorded: None })?;
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Its questions, over and over.
    pub fn questions(&self) -> Prepared {
        let ask = |(subject, predicate): &(String, String)| {
            get(&format!("/v1/query?subject={}&predicate={}", encoded(subject), encoded(predicate)))
        };
        Prepared(self.questions.iter().map(ask).collect())
    }

    /// Claims that it does not have.
    pub fn asserts(&self) -> Asserts {
        Asserts
    }

    /// A request that takes about a millisecond, and how long it takes alone. Its reply is short: the time is the engine's.
    pub async fn busy(&self, address: &str) -> Result<(Prepared, Duration), Failure> {
        let mut connection = Connection::open(address).await?;
        let mut best: Option<(Vec<u8>, Duration)> = None;
        for claims in BUSY {
            let subject = encoded(&busy_subject(claims));
            let request =
                get(&format!("/v1/query?lens=skeptic&subject={subject}&predicate=value&independent=true"));
            let mut times = Vec::new();
            for _ in 0..50 {
                let begin = Instant::now();
                match connection.ask(&request).await?.status {
                    200 => times.push(begin.elapsed()),
                    status => return Err(format!("the busy question: {status}").into()),
                }
            }
            times.sort_unstable();
            let took = times[times.len() / 2];
            let off = |time: Duration| time.abs_diff(BUSY_GOAL);
            if best.as_ref().is_none_or(|(_, time)| off(took) < off(*time)) {
                best = Some((request, took));
            }
        }
        let (request, took) = best.ok_or("no busy question")?;
        Ok((Prepared(vec![request]), took))
    }
}

/// A server process.
pub struct Server {
    child: Child,
    /// Host and port.
    pub address: String,
}

impl Server {
    /// Starts the program that was built beside this one over a database, with more options of `serve`, on one processor if one is
    /// named.
    pub fn start(dir: &Path, options: &[&str], processor: Option<usize>) -> Result<Server, Failure> {
        let program = target().join("release").join("stemedb-api");
        let mut command = match processor {
            None => Command::new(&program),
            Some(number) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &number.to_string()]).arg(&program);
                command
            }
        };
        command
            .args(["serve", "--bind", "127.0.0.1:0", "--log-level", "warn", "--data-dir"])
            .arg(dir)
            .args(options)
            .stdin(Stdio::null());
        Server::of(command, "build it with cargo build --release -p stemedb-api")
    }

    /// Starts PostgreSQL behind axum over the same claims, in an empty folder; returns when it has loaded them.
    pub fn start_other(program: &Path, claims: &Path, dir: &Path) -> Result<Server, Failure> {
        let mut command = Command::new(program);
        // It ends, and PostgreSQL with it, when its input does.
        command.arg("--claims").arg(claims).arg("--dir").arg(dir).stdin(Stdio::piped());
        Server::of(command, "cargo xtask bench load builds it")
    }

    fn of(mut command: Command, hint: &str) -> Result<Server, Failure> {
        let program = command.get_program().display().to_string();
        let mut child =
            command.stdout(Stdio::piped()).spawn().map_err(|error| format!("{program}: {error}; {hint}"))?;
        let mut said = String::new();
        let out = child.stdout.take().ok_or("no output")?;
        BufReader::new(out).read_line(&mut said)?;
        // Ended with this value from here on.
        let mut server = Server { child, address: String::new() };
        let address = said.trim().rsplit_once("//").ok_or("the server does not say where it listens")?.1;
        server.address = address.to_owned();
        Ok(server)
    }

    /// What it holds in memory.
    pub fn memory_mib(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match self.child.stdin.take() {
            Some(input) => drop(input),
            // It lies over a folder that is thrown away.
            None => {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
    }
}

/// Keeps this thread, and those that it begins, on one processor.
pub fn stay_on(processor: usize) -> Result<(), Failure> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
