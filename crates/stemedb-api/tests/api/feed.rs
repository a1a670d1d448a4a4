//! The feed: everything once, in order, from any position; nothing that is not there any more.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;
use stemedb_api::{
    Code, Database, DatabaseOptions, RouterOptions,
    core::{AgentKey, Assertion, Command, Nano, Object, Supersession, Vote},
    hybrid::HybridOptions,
};
use stemedb_env::Lsn;

use crate::support::{Dice, Server, database};

fn claim(number: i64) -> Assertion {
    Assertion::new(format!("s{number}"), "p", Object::Integer(number), "src")
}

/// Entries of one to five commands; returns them as they must come out.
fn fill(database: &Database, entries: u64) -> Vec<Vec<Command>> {
    let (mut dice, key) = (Dice(5), AgentKey::from_seed(&[1; 32]));
    let mut number = 0;
    let mut recorded = Vec::new();
    for _ in 0..entries {
        let mut commands = Vec::new();
        for _ in 0..=dice.below(5) {
            number += 1;
            let id = claim(number).id();
            commands.push(Command::Assert(claim(number)));
            if dice.chance(30) {
                let mut vote = Vote::new(id, key.agent(), Nano(500_000_000));
                vote.sign(&key);
                commands.push(Command::Vote(vote));
            }
            if dice.chance(20) {
                commands.push(Command::Supersede(Supersession::retract(id)));
            }
        }
        database.submit(&commands).unwrap();
        recorded.push(commands);
    }
    recorded
}

#[test]
fn a_feed_gives_every_record_once_in_order_from_any_position_and_waits_for_more() {
    let (database, _dir) = database();
    let recorded = fill(&database, 40);
    for from in [0, 1, 2, 17, 40, 41] {
        let mut feed = database.feed(Lsn(from)).unwrap();
        for lsn in from.max(1)..=40 {
            let entry = feed.next_entry().unwrap().unwrap();
            assert_eq!((entry.lsn, &entry.commands), (Lsn(lsn), &recorded[lsn as usize - 1]));
        }
        assert_eq!(feed.next_entry().unwrap(), None);
        assert_eq!(feed.position(), Lsn(41));
    }
    assert_eq!(database.feed(Lsn(42)).unwrap_err().code(), Code::LsnNotReached);

    let mut feed = database.feed(Lsn(41)).unwrap();
    assert!(!feed.wait(Duration::from_millis(1)));
    let writer = database.clone();
    let (begin, begun) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        begun.recv().unwrap();
        writer.assert(claim(-1)).unwrap();
    });
    begin.send(()).unwrap();
    assert!(feed.wait(Duration::from_secs(60)));
    assert_eq!(feed.next_entry().unwrap().unwrap().commands, [Command::Assert(claim(-1))]);
    thread.join().unwrap();
}

#[test]
fn what_the_journal_has_let_go_of_is_gone_and_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = HybridOptions::tiny();
    engine.journal.retention = stemedb_wal::Retention::Recycle;
    let options = DatabaseOptions { engine, ..DatabaseOptions::default() };
    let database = Database::create(dir.path().join("db"), options).unwrap();
    let text = "x".repeat(2_000);
    use stemedb_wal::Journal;
    let mut number = 0;
    while database.engine().journal().first_lsn() <= Lsn(1) {
        number += 1;
        assert!(number < 20_000, "the journal never lets go");
        database
            .assert(Assertion::new(format!("s{number}"), "p", Object::Text(text.clone()), "src"))
            .unwrap();
        if number % 50 == 0 {
            database.flush().unwrap();
        }
    }
    assert_eq!(database.feed(Lsn(1)).unwrap_err().code(), Code::PositionGone);
    let server = Server::over(database, dir, RouterOptions::default());
    assert_eq!(server.get("/v1/feed?from=1").problem(), (410, "position_gone".into(), "?from".into()));
    // The journal may let go of more meanwhile.
    let (first, reply) = loop {
        let first = server.database.engine().journal().first_lsn();
        let reply = server.get(&format!("/v1/feed?from={first}&limit=1"));
        match reply.status {
            410 => assert!(server.database.engine().journal().first_lsn() > first),
            _ => break (first, reply),
        }
    };
    assert_eq!(reply.lines()[0]["lsn"], first.0);
}

#[test]
fn lines_can_be_read_piece_by_piece_and_the_last_one_says_where_to_go_on() {
    let server = Server::start();
    let recorded = fill(&server.database, 30);
    let mut next = "1".to_owned();
    let mut seen = Vec::new();
    let mut pieces = 0;
    loop {
        let reply = server.get(&format!("/v1/feed?from={next}&limit=7"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
        let mut lines = reply.lines();
        let end = lines.pop().unwrap();
        assert_eq!(end["end"], true);
        pieces += 1;
        seen.extend(lines);
        next = end["next"].as_str().unwrap().to_owned();
        if end["entries"] == 0 {
            break;
        }
    }
    assert_eq!((pieces, next.as_str()), (6, "1.31"));
    let mut lines = seen.iter();
    for (index, commands) in recorded.iter().enumerate() {
        for (ordinal, command) in commands.iter().enumerate() {
            let line = lines.next().unwrap();
            assert_eq!(line["lsn"], index + 1);
            assert_eq!((&line["ordinal"], &line["of"]), (&json!(ordinal), &json!(commands.len())));
            match command {
                Command::Assert(claim) => {
                    assert_eq!(
                        (&line["kind"], &line["id"]),
                        (&json!("assert"), &json!(claim.id().to_string()))
                    );
                    assert_eq!(line["record"]["subject"], claim.subject);
                }
                Command::Vote(vote) => {
                    assert_eq!(line["kind"], "vote");
                    assert_eq!(line["record"]["signature"], vote.signature.unwrap().to_string());
                }
                _ => assert_eq!(line["record"]["kind"], "retracts"),
            }
        }
    }
    assert!(lines.next().is_none());
    let all = server.get("/v1/feed").lines();
    assert_eq!(all.len(), seen.len() + 1);
    assert_eq!(all[..seen.len()], seen);
}

#[test]
fn positions_of_the_future_of_other_timelines_and_of_no_form_are_refused() {
    let server = Server::start();
    fill(&server.database, 3);
    for (target, status, code, place) in [
        ("/v1/feed?from=5", 409, "lsn_not_reached", "?from"),
        ("/v1/feed?from=2.1", 410, "position_gone", "?from"),
        ("/v1/feed?from=x", 400, "invalid_parameter", "?from"),
        ("/v1/feed?limit=0", 400, "invalid_parameter", "?limit"),
        ("/v1/feed?wait=61", 400, "invalid_parameter", "?wait"),
        ("/v1/feed?follow=1", 400, "unknown_parameter", "?follow"),
    ] {
        assert_eq!(server.get(target).problem(), (status, code.into(), place.into()), "{target}");
    }
    let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", "3.1")];
    assert_eq!(server.send("GET", "/v1/feed", &headers, b"").problem().0, 410);
    assert_eq!(server.get("/v1/feed?from=1.4").lines().len(), 1);
}

#[test]
fn a_long_poll_answers_when_something_comes_and_when_its_time_is_over() {
    let server = Server::start();
    fill(&server.database, 2);
    let nothing = server.get("/v1/feed?from=3&wait=1").lines();
    assert_eq!((nothing.len(), &nothing[0]["next"]), (1, &json!("1.3")));
    let address = server.address;
    let poll = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /v1/feed?from=3&wait=60 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    });
    // Whether the poll or the write comes first, the poll must see it.
    server.database.assert(claim(77)).unwrap();
    let reply = poll.join().unwrap();
    assert!(reply.contains(r#""lsn":3,"#) && reply.contains(r#""next":"1.4""#), "{reply}");
}

/// Events, as they arrive.
struct Events {
    stream: TcpStream,
    seen: String,
}

impl Events {
    fn begin(server: &Server, target: &str, headers: &str) -> Events {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Events { stream, seen: String::new() }
    }

    /// Reads on until a text has come.
    fn until(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "ended without {text:?}: {}", self.seen);
            self.seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

#[test]
fn events_follow_and_go_on_from_the_last_one_that_was_seen() {
    let server = Server::start();
    fill(&server.database, 3);
    let mut events = Events::begin(&server, "/v1/feed?from=2", "");
    events.until("id: 1.3\n");
    assert!(events.seen.contains("content-type: text/event-stream"));
    assert!(!events.seen.contains(r#""lsn":1,"#));
    for number in [101, 102] {
        server.database.assert(claim(number)).unwrap();
        events.until(&format!("\"subject\":\"s{number}\""));
    }
    events.until("id: 1.5\n");
    drop(events);
    let mut again = Events::begin(&server, "/v1/feed?from=1", "Last-Event-ID: 1.4\r\n");
    again.until("id: 1.5\n");
    assert!(!again.seen.contains(r#""lsn":4,"#), "{}", again.seen);
    // A limit ends events too.
    let mut limited = Events::begin(&server, "/v1/feed?from=1&limit=2", "");
    limited.until("event: end");
    assert!(limited.seen.contains(r#""next":"1.3""#), "{}", limited.seen);
}

#[test]
fn an_entry_of_many_commands_has_a_position_at_its_end_only() {
    let server = Server::start();
    let commands: Vec<Command> = (0..3_000).map(|number| Command::Assert(claim(number))).collect();
    server.database.submit(&commands).unwrap();
    let mut events = Events::begin(&server, "/v1/feed?limit=1", "");
    events.until("event: end");
    assert_eq!(events.seen.matches("event: change").count(), 3_000);
    assert_eq!(events.seen.matches("id: 1.1\n").count(), 1);
    let (before, last) = events.seen.split_once("id: 1.1\n").unwrap();
    assert!(before.contains(r#""ordinal":2998,"#) && last.contains(r#""ordinal":2999,"#));
}

#[test]
fn a_reader_that_does_not_read_is_cut_off_and_too_many_are_refused() {
    let options =
        RouterOptions { max_feeds: 1, body_timeout: Duration::from_secs(3), ..RouterOptions::default() };
    let server = Server::with(options);
    let text = "y".repeat(60_000);
    for number in 0..400 {
        server
            .database
            .assert(Assertion::new(format!("s{number}"), "p", Object::Text(text.clone()), "src"))
            .unwrap();
    }
    // 24 MB are more than sockets hold: this one waits for us, and we do not read.
    let mut idle = Events::begin(&server, "/v1/feed?from=1", "");
    idle.until("event: change");
    let refused = server.get("/v1/feed");
    assert_eq!((refused.status, refused.problem().1), (503, "overloaded".to_owned()));
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while server.get("/v1/feed?from=401").status != 200 {
        assert!(std::time::Instant::now() < deadline, "the idle reader is never cut off");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut rest = Vec::new();
    // The connection ends; what was on its way is all there is.
    let _ = idle.stream.read_to_end(&mut rest);
    assert!(rest.len() < 20_000_000, "{}", rest.len());
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a part must not end like the whole");
}
