//! Receipts, feeds and differences, as a person at a terminal meets them.

use crate::{
    program::{import_sample, run},
    server::Server,
};

const QUESTION: [&str; 4] = ["cas:7732-18-5", "boiling_point_K", "--lens", "layered"];

#[test]
fn a_receipt_is_written_and_verified_offline_against_a_folder_and_after_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let data = data.to_str().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (local, remote) = (path("local.json"), path("remote.json"));
    let key = run(["server-key", "--data-dir", data]).ok().out.trim().to_owned();
    assert_eq!(key.len(), 64);
    let ask =
        |place: &[&str], file: &str| run([&["query"][..], place, &QUESTION, &["--receipt", file]].concat());
    let shown = ask(&["--data-dir", data], &local).ok().out;
    assert!(shown.contains(&format!("receipt in {local}")), "{shown}");
    assert_eq!(ask(&["--data-dir", data], &local).code, Some(1), "a file that is there is left alone");
    {
        let server = Server::start(std::path::Path::new(data));
        let url = server.url();
        ask(&["--url", &url], &remote).ok();
        assert_eq!(run(["server-key", "--url", &url]).ok().out.trim(), key);
        assert_eq!(server.stop().0, Some(0));
    }
    for file in [&local, &remote] {
        let offline = run(["verify-receipt", file]).ok().out;
        assert!(offline.contains("signature    holds") && offline.contains("not looked at"), "{offline}");
        run(["verify-receipt", file, "--key", &key]).ok();
        let whole = run(["verify-receipt", file, "--data-dir", data, "--full", "--key", &key]).ok().out;
        assert!(
            whole.contains("answer       the same") && whole.contains("state root   the same"),
            "{whole}"
        );
        let other = run(["verify-receipt", file, "--key", &"0".repeat(64)]);
        assert_eq!(other.code, Some(1));
        assert!(other.err.contains("is signed by") && other.err.lines().count() == 1, "{other:?}");
    }
    // Into another folder, from the journal alone.
    let kv = std::path::Path::new(data).join("kv");
    std::fs::rename(&kv, std::path::Path::new(data).join("kv.corrupted.20260101")).unwrap();
    run(["rebuild", "--data-dir", data]).ok();
    let json = run(["verify-receipt", &local, "--data-dir", data, "--full", "--json"]).ok().out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["signed_by"], &json["state_root"]), (&key.into(), &"same".into()));
    assert_eq!((&json["own_key"], &json["lens"]), (&true.into(), &"layered".into()));

    let text = std::fs::read_to_string(&local).unwrap();
    let forged = path("forged.json");
    std::fs::write(&forged, text.replacen("373.15", "373.16", 1)).unwrap();
    let refused = run(["verify-receipt", &forged]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("differs from byte"), "{refused:?}");
    assert_eq!(run(["verify-receipt", &local, "--full"]).code, Some(2), "--full needs a folder");
}

#[test]
fn a_bound_is_shown_with_what_the_newest_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let data = data.to_str().unwrap();
    run(["demo", "--data-dir", data]).ok();
    let ask = |more: &[&str]| {
        run([&["query", "--data-dir", data, "cas:85-01-8", "critical_temperature_K"][..], more].concat())
    };
    let shown = ask(&["--known-at", "2"]).ok().out;
    assert!(shown.contains("known at 2: the newest used is LSN 2, recorded at "), "{shown}");
    assert_eq!(ask(&["--known-at", "2", "--as-of", "2"]).code, Some(2));
    assert_eq!(ask(&["--known-at", "soon"]).code, Some(2));
}

#[test]
fn feeds_and_differences_are_the_same_from_a_folder_and_from_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let data = data.to_str().unwrap();
    run(["demo", "--data-dir", data]).ok();
    let at = ["--evaluated-at", "2027-01-01T00:00:00Z"];
    let feed = |place: &[&str], more: &[&str]| run([&["feed"][..], place, more].concat()).ok().out;
    let diff =
        |place: &[&str], more: &[&str]| run([&["diff"][..], place, &["2", "3"], &at, more].concat()).ok().out;
    let local = ["--data-dir", data];
    let (all, tail) = (feed(&local, &[]), feed(&local, &["--from", "2", "--limit", "1"]));
    assert!(all.lines().count() > 60 && tail.lines().all(|line| line.starts_with(r#"{"lsn":2,"#)));
    let changed = diff(&local, &["--lens", "authority"]);
    assert!(changed.contains("margin 0.250 -> 0.286"), "{changed}");
    assert!(changed.contains("1 supersession"), "{changed}");
    let json = diff(&local, &["--json"]);
    assert!(json.starts_with(r#"{"from":2,"to":3,"#), "{json}");

    let server = Server::start(std::path::Path::new(data));
    let url = server.url();
    let remote = ["--url", url.as_str()];
    assert_eq!(feed(&remote, &[]), all);
    assert_eq!(feed(&remote, &["--from", "2", "--limit", "1"]), tail);
    assert_eq!(diff(&remote, &["--lens", "authority"]), changed);
    assert_eq!(diff(&remote, &["--json"]), json);
    let ahead = run(["feed", "--url", &url, "--from", "99"]);
    assert_eq!(ahead.code, Some(1));
    assert!(ahead.err.contains("has not been reached"), "{ahead:?}");
}

#[test]
fn a_server_with_a_feed_that_follows_stops_at_once() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let server = Server::start(&data);
    let address = server.url().trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /v1/feed?from=2 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        .unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(server.stop().0, Some(0));
    // Cut at the deadline of 30 seconds it would not have been told the end.
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("event: end"), "{rest}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(25));
}
