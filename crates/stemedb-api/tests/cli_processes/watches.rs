//! A hundred thousand watches: no notice is missed and none is told twice, across a `kill -9`.

use std::{
    collections::HashMap,
    io::{self, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stemedb_api::{
    AsOf, Brief, Crossed, Database, DatabaseOptions, Notice, Registered,
    core::{Candidate, Micros},
    json::NoticeJson,
};
use stemedb_env::Lsn;

use crate::{http::Incoming, program::run, server::Server};

const QUESTIONS: usize = 2_000;
const WATCHES: usize = 100_000;
/// Watches of the last requests are registered when claims are there already.
const EARLY: usize = 90_000;
const AT_ONCE: usize = 10_000;
const ROUNDS: usize = 44;
const KILLED_IN: usize = 20;
/// Claims of one entry.
const CLAIMS: usize = 60;

fn watch(number: usize) -> String {
    let question = number % QUESTIONS;
    let kind = number / QUESTIONS;
    let lenses = ["recency", "consensus", "confidence", "authority", "skeptic", "layered"];
    let mut watch = json!({
        "id": format!("team{}/{number}", number % 7), "subject": format!("s{question}"), "predicate": "p",
        "lens": lenses[kind % 6],
    });
    if kind.is_multiple_of(5) {
        watch["margin_below"] = json!(0.3);
    }
    if kind.is_multiple_of(7) {
        watch["conflict_above"] = json!(0.5);
    }
    if kind == 11 {
        watch["without"] = json!(["source:A"]);
    }
    watch.to_string()
}

fn post(address: &str, path: &str, media_type: &str, body: &str) -> io::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: {media_type}\r\n")?;
    write!(stream, "Content-Length: {length}\r\n\r\n{body}")?;
    let mut reply = Incoming::read_head(stream)?;
    let mut text = Vec::new();
    while let Some(part) = reply.next_part()? {
        text.extend(part);
    }
    assert!(reply.status < 300, "{path}: {}", String::from_utf8_lossy(&text));
    let last = text.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    Ok(serde_json::from_slice(last).unwrap())
}

fn register(address: &str, numbers: std::ops::Range<usize>) {
    for start in numbers.clone().step_by(AT_ONCE) {
        let end = (start + AT_ONCE).min(numbers.end);
        let body: String = (start..end).map(|number| watch(number) + "\n").collect();
        let reply = post(address, "/v1/watches", "application/x-ndjson", &body).unwrap();
        assert_eq!((&reply["watches"], &reply["created"]), (&json!(end - start), &json!(end - start)));
    }
}

/// One round of writes: an entry of claims, and now and then a record that touches many questions.
fn round(address: &str, round: usize, dice: &mut u64) -> io::Result<()> {
    let mut next = |below: u64| {
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice % below
    };
    let mut body = String::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    for at in 0..CLAIMS {
        let question = next(if round.is_multiple_of(2) { 200 } else { QUESTIONS as u64 });
        let mut claim = json!({
            "subject": format!("s{question}"), "predicate": "p", "object": (next(4)),
            "source": (["A", "B", "C"][at % 3]), "confidence": (0.25 * (1 + next(4)) as f64),
        });
        if at == 1 {
            // Ceases to hold while the test runs.
            claim["valid_to"] = json!(Micros(now as i64 + 1_000 * next(3_000) as i64 + 1).to_string());
        }
        body += &(claim.to_string() + "\n");
    }
    post(address, "/v1/import", "application/x-ndjson", &body)?;
    if round % 8 == 3 {
        let source = json!({"id": "B", "class": (next(6))}).to_string();
        post(address, "/v1/source", "application/json", &source)?;
    }
    Ok(())
}

/// What a client keeps.
#[derive(Default)]
struct Heard {
    /// The last position: everything up to it was told.
    last_id: Option<String>,
    told: Vec<String>,
    connections: usize,
    /// Positions without a notice.
    progress: usize,
}

impl Heard {
    fn lsn(&self) -> u64 {
        self.last_id.as_ref().map_or(0, |id| id.split_once('.').unwrap().1.parse().unwrap())
    }
}

/// Follows until the connection ends. What came without a position after it is dropped, as it will come again.
fn follow(address: &str, heard: &Mutex<Heard>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let last = heard.lock().unwrap().last_id.clone();
    let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
    write!(stream, "GET /v1/watches/events HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\n{last}\r\n")?;
    let mut reply = Incoming::read_head(stream)?;
    assert_eq!(reply.status, 200);
    heard.lock().unwrap().connections += 1;
    let (mut text, mut open) = (Vec::new(), Vec::new());
    while let Some(part) = reply.next_part()? {
        text.extend(part);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            let block = std::str::from_utf8(&block).unwrap();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            match field("event: ") {
                Some("notice") => open.push(field("data: ").unwrap().to_owned()),
                Some("position") => heard.lock().unwrap().progress += 1,
                Some("end") => open.clear(),
                None => {}
                Some(other) => panic!("{other}: {block}"),
            }
            if let Some(id) = field("id: ") {
                let mut heard = heard.lock().unwrap();
                heard.told.append(&mut open);
                heard.last_id = Some(id.to_owned());
            }
        }
    }
    Ok(())
}

/// The answer of every watch at every entry, from the claims alone.
fn naive(dir: &Path) -> Vec<String> {
    let database = Database::open(dir, DatabaseOptions::default()).unwrap();
    let mut watches: HashMap<String, Vec<Registered>> = HashMap::new();
    let (mut after, mut count) = (None, 0);
    loop {
        let page = database.watches("", after.as_deref(), 10_000).unwrap();
        for registered in &page.watches {
            let subject = registered.watch.question.subject.clone();
            watches.entry(subject).or_default().push((**registered).clone());
            count += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(count, WATCHES);
    let newest = database.published_lsn();
    let mut before: HashMap<String, Vec<Candidate>> = HashMap::new();
    let (mut then, mut all) = (Micros(i64::MIN), Vec::new());
    for lsn in (1..=newest.0).map(Lsn) {
        let reader = database.reader(Some(AsOf::Lsn(lsn))).unwrap();
        let now = Micros(reader.recorded_at(lsn).unwrap().unwrap().0);
        let mut scan = reader.questions_from("");
        let mut notices = Vec::new();
        while let Some((question, claims)) = scan.next_question().unwrap() {
            let old = before.remove(&question.subject).unwrap_or_default();
            let timeless = |claims: &[Candidate]| {
                claims
                    .iter()
                    .all(|one| one.assertion.valid_from.is_none() && one.assertion.valid_to.is_none())
            };
            if old != claims || !timeless(&claims) {
                for Registered { watch, since } in &watches[&question.subject] {
                    let (earlier, later) = (Brief::of(watch, &old, then), Brief::of(watch, &claims, now));
                    let crossed = Crossed::between(watch, &earlier, &later);
                    if *since < lsn && !crossed.is_empty() {
                        let watch = watch.id.clone();
                        notices.push(Notice {
                            watch,
                            lsn,
                            recorded_at: now,
                            crossed,
                            before: earlier,
                            after: later,
                        });
                    }
                }
            }
            before.insert(question.subject, claims);
        }
        notices.sort_by(|a, b| a.watch.cmp(&b.watch));
        let lines = notices.iter().map(|notice| serde_json::to_string(&NoticeJson::new(notice, 1)).unwrap());
        all.extend(lines);
        then = now;
    }
    all
}

#[test]
fn a_hundred_thousand_watches_are_told_everything_once_across_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    let address = server.address.clone();
    register(&address, 0..EARLY);
    let (heard, over) = (Mutex::new(Heard::default()), AtomicBool::new(false));
    let begun = AtomicUsize::new(0);
    let last = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                // It ends with the server, and goes on with the next one.
                let _ = follow(&address, &heard);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut dice = 0x9e37_79b9_7f4a_7c15;
        for number in 0..KILLED_IN {
            round(&address, number, &mut dice).unwrap();
        }
        register(&address, EARLY..WATCHES);
        // In the middle of writing and of telling.
        while heard.lock().unwrap().lsn() < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (at, mut of_writer, begun) = (&address, dice, &begun);
        let writer = scope.spawn(move || {
            (KILLED_IN..ROUNDS).find(|number| {
                begun.store(*number, Ordering::SeqCst);
                round(at, *number, &mut of_writer).is_err()
            })
        });
        while begun.load(Ordering::SeqCst) < KILLED_IN + 6 {
            std::thread::yield_now();
        }
        server.kill();
        let broken = writer.join().unwrap().unwrap_or(ROUNDS);
        assert!(broken < ROUNDS, "it was killed after everything was written");
        let server = Server::start_at(&data, &address);
        for number in broken..ROUNDS {
            round(&address, number, &mut dice).unwrap();
        }
        let health = crate::http::get(&address, "/v1/health").unwrap().body;
        let health: Value = serde_json::from_str(&health).unwrap();
        let last = health["durable_lsn"].as_u64().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while heard.lock().unwrap().lsn() < last {
            assert!(Instant::now() < deadline, "heard up to {} of {last}", heard.lock().unwrap().lsn());
            std::thread::sleep(Duration::from_millis(10));
        }
        over.store(true, Ordering::SeqCst);
        // From the beginning in one go, and as another client that waits for more.
        let lines = crate::http::get(&address, "/v1/watches/events?from=1").unwrap().body;
        let mut lines: Vec<&str> = lines.lines().collect();
        let end: Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
        assert_eq!(end["next"], format!("1.{}", last + 1));
        assert!(lines == heard.lock().unwrap().told, "lines are not what events were");
        assert_eq!(server.stop().0, Some(0));
        last
    });
    let expected = naive(&data);
    let heard = heard.into_inner().unwrap();
    println!(
        "{} notices of {last} entries over {} connections, {} positions without",
        heard.told.len(),
        heard.connections,
        heard.progress
    );
    assert_eq!(heard.told.len(), expected.len());
    assert!(heard.told == expected, "other notices");
    assert!(heard.told.len() > 20_000 && heard.connections >= 2);
    let folder = data.to_str().unwrap();
    let told = run(["watch", "follow", "--data-dir", folder, "--prefix", "team3/"]).ok();
    let of_team = expected.iter().filter(|line| line.contains("\"watch\":\"team3/"));
    assert!(told.out.lines().eq(of_team.map(String::as_str)));
    // Warnings may come before it.
    assert_eq!(told.err.lines().last(), Some(format!("next 1.{}", last + 1).as_str()));
}

#[test]
fn watches_are_added_listed_and_removed_in_a_folder_and_on_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    let url = server.url();
    let on = ["--url", &url];
    let watch = |command: &[&str], place: &[&str]| run([&["watch"], command, place].concat());
    let added =
        watch(&["add", "team/ä x", "s", "p", "--lens", "skeptic", "--conflict-above", "0.5"], &on).ok();
    assert_eq!((added.number("created"), added.number("existing")), (1, 0));
    let file = dir.path().join("watches.jsonl");
    let lines: String = (0..12_000)
        .map(|n| json!({"id": format!("m/{n}"), "subject": "s", "predicate": "p"}).to_string() + "\n")
        .collect();
    std::fs::write(&file, &lines).unwrap();
    let added = watch(&["add", "--file", file.to_str().unwrap()], &on).ok();
    assert_eq!((added.number("created"), added.number("existing")), (12_000, 0));
    let refused = watch(&["add", "m/1", "other", "p"], &on);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("watch_exists"), "{}", refused.err);
    let listed = watch(&["list", "--prefix", "team/", "--json"], &on).ok();
    let line: Value = serde_json::from_str(listed.out.trim()).unwrap();
    assert_eq!(
        (&line["id"], &line["conflict_above"], &line["since"]),
        (&json!("team/ä x"), &json!(0.5), &json!(0))
    );
    assert_eq!(watch(&["list"], &on).ok().out.lines().count(), 12_001);
    watch(&["remove", "team/ä x"], &on).ok();
    assert_eq!(watch(&["remove", "team/ä x"], &on).code, Some(1));
    assert_eq!(server.stop().0, Some(0));

    let here = ["--data-dir", data.to_str().unwrap()];
    assert_eq!(watch(&["list"], &here).ok().out.lines().count(), 12_000);
    let again = watch(&["add", "--file", file.to_str().unwrap()], &here).ok();
    assert_eq!((again.number("created"), again.number("existing")), (0, 12_000));
    watch(&["remove", "m/1", "m/2"], &here).ok();
    assert_eq!(watch(&["list"], &here).ok().out.lines().count(), 11_998);
    assert_eq!(watch(&["follow"], &here).ok().out, "");
}
