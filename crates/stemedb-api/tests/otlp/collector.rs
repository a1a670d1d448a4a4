//! A collector of spans on a loopback port: it keeps what arrives, and answers as it was told to.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// Longest wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Says {
    /// Answers with a status, further headers, and a body.
    Answer(u16, &'static str, &'static str),
    /// Reads it and never answers.
    Nothing,
}

impl Says {
    pub const YES: Says = Says::Answer(200, "", "{}");
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Got {
    pub head: String,
    pub body: String,
}

#[derive(Debug, Default)]
struct Shared {
    /// What it says next; afterwards `then`.
    script: Mutex<VecDeque<Says>>,
    got: Mutex<Vec<Got>>,
    arrived: Condvar,
}

/// A running collector.
pub struct Collector {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Collector {
    /// Says all of the script, then `then` for ever.
    pub fn start(script: &[Says], then: Says) -> Collector {
        Collector::start_with(script, then, None)
    }

    /// The same over TLS, if there is a configuration for it.
    pub fn start_with(script: &[Says], then: Says, tls: Option<Arc<ServerConfig>>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { script: Mutex::new(script.to_vec().into()), ..Shared::default() });
        let collector = Collector { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, then, tls) = (Arc::clone(&shared), then.clone(), tls.clone());
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    match tls {
                        None => shared.serve(&then, stream),
                        Some(tls) => {
                            shared.serve(&then, StreamOwned::new(ServerConnection::new(tls).unwrap(), stream))
                        }
                    }
                });
            }
        });
        collector
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many requests have arrived; returns all that have.
    #[track_caller]
    pub fn wait(&self, requests: usize) -> Vec<Got> {
        let got = self.shared.got.lock().unwrap();
        let (got, waited) = self
            .shared
            .arrived
            .wait_timeout_while(got, PATIENCE, |got: &mut Vec<Got>| got.len() < requests)
            .unwrap();
        assert!(!waited.timed_out(), "{} of {requests} have arrived", got.len());
        got.clone()
    }

    /// What has arrived so far.
    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Every span that has arrived so far.
    pub fn spans(&self) -> Vec<Value> {
        self.got().iter().flat_map(spans).collect()
    }
}

/// The spans of a request.
pub fn spans(got: &Got) -> Vec<Value> {
    let body: Value = serde_json::from_str(&got.body).unwrap();
    body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}

impl Shared {
    /// Serves a connection until its other end has enough.
    fn serve(&self, then: &Says, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while let Some(got) = read(&mut stream) {
            self.got.lock().unwrap().push(got);
            self.arrived.notify_all();
            let says = self.script.lock().unwrap().pop_front().unwrap_or_else(|| then.clone());
            match says {
                Says::Answer(status, headers, body) => {
                    let head =
                        format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
                    let sent = stream.get_mut().write_all((head + body).as_bytes());
                    if sent.and_then(|()| stream.get_mut().flush()).is_err() {
                        return;
                    }
                }
                Says::Nothing => {
                    // Until it is left.
                    let _ = stream.read(&mut [0]);
                    return;
                }
            }
        }
    }
}

/// A request; `None` where the connection ends.
fn read(stream: &mut impl BufRead) -> Option<Got> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    let length: usize = head.lines().find_map(length).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Got { head, body: String::from_utf8(body).unwrap() })
}
