//! What a question looks like.

use crate::{
    program::{import_sample, program, run},
    server::Server,
};

const AT: [&str; 2] = ["--evaluated-at", "2027-01-01T00:00:00Z"];
const LENSES: [&str; 6] = ["recency", "consensus", "confidence", "authority", "skeptic", "layered"];

#[test]
fn the_table_of_each_lens_is_as_recorded_from_a_folder_and_from_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let ask = |place: &[&str], lens: &str, more: &[&str]| {
        let question = ["query", "cas:7732-18-5", "boiling_point_K", "--lens", lens];
        run([&question[..], place, &AT, more].concat()).ok().out
    };
    let local = ["--data-dir", data.to_str().unwrap()];
    let shown: Vec<String> = LENSES.iter().map(|lens| ask(&local, lens, &[])).collect();
    let json: Vec<String> = LENSES.iter().map(|lens| ask(&local, lens, &["--json", "--explain"])).collect();
    let recorded = include_str!("snapshots/water.txt");
    let all = shown.join("\n");
    assert!(all == recorded, "the tables are now:\n{all}");
    for line in all.lines() {
        assert!(line.chars().count() <= 80, "wider than a terminal: {line}");
    }

    let server = Server::start(&data);
    let url = server.url();
    let remote = ["--url", url.as_str()];
    for ((lens, shown), json) in LENSES.iter().zip(&shown).zip(&json) {
        assert_eq!(&ask(&remote, lens, &[]), shown);
        assert_eq!(&ask(&remote, lens, &["--json", "--explain"]), json);
        let parsed: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(parsed["lens"], *lens);
        assert_eq!(parsed["explain"]["claims"].as_array().unwrap().len(), 6);
    }
}

#[test]
fn what_is_asked_of_a_lens_is_asked_alike_of_a_folder_and_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let parameters = [
        "--tolerance",
        "0.1%",
        "--without",
        "source:WEBBOOK",
        "--max-class",
        "4",
        "--independent",
        "--fragility",
    ];
    let ask = |place: &[&str], more: &[&str]| {
        let question = ["query", "cas:85-01-8", "critical_temperature_K"];
        run([&question[..], place, &AT, &parameters, more].concat()).ok().out
    };
    let local = ["--data-dir", data.to_str().unwrap()];
    let (table, json) = (ask(&local, &[]), ask(&local, &["--json", "--explain"]));
    for shown in
        ["independent", "fragility", "then the answer is", "tolerance 1e-1%", "without source:WEBBOOK"]
    {
        assert!(table.contains(shown), "no {shown:?} in\n{table}");
    }
    for line in table.lines() {
        assert!(line.chars().count() <= 80, "wider than a terminal: {line}");
    }
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["without"], serde_json::json!(["source:WEBBOOK"]));
    let server = Server::start(&data);
    let url = server.url();
    let remote = ["--url", url.as_str()];
    assert_eq!(ask(&remote, &[]), table);
    assert_eq!(ask(&remote, &["--json", "--explain"]), json);
    for wrong in [["--without", "WEBBOOK"], ["--tolerance", "-1"], ["--max-class", "6"]] {
        let refused = run([&["query", "s", "p"][..], &local, &wrong].concat());
        assert_eq!(refused.code, Some(2), "{wrong:?}: {refused:?}");
    }
}

#[test]
fn the_past_answers_as_it_did_then() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let data = data.to_str().unwrap();
    run(["demo", "--data-dir", data]).ok();
    let ask = |more: &[&str]| {
        let question =
            ["query", "--data-dir", data, "cas:85-01-8", "critical_temperature_K", "--lens", "authority"];
        run([&question[..], more].concat())
    };
    let now = ask(&[]).ok().out;
    assert!(now.contains("answer  869.0") && now.contains("0.869  IUPAC [0]: superseded by 869.0"), "{now}");
    // Sources are entry 1, claims entry 2, votes and the correction entry 3.
    let then = ask(&["--as-of", "2"]).ok().out;
    assert!(!then.contains("superseded"), "{then}");
    let before = ask(&["--as-of", "1"]).ok().out;
    assert!(before.contains("nothing is claimed"), "{before}");
    let future = ask(&["--as-of", "99"]);
    assert_eq!(future.code, Some(1));
    assert!(future.err.contains("as_of"), "{future:?}");
    assert_eq!(ask(&["--as-of", "yesterday"]).code, Some(2));
}

#[test]
fn colours_are_for_terminals_and_can_be_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let ask = |variable: &str| {
        let mut command = program();
        command
            .env(variable, "1")
            .args(["query", "cas:7732-18-5", "boiling_point_K", "--data-dir"])
            .arg(&data);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    // Forced, because there is no terminal here.
    assert!(ask("CLICOLOR_FORCE").contains("\u{1b}["));
    assert!(!ask("NO_COLOR").contains('\u{1b}'));
    assert!(!ask("UNRELATED").contains('\u{1b}'), "a pipe gets plain text");
}

#[test]
fn what_a_server_refuses_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    let url = server.url();
    let refused = run(["query", "--url", &url, "s", "p", "--as-of", "99"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("as_of") && refused.err.lines().count() == 1, "{refused:?}");
    assert_eq!(server.stop().0, Some(0));
    let gone = run(["query", "--url", &url, "s", "p"]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.err.contains("is the server running?"), "{gone:?}");
}
