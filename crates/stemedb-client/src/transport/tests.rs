//! A server that does what its script says, and a machine whose time passes only in sleep.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    Assertion, Client, Error, FeedQuery, ImportOptions, Position, RetryPolicy, Scope, Session,
    machine::Machine,
};

/// What the server does with the next request.
#[derive(Clone)]
enum Step {
    /// Answers.
    Reply(String),
    /// Closes the connection without a word.
    Close,
}

fn reply(status: &str, headers: &str, body: &str) -> Step {
    let length = body.len();
    Step::Reply(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    ))
}

/// Says that there is more than it sends.
fn cut(headers: &str, body: &str) -> Step {
    Step::Reply(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n{headers}\r\n{body}"
    ))
}

fn problem(status: u16, code: &str, retryable: bool, headers: &str) -> Step {
    let body = format!(
        r#"{{"status":{status},"code":"{code}","title":"t","detail":"d","request_id":"r","retryable":{retryable}}}"#
    );
    reply(&format!("{status} X"), headers, &body)
}

/// A server with a script; every request that it got, as text.
struct Scripted {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(script: Vec<Step>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        // Ends with its script: then nobody listens any more.
        std::thread::spawn(move || {
            for step in script {
                let (mut stream, _) = listener.accept().unwrap();
                seen.lock().unwrap().push(read_request(&stream));
                if let Step::Reply(bytes) = step {
                    stream.write_all(bytes.as_bytes()).unwrap();
                }
            }
        });
        Scripted { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text.push_str(&line);
        if line == "\r\n" || line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

/// Time that passes only in sleep. Chance is always the greatest.
#[derive(Debug, Default)]
struct Asleep(Mutex<(Duration, Vec<Duration>)>);

impl Machine for Asleep {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    fn sleep(&self, time: Duration) {
        let mut slept = self.0.lock().unwrap();
        slept.0 += time;
        slept.1.push(time);
    }

    fn random(&self) -> u64 {
        0
    }
}

impl Asleep {
    fn slept_ms(&self) -> Vec<u128> {
        self.0.lock().unwrap().1.iter().map(Duration::as_millis).collect()
    }
}

fn client(server: &Scripted, retry: RetryPolicy) -> (Client, Arc<Asleep>) {
    let machine = Arc::new(Asleep::default());
    let url = format!("http://{}", server.address);
    let client =
        Client::builder(&url).retry(retry).machine(Arc::clone(&machine) as Arc<dyn Machine>).build().unwrap();
    (client, machine)
}

const LSN: &str = "Stemedb-Lsn: 1.7\r\n";
const CREATED: &str = r#"{"id":"ab","lsn":7,"created":true}"#;

fn water() -> Assertion {
    Assertion::new("water", "is", "wet", "me")
}

#[test]
fn a_write_is_repeated_through_broken_connections_and_refusals_that_pass() {
    let server = Scripted::start(vec![
        Step::Close,
        problem(503, "overloaded", true, "Retry-After: 3\r\n"),
        reply("502 Bad Gateway", "", "<html>"),
        cut(LSN, r#"{"id":"a"#),
        reply("201 Created", LSN, CREATED),
    ]);
    let (client, machine) = client(&server, RetryPolicy::default());
    let recorded = client.assert(&water()).unwrap();
    assert!(recorded.created && recorded.lsn == 7);
    // Half of 100 ms, then what the server asks for, then half of 400 and 800 ms.
    assert_eq!(machine.slept_ms(), [50, 3000, 200, 400]);
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|request| request.ends_with(&requests[0][requests[0].len() - 40..])));
}

#[test]
fn what_must_not_happen_twice_is_repeated_only_where_nothing_was_applied() {
    let server = Scripted::start(vec![problem(429, "rate_limited", true, "Retry-After: 1\r\n"), Step::Close]);
    let (client, machine) = client(&server, RetryPolicy::default());
    let error = client.create_key(&[Scope::Read], "x", None, None).unwrap_err();
    assert!(matches!(error, Error::Connection { attempts: 2, .. }), "{error:?}");
    assert_eq!(machine.slept_ms(), [1000]);
}

#[test]
fn a_refusal_that_will_not_pass_is_told_at_once() {
    let server =
        Scripted::start(vec![problem(422, "unknown_claim", false, ""), reply("201 Created", LSN, CREATED)]);
    let (client, machine) = client(&server, RetryPolicy::default());
    let error = client.assert(&water()).unwrap_err();
    let problem = error.problem().unwrap();
    assert!(problem.status == 422 && problem.code == "unknown_claim", "{problem:?}");
    assert_eq!((problem.request_id.as_deref(), machine.slept_ms().len()), (Some("r"), 0));
}

#[test]
fn attempts_and_the_deadline_bound_the_repeating() {
    let busy = || problem(503, "overloaded", true, "Retry-After: 4\r\n");
    let server = Scripted::start(vec![busy(); 8]);
    let retry = RetryPolicy { deadline: Duration::from_secs(10), ..RetryPolicy::default() };
    let (timed, machine) = client(&server, retry);
    assert_eq!(timed.assert(&water()).unwrap_err().code(), Some("overloaded"));
    // A third wait would end after the deadline.
    assert_eq!((machine.slept_ms(), server.requests().len()), (vec![4000, 4000], 3));
    let counted = client(&server, RetryPolicy { attempts: 2, ..RetryPolicy::default() }).0;
    assert_eq!(counted.assert(&water()).unwrap_err().code(), Some("overloaded"));
    assert_eq!(server.requests().len(), 5);
    let once = client(&server, RetryPolicy::never()).0;
    assert!(once.assert(&water()).is_err() && server.requests().len() == 6);
}

#[test]
fn reads_carry_the_newest_position_and_writes_do_not() {
    let page = r#"{"questions":[],"lsn":3}"#;
    let server = Scripted::start(vec![
        reply("201 Created", LSN, CREATED),
        reply("200 OK", "Stemedb-Lsn: 1.3\r\n", page),
        reply("200 OK", LSN, page),
        reply("201 Created", LSN, CREATED),
        reply("200 OK", LSN, page),
        reply("200 OK", LSN, page),
        problem(410, "position_gone", false, "Stemedb-Lsn: 2.5\r\n"),
    ]);
    let (client, _) = client(&server, RetryPolicy::never());
    let read = |client: &Client| client.questions(&crate::Listing::all()).collect::<Result<Vec<_>, _>>();
    client.assert(&water()).unwrap();
    read(&client).unwrap();
    read(&client).unwrap();
    client.assert(&water()).unwrap();
    let fresh = client.with_session(Session::new());
    read(&fresh).unwrap();
    fresh.session().unwrap().observe(Position { timeline: 1, lsn: 9 });
    read(&fresh).unwrap();
    let sent: Vec<Option<String>> = server
        .requests()
        .iter()
        .map(|request| {
            let line =
                request.lines().find(|line| line.to_ascii_lowercase().starts_with("stemedb-min-lsn:"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .collect();
    // An older answer does not take the position back.
    let expected = [None, Some("1.7"), Some("1.7"), None, None, Some("1.9")];
    assert_eq!(sent, expected.map(|position| position.map(str::to_owned)));
    // A refusal says where the server is, too: after a restore it is told once that the position is gone.
    assert_eq!(read(&fresh).unwrap_err().code(), Some("position_gone"));
    assert_eq!(fresh.session().unwrap().position(), Some(Position { timeline: 2, lsn: 5 }));
}

fn change(lsn: u64, ordinal: u32, of: u32) -> String {
    format!(
        r#"{{"lsn":{lsn},"ordinal":{ordinal},"of":{of},"recorded_at":"t","kind":"epoch","record":{{"name":"e{ordinal}"}}}}"#
    ) + "\n"
}

#[test]
fn a_feed_that_breaks_off_inside_of_an_entry_tells_everything_once() {
    let end =
        |entries: u64, next: &str| format!("{{\"end\":true,\"entries\":{entries},\"next\":\"{next}\"}}\n");
    let server = Scripted::start(vec![
        cut(LSN, &(change(1, 0, 1) + &change(2, 0, 2) + &change(2, 1, 2) + &change(3, 0, 2))),
        reply("200 OK", LSN, &(change(3, 0, 2) + &change(3, 1, 2) + &end(1, "1.4"))),
        reply("200 OK", LSN, &end(0, "1.4")),
    ]);
    let (client, _) = client(&server, RetryPolicy::default());
    let mut feed = client.feed(&FeedQuery::default());
    let told: Vec<(u64, u32)> =
        feed.by_ref().map(|change| change.unwrap()).map(|c| (c.lsn, c.ordinal)).collect();
    assert_eq!(told, [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]);
    assert_eq!(feed.position(), Some(Position { timeline: 1, lsn: 4 }));
    let requests = server.requests();
    assert!(
        requests[0].starts_with("GET /v1/feed HTTP") && requests[1].starts_with("GET /v1/feed?from=1.3 HTTP")
    );
}

#[test]
fn an_import_whose_verdicts_break_off_goes_on_behind_the_last_of_them() {
    let verdict = |line: u64, created: bool| {
        format!("{{\"line\":{line},\"id\":\"\",\"lsn\":{line},\"created\":{created}}}\n")
    };
    let refused = "{\"line\":2,\"code\":\"empty\",\"detail\":\"d\",\"errors\":[{\"pointer\":\"/x\",\"code\":\"empty\",\"detail\":\"d\"}]}\n";
    let server = Scripted::start(vec![
        cut(LSN, &verdict(1, true)),
        reply(
            "200 OK",
            LSN,
            &(verdict(1, false) + refused + "{\"end\":true,\"complete\":true,\"lines\":2}\n"),
        ),
    ]);
    let (client, _) = client(&server, RetryPolicy::default());
    let claims = (0..3).map(|n| Assertion::new("s", "p", i64::from(n), "me"));
    let mut verdicts = Vec::new();
    let report = client.import(claims, &ImportOptions::default(), |verdict| verdicts.push(verdict)).unwrap();
    let lines: Vec<(u64, bool)> =
        verdicts.iter().map(|verdict| (verdict.line, verdict.is_recorded())).collect();
    assert_eq!(lines, [(1, true), (2, true), (3, false)]);
    assert_eq!((report.lines, report.created, report.existing, report.refused), (3, 1, 1, 1));
    assert_eq!(verdicts[2].errors[0].pointer.as_deref(), Some("/x"));
    let second = server.requests()[1].clone();
    assert!(second.matches("subject").count() == 2, "{second}");
}

#[test]
fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    let server = Scripted::start(vec![reply("307 X", "Location: http://127.0.0.1:9/\r\n", "")]);
    let client = Client::builder(&format!("http://{}", server.address))
        .key("stemedb_k")
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let error = client.assert(&water()).unwrap_err();
    assert_eq!(error.problem().unwrap().status, 307);
    assert!(server.requests()[0].to_ascii_lowercase().contains("authorization: bearer stemedb_k"));
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_sent() {
    let refused = |builder: crate::ClientBuilder| matches!(builder.build(), Err(Error::Setup { .. }));
    assert!(refused(Client::builder("localhost:18180")));
    assert!(refused(Client::builder("ftp://x")));
    assert!(refused(Client::builder("http://x").key("two words")));
    assert!(refused(Client::builder("http://x").key_file("/nowhere/key")));
    #[cfg(feature = "tls")]
    assert!(refused(Client::builder("https://x").authorities(b"nothing")));
}
