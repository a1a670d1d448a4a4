//! `POST /v1/import` and `Database::import`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    ops::ControlFlow,
    time::Duration,
};

use serde_json::{Value, json};
use stemedb_api::{
    Database, ImportOptions, ImportReport, ImportSink, Invalid, OnError, Outcome, Query, RouterOptions,
    core::Lens,
};

use crate::support::{Server, database, tiny};

fn line(number: u64) -> String {
    format!(
        "{{\"subject\":\"s{number}\",\"predicate\":\"p\",\"object\":{number},\"source\":\"src{}\"}}\n",
        number % 7
    )
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(line).collect()
}

fn end(reply: &crate::support::Reply) -> Value {
    reply.lines().pop().unwrap()
}

#[test]
fn lines_become_claims_in_their_order_and_again_change_nothing() {
    let server = Server::start();
    let body = lines(0..9000);
    let reply = server.import("/v1/import", &[], body.as_bytes());
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")));
    let expected = json!({"end": true, "complete": true, "lines": 9000, "created": 9000, "existing": 0, "refused": 0,
        "lsn": server.database.published_lsn().0});
    assert_eq!(reply.lines(), [expected]);
    assert_eq!(reply.header("stemedb-lsn"), Some(format!("1.{}", server.database.published_lsn()).as_str()));

    let published = server.database.published_lsn();
    let again = end(&server.import("/v1/import", &[], body.as_bytes()));
    assert_eq!((&again["created"], &again["existing"]), (&json!(0), &json!(9000)));
    assert_eq!(server.database.published_lsn(), published, "nothing was journaled");

    let mut positions = Vec::new();
    for number in 0..9000 {
        let answer = server.database.query(Query::new(format!("s{number}"), "p", Lens::Recency)).unwrap();
        positions.push((answer.candidates[0].lsn, answer.candidates[0].ordinal));
    }
    assert!(positions.is_sorted(), "the journal has the order of the lines");
}

#[test]
fn bad_lines_are_named_and_the_others_are_kept() {
    let server = Server::start();
    let mut body = Vec::new();
    body.extend(line(1).into_bytes());
    body.extend(b"not json\n");
    body.extend(b"\n  \r\n");
    body.extend(line(2).into_bytes());
    body.extend(b"{\"subject\":\"a\xff\",\"predicate\":\"p\",\"object\":1,\"source\":\"s\"}\n");
    body.extend(b"{\"subject\":\"a\",\"predicate\":\"p\",\"object\":1e9999,\"source\":\"s\"}\n");
    body.extend(
        format!(
            "{{\"subject\":\"{}\",\"predicate\":\"p\",\"object\":1,\"source\":\"s\"}}\n",
            "x".repeat(513)
        )
        .bytes(),
    );
    body.extend(vec![b'x'; (1 << 20) + 1]);
    body.extend(b"\n");
    body.extend(line(3).trim_end().as_bytes());
    let reply = server.import("/v1/import", &[], &body);
    assert_eq!(reply.status, 200);
    let verdicts = reply.lines();
    let named: Vec<(u64, &str, &str)> = verdicts[..verdicts.len() - 1]
        .iter()
        .map(|verdict| {
            let error = &verdict["errors"][0];
            (
                verdict["line"].as_u64().unwrap(),
                verdict["code"].as_str().unwrap(),
                error["pointer"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (2, "invalid_json", ""),
        (6, "invalid_utf8", ""),
        (7, "exponent_out_of_range", "/object"),
        (8, "too_long", "/subject"),
        (9, "line_too_long", ""),
    ];
    assert_eq!(named, expected);
    let end = end(&reply);
    assert_eq!((&end["lines"], &end["created"], &end["refused"]), (&json!(10), &json!(3), &json!(5)));
    for number in 1..=3 {
        let answer = server.get(&format!("/v1/query?subject=s{number}&predicate=p")).json();
        assert_eq!(answer["value"], number);
    }
}

#[test]
fn after_the_first_bad_line_an_import_that_should_stop_stops() {
    let server = Server::start();
    let body = format!("{}oops\n{}", line(1), lines(2..5000));
    let reply = server.import("/v1/import?on_error=stop", &[], body.as_bytes());
    let end = end(&reply);
    assert_eq!(
        (&end["complete"], &end["lines"], &end["created"], &end["refused"]),
        (&json!(false), &json!(2), &json!(1), &json!(1))
    );
    assert_eq!(server.get("/v1/query?subject=s2&predicate=p").json()["status"], "unknown");
}

#[test]
fn every_line_has_a_verdict_where_all_are_asked_for() {
    let server = Server::start();
    let body = format!("{}{}bad\n{}", lines(0..6000), line(0), line(6000));
    let reply = server.import("/v1/import?verdicts=all", &[], body.as_bytes());
    let verdicts = reply.lines();
    assert_eq!(verdicts.len(), 6000 + 3 + 1);
    for (index, verdict) in verdicts[..6003].iter().enumerate() {
        assert_eq!(verdict["line"], index + 1, "in the order of the lines");
    }
    assert_eq!((&verdicts[0]["created"], &verdicts[6000]["created"]), (&json!(true), &json!(false)));
    assert_eq!((&verdicts[0]["id"], &verdicts[0]["lsn"]), (&verdicts[6000]["id"], &verdicts[6000]["lsn"]));
    assert_eq!(verdicts[6001]["code"], "invalid_json");
    assert_eq!(verdicts[6003]["created"], 6001);
}

#[test]
fn compressed_bodies_are_read_and_a_damaged_one_is_refused() {
    let server = Server::start();
    let gzip = gzip(lines(0..3000).as_bytes());
    assert_eq!(end(&server.import("/v1/import", &[("Content-Encoding", "gzip")], &gzip))["created"], 3000);
    let zstd = zstd::encode_all(lines(3000..6000).as_bytes(), 3).unwrap();
    assert_eq!(end(&server.import("/v1/import", &[("Content-Encoding", "zstd")], &zstd))["created"], 3000);

    let cut = &gzip[..gzip.len() / 2];
    let reply = server.import("/v1/import", &[("Content-Encoding", "gzip")], cut);
    assert_eq!(reply.problem(), (400, "invalid_encoding".into(), String::new()));
    let reply = server.import("/v1/import", &[("Content-Encoding", "zstd")], b"not zstd");
    assert_eq!(reply.problem(), (400, "invalid_encoding".into(), String::new()));
    let reply = server.import("/v1/import", &[("Content-Encoding", "br")], b"x");
    assert_eq!(reply.problem(), (415, "unsupported_encoding".into(), String::new()));
    let reply = server.send("POST", "/v1/import", &[("Content-Type", "text/plain")], b"x");
    assert_eq!(reply.problem(), (415, "unsupported_media_type".into(), String::new()));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_small_body_that_decompresses_to_too_much_is_refused_with_what_was_kept() {
    let server = Server::with(RouterOptions { import_max_bytes: 4 << 20, ..RouterOptions::default() });
    let mut bomb = line(1).into_bytes();
    bomb.extend(vec![b' '; 64 << 20]);
    let bomb = gzip(&bomb);
    assert!(bomb.len() < 128 << 10);
    let reply = server.import("/v1/import", &[("Content-Encoding", "gzip")], &bomb);
    assert_eq!(reply.problem(), (413, "body_too_large".into(), String::new()));
    let import = &reply.json()["import"];
    assert_eq!((&import["complete"], &import["created"]), (&json!(false), &json!(1)));
}

#[test]
fn a_body_that_is_cut_off_keeps_its_whole_lines_and_not_the_half_one() {
    let server = Server::start();
    let body = lines(0..50);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /v1/import HTTP/1.1\r\nHost: l\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        body.len() + 1000
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream.write_all(&line(50).as_bytes()[..20]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    // The reply may be lost with the connection; what was whole is kept either way.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while server.database.published_lsn().0 == 0 {
        assert!(std::time::Instant::now() < deadline, "the whole lines are committed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.get("/v1/query?subject=s49&predicate=p").json()["value"], 49);
    assert_eq!(server.get("/v1/query?subject=s50&predicate=p").json()["status"], "unknown");
}

#[test]
fn verdicts_flow_while_the_body_is_still_being_sent() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = "POST /v1/import?verdicts=all HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\
                Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let body = lines(0..12_000);
    stream.write_all(format!("{:x}\r\n{body}\r\n", body.len()).as_bytes()).unwrap();
    // Three batches are full: their verdicts exceed what is held back, so that the reply starts before the body ends.
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"end\":true,\"complete\":true,\"lines\":12000,\"created\":12000"));
}

#[test]
fn only_so_many_imports_run_at_once() {
    let server = Server::with(RouterOptions { max_imports: 0, ..RouterOptions::default() });
    let reply = server.import("/v1/import", &[], line(1).as_bytes());
    assert_eq!(reply.problem(), (503, "overloaded".into(), String::new()));
}

/// Everything a sink is told.
#[derive(Default)]
struct Diary {
    refused: Vec<u64>,
    recorded: Vec<(u64, bool)>,
    reports: Vec<ImportReport>,
    stop_after_batches: Option<usize>,
}

impl ImportSink for Diary {
    fn refused(&mut self, line: u64, _: &Invalid) {
        self.refused.push(line);
    }

    fn recorded(&mut self, line: u64, outcome: &Outcome) {
        self.recorded.push((line, outcome.created));
    }

    fn acknowledged(&mut self, report: &ImportReport) -> ControlFlow<()> {
        self.reports.push(*report);
        match self.stop_after_batches {
            Some(batches) if self.reports.len() >= batches => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn a_sink_is_told_in_order_and_only_about_what_is_readable() {
    let (database, _dir) = database();
    let input = format!("{}bad\n{}", lines(0..25), lines(20..40));
    let options = ImportOptions { batch_claims: 10, report_recorded: true, ..ImportOptions::default() };
    let mut diary = Diary::default();
    let report = database.import(input.as_bytes(), options, &mut diary).unwrap();
    assert_eq!((report.lines, report.created, report.existing, report.refused), (46, 40, 5, 1));
    assert_eq!(diary.refused, [26]);
    let lines: Vec<u64> = diary.recorded.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, (1..=25).chain(27..=46).collect::<Vec<u64>>());
    let existing: Vec<u64> =
        diary.recorded.iter().filter(|(_, created)| !created).map(|(line, _)| *line).collect();
    assert_eq!(existing, [27, 28, 29, 30, 31]);
    assert_eq!(diary.reports.len(), 5, "five batches");
    assert!(diary.reports.iter().all(|report| report.lsn <= database.published_lsn()));
    assert_eq!(diary.reports.last(), Some(&report));
}

#[test]
fn a_sink_can_stop_an_import_and_a_second_one_completes_it() {
    let (database, _dir) = database();
    let input = lines(0..1000);
    let options = ImportOptions { batch_claims: 10, ..ImportOptions::default() };
    let mut diary = Diary { stop_after_batches: Some(3), ..Diary::default() };
    let report = database.import(input.as_bytes(), options, &mut diary).unwrap();
    assert!(report.stopped && report.created < 1000, "{report:?}");
    let rest = database.import(input.as_bytes(), options, &mut ()).unwrap();
    assert_eq!((rest.created + report.created, rest.existing), (1000, report.created));
}

#[test]
fn an_imported_database_reopens_with_every_claim() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let database = Database::create(&path, tiny()).unwrap();
    let options = ImportOptions { on_error: OnError::Stop, batch_bytes: 2000, ..ImportOptions::default() };
    let report = database.import(lines(0..2000).as_bytes(), options, &mut ()).unwrap();
    let root = database.engine().state_root().unwrap();
    drop(database);
    let database = Database::open(&path, tiny()).unwrap();
    assert_eq!((database.published_lsn(), database.engine().state_root().unwrap()), (report.lsn, root));
    database.verify().unwrap();
}
