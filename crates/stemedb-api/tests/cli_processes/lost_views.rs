//! A server whose view is taken away, and one that starts without: it comes back by itself, with everything.

use std::{
    io::Write,
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{corpus, http, program::run, server::Server};

/// Imports these lines; `None` if it was refused or cut.
fn import(address: &str, range: std::ops::Range<usize>) -> Option<u64> {
    let body = corpus::lines(range).into_bytes();
    let mut stream = TcpStream::connect(address).ok()?;
    http::begin_import(&mut stream, body.len()).ok()?;
    stream.write_all(&body).ok()?;
    let mut reply = http::Incoming::read_head(stream).ok()?;
    let mut text = Vec::new();
    while let Some(part) = reply.next_part().ok()? {
        text.extend(part);
    }
    let last = text.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())?;
    let end: Value = serde_json::from_slice(last).ok()?;
    (reply.status == 200 && end["complete"] == true).then(|| end["created"].as_u64().unwrap())
}

fn health(server: &Server) -> Value {
    serde_json::from_str(&http::get(&server.address, "/v1/health").unwrap().body).unwrap()
}

/// Waits until the primary view is healthy again and shows everything.
fn wait_until_healthy(server: &Server) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let health = health(server);
        let primary = &health["views"][0];
        if primary["state"] == "healthy" && primary["published_lsn"] == health["durable_lsn"] {
            return health;
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn every_claim_is_there(server: &Server, claims: usize) {
    for number in 0..claims {
        let reply = http::get(&server.address, &format!("/v1/assertions/{}", corpus::id(number))).unwrap();
        assert_eq!(reply.status, 200, "claim {number}");
    }
}

fn has_a_tree(kv: &Path) -> bool {
    kv.join("CURRENT").exists()
}

#[test]
fn a_view_that_is_deleted_under_a_running_server_comes_back_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    assert_eq!(import(&server.address, 0..2_000), Some(2_000));
    // The server may be making a file at this very moment.
    while std::fs::remove_dir_all(data.join("kv")).is_err() {}
    let mut imported = 2_000;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !has_a_tree(&data.join("kv")) || imported < 4_000 {
        // A refusal is a refusal; what is acknowledged must be there in the end.
        if import(&server.address, imported..imported + 100).is_some() {
            imported += 100;
        }
        assert!(Instant::now() < deadline, "{}", health(&server));
    }
    wait_until_healthy(&server);
    every_claim_is_there(&server, imported);
    let events = http::get(&server.address, "/v1/admin/storage/events").unwrap().body;
    assert!(events.contains("is gone") && events.contains("rebuild complete"), "{events}");
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("rebuild complete"), "{log}");
    run(["verify", "--data-dir", data.to_str().unwrap()]).ok();
}

#[test]
fn a_server_that_starts_without_its_view_has_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    assert_eq!(import(&server.address, 0..2_000), Some(2_000));
    assert_eq!(server.stop().0, Some(0));
    std::fs::rename(data.join("kv"), data.join("kv.corrupted.20261126")).unwrap();
    let server = Server::start(&data);
    wait_until_healthy(&server);
    every_claim_is_there(&server, 2_000);
    assert!(data.join("kv.corrupted.20261126").join("CURRENT").exists());
    assert_eq!(server.stop().0, Some(0));
}
