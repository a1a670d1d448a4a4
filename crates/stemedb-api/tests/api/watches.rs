//! Watches over HTTP and embedded: registered once, told once, from any position.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};
use stemedb_api::{
    Code, Crossed, Database, QuestionKey, Watch,
    core::{Assertion, Lens, Object},
};
use stemedb_env::Lsn;

use crate::support::{Server, database, tiny};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];
const LINES: [(&str, &str); 1] = [("Content-Type", "application/x-ndjson")];

fn claim(subject: &str, value: i64) -> Assertion {
    Assertion::new(subject, "p", Object::Integer(value), format!("src{value}"))
}

fn put(server: &Server, id: &str, body: &Value) -> crate::support::Reply {
    server.send("PUT", &format!("/v1/watches/{id}"), &JSON, body.to_string().as_bytes())
}

#[test]
fn a_watch_is_registered_once_read_listed_and_removed() {
    let server = Server::start();
    server.database.assert(claim("s", 1)).unwrap();
    let body = json!({"subject": "s", "predicate": "p", "lens": "layered", "margin_below": 0.25});
    let made = put(&server, "team%2Fx", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let expected = json!({"id": "team/x", "subject": "s", "predicate": "p", "lens": "layered", "margin_below": 0.25,
        "since": 1, "timeline": 1});
    assert_eq!((made.json(), made.header("stemedb-lsn")), (expected.clone(), Some("1.1")));
    server.database.assert(claim("s", 2)).unwrap();
    let again = put(&server, "team%2Fx", &body);
    assert_eq!((again.status, again.json()), (200, expected.clone()));
    assert_eq!(server.get("/v1/watches/team%2Fx").json(), expected);
    let other = put(&server, "team%2Fx", &json!({"subject": "s", "predicate": "p"}));
    assert_eq!(other.problem(), (409, "watch_exists".into(), "/id".into()));

    let many: String =
        (0..5).map(|n| format!(r#"{{"id":"m/{n}","subject":"t{n}","predicate":"p"}}"#) + "\n").collect();
    let reply = server.send("POST", "/v1/watches", &LINES, many.as_bytes());
    assert_eq!(reply.json(), json!({"watches": 5, "created": 5, "existing": 0, "since": 2, "timeline": 1}));
    let page = server.get("/v1/watches?prefix=m%2F&limit=3").json();
    assert_eq!((&page["registered"], &page["next"]), (&json!(6), &json!("m/2")));
    let rest = server.get("/v1/watches?prefix=m%2F&limit=3&after=m%2F2").json();
    assert_eq!((rest["watches"].as_array().unwrap().len(), rest.get("next")), (2, None));

    assert_eq!(server.send("DELETE", "/v1/watches/m%2F0", &[], b"").status, 204);
    let gone = (404, "watch_not_found".to_owned(), String::new());
    assert_eq!(server.send("DELETE", "/v1/watches/m%2F0", &[], b"").problem(), gone);
    assert_eq!(server.get("/v1/watches/m%2F0").problem(), gone);
}

#[test]
fn what_is_wrong_is_named_and_nothing_of_a_request_is_registered() {
    let server = Server::start();
    let good = r#"{"id":"a","subject":"s","predicate":"p"}"#;
    let many =
        |lines: &[&str]| server.send("POST", "/v1/watches", &LINES, lines.join("\n").as_bytes()).problem();
    assert_eq!(many(&[good, "{"]), (400, "invalid_json".into(), "/1".into()));
    assert_eq!(
        many(&[good, "", r#"{"subject":"s","predicate":"p"}"#]),
        (400, "missing_field".into(), "/1/id".into())
    );
    let other = r#"{"id":"a","subject":"other","predicate":"p"}"#;
    assert_eq!(many(&[good, good, other]), (409, "watch_exists".into(), "/2/id".into()));
    let events = r#"{"id":"events","subject":"s","predicate":"p"}"#;
    assert_eq!(many(&[good, events]), (422, "unknown_name".into(), "/1/id".into()));
    assert_eq!(server.get("/v1/watches").json()["registered"], 0);

    let decay = json!({"subject": "s", "predicate": "p", "decay": true});
    assert_eq!(put(&server, "x", &decay).problem(), (422, "not_watchable".into(), "/decay".into()));
    let id = json!({"id": "y", "subject": "s", "predicate": "p"});
    assert_eq!(put(&server, "x", &id).problem().2, "/id");
    let plain = json!({"subject": "s", "predicate": "p"});
    assert_eq!(
        put(&server, &"x".repeat(201), &plain).problem(),
        (400, "invalid_parameter".into(), "?id".into())
    );
    assert_eq!(server.send("PUT", "/v1/watches/x", &[], b"{}").problem().0, 415);
    for (target, status, place) in [
        ("/v1/watches/events?from=7", 409, "?from"),
        ("/v1/watches/events?from=2.1", 410, "?from"),
        ("/v1/watches/events?limit=1", 400, "?limit"),
        ("/v1/watches/events?prefix=%01", 400, "?prefix"),
        ("/v1/watches?limit=0", 400, "?limit"),
    ] {
        let problem = server.get(target).problem();
        assert_eq!((problem.0, problem.2.as_str()), (status, place), "{target}");
    }
}

/// Reads events until a text has come.
fn until(stream: &mut TcpStream, seen: &mut String, text: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "ended without {text:?}: {seen}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
}

fn events(server: &Server, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = "GET /v1/watches/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n";
    write!(stream, "{head}{headers}\r\n").unwrap();
    stream
}

#[test]
fn events_tell_what_crossed_and_how_far_they_have_come_when_nothing_did() {
    let server = Server::start();
    let plain = json!({"subject": "s", "predicate": "p", "lens": "recency"});
    assert_eq!(put(&server, "w", &plain).status, 201);
    let (mut stream, mut seen) = (events(&server, ""), String::new());
    server.database.assert(claim("s", 1)).unwrap();
    until(&mut stream, &mut seen, "id: 1.1\nevent: notice\n");
    until(&mut stream, &mut seen, "\"crossed\":[\"value\"]");
    server.database.assert(claim("other", 1)).unwrap();
    until(&mut stream, &mut seen, "id: 1.2\nevent: position\ndata: {\"next\":\"1.3\"}\n\n");
    server.database.assert(claim("s", 2)).unwrap();
    until(&mut stream, &mut seen, "id: 1.3\nevent: notice\n");
    drop(stream);
    // Registered while nobody follows, and told by a follower that begins before.
    assert_eq!(put(&server, "later", &plain).status, 201);
    server.database.assert(claim("s", 3)).unwrap();
    let (mut stream, mut seen) = (events(&server, "Last-Event-ID: 1.1\r\n"), String::new());
    until(&mut stream, &mut seen, "id: 1.4\n");
    assert!(!seen.contains("\"lsn\":1,") && seen.matches("event: notice").count() == 3, "{seen}");
    // And while somebody does.
    assert_eq!(put(&server, "last", &plain).status, 201);
    server.database.assert(claim("s", 4)).unwrap();
    until(&mut stream, &mut seen, "id: 1.5\n");
    until(&mut stream, &mut seen, "\"watch\":\"last\",\"lsn\":5,");
}

#[test]
fn a_long_poll_waits_for_a_notice_and_not_for_an_entry() {
    let server = Server::start();
    assert_eq!(put(&server, "w", &json!({"subject": "s", "predicate": "p"})).status, 201);
    let nothing = server.get("/v1/watches/events?from=1&wait=1").lines();
    assert_eq!(nothing, [json!({"end": true, "notices": 0, "next": "1.1"})]);
    let address = server.address;
    let poll = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let request =
            "GET /v1/watches/events?from=1&wait=60 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    });
    server.database.assert(claim("other", 1)).unwrap();
    server.database.assert(claim("other", 2)).unwrap();
    server.database.assert(claim("s", 1)).unwrap();
    let reply = poll.join().unwrap();
    assert!(reply.contains(r#""watch":"w","lsn":3,"position":"1.3""#), "{reply}");
    assert!(reply.contains(r#"{"end":true,"notices":1,"next":"1.4"}"#), "{reply}");
}

#[test]
fn embedded_watches_outlive_the_process_and_a_position_goes_on_exactly() {
    let (database, dir) = database();
    let watch = |id: &str, subject: &str| {
        Watch::new(id, QuestionKey { subject: subject.into(), predicate: "p".into() }, Lens::Recency)
    };
    assert!(database.watch(watch("a/1", "s")).unwrap().created);
    assert!(!database.watch(watch("a/1", "s")).unwrap().created);
    assert!(database.watch(watch("b/1", "s")).unwrap().created);
    database.assert(claim("s", 1)).unwrap();
    let mut notices = database.notices(Lsn(1), "").unwrap();
    let first = notices.next_notice().unwrap().unwrap();
    assert_eq!((first.watch.as_str(), first.lsn, &first.crossed[..]), ("a/1", Lsn(1), &[Crossed::Value][..]));
    // In the middle of an entry: that entry again.
    let position = notices.position();
    assert_eq!(position, Lsn(1));
    drop(notices);
    database.close().unwrap();

    let database = Database::open(dir.path().join("db"), tiny()).unwrap();
    let mut notices = database.notices(position, "b/").unwrap();
    assert_eq!(notices.next_notice().unwrap().unwrap().watch, "b/1");
    assert_eq!((notices.next_notice().unwrap(), notices.position()), (None, Lsn(2)));
    assert!(!notices.wait(Duration::from_millis(5)));
    assert!(database.unwatch("b/1").unwrap() && !database.unwatch("b/1").unwrap());
    database.assert(claim("s", 2)).unwrap();
    assert!(notices.wait(Duration::from_secs(30)));
    assert_eq!(notices.next_notice().unwrap(), None, "removed");
    let error = database.notices(Lsn(9), "").unwrap_err();
    assert_eq!(error.code(), Code::LsnNotReached);
    // Watches belong to their folder.
    database.checkpoint(dir.path().join("copy")).unwrap();
    let copy = Database::open(dir.path().join("copy"), tiny()).unwrap();
    assert_eq!(copy.watches("", None, 10).unwrap().registered, 0);
    // Nothing before the first watch's beginning is read again.
    database.watch(watch("c", "s")).unwrap();
    let mut late = database.notices(Lsn(1), "c").unwrap();
    assert_eq!((late.position(), late.next_notice().unwrap()), (Lsn(3), None));
    assert_eq!(late.counts().entries, 0);
}

/// Every entry changes the answer, so that a watch is told of exactly those behind its own position.
#[test]
fn watches_that_are_registered_while_others_write_and_follow_miss_nothing() {
    const ENTRIES: u64 = 600;
    let (database, _dir) = database();
    let question = QuestionKey { subject: "s".into(), predicate: "p".into() };
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            for value in 0..ENTRIES {
                database.assert(claim("s", value.try_into().unwrap())).unwrap();
            }
        });
        for part in 0..3 {
            let (database, question) = (&database, &question);
            scope.spawn(move || {
                for number in 0..40 {
                    let watch = Watch::new(format!("{part}/{number}"), question.clone(), Lens::Recency);
                    assert!(database.watch(watch).unwrap().created);
                }
            });
        }
        let mut notices = database.notices(Lsn(1), "").unwrap();
        let mut told = Vec::new();
        while notices.position() <= Lsn(ENTRIES) {
            notices.wait(Duration::from_secs(30));
            while let Some(notice) = notices.next_notice().unwrap() {
                told.push((notice.lsn, notice.watch));
            }
        }
        told
    });
    let page = database.watches("", None, 1_000).unwrap();
    assert_eq!(page.registered, 120);
    let mut expected: Vec<(Lsn, String)> = page
        .watches
        .iter()
        .flat_map(|one| (one.since.0 + 1..=ENTRIES).map(|lsn| (Lsn(lsn), one.watch.id.clone())))
        .collect();
    expected.sort();
    assert!(told == expected, "{} told, {} expected", told.len(), expected.len());
    let during = page.watches.iter().filter(|one| (1..ENTRIES).contains(&one.since.0)).count();
    assert!(during > 5, "only {during} were registered while entries were written");
}
