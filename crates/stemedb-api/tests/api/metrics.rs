//! The table of series, the page that is made of it, and what a server answers are the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use stemedb_api::metrics::{Kind, all_series, reference_page};

use crate::support::Server;

#[test]
fn the_page_of_metrics_is_the_table_of_series() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/metrics.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let page = reference_page();
    if written != page {
        let proposal = std::env::temp_dir().join("stemedb-metrics.md");
        std::fs::write(&proposal, &page).unwrap();
        panic!(
            "docs/operations/metrics.md is not up to date; what it should be is in {}",
            proposal.display()
        );
    }
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    let mut names = BTreeSet::new();
    for series in all_series() {
        let name = series.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("stemedb_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
        // `bytes_total` of a round are what it has to read in all: dashboards know it by that name.
        let is_counter = series.kind == Kind::Counter || name == "stemedb_scrub_bytes_total";
        assert_eq!(is_counter, name.ends_with("_total"), "{name}");
        assert!(!series.help.is_empty() && !series.help.ends_with('.'), "{name}");
    }
    assert!(names.len() > 100, "{}", names.len());
}

/// What a server says of one name: kind, help, and the labels of its samples.
#[derive(Debug, Default)]
struct Said {
    kind: String,
    help: String,
    labels: BTreeSet<Vec<String>>,
}

fn said(text: &str) -> BTreeMap<String, Said> {
    let mut all: BTreeMap<String, Said> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let (keyword, rest) = rest.split_once(' ').unwrap();
            let (name, rest) = rest.split_once(' ').unwrap();
            let entry = all.entry(name.to_owned()).or_default();
            match keyword {
                "TYPE" => entry.kind = rest.to_owned(),
                "HELP" => entry.help = rest.to_owned(),
                other => panic!("{other}"),
            }
            continue;
        }
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        let labels = labels.split(',').filter(|label| !label.is_empty());
        let mut labels: Vec<String> =
            labels.map(|label| label.split_once('=').unwrap().0.to_owned()).collect();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let base = base.filter(|base| all.get(*base).is_some_and(|said| said.kind == "histogram"));
        labels.retain(|label| base.is_none() || label != "le");
        let name = base.unwrap_or(name);
        all.get_mut(name).unwrap_or_else(|| panic!("{name} has no head")).labels.insert(labels);
    }
    all
}

#[test]
fn a_server_answers_every_series_of_the_table_and_no_other() {
    let server = Server::start();
    server.post("/v1/assert", r#"{"subject":"s","predicate":"p","object":1,"source":"x"}"#);
    server.get("/v1/query?subject=s&predicate=p");
    server.get("/v1/conflicts");
    let watch = r#"{"subject":"s","predicate":"p"}"#;
    server.send("PUT", "/v1/watches/w", &[("Content-Type", "application/json")], watch.as_bytes());
    // Looked at once in a while.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while server.database.stats().space.is_none() || server.database.knowledge_report().knowledge.is_none() {
        assert!(std::time::Instant::now() < deadline);
        server.get("/v1/conflicts");
    }
    let text = server.get("/metrics").text().to_owned();
    let said = said(&text);
    for series in all_series() {
        let found = said.get(series.name).unwrap_or_else(|| panic!("{} is missing in\n{text}", series.name));
        assert_eq!(found.kind, series.kind.to_string(), "{}", series.name);
        assert_eq!(found.help, format!("{}.", series.help), "{}", series.name);
        let labels: Vec<String> = series.labels.iter().map(|label| (*label).to_owned()).collect();
        assert!(found.labels.iter().all(|found| *found == labels), "{}: {:?}", series.name, found.labels);
        assert!(!found.labels.is_empty(), "{} has no value", series.name);
    }
    let known: BTreeSet<&str> = all_series().map(|series| series.name).collect();
    let unknown: Vec<&String> = said.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn readers_of_feeds_and_watches_are_counted() {
    let server = Server::start();
    for number in 0..3 {
        let body = format!(r#"{{"subject":"s","predicate":"p","object":{number},"source":"x"}}"#);
        server.post("/v1/assert", &body);
    }
    let value = |name: &str| {
        let text = server.get("/metrics").text().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap()
    };
    assert_eq!(value("stemedb_feed_entries_total"), 0.0);
    assert_eq!(server.get("/v1/feed").lines().len(), 4);
    assert_eq!(value("stemedb_feed_entries_total"), 3.0);
    let watch = br#"{"subject":"s","predicate":"p","lens":"recency"}"#;
    let headers = [("Content-Type", "application/json")];
    assert_eq!(server.send("PUT", "/v1/watches/w", &headers, watch).status, 201);
    assert_eq!(value("stemedb_watches_registered"), 1.0);
    server.post("/v1/assert", r#"{"subject":"s","predicate":"p","object":9,"source":"x"}"#);
    let told = server.get("/v1/watches/events").lines();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(value("stemedb_watch_notices_total"), 1.0);
    // One that is connected.
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    let head = b"GET /v1/feed HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    std::io::Write::write_all(&mut &stream, head).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while value("stemedb_streams{kind=\"feed\"}") != 1.0 {
        assert!(std::time::Instant::now() < deadline);
    }
    drop(stream);
}
