//! Whatever is sent to a real socket: what is refused is refused as a problem that the table of codes and the document know, and
//! nothing breaks.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, OnceLock},
    time::Duration,
};

use proptest::prelude::*;
use serde_json::Value;
use stemedb_api::{
    Database, RouterOptions, RouterParts,
    http::{ConnectionOptions, LimitOptions, SecurityOptions, document, serve},
    router_with,
};
use tempfile::TempDir;

use super::{
    conformance,
    requests::{BODY_MAX_BYTES, Framing, Sent, sent},
};
use crate::support::{Reply, database};

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server as the program has it, with its own connections.
struct Program {
    database: Database,
    address: SocketAddr,
    document: Value,
    _runtime: tokio::runtime::Runtime,
    _dir: TempDir,
}

impl Program {
    fn start() -> Program {
        let (database, dir) = database();
        let unlimited =
            LimitOptions { reads: None, writes: None, bulk: None, admin: None, ..LimitOptions::default() };
        let parts = RouterParts {
            security: SecurityOptions { limits: unlimited, ..SecurityOptions::default() },
            ..RouterParts::default()
        };
        let options = RouterOptions {
            body_max_bytes: BODY_MAX_BYTES,
            body_timeout: Duration::from_secs(2),
            ..RouterOptions::default()
        };
        let routes = router_with(database.clone(), options, parts);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        // Half a head is not waited for as long as it may take in earnest.
        let connections =
            ConnectionOptions { head_timeout: Duration::from_millis(500), ..ConnectionOptions::default() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener).unwrap()
        };
        runtime.spawn(serve(listener, routes, connections, None, std::future::pending()));
        Program { database, address, document: document(), _runtime: runtime, _dir: dir }
    }

    /// Sends bytes and reads what comes until the end; `None` if nothing does.
    fn raw(&self, bytes: &[u8]) -> Option<Reply> {
        self.sent(bytes, false)
    }

    /// [`Program::raw`] of a client that, if it `leaves`, says that it sends no more.
    fn sent(&self, bytes: &[u8], leaves: bool) -> Option<Reply> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // A server that refuses early may close before everything is written.
        let _ = stream.write_all(bytes);
        if leaves {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut reply = Vec::new();
        if let Err(error) = stream.read_to_end(&mut reply) {
            assert_ne!(
                error.kind(),
                std::io::ErrorKind::WouldBlock,
                "no end: {:?}",
                String::from_utf8_lossy(&reply)
            );
        }
        let mut reply = &reply[..];
        // Before the reply a client may be told that its body is welcome.
        while let Some(rest) = reply.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
            reply = rest;
        }
        (!reply.is_empty()).then(|| Reply::parse(reply))
    }

    fn asks_well(&self) {
        let reply = self.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!((reply.status, reply.text()), (200, "ok\n"));
        let body = format!(
            r#"{{"subject":"s","predicate":"p","object":{},"source":"x"}}"#,
            self.database.published_lsn().0
        );
        let head = format!(
            "POST /v1/assert HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let reply = self.raw((head + &body).as_bytes()).unwrap();
        assert!(reply.status == 201 || reply.status == 200, "{}", reply.text());
    }
}

/// What must be so of every reply.
fn judge(program: &Program, sent: &Sent, reply: &Reply) {
    let target = String::from_utf8_lossy(&sent.target).into_owned();
    let what = format!("{} {target:.200}", sent.method);
    // This server has no place for backups and no log of its own.
    let has_none = ["/v1/admin/backup", "/v1/admin/wal/archive", "/v1/admin/log-level"];
    let may_be_unavailable = has_none.iter().any(|path| target.starts_with(path));
    assert!(reply.status < 500 || (may_be_unavailable && reply.status == 503), "{what}: {}", reply.text());
    if sent.method == "HEAD" {
        return;
    }
    let length = reply.header("content-length").and_then(|length| length.parse().ok());
    if length.is_some_and(|length: usize| length > reply.body.len()) {
        // A body that the route does not read lies in the way when the connection ends: the system resets it, and what the client
        // has not taken yet of a long reply is lost.
        assert!(!sent.body.is_empty() && reply.status < 400, "{what}: the reply is cut off");
        return;
    }
    if reply.status >= 400 {
        conformance::problem(&what, reply);
    }
    // What stands in a broken head was not meant for a route: those are the connection's own refusals.
    let is_of_a_route = reply.header("stemedb-lsn").is_some();
    match conformance::operation_of(&program.document, &sent.method, &target) {
        Some(operation) if is_of_a_route => conformance::check(&program.document, operation, &what, reply),
        Some(_) => assert!(matches!(reply.status, 400 | 414 | 431), "{what}: {}", reply.text()),
        // The console is for browsers: no route of the document.
        None if reply.status == 200 => {
            let kind = reply.header("content-type").unwrap_or_default();
            let is_console = ["text/html", "text/css", "text/javascript", "image/svg+xml"];
            assert!(is_console.iter().any(|console| kind.starts_with(console)), "{what}: {kind}");
        }
        None => {
            assert!(matches!(reply.status, 304 | 400 | 404 | 405 | 414 | 431), "{what}: {}", reply.text())
        }
    }
}

fn program() -> &'static Arc<Program> {
    static PROGRAM: OnceLock<Arc<Program>> = OnceLock::new();
    PROGRAM.get_or_init(|| Arc::new(Program::start()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_is_sent_is_answered_as_documented(sent in sent()) {
        let program = program();
        match program.sent(&sent.bytes(), sent.framing == Framing::Short) {
            Some(reply) => judge(program, &sent, &reply),
            // Who leaves in the middle of a request need not be told anything.
            None => prop_assert!(
                matches!(sent.framing, Framing::Short | Framing::Broken | Framing::None)
                    || sent.headers.iter().any(|(name, value)| has_line_break(name.as_bytes()) || has_line_break(value))
                    || has_line_break(&sent.target),
                "nothing is said"
            ),
        }
    }
}

fn has_line_break(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

#[test]
fn heads_that_cannot_be_read_are_refused_as_problems() {
    let program = Program::start();
    let long = |length: usize| "a".repeat(length);
    let heads: Vec<(Vec<u8>, u16, &str)> = vec![
        (b"\0\0\0\r\n\r\n".to_vec(), 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a handshake\r\n\r\n".to_vec(), 400, "bad_request"),
        (b"GET /livez HTTP/9.9\r\n\r\n".to_vec(), 400, "bad_request"),
        (b"GET\r\n\r\n".to_vec(), 400, "bad_request"),
        (b"G(T /livez HTTP/1.1\r\n\r\n".to_vec(), 400, "bad_request"),
        (b"GET /liv\xffez HTTP/1.1\r\nno colon\r\n\r\n".to_vec(), 400, "bad_request"),
        (b"GET /livez HTTP/1.1\r\nX-A: \x01\r\n\r\n".to_vec(), 400, "bad_request"),
        (b"POST /v1/assert HTTP/1.1\r\nContent-Length: x\r\n\r\n".to_vec(), 400, "bad_request"),
        (
            b"POST /v1/assert HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(),
            400,
            "bad_request",
        ),
        (format!("GET /{} HTTP/1.1\r\n\r\n", long(70_000)).into_bytes(), 414, "uri_too_long"),
        (
            format!("GET /livez HTTP/1.1\r\nX-A: {}\r\n\r\n", long(900_000)).into_bytes(),
            431,
            "head_too_large",
        ),
        (
            format!("GET /livez HTTP/1.1\r\n{}\r\n", "X-A: 1\r\n".repeat(101)).into_bytes(),
            431,
            "head_too_large",
        ),
    ];
    for (head, status, code) in heads {
        let what = String::from_utf8_lossy(&head[..head.len().min(60)]).into_owned();
        // What comes behind it is taken, so that the reply is not lost with a reset.
        let more = [head, vec![b'x'; 2 << 20]].concat();
        let reply = program.raw(&more).unwrap_or_else(|| panic!("{what:?} is not answered"));
        assert_eq!(reply.status, status, "{what:?}");
        conformance::problem(&what, &reply);
        assert_eq!(reply.json()["code"], code, "{what:?}");
        assert_eq!(reply.header("connection"), Some("close"), "{what:?}");
    }
    program.asks_well();
}

#[test]
fn a_bad_head_behind_a_good_request_is_refused_after_its_reply() {
    let program = Program::start();
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"ok\n") {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend(&part[..count]);
    }
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    let mut refusal = Vec::new();
    stream.read_to_end(&mut refusal).unwrap();
    let reply = Reply::parse(&refusal);
    conformance::problem("behind a good request", &reply);
    assert_eq!(reply.json()["code"], "bad_request");
}
