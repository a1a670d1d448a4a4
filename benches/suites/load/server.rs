//! The database, the requests about it, and a server process over it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use stemedb_api::{Database, DatabaseOptions};
use stemedb_benches::{endless, sources, target};
use stemedb_core::{Assertion, Command as Record, Object};

use crate::{Failure, connection::Connection};

/// Claims of the questions that one request shall take a millisecond for.
const BUSY: [usize; 8] = [16, 32, 64, 128, 256, 512, 1024, 2048];
const BUSY_GOAL: Duration = Duration::from_millis(1);
/// Questions that are asked.
const QUESTIONS: usize = 20_000;
/// Claims that are made ready to be asserted.
const ASSERTS: usize = 600_000;

/// A database that was closed.
pub struct Ground {
    dir: PathBuf,
    questions: Vec<(String, String)>,
}

fn busy_subject(claims: usize) -> String {
    format!("busy:{claims}")
}

impl Ground {
    /// Claims like the sample's, and a few questions with very many.
    pub fn make(folder: &Path, claims: usize) -> Result<Ground, Failure> {
        let dir = folder.join("db");
        let database = Database::create(&dir, DatabaseOptions::default())?;
        database.submit(&sources())?;
        let mut questions = Vec::new();
        let mut batch = Vec::new();
        let all = endless().take(claims).chain(BUSY.into_iter().flat_map(|claims| {
            (0..claims).map(move |n| {
                let object = Object::Integer(n as i64 % 7);
                Record::Assert(Assertion::new(busy_subject(claims), "value", object, format!("source:{n}")))
            })
        }));
        for record in all {
            if let Record::Assert(claim) = &record
                && questions.len() < QUESTIONS
            {
                let question = (claim.subject.clone(), claim.predicate.clone());
                if questions.last() != Some(&question) {
                    questions.push(question);
                }
            }
            batch.push(record);
            if batch.len() == 1_000 {
                database.submit(&batch)?;
                batch.clear();
            }
        }
        database.submit(&batch)?;
        database.flush()?;
        database.close()?;
        Ok(Ground { dir, questions })
    }

    pub fn questions(&self) -> Vec<Vec<u8>> {
        let ask = |(subject, predicate): &(String, String)| {
            get(&format!("/v1/query?subject={}&predicate={}", encoded(subject), encoded(predicate)))
        };
        self.questions.iter().map(ask).collect()
    }

    pub fn asserts(&self) -> Vec<Vec<u8>> {
        let body = |n: usize| {
            format!(r#"{{"subject":"load:{}","predicate":"value","object":{n},"source":"load"}}"#, n % 50_000)
        };
        (0..ASSERTS)
            .map(|n| {
                let body = body(n);
                let head = format!(
                    "POST /v1/assert HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                [head.as_bytes(), body.as_bytes()].concat()
            })
            .collect()
    }

    /// A request that takes about a millisecond, and how long it takes alone. Its reply is short: the time is the engine's.
    pub async fn busy(&self, address: SocketAddr) -> Result<(Vec<u8>, Duration), Failure> {
        let mut connection = Connection::open(address).await?;
        let mut best: Option<(Vec<u8>, Duration)> = None;
        for claims in BUSY {
            let subject = encoded(&busy_subject(claims));
            let request =
                get(&format!("/v1/query?lens=skeptic&subject={subject}&predicate=value&independent=true"));
            let mut times = Vec::new();
            for _ in 0..50 {
                let begin = Instant::now();
                match connection.ask(&request).await? {
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
        best.ok_or_else(|| "no busy question".into())
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A server process.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts the program that was built beside this one, on one processor if one is named.
    pub fn start(ground: &Ground, processor: Option<usize>) -> Result<Server, Failure> {
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
            .arg(&ground.dir);
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| {
            format!("{}: {error}; build it with cargo build --release -p stemedb-api", program.display())
        })?;
        let mut said = String::new();
        let out = child.stdout.take().ok_or("no output")?;
        BufReader::new(out).read_line(&mut said)?;
        let address =
            said.trim().rsplit_once("//").ok_or("the server does not say where it listens")?.1.parse()?;
        Ok(Server { child, address })
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
        // It lies over a folder that is thrown away.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this thread, and those that it begins, on one processor.
pub fn stay_on(processor: usize) -> Result<(), Failure> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
