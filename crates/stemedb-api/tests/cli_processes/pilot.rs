//! `bench pilot`, run short: against servers that do what they should, and against some that do not. What a gate says of time is not
//! looked at here; what counts does.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::Value;

use crate::{
    program::{Ran, program, run},
    server::Server,
};

/// 1.2 seconds of each rate.
const MINUTES: &str = "0.02";
const QUESTIONS: u64 = 120;
const ASSERTIONS: u64 = 1_200;
const LOADED: u64 = 10_000;
const GATES: [&str; 10] = [
    "questions_per_second",
    "question_p99_ms",
    "question_errors",
    "assertions_per_second",
    "assertion_p99_ms",
    "assertion_errors",
    "acknowledged_lost",
    "storage_error_rate",
    "sst_files",
    "write_amplification",
];

/// What a run has written, and what it printed and returned, which must say the same.
#[track_caller]
fn read(json: &Path, ran: &Ran) -> Value {
    let text = std::fs::read(json).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let seen: Value = serde_json::from_slice(&text).unwrap();
    let gates = seen["gates"].as_array().unwrap();
    assert_eq!(gates.iter().map(|gate| gate["name"].as_str().unwrap()).collect::<Vec<_>>(), GATES);
    let passed = gates.iter().filter(|gate| gate["passed"] == true).count();
    assert_eq!((seen["passed"] == true, ran.code), (passed == 10, Some(i32::from(passed < 10))), "{ran:?}");
    let rows = |verdict: &str| ran.out.lines().filter(|line| line.ends_with(verdict)).count();
    assert_eq!((rows("  pass"), rows("  FAIL")), (passed, 10 - passed), "{}", ran.out);
    if passed < 10 {
        assert!(ran.err.contains(&format!("{} of 10 gates are not passed", 10 - passed)), "{}", ran.err);
    }
    seen
}

/// Whether a gate was passed.
fn passed(seen: &Value, name: &str) -> bool {
    seen["gates"].as_array().unwrap().iter().find(|gate| gate["name"] == name).unwrap()["passed"] == true
}

/// What a gate saw.
fn figure(seen: &Value, name: &str) -> f64 {
    let gates = seen["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["name"] == name).unwrap()["seen"].as_f64().unwrap()
}

#[test]
fn a_server_of_its_own_is_measured_killed_read_back_and_gone() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("pilot.json");
    let temporary = dir.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // What the environment says to the real service is not said to this one: it would not even start.
    let output = program()
        .args(["bench", "pilot", "--minutes", MINUTES, "--json", "pilot.json"])
        .current_dir(dir.path())
        .env("TMPDIR", &temporary)
        .env("STEMEDB_MEMORY_MIB", "nonsense")
        .output()
        .unwrap();
    let ran = Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    let seen = read(&json, &ran);
    for (requests, offered) in [("questions", QUESTIONS), ("assertions", ASSERTIONS)] {
        let of = &seen[requests];
        assert_eq!((of["offered"].as_u64(), of["good"].as_u64()), (Some(offered), Some(offered)), "{seen:#}");
        assert!(of["p99_ms"].as_f64().unwrap() > 0.0);
    }
    let read_back = &seen["read_back"];
    assert_eq!(read_back["acknowledged"], LOADED + ASSERTIONS);
    assert_eq!(read_back["lost"], 0);
    assert_eq!(read_back["unknown"], 0);
    assert!(
        seen["restart_seconds"].as_f64().unwrap() > 0.0 && ran.out.contains("after kill -9"),
        "{}",
        ran.out
    );
    assert!(seen["storage"]["looks"].as_u64().unwrap() >= 3, "{seen:#}");
    let counted =
        ["question_errors", "assertion_errors", "acknowledged_lost", "storage_error_rate", "sst_files"];
    for name in counted {
        assert!(passed(&seen, name), "{name}: {seen:#}");
    }
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "the folder of its server is removed");
}

#[test]
fn refusals_fail_the_gates_that_they_are_about() {
    let dir = tempfile::tempdir().unwrap();
    let limits = ["--limit-local", "--rate-limits", "reads=20/1,writes=off,admin=off"];
    let server =
        Server::start_with(&dir.path().join("db"), &[&["--bind", "127.0.0.1:0"], &limits[..]].concat());
    let json = dir.path().join("pilot.json");
    let ran = run([
        "bench",
        "pilot",
        "--minutes",
        MINUTES,
        "--url",
        &server.url(),
        "--json",
        json.to_str().unwrap(),
    ]);
    let seen = read(&json, &ran);
    let refused = seen["questions"]["refused"].as_u64().unwrap();
    assert!(refused > 0 && refused < QUESTIONS, "{seen:#}");
    assert_eq!(figure(&seen, "question_errors"), refused as f64);
    assert!(seen["questions"]["first_failure"].as_str().unwrap().contains("rate_limited"), "{seen:#}");
    assert!(ran.out.contains("the first question that was not good: status 429"), "{}", ran.out);
    // What cannot be read is not said to be there, and not said to be lost either.
    assert_eq!(seen["read_back"]["lost"], 0);
    assert!(seen["read_back"]["unknown"].as_u64().unwrap() > LOADED / 2, "{seen:#}");
    for name in ["questions_per_second", "question_errors", "acknowledged_lost"] {
        assert!(!passed(&seen, name), "{name}: {seen:#}");
    }
    for name in ["assertion_errors", "sst_files"] {
        assert!(passed(&seen, name), "{name}: {seen:#}");
    }
    assert!(seen["restart_seconds"].is_null());
    assert_eq!(server.stop().0, Some(0));
}

/// Passes everything on, but says itself that the n-th claim was recorded.
fn liar(upstream: &str, nth: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (upstream, asserted) = (upstream.to_owned(), Arc::new(AtomicUsize::new(0)));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (upstream, asserted) = (upstream.clone(), Arc::clone(&asserted));
            thread::spawn(move || {
                let mut server = BufReader::new(TcpStream::connect(upstream).unwrap());
                let mut client = BufReader::new(client);
                for stream in [server.get_ref(), client.get_ref()] {
                    stream.set_nodelay(true).unwrap();
                }
                while let Some(request) = message(&mut client) {
                    let is_assert = request.starts_with(b"POST /v1/assert ");
                    if is_assert && asserted.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                        let lie = "HTTP/1.1 201 Created\r\nContent-Length: 16\r\n\r\n{\"created\":true}";
                        client.get_mut().write_all(lie.as_bytes()).unwrap();
                        continue;
                    }
                    server.get_mut().write_all(&request).unwrap();
                    let Some(reply) = message(&mut server) else { return };
                    client.get_mut().write_all(&reply).unwrap();
                }
            });
        }
    });
    address
}

/// A whole request or reply; `None` at the end.
fn message(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut whole, mut length) = (Vec::new(), 0);
    loop {
        let begin = whole.len();
        stream.read_until(b'\n', &mut whole).ok().filter(|read| *read > 0)?;
        let line = String::from_utf8_lossy(&whole[begin..]).to_ascii_lowercase();
        match line.trim().strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse().unwrap(),
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let begin = whole.len();
    whole.resize(begin + length, 0);
    stream.read_exact(&mut whole[begin..]).ok()?;
    Some(whole)
}

#[test]
fn an_acknowledged_claim_that_is_not_there_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    let url = format!("http://{}", liar(&server.address, LOADED as usize + 500));
    let json = dir.path().join("pilot.json");
    let ran = run(["bench", "pilot", "--minutes", MINUTES, "--url", &url, "--json", json.to_str().unwrap()]);
    let seen = read(&json, &ran);
    assert_eq!(seen["read_back"]["acknowledged"], LOADED + ASSERTIONS);
    assert_eq!(seen["read_back"]["lost"], 1, "{seen:#}");
    assert_eq!(figure(&seen, "acknowledged_lost"), 1.0);
    assert!(!passed(&seen, "acknowledged_lost") && passed(&seen, "assertion_errors"), "{seen:#}");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn where_nothing_can_be_measured_it_says_why_and_leaves_what_is_there_alone() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("mine"), "x").unwrap();
    let ran = run(["bench", "pilot", "--data-dir", taken.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("taken is not empty"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 1);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = run(["bench", "pilot", "--url", &format!("http://{nobody}")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("is the server running?"), "{}", ran.err);
    let ran = run(["bench", "pilot", "--json", taken.join("no/where.json").to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("its folder does not exist"), "{}", ran.err);
    assert_eq!(run(["bench", "pilot", "--minutes", "0"]).code, Some(2));
    let both = ["bench", "pilot", "--url", "http://127.0.0.1:1", "--data-dir", "d"];
    assert_eq!(run(both).code, Some(2));
}
