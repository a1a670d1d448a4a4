//! SIGTERM: nothing that was begun is left in doubt.

use std::{io::Write, net::TcpStream};

use crate::{corpus, http, program::run, server::Server};

#[test]
fn an_import_that_is_under_way_when_the_server_is_stopped_is_finished_and_acknowledged() {
    const LINES: usize = 12_000;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    let body = corpus::lines(0..LINES).into_bytes();
    let (first, second) = body.split_at(body.len() / 2);

    let mut stream = TcpStream::connect(&server.address).unwrap();
    http::begin_import(&mut stream, body.len()).unwrap();
    stream.write_all(first).unwrap();
    // The request is being handled once the server has committed something of it.
    let lsn = || http::get(&server.address, "/v1/health").unwrap().body.contains("\"durable_lsn\":0,");
    while lsn() {
        std::thread::yield_now();
    }
    server.terminate();
    // It accepts nobody any more; only then the rest is sent.
    while TcpStream::connect(&server.address).is_ok_and(|stream| {
        // A connection may still be taken by the kernel's queue: it counts when it is answered.
        drop(stream);
        http::get(&server.address, "/livez").is_ok()
    }) {
        std::thread::yield_now();
    }
    stream.write_all(second).unwrap();
    let mut reply = http::Incoming::read_head(stream).unwrap();
    assert_eq!(reply.status, 200);
    let mut text = Vec::new();
    while let Some(part) = reply.next_part().unwrap() {
        text.extend(part);
    }
    let verdicts: Vec<serde_json::Value> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(verdicts.len(), LINES + 1);
    let end = verdicts.last().unwrap();
    assert_eq!((&end["complete"], &end["created"]), (&true.into(), &LINES.into()), "{end}");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");

    let again = dir.path().join("again.jsonl");
    std::fs::write(&again, body).unwrap();
    let ran = run(["import", "--data-dir", data.to_str().unwrap(), again.to_str().unwrap()]).ok();
    assert_eq!((ran.number("created"), ran.number("already known")), (0, LINES as u64));
}

#[test]
fn a_server_without_requests_stops_at_once_with_exit_code_zero() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    assert_eq!(http::get(&server.address, "/livez").unwrap().status, 200);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("SIGTERM") && log.contains("database closed"), "{log}");
}

#[test]
fn jobs_that_are_under_way_when_the_server_is_stopped_end_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    let body = corpus::lines(0..20_000).into_bytes();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    http::begin_import(&mut stream, body.len()).unwrap();
    stream.write_all(&body).unwrap();
    let mut reply = http::Incoming::read_head(stream).unwrap();
    while reply.next_part().unwrap().is_some() {}
    for (what, body) in [("compact", "{\"force\": true}"), ("verify", "{}")] {
        let url = format!("{}/v1/admin/storage/{what}", server.url());
        let ran = std::process::Command::new("curl")
            .args(["-s", "-X", "POST", "-H", "Content-Type: application/json", "-d", body, &url])
            .output()
            .unwrap();
        let job: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert!(job["job"].is_u64(), "{job}");
    }
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    for kind in ["compaction", "verification"] {
        let ends = [format!("{kind} job stopped"), format!("{kind} job done")];
        assert!(ends.iter().any(|end| log.contains(end)), "{kind} in {log}");
    }
    assert!(log.contains("database closed") && !log.contains("jobs are cut"), "{log}");
    let quarantine = std::fs::read_dir(data.join("quarantine")).map_or(0, Iterator::count);
    assert_eq!(quarantine, 0, "no table without a name is left");
    let ran = run(["verify", "--data-dir", data.to_str().unwrap()]).ok();
    assert!(!ran.err.contains("quarantine"), "{ran:?}");
}
