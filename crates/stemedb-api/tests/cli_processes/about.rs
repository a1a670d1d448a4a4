//! What was said about a claim, what derives from it, and who an agent is.

use std::{io::Write, net::TcpStream};

use serde_json::Value;

use crate::{
    http::Incoming,
    program::{Ran, run, run_with_input},
    server::Server,
};

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// The id of the one claim that answers a question.
fn id_of(data: &str, subject: &str) -> String {
    let answer = json(&run(["query", "--data-dir", data, subject, "p", "--json"]).ok());
    answer["candidates"][0]["id"].as_str().unwrap().to_owned()
}

fn import(data: &str, lines: &str) {
    run_with_input(["import", "--data-dir", data, "-"], lines.as_bytes().to_vec()).ok();
}

#[test]
fn an_agent_is_recorded_and_shown_from_a_folder_and_from_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let data = data.to_str().unwrap();
    run(["init", "--data-dir", data]).ok();
    let id = "1a".repeat(32);
    let shown = run(["agent", "--data-dir", data, &id]).ok().out;
    assert!(shown.contains("trust   0.5") && shown.contains("nothing was recorded"), "{shown}");
    let record = ["agent", "--data-dir", data, &id, "--name", "Ada", "--class", "1", "--trust", "0.75"];
    let shown = run(record).ok().out;
    for line in ["name    Ada", "class   1", "trust   0.75", "as recorded at LSN 1,"] {
        assert!(shown.contains(line), "{shown}");
    }
    let known = run(["agent", "--data-dir", data, &id, "--json"]).ok().out;
    assert_eq!(
        json(&run(["agent", "--data-dir", data, &id, "--json", "--as-of", "0"]).ok())["recorded"],
        false
    );
    let server = Server::start(dir.path().join("db").as_path());
    let url = server.url();
    assert_eq!(run(["agent", "--url", &url, &id, "--json"]).ok().out, known);
    let forgotten = run(["agent", "--url", &url, &id, "--forget"]).ok().out;
    assert!(forgotten.contains("trust   0.5") && forgotten.contains("as recorded at LSN 2,"), "{forgotten}");
    for wrong in [
        &["agent", "--url", &url, &id, "--class", "6"][..],
        &["agent", "--url", &url, &id, "--trust", "2"],
        &["agent", "--url", &url, &id, "--trust", "1,\"name\":\"x\""],
        &["agent", "--url", &url, &id, "--forget", "--class", "1"],
        &["agent", "--url", &url, "xyz"],
    ] {
        let refused = run(wrong);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
    assert_eq!(
        json(&run(["agent", "--url", &url, &id, "--json"]).ok())["lsn"],
        2,
        "nothing wrong was recorded"
    );
}

#[test]
fn impact_and_history_are_the_same_from_a_folder_and_from_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let data = data.to_str().unwrap();
    import(data, r#"{"subject":"root","predicate":"p","object":1,"source":"A"}"#);
    let root = id_of(data, "root");
    let child = |n: usize| {
        format!(r#"{{"subject":"s{n}","predicate":"p","object":{n},"source":"M","parents":["{root}"]}}"#)
    };
    let children: Vec<String> = (0..30).map(child).collect();
    import(data, &children.join("\n"));
    let place = ["--data-dir", data];
    let ask = |command: &str, place: &[&str], more: &[&str]| {
        run([&[command, &root][..], place, more].concat()).ok().out
    };
    let impact = ask("impact", &place, &[]);
    assert!(impact.contains("30 claims derive from") && impact.contains("30 directly"), "{impact}");
    assert!(impact.contains("in 30 questions") && impact.contains("and 10 more"), "{impact}");
    let commands = [("impact", &["--json"][..]), ("history", &["--json"]), ("impact", &[]), ("history", &[])];
    let local = commands.map(|(command, more)| ask(command, &place, more));
    assert!(local[3].contains("asserted") && local[3].contains("nothing took its place"), "{}", local[3]);
    assert_eq!(run(["impact", "--data-dir", data, &"0".repeat(64)]).code, Some(1));
    let early = ask("impact", &place, &["--as-of", "1"]);
    assert!(early.contains("nothing derives from"), "{early}");

    let server = Server::start(dir.path().join("db").as_path());
    let url = server.url();
    let remote = ["--url", url.as_str()];
    assert_eq!(commands.map(|(command, more)| ask(command, &remote, more)), local);
    assert_eq!(run(["history", "--url", &url, &"0".repeat(64)]).code, Some(1));
}

#[test]
fn a_server_can_be_told_to_let_anybody_supersede() {
    let dir = tempfile::tempdir().unwrap();
    for (policy, expected) in [("enforce", "403"), ("off", "201")] {
        let data = dir.path().join(policy);
        let path = data.to_str().unwrap();
        import(path, r#"{"subject":"s","predicate":"p","object":1,"source":"A","source_class":0}"#);
        let id = id_of(path, "s");
        let server =
            Server::start_with(&data, &["--bind", "127.0.0.1:0", "--supersession-authority", policy]);
        let body = format!(r#"{{"old":"{id}","kind":"retracts"}}"#);
        let status = post(&server.address, "/v1/supersede", &body);
        assert_eq!(status.to_string(), expected, "{policy}");
    }
    let refused = run(["serve", "--data-dir", "x", "--supersession-authority", "maybe"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

/// Sends `POST` with a JSON body; the status of the reply.
fn post(address: &str, path: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    Incoming::read_head(stream).unwrap().status
}
