//! Every form of input, twice, with bad lines, into folders and servers.

use std::io::Write;

use crate::{
    corpus,
    program::{example, import_sample, run, run_with_input},
    server::Server,
};

#[test]
fn importing_again_adds_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let first = import_sample(&data).ok();
    assert_eq!(
        (first.number("lines"), first.number("created"), first.number("already known")),
        (4340, 4340, 0)
    );
    assert_eq!(first.number("sources"), 41);
    let again = import_sample(&data).ok();
    assert_eq!((again.number("created"), again.number("already known")), (0, 4340));
    assert_eq!(again.number("sources"), 0);
    assert_eq!(again.number("journal LSN"), first.number("journal LSN"));
    assert!(again.out.contains("nothing new"), "{again:?}");
}

#[test]
fn plain_gzip_zstd_and_standard_input_give_the_same() {
    let text = corpus::lines(0..500).into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text).unwrap();
    let forms = [text.clone(), gzip.finish().unwrap(), zstd::encode_all(text.as_slice(), 3).unwrap()];
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for (index, form) in forms.into_iter().enumerate() {
        // The name says nothing: the bytes decide.
        let file = dir.path().join(format!("claims.{index}"));
        std::fs::write(&file, &form).unwrap();
        for piped in [false, true] {
            let data = dir.path().join(format!("db.{index}.{piped}"));
            let data = data.to_str().unwrap();
            let ran = if piped {
                run_with_input(["import", "--data-dir", data, "-"], form.clone()).ok()
            } else {
                run(["import", "--data-dir", data, file.to_str().unwrap()]).ok()
            };
            assert_eq!(ran.number("created"), 500);
            let at = ["--evaluated-at", "2026-01-01T00:00:00Z"];
            let answer = run([&["query", "--data-dir", data, "s499", "p"][..], &at].concat()).ok();
            seen.push(answer.out);
        }
    }
    assert!(seen[0].contains("499.5"));
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:#?}");
}

/// Three good lines with four bad ones between them.
fn mixed() -> String {
    let long = "x".repeat(600);
    [
        corpus::line(0),
        r#"{"subject":"s","predicate":"p","object":1}"#.to_owned(),
        corpus::line(1),
        format!(r#"{{"subject":"{long}","predicate":"p","object":1,"source":"t"}}"#),
        r#"{"subject":"s","predicate":"p","object":1,"source":"t","colour":"red"}"#.to_owned(),
        "not json".to_owned(),
        corpus::line(2),
    ]
    .join("\n")
}

#[test]
fn bad_lines_are_named_and_the_others_land() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mixed.jsonl");
    std::fs::write(&file, mixed()).unwrap();
    let server = Server::start(&dir.path().join("remote"));
    let (data, url) = (dir.path().join("db"), server.url());
    for place in [["--data-dir", data.to_str().unwrap()], ["--url", &url]] {
        let ran = run([&["import"], &place[..], &[file.to_str().unwrap()]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!((ran.number("lines"), ran.number("created"), ran.number("refused")), (7, 3, 4));
        for expected in ["line 2: /source", "line 4: /subject", "line 5: /colour", "line 6: "] {
            assert!(ran.err.contains(expected), "no {expected:?} in {ran:?}");
        }
        assert!(ran.err.contains("4 lines were refused"), "{ran:?}");
        let answer = run([&["query"], &place[..], &["s2", "p"]].concat()).ok();
        assert!(answer.out.contains("2.5"), "{answer:?}");
    }
}

#[test]
fn an_import_can_stop_at_the_first_bad_line_and_keep_those_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mixed.jsonl");
    std::fs::write(&file, mixed()).unwrap();
    let server = Server::start(&dir.path().join("remote"));
    let (data, url) = (dir.path().join("db"), server.url());
    for place in [["--data-dir", data.to_str().unwrap()], ["--url", &url]] {
        let stop = ["--on-error", "stop", file.to_str().unwrap()];
        let ran = run([&["import"], &place[..], &stop].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!((ran.number("lines"), ran.number("created"), ran.number("refused")), (2, 1, 1), "{ran:?}");
    }
}

#[test]
fn an_import_over_the_network_gives_the_answers_of_an_import_into_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (data, remote) = (dir.path().join("db"), dir.path().join("remote"));
    import_sample(&data).ok();
    let server = Server::start(&remote);
    let (claims, sources) = (example("chemistry-sample.jsonl"), example("sources.json"));
    let (claims, sources) = (claims.to_str().unwrap(), sources.to_str().unwrap());
    let url = server.url();
    let sent = run(["import", "--url", &url, claims, "--sources", sources]).ok();
    assert_eq!((sent.number("created"), sent.number("sources")), (4340, 41));
    let again = run(["import", "--url", &url, claims, "--sources", sources]).ok();
    assert_eq!((again.number("created"), again.number("already known")), (0, 4340));
    assert_eq!(server.stop().0, Some(0));

    // LSNs differ, because sources are registered one by one over the network; what is answered does not.
    let engines = [data, remote].map(|dir| {
        let options = stemedb_api::DatabaseOptions::default();
        stemedb_api::Database::open(dir, options).unwrap()
    });
    let text = std::fs::read_to_string(claims).unwrap();
    let mut questions: Vec<(String, String)> = text
        .lines()
        .map(|line| {
            let claim: serde_json::Value = serde_json::from_str(line).unwrap();
            (claim["subject"].as_str().unwrap().to_owned(), claim["predicate"].as_str().unwrap().to_owned())
        })
        .collect();
    questions.sort();
    questions.dedup();
    assert_eq!(questions.len(), 1594);
    for (subject, predicate) in questions {
        for lens in stemedb_api::core::Lens::ALL {
            let ask = |database: &stemedb_api::Database| {
                let query = stemedb_api::Query::new(subject.as_str(), predicate.as_str(), lens);
                let answer = database.query(query).unwrap().answer;
                (answer.value, answer.winners, answer.status, answer.values)
            };
            assert_eq!(ask(&engines[0]), ask(&engines[1]), "{subject} {predicate} {lens:?}");
        }
    }
}
