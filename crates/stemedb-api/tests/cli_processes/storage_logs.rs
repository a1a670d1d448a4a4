//! The log of the storage, and what logrotate does to it; the level of the other one.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{corpus, http, server::Server};

const PATIENCE: Duration = Duration::from_secs(60);

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn serve(data: &Path, log: &Path, more: &[&str]) -> Server {
    let options = ["--bind", "127.0.0.1:0", "--storage-log", log.to_str().unwrap()];
    Server::start_with(data, &[&options, more].concat())
}

fn curl(server: &Server, method: &str, path: &str, body: &str) -> Value {
    let ran = Command::new("curl")
        .args(["-s", "-X", method, "-H", "Content-Type: application/json", "-d", body])
        .arg(format!("http://{}{path}", server.address))
        .output()
        .unwrap();
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// Something that the storage says, and waits for it to stand in the file.
fn compact(server: &Server, log: &Path) {
    let before = lines(log).len();
    let body = corpus::lines(before * 50..before * 50 + 50);
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    http::begin_import(&mut stream, body.len()).unwrap();
    std::io::Write::write_all(&mut stream, body.as_bytes()).unwrap();
    http::Incoming::read_head(stream).unwrap();
    curl(server, "POST", "/v1/admin/storage/compact", r#"{"force":true}"#);
    let is_said = |line: &Value| line["message"].as_str().unwrap().contains("compaction finished");
    until("a compaction in the log", || lines(log).iter().skip(before).any(is_said));
}

#[test]
fn the_storage_has_a_log_of_its_own_that_may_be_moved_or_emptied() {
    let dir = tempfile::tempdir().unwrap();
    // Errors alone on standard error: the file does not care.
    let log = dir.path().join("log/storage.log");
    let server = serve(&dir.path().join("db"), &log, &["--log-level", "error"]);
    compact(&server, &log);
    assert!(lines(&log).iter().all(|line| line["target"].as_str().unwrap().starts_with("stemedb_")));
    let moved = dir.path().join("log/storage.log.1");
    std::fs::rename(&log, &moved).unwrap();
    let before = lines(&moved).len();
    compact(&server, &log);
    assert_eq!(lines(&moved).len(), before, "what was moved away is left alone");
    // `copytruncate`.
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
    compact(&server, &log);
    // SIGHUP ends nobody.
    std::fs::rename(&log, &moved).unwrap();
    server.signal("HUP");
    compact(&server, &log);
    let (code, said) = server.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("compaction finished"), "{said}");
}

#[test]
fn a_log_that_cannot_be_written_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let ran = crate::program::run([
        "serve".as_ref(),
        "--init".as_ref(),
        "--data-dir".as_ref(),
        data.as_os_str(),
        "--storage-log".as_ref(),
        dir.path().as_os_str(),
    ]);
    assert!(ran.code == Some(1) && ran.err.contains("storage's log"), "{ran:?}");
}

#[test]
fn the_level_of_a_running_server_is_changed_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start_with(&dir.path().join("db"), &["--bind", "127.0.0.1:0", "--log-level", "warn"]);
    let shown = curl(&server, "PUT", "/v1/admin/log-level", r#"{"level":"debug","for_seconds":1}"#);
    assert_eq!((&shown["level"], &shown["configured"]), (&"debug".into(), &"warn".into()));
    let level = || {
        serde_json::from_str::<Value>(&http::get(&server.address, "/v1/admin/log-level").unwrap().body)
            .unwrap()
    };
    until("as configured", || level()["level"] == "warn");
    assert!(level().get("until").is_none());
    let (_, log) = server.stop();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("log level")).collect();
    assert!(said[0].contains("the log level is changed") && said[0].contains("INFO"), "{log}");
    assert!(!log.contains("database closed"), "that is told at info, which is not written any more: {log}");
}

#[test]
fn lines_for_a_request_carry_its_ids() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start_with(&dir.path().join("db"), &["--bind", "127.0.0.1:0", "--slow-query-ms", "0"]);
    let ran = Command::new("curl")
        .args(["-s", "-D", "-", "-H", "X-Request-Id: mine-9"])
        .args(["-H", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
        .arg(format!("http://{}/v1/query?subject=s&predicate=p", server.address))
        .output()
        .unwrap();
    let head = String::from_utf8(ran.stdout).unwrap();
    assert!(head.contains("traceresponse: 00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{head}");
    let (_, log) = server.stop();
    let line = log.lines().find(|line| line.contains("slow query")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["span"]["request_id"], "mine-9", "{line}");
    assert_eq!(line["span"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&line["level"], &line["lens"]), (&"WARN".into(), &"consensus".into()));
}
