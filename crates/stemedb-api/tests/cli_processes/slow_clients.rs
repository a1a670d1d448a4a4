//! Thousands of clients that send a byte now and then, or read nothing of what they asked for: they are cut at their deadlines,
//! cost little memory, and keep nobody else waiting. How long others wait is measured by `cargo xtask bench api`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{corpus, http, program::run_with_input, server::Server};

const SLOW_HEADS: usize = 2_000;
const SLOW_BODIES: usize = 200;
const SLOW_READERS: usize = 12;
/// Questions of each slow reader: more than the buffers between it and the server hold.
const QUESTIONS: usize = 400;
/// What all of them together may take of the server's memory.
const MEMORY_MIB: u64 = 96;
/// Far longer than any deadline here.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both ends of each connection are files, one here and one in the server, which inherits the limit.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 10_000.min(limit.maximum.unwrap_or(u64::MAX));
    let current = limit.current.unwrap_or(u64::MAX).max(wanted);
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).unwrap();
}

fn memory_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// Everything that arrives until the connection is closed; fails if that never happens.
fn until_closed(mut stream: &TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut said, mut part) = (Vec::new(), [0; 64 << 10]);
    loop {
        match stream.read(&mut part) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&part[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::ConnectionReset) => return said,
            Err(error) => panic!("it is not closed: {error}"),
        }
    }
}

/// Ends what waits for it, also where an assertion fails before that.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn two_thousand_slow_clients_are_cut_and_others_are_answered() {
    raise_open_files();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let claims = corpus::lines(0..2_000).into_bytes();
    run_with_input(["import", "--data-dir", data.to_str().unwrap(), "-"], claims).ok();
    let options = [
        "--bind",
        "127.0.0.1:0",
        "--head-timeout-seconds",
        "4",
        "--stall-timeout-seconds",
        "4",
        "--body-timeout-ms",
        "4000",
    ];
    let server = Server::start_with(&data, &options);
    let connect = || TcpStream::connect(&server.address).unwrap();
    assert_eq!(http::get(&server.address, "/v1/claims?limit=500").unwrap().status, 200);
    let before = memory_mib(&server);

    let begun = |text: &str| {
        let mut stream = connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let list = "GET /v1/claims?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let readers: Vec<TcpStream> = (0..SLOW_READERS).map(|_| begun(&list.repeat(QUESTIONS))).collect();
    let bodies: Vec<TcpStream> = (0..SLOW_BODIES)
        .map(|_| {
            begun("POST /v1/assert HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n{")
        })
        .collect();
    let heads: Vec<TcpStream> = (0..SLOW_HEADS).map(|_| begun("GET /livez HTTP/1.1\r\nX-A: ")).collect();

    // None of them is ever idle: what ends them is no pause, but that all of it took too long.
    let is_over = AtomicBool::new(false);
    let dripping: Vec<&TcpStream> = heads.iter().chain(&bodies).collect();
    thread::scope(|scope| {
        let over = Ends(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                for mut stream in dripping.iter().copied() {
                    // Those that are cut already do not take it.
                    let _ = stream.write(b" ");
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        // Others ask meanwhile, and get what they ask for.
        let until = Instant::now() + Duration::from_secs(3);
        let mut answered = 0;
        while Instant::now() < until || answered < 100 {
            let number = answered % 2_000;
            let asked =
                http::get(&server.address, &format!("/v1/query?subject=s{number}&predicate=p")).unwrap();
            assert_eq!(asked.status, 200, "{}", asked.body);
            answered += 1;
        }
        let after = memory_mib(&server);
        assert!(after < before + MEMORY_MIB, "{before} MiB before, {after} MiB among them");
        let (mut cut, mut refused) = (0, 0);
        for stream in dripping.iter().copied() {
            let said = until_closed(stream);
            let shown = String::from_utf8_lossy(&said);
            // Their bodies are more than is let in at once: the first ones are waited for, the others refused when they come.
            cut += usize::from(said.starts_with(b"HTTP/1.1 408 "));
            refused += usize::from(said.starts_with(b"HTTP/1.1 503 "));
            assert!(said.is_empty() || shown.contains(" 408 ") || shown.contains(" 503 "), "{shown}");
        }
        assert!(cut > 0 && refused > 0 && cut + refused <= SLOW_BODIES, "{cut} cut, {refused} refused");
        drop(over);
    });
    for stream in &readers {
        let said = until_closed(stream);
        // What was on its way when it was cut is still read: it is less than was asked for.
        let replies = said.windows(15).filter(|part| part == b"HTTP/1.1 200 OK").count();
        assert!((1..QUESTIONS).contains(&replies), "{replies} replies");
    }
    assert_eq!(http::get(&server.address, "/readyz").unwrap().status, 200);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
}
