//! One client: what it asks, and what it remembers of it.

use std::{
    io::{self, BufRead, BufReader, Read, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stemedb_api::core::{AgentId, Assertion, ClaimId, Command, Nano, Object, Supersession, Vote};

use super::history::{Answer, Operation, Told, What, Write};

/// Questions of a round.
const QUESTIONS: u64 = 16;
/// Longer than any reply takes: whoever waits so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients share.
pub struct Shared {
    pub address: String,
    pub begun: Instant,
    pub round: AtomicUsize,
    pub is_over: AtomicBool,
}

/// Numbers that look random.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// A connection that is kept open.
pub struct Connection {
    stream: BufReader<TcpStream>,
    /// The last reply said that it is.
    pub is_closing: bool,
}

impl Connection {
    pub fn open(address: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::new(stream), is_closing: false })
    }

    /// Status and body of the reply. After an error it is not known what became of the request.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json");
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut length = None;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim().split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok();
                }
                Some((name, value)) if name.eq_ignore_ascii_case("connection") => {
                    self.is_closing = value.trim().eq_ignore_ascii_case("close");
                }
                Some(_) => {}
            }
        }
        let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
        self.stream.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body)?))
    }
}

pub struct Client {
    number: u64,
    shared: Arc<Shared>,
    dice: Dice,
    done: Vec<Operation>,
    /// Claims of its own that were acknowledged and are not retracted.
    own: Vec<ClaimId>,
    said: u64,
}

impl Client {
    pub fn new(number: usize, shared: Arc<Shared>) -> Client {
        let number = number as u64;
        let dice = Dice(0x9e37_79b9_7f4a_7c15 ^ ((number + 1) * 0x1234_5678_9abc));
        Client { number, shared, dice, done: Vec::new(), own: Vec::new(), said: 0 }
    }

    /// Asks until it is told that it is over, and then until nothing of its own is open.
    pub fn run(mut self) -> Vec<Operation> {
        let mut connection = None;
        // A claim whose reply was lost: it is said again, and is the same claim.
        let mut again: Option<Command> = None;
        let mut refused_since = Instant::now();
        while again.is_some() || !self.shared.is_over.load(Ordering::SeqCst) {
            let Some(open) = &mut connection else {
                match Connection::open(&self.shared.address) {
                    Ok(opened) => {
                        connection = Some(opened);
                        refused_since = Instant::now();
                    }
                    Err(_) => {
                        assert!(refused_since.elapsed() < PATIENCE, "no server comes back");
                        thread::sleep(Duration::from_millis(2));
                    }
                }
                continue;
            };
            let sent = match again.take() {
                Some(command) => Some(command),
                None if self.dice.below(100) < 45 => None,
                None => Some(self.command()),
            };
            let asked = match sent {
                None => self.read(open),
                Some(command) => {
                    let asked = self.write(open, &command);
                    // Votes and retractions are not: whether the first one was heard stays open.
                    again = (asked.is_err() && matches!(command, Command::Assert(_))).then_some(command);
                    asked
                }
            };
            if asked.is_err() || open.is_closing {
                connection = None;
            }
        }
        self.done
    }

    fn now(&self) -> u64 {
        self.shared.begun.elapsed().as_nanos() as u64
    }

    /// Mostly one of this round; now and then one whose claims have been through kills.
    fn subject(&mut self) -> String {
        let round = self.shared.round.load(Ordering::SeqCst) as u64;
        let round = if self.dice.below(4) == 0 { self.dice.below(round + 1) } else { round };
        format!("r{round}q{}", self.dice.below(QUESTIONS))
    }

    fn command(&mut self) -> Command {
        self.said += 1;
        match self.dice.below(10) {
            0 if !self.own.is_empty() => {
                let at = self.dice.below(self.own.len() as u64) as usize;
                Command::Supersede(Supersession::retract(self.own.swap_remove(at)))
            }
            1 if !self.own.is_empty() => {
                let at = self.dice.below(self.own.len() as u64) as usize;
                let mut agent = [0; 32];
                agent[..8].copy_from_slice(&self.number.to_be_bytes());
                agent[24..].copy_from_slice(&self.said.to_be_bytes());
                Command::Vote(Vote::new(self.own[at], AgentId(agent), Nano::ONE))
            }
            // What all of them say: one of them is the first.
            2 => {
                let subject = self.subject();
                let value = self.dice.below(4) as i64;
                Command::Assert(Assertion::new(subject, "p", Object::Integer(value), "everybody"))
            }
            _ => {
                let subject = self.subject();
                let value = (self.said * 100 + self.number) as i64;
                let source = format!("c{}-{}", self.number, self.said);
                Command::Assert(Assertion::new(subject, "p", Object::Integer(value), source))
            }
        }
    }

    /// The error is that there was no reply.
    fn write(&mut self, connection: &mut Connection, command: &Command) -> io::Result<()> {
        let (path, body) = request(command);
        let called = self.now();
        let reply = connection.ask("POST", path, &body.to_string());
        let told = match &reply {
            Ok((200 | 201, told)) => {
                let lsn = told["lsn"].as_u64().unwrap();
                Some(Told { lsn, created: told["created"].as_bool().unwrap() })
            }
            Ok((status, problem)) => panic!("{status} for {body}: {problem}"),
            Err(_) => None,
        };
        let returned = told.is_some().then(|| self.now());
        if let (Some(Told { created: true, .. }), Command::Assert(claim)) = (&told, command)
            && claim.source != "everybody"
        {
            self.own.push(claim.id());
        }
        let write = Write { command: command.clone(), told };
        self.done.push(Operation { called, returned, what: What::Write(Box::new(write)) });
        reply.map(|_| ())
    }

    fn read(&mut self, connection: &mut Connection) -> io::Result<()> {
        let subject = self.subject();
        let lens = if self.dice.below(2) == 0 { "consensus" } else { "recency" };
        let path = format!("/v1/query?subject={subject}&predicate=p&lens={lens}");
        let called = self.now();
        let (status, answer) = connection.ask("GET", &path, "")?;
        assert_eq!(status, 200, "{path}: {answer}");
        let returned = Some(self.now());
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let set_aside = answer["set_aside"].as_array().unwrap().iter();
        let mut set_aside: Vec<String> =
            set_aside.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        set_aside.sort_unstable();
        let what = Answer {
            subject,
            lens,
            lsn: answer["lsn"].as_u64().unwrap(),
            status: answer["status"].as_str().unwrap().to_owned(),
            winners: texts(&answer["winners"]),
            considered: answer["considered"].as_u64().unwrap() as usize,
            set_aside,
        };
        self.done.push(Operation { called, returned, what: What::Read(Box::new(what)) });
        Ok(())
    }
}

fn request(command: &Command) -> (&'static str, Value) {
    match command {
        Command::Assert(claim) => {
            let Object::Integer(value) = claim.object else { panic!("{claim:?}") };
            let Assertion { subject, predicate, source, .. } = claim;
            let body =
                json!({ "subject": subject, "predicate": predicate, "object": value, "source": source });
            ("/v1/assert", body)
        }
        Command::Vote(vote) => {
            let (claim, agent) = (vote.assertion.to_string(), vote.agent.to_string());
            ("/v1/vote", json!({ "assertion": claim, "agent": agent, "weight": 1 }))
        }
        Command::Supersede(change) => {
            ("/v1/supersede", json!({ "old": change.old.to_string(), "new": null, "kind": "retracts" }))
        }
        other => panic!("no client says {other:?}"),
    }
}
