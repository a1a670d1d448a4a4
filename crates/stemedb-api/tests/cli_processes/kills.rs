//! `kill -9` of a real server at random moments of an import.
//!
//! Lines go out in one request; the server commits them in submissions of [`BATCH`] lines. After each kill and restart, every
//! line that was acknowledged must be there, and every submission must be there as a whole or not at all.

use std::{
    io::Write,
    net::TcpStream,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    corpus, http,
    program::{program, run},
    server::Server,
};

const LINES: usize = 150_000;
/// Claims of one submission: the default of an import.
const BATCH: usize = 4000;
const ROUNDS: usize = 20;

/// Sends the lines from `from` on until the connection breaks; counts those with a verdict.
fn send(address: &str, from: usize, acknowledged: &AtomicUsize) -> std::io::Result<bool> {
    let body = corpus::lines(from..LINES).into_bytes();
    let mut stream = TcpStream::connect(address)?;
    http::begin_import(&mut stream, body.len())?;
    let mut writing = stream.try_clone()?;
    let writer = std::thread::spawn(move || writing.write_all(&body));
    let mut text: Vec<u8> = Vec::new();
    let mut ended = false;
    let read = http::Incoming::read_head(stream).and_then(|mut reply| {
        while let Some(part) = reply.next_part()? {
            text.extend(part);
            let Some(last) = text.iter().rposition(|byte| *byte == b'\n') else { continue };
            for line in text[..last].split(|byte| *byte == b'\n') {
                let verdict: serde_json::Value = serde_json::from_slice(line).unwrap();
                match verdict["line"].as_u64() {
                    Some(line) => {
                        let line = from + line as usize - 1;
                        assert_eq!(verdict["id"], corpus::id(line).as_str(), "{verdict}");
                        acknowledged.store(line + 1, Ordering::SeqCst);
                    }
                    None => ended = verdict["complete"] == true,
                }
            }
            text.drain(..=last);
        }
        Ok(())
    });
    let _ = writer.join().unwrap();
    read.map(|()| ended)
}

fn is_there(address: &str, line: usize) -> bool {
    let reply = http::get(address, &format!("/v1/assertions/{}", corpus::id(line))).unwrap();
    match reply.status {
        200 => {
            let claim: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(claim["subject"], format!("s{line}"));
            true
        }
        404 => false,
        status => panic!("{status}: {}", reply.body),
    }
}

/// Numbers that differ from round to round and not from run to run.
fn dice(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

#[test]
fn what_was_acknowledged_survives_every_kill_and_no_submission_is_half_there() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut kills_during_the_import = 0;
    // Every line before this one was there after the last restart.
    let mut from = 0;
    for round in 0..ROUNDS {
        let server = Server::start(&data);
        let sender = {
            let (address, acknowledged) = (server.address.clone(), Arc::clone(&acknowledged));
            std::thread::spawn(move || send(&address, from, &acknowledged))
        };
        std::thread::sleep(Duration::from_millis(20 + dice(&mut seed, 400)));
        server.kill();
        let finished = sender.join().unwrap().unwrap_or(false);
        kills_during_the_import += usize::from(!finished);

        let server = Server::start(&data);
        let safe = acknowledged.load(Ordering::SeqCst);
        for _ in 0..60.min(safe) {
            let line = dice(&mut seed, safe as u64) as usize;
            assert!(is_there(&server.address, line), "round {round}: line {line} of {safe} was acknowledged");
        }
        // The submissions of this round: first those that are there, then, without exception, those that are not.
        let (started, mut absent) = (from, 0);
        for start in (started..LINES).step_by(BATCH) {
            let end = (start + BATCH).min(LINES) - 1;
            let probes = [start, start + 1, (start + end) / 2, end - 1, end]
                .map(|line| is_there(&server.address, line));
            assert!(probes.iter().all(|there| *there == probes[0]), "round {round}: half of {start}..={end}");
            if probes[0] {
                assert_eq!(absent, 0, "round {round}: {start}..={end} came without what was before it");
                from = end + 1;
            } else {
                absent += 1;
            }
            if absent == 4 {
                break;
            }
        }
        assert!(from >= safe, "round {round}: {safe} lines were acknowledged, {from} are there");
        server.kill();
        if finished {
            break;
        }
    }
    assert!(kills_during_the_import >= 3, "only {kills_during_the_import} kills hit the import");

    let server = Server::start(&data);
    assert!(
        from == LINES || send(&server.address, from, &acknowledged).unwrap(),
        "the import goes on to its end"
    );
    assert_eq!(server.stop().0, Some(0));
    let all = dir.path().join("all.jsonl");
    std::fs::write(&all, corpus::lines(0..LINES)).unwrap();
    let again = run(["import", "--data-dir", data.to_str().unwrap(), all.to_str().unwrap()]).ok();
    assert_eq!((again.number("created"), again.number("already known")), (0, LINES as u64));
}

#[test]
fn an_import_goes_on_by_itself_when_the_server_is_killed_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let all = dir.path().join("all.jsonl");
    // More than one chunk of the importing program.
    const MANY: usize = 120_000;
    std::fs::write(&all, corpus::lines(0..MANY)).unwrap();
    let server = Server::start(&data);
    let address = server.address.clone();
    let mut import = program()
        .args(["import", "--url", &server.url(), all.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lsn = |address: &str| {
        let health: serde_json::Value =
            serde_json::from_str(&http::get(address, "/v1/health").unwrap().body).unwrap();
        health["durable_lsn"].as_u64().unwrap()
    };
    let mut server = server;
    for _ in 0..2 {
        let before = lsn(&address);
        while lsn(&address) < before + 3 {
            assert!(import.try_wait().unwrap().is_none(), "the import ended before the server was killed");
        }
        server.kill();
        server = Server::start_at(&data, &address);
    }
    let output = import.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(server.stop().0, Some(0));
    let again = run(["import", "--data-dir", data.to_str().unwrap(), all.to_str().unwrap()]).ok();
    assert_eq!((again.number("created"), again.number("already known")), (0, MANY as u64));
}
