//! Out of one database and into another, in every format, from folders and servers.

use std::path::Path;

use crate::{
    program::{import_sample, run, run_with_input},
    server::Server,
};

fn export(place: [&str; 2], more: &[&str]) -> crate::program::Ran {
    run([&["export"], &place[..], more].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_sample_goes_through_every_format_and_answers_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let query = |data: &str| {
        let at = ["--evaluated-at", "2026-01-01T00:00:00Z", "--json"];
        let ran =
            run([&["query", "--data-dir", data, "cas:71-43-2", "flash_point_K"][..], &at].concat()).ok();
        let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        (answer["value"].clone(), answer["winners"].clone(), answer["values"].clone())
    };
    let expected = query(text(&data));
    for (name, records) in [
        ("all.jsonl", 4381),
        ("all.jsonl.zst", 4381),
        ("all.csv.gz", 4340),
        ("all.nq", 4381),
        ("all.trig.zst", 4381),
        ("all.nanopub", 4340),
    ] {
        let file = dir.path().join(name);
        let ran = export(["--data-dir", text(&data)], &["--out", text(&file)]).ok();
        assert!(ran.out.is_empty() && ran.err.contains("4,340 claims"), "{ran:?}");
        assert_eq!(ran.err.contains("not in it"), records == 4340, "{ran:?}");
        let copy = dir.path().join(format!("{name}.db"));
        let ran = run(["import", "--data-dir", text(&copy), text(&file)]).ok();
        assert_eq!((ran.number("created"), ran.number("refused")), (records, 0), "{name}: {ran:?}");
        let found = query(text(&copy));
        // The sources' classes are not in the formats that hold claims alone; consensus does not ask for them.
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_server_gives_and_takes_what_a_folder_does() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let mut files = Vec::new();
    for format in ["jsonl", "csv", "nquads", "trig", "nanopub"] {
        let ran = export(["--data-dir", text(&data)], &["--format", format]).ok();
        files.push((format, ran.out));
    }
    let server = Server::start(&data);
    for (format, expected) in &files {
        let ran = export(["--url", &server.url()], &["--format", format]).ok();
        assert!(ran.out == *expected, "{format} over the network is another text");
    }
    drop(server);
    for (format, expected) in &files {
        let server = Server::start(&dir.path().join(format));
        let url = server.url();
        let import = ["import", "--url", &url, "--format", format, "-"];
        let ran = run_with_input(import, expected.clone().into_bytes()).ok();
        let records = if matches!(*format, "csv" | "nanopub") { 4340 } else { 4381 };
        assert_eq!(
            (ran.number("created"), ran.number("lines")),
            (records, expected.lines().count() as u64),
            "{format}"
        );
        let ran = export(["--url", &url], &["--format", "jsonl", "--subject", "cas:71-43-2"]).ok();
        assert!(ran.out.contains("\"predicate\":\"flash_point_K\""), "{format}");
    }
}

#[test]
fn what_is_refused_is_named_by_its_line_on_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("claims.csv");
    let rows = "subject,predicate,object,source\na,p,1,x\na,p,\"2\n3\",\na,p,4,x\n";
    std::fs::write(&file, rows).unwrap();
    let server = Server::start(&dir.path().join("remote"));
    let (data, url) = (dir.path().join("db"), server.url());
    for place in [["--data-dir", text(&data)], ["--url", &url]] {
        let ran = run([&["import"], &place[..], &[text(&file)]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("line 3: /source"), "{ran:?}");
        assert_eq!((ran.number("lines"), ran.number("created"), ran.number("refused")), (5, 2, 1), "{ran:?}");
        let stop = run([&["import", "--on-error", "stop"], &place[..], &[text(&file)]].concat());
        assert_eq!(
            (stop.code, stop.number("already known"), stop.number("refused")),
            (Some(1), 1, 1),
            "{stop:?}"
        );

        let broken = dir.path().join("broken.trig");
        std::fs::write(&broken, "<a:g> { <a:s> <a:p> 1 . }\n<a:g> { <a:s> nonsense 1 . }\n").unwrap();
        let ran = run([&["import"], &place[..], &[text(&broken)]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("line 2"), "{ran:?}");
    }
}

#[test]
fn a_file_appears_when_it_is_whole_and_none_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let file = dir.path().join("out.jsonl");
    let ran = export(["--data-dir", text(&data)], &["--out", text(&file), "--as-of", "999999"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let left: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "db")
        .collect();
    assert_eq!(left, [""; 0], "nothing is left of an export that failed");
    export(["--data-dir", text(&data)], &["--out", text(&file), "--predicate", "flash_point_K"]).ok();
    let whole = std::fs::read_to_string(&file).unwrap();
    assert!(whole.ends_with('\n') && whole.lines().count() > 10);
    let ran = export(["--data-dir", text(&data)], &["--out", text(&file)]);
    assert!(ran.code == Some(1) && ran.err.contains("exists already"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    let ran = export(["--data-dir", text(&data)], &["--format", "xml"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}
