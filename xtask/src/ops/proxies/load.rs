//! Clients that ask and record through a proxy, over TLS connections that they keep, until they are told to stop. They try nothing
//! twice: what a client sees is what the proxy made of it.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    authority::{NAME, Stream},
    pair::CLAIMS,
};
use crate::http::{Connection, Reply, Request};

/// Clients that ask.
pub const READERS: usize = 6;
const WRITERS: u64 = 2;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(2);
/// Refusals that mean that nothing was applied: docs/errors/README.md.
const DEFINITE: [&str; 6] = ["storage_full", "read_only", "overloaded", "lock_timeout", "standby", "fenced"];
const PATIENCE: Duration = Duration::from_secs(30);

/// How a client gets in.
#[derive(Clone)]
pub struct Door {
    pub port: u16,
    pub trusted: PathBuf,
    pub key: String,
}

impl Door {
    /// A connection from this address of this machine.
    pub fn open(&self, from: &str) -> std::io::Result<Connection<Stream>> {
        Ok(Connection::over(Stream::open(from, self.port, &self.trusted, NAME)?, NAME))
    }
}

/// What became of the requests of one phase.
#[derive(Default, Clone, Debug)]
pub struct Tally {
    /// Questions that were asked.
    pub asked: usize,
    /// Those of them that were not answered as they should.
    pub failed: usize,
    /// Records that were acknowledged as new.
    pub recorded: usize,
    /// Records that were refused, and certainly not applied.
    pub refused: usize,
    /// Records of which the client does not know.
    pub unknown: usize,
    /// Records that the server knew already, though the client had sent them once.
    pub again: usize,
    /// The first few things that went wrong.
    pub notes: Vec<String>,
}

impl Tally {
    fn note(&mut self, what: String) {
        if self.notes.len() < 5 {
            self.notes.push(what);
        }
    }
}

struct Shared {
    door: Door,
    run: String,
    is_over: AtomicBool,
    /// Whether positions of the writer before may be refused.
    is_promoted: AtomicBool,
    phase: AtomicUsize,
    tallies: Mutex<Vec<Tally>>,
    acknowledged: Mutex<Vec<String>>,
}

/// The clients.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins, with phase 0 of `phases`. Request ids are `run-phase-client-number`.
    pub fn start(door: Door, run: &str, phases: usize) -> Load {
        let shared = Arc::new(Shared {
            door,
            run: run.to_owned(),
            is_over: AtomicBool::new(false),
            is_promoted: AtomicBool::new(false),
            phase: AtomicUsize::new(0),
            tallies: Mutex::new(vec![Tally::default(); phases]),
            acknowledged: Mutex::default(),
        });
        let client = |number: u64| {
            let shared = Arc::clone(&shared);
            thread::spawn(
                move || if number < READERS as u64 { shared.ask(number) } else { shared.record(number) },
            )
        };
        let clients = (0..READERS as u64 + WRITERS).map(client).collect();
        Load { shared, clients }
    }

    /// What comes now belongs to this phase.
    pub fn phase(&self, phase: usize) {
        self.shared.phase.store(phase, Ordering::SeqCst);
    }

    /// Another server becomes the writer: from now on a position of the one before may be refused as such.
    pub fn promoted(&self) {
        self.shared.is_promoted.store(true, Ordering::SeqCst);
    }

    /// What became of a phase so far.
    pub fn tally(&self, phase: usize) -> Tally {
        held(&self.shared.tallies)[phase].clone()
    }

    /// Goes on until so many more questions were answered and so many more records acknowledged, whatever fails meanwhile.
    pub fn lasts(&self, questions: usize, records: usize) -> Result<(), String> {
        let phase = self.shared.phase.load(Ordering::SeqCst);
        let seen = || {
            let tally = self.tally(phase);
            (tally.asked - tally.failed, tally.recorded)
        };
        let (start, before) = (Instant::now(), seen());
        loop {
            let now = seen();
            if now.0 >= before.0 + questions && now.1 >= before.1 + records {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!(
                    "only {} questions and {} records went through within {} s: {:?}",
                    now.0 - before.0,
                    now.1 - before.1,
                    PATIENCE.as_secs(),
                    self.tally(phase)
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the clients; gives the tallies of all phases, and the ids of the records that were acknowledged.
    pub fn end(mut self) -> (Vec<Tally>, Vec<String>) {
        self.stop();
        (held(&self.shared.tallies).clone(), held(&self.shared.acknowledged).clone())
    }

    fn stop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

fn held<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(|held| held.into_inner())
}

/// A client's connection; there is none before its first request, and after one that failed or was the last.
type Kept = Option<Connection<Stream>>;

impl Shared {
    fn ask(&self, client: u64) {
        let mut kept = None;
        for number in 0.. {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let phase = self.phase.load(Ordering::SeqCst);
            let outcome = self.question(&mut kept, phase, client, number);
            let mut tallies = held(&self.tallies);
            let tally = &mut tallies[phase];
            tally.asked += 1;
            if let Err(error) = outcome {
                tally.failed += 1;
                tally.note(error);
            }
            drop(tallies);
            thread::sleep(PAUSE);
        }
    }

    /// Questions of several kinds, one after the other; each about a claim that both servers have.
    fn question(&self, kept: &mut Kept, phase: usize, client: u64, number: u64) -> Result<(), String> {
        let subject = (client * 83 + number) % CLAIMS;
        let query = format!("/v1/query?subject=s{subject}&predicate=p");
        let (method, target, position) = match number % 8 {
            0 => ("HEAD", query, None),
            1 => ("GET", format!("/v1/skeptic?subject=s{subject}&predicate=p"), None),
            2 => ("GET", format!("/v1/claims?subject=s{subject}"), None),
            // One that only a server with this position may answer.
            3 => ("GET", query, Some(("Stemedb-Min-Lsn", "1.1"))),
            _ => ("GET", query, None),
        };
        let id = format!("{}-{phase}-{client}-{number}", self.run);
        let told = |what: String| format!("{method} {target}: {what}");
        let reply = self.send(kept, (method, &target), &id, position, "").map_err(&told)?;
        if position.is_some() && reply.status == 410 && self.is_promoted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let is_answered = method == "HEAD"
            || reply.body.contains("\"considered\":1")
            || (target.starts_with("/v1/claims") && reply.body.contains(&format!("\"s{subject}\"")));
        match reply.status == 200 && is_answered && reply.header("x-request-id") == Some(&*id) {
            true => Ok(()),
            false => Err(told(format!("{reply:?}"))),
        }
    }

    fn record(&self, client: u64) {
        let mut kept = None;
        for number in 0.. {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let phase = self.phase.load(Ordering::SeqCst);
            let claim = format!(
                "{{\"subject\":\"new\",\"predicate\":\"{}-{client}\",\"object\":{number},\"source\":\"x\"}}",
                self.run
            );
            let id = format!("{}-{phase}-{client}-{number}", self.run);
            // Envoy lets clients that it takes for internal ask for retries so: nobody is.
            let wish = Some(("X-Envoy-Retry-On", "5xx,reset,connect-failure"));
            let outcome = self.send(&mut kept, ("POST", "/v1/assert"), &id, wish, &claim);
            let mut tallies = held(&self.tallies);
            let tally = &mut tallies[phase];
            let body = |reply: &Reply| serde_json::from_str::<Value>(&reply.body).unwrap_or_default();
            match outcome {
                Ok(reply) if reply.status == 201 => {
                    tally.recorded += 1;
                    let id = body(&reply)["id"].as_str().unwrap_or_default().to_owned();
                    held(&self.acknowledged).push(id);
                }
                Ok(reply) if reply.status == 200 => {
                    tally.again += 1;
                    tally.note(format!("sent once, and known already: {reply:?}"));
                }
                Ok(reply) => {
                    let is_definite =
                        body(&reply)["code"].as_str().is_some_and(|code| DEFINITE.contains(&code));
                    *(if is_definite { &mut tally.refused } else { &mut tally.unknown }) += 1;
                    tally.note(format!("POST /v1/assert: {reply:?}"));
                }
                Err(error) => {
                    tally.unknown += 1;
                    tally.note(format!("POST /v1/assert: {error}"));
                }
            }
            drop(tallies);
            thread::sleep(PAUSE);
        }
    }

    fn send(
        &self,
        kept: &mut Kept,
        (method, target): (&str, &str),
        id: &str,
        more: Option<(&str, &str)>,
        body: &str,
    ) -> Result<Reply, String> {
        let bearer = format!("Bearer {}", self.door.key);
        let mut headers = vec![("Authorization", &*bearer), ("X-Request-Id", id)];
        headers.extend(more);
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        let mut connection = match kept.take() {
            Some(open) => open,
            None => self.door.open("127.0.0.1").map_err(|error| format!("openssl: {error}"))?,
        };
        let request = Request { method, target, headers: &headers, body };
        let reply = connection.ask(&request).map_err(|error| error.to_string())?;
        if !reply.is_last() {
            *kept = Some(connection);
        }
        Ok(reply)
    }
}
