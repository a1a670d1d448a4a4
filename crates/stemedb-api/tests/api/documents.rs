//! What is written about the server agrees with the server.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use stemedb_api::{Code, http::route_list};

use crate::support::Server;

#[test]
fn the_page_of_error_codes_is_the_table_of_codes() {
    let mut page = String::from(
        "# Error codes\n\nEvery refusal carries one of these codes, in problems (`code`, `errors[].code`) and in the \
         verdicts of an import.\nThe names are stable; titles and details are for people. This page is checked against \
         the table in\n`crates/stemedb-api/src/errors/code.rs` by a test.\n\n| code | status | title | meaning |\n\
         |---|---|---|---|\n",
    );
    for code in Code::ALL {
        let anchor = format!("<a id=\"{code}\"></a>`{code}`");
        page += &format!("| {anchor} | {} | {} | {} |\n", code.status(), code.title(), code.meaning());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors/README.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    if written != page {
        let proposal = std::env::temp_dir().join("stemedb-error-codes.md");
        std::fs::write(&proposal, &page).unwrap();
        panic!("docs/errors/README.md is not up to date; what it should be is in {}", proposal.display());
    }
}

#[test]
fn codes_have_names_of_their_own_and_statuses_that_http_knows() {
    let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(
            code.name()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
        assert!((400..600).contains(&code.status()), "{code}");
        assert!(!code.title().is_empty() && code.meaning().ends_with('.'), "{code}");
    }
}

#[test]
fn the_openapi_document_has_every_route_and_no_other() {
    let server = Server::start();
    let document = server.get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let routes: BTreeSet<(String, String)> =
        route_list().into_iter().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, routes);
    for (method, path) in &routes {
        let target = path.replace("{id}", "x");
        let reply = server.send(method, &target, &[], b"");
        // A route that finds nothing of that name says what it did not find.
        let is_there = reply.status != 404 || reply.json()["code"] != "not_found";
        assert!(is_there && reply.status != 405, "{method} {path} answers {}", reply.status);
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        // What the others lead to is looked at where the document is.
        if let Some(name) = reference.strip_prefix("#/components/schemas/") {
            assert!(schemas.contains_key(name), "{reference}");
        }
    }
    let required = schemas["Assertion"]["required"].as_array().unwrap();
    assert_eq!(required, &["subject", "predicate", "object", "source"]);
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.push(reference.clone());
            }
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[test]
fn metrics_have_the_names_that_operators_rely_on() {
    let server = Server::start();
    for number in 0..20 {
        let body = format!(r#"{{"subject":"s","predicate":"p","object":{number},"source":"x"}}"#);
        server.post("/v1/assert", &body);
    }
    server.get("/v1/query?subject=s&predicate=p&lens=skeptic");
    server.get(&format!("/v1/assertions/{}", "0".repeat(64)));
    server.get("/secret/path");
    let reply = server.get("/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = reply.text();
    let value = |series: &str| {
        let line =
            text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{series} is missing in\n{text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(value(r#"stemedb_http_requests_total{method="POST",path="/v1/assert",status="201"}"#), 20.0);
    assert_eq!(
        value(r#"stemedb_http_requests_total{method="GET",path="/v1/assertions/{id}",status="404"}"#),
        1.0
    );
    assert_eq!(value(r#"stemedb_http_requests_total{method="GET",path="unmatched",status="404"}"#), 1.0);
    assert_eq!(
        value(r#"stemedb_http_request_duration_seconds_count{method="POST",path="/v1/assert"}"#),
        20.0
    );
    assert_eq!(value(r#"stemedb_query_latency_seconds_count{lens="skeptic"}"#), 1.0);
    assert_eq!(value(r#"stemedb_storage_operations_total{operation="put"}"#), 20.0);
    assert_eq!(value(r#"stemedb_storage_operation_errors_total{operation="put"}"#), 0.0);
    assert_eq!(value(r#"stemedb_storage_operation_errors_total{operation="get"}"#), 0.0);
    assert_eq!(value("stemedb_storage_put_duration_seconds_count"), 20.0);
    assert_eq!(value("stemedb_assertions_indexed_total"), 20.0);
    assert!(value("stemedb_wal_fsync_latency_seconds_count") >= 20.0);
    assert!(value("stemedb_wal_batch_size_count") >= 20.0);
    assert!(value("stemedb_wal_disk_usage_bytes") > 0.0);
    assert!(value("stemedb_wal_segments_count") >= 1.0);
    assert!(value("stemedb_storage_write_amplification") >= 0.0);
    assert!(value("stemedb_lsm_pending_compaction_bytes") >= 0.0);
    assert_eq!(value("stemedb_storage_fallback_reads_total"), 0.0);
    assert!(!text.contains("secret") && !text.contains("# EOF"));
    // Each series once, each name described once.
    let series: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len());
    let heads: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(heads.iter().collect::<BTreeSet<_>>().len(), heads.len());
}

#[test]
fn claims_found_at_open_are_counted_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let input: String = (0..500)
        .map(|number| {
            format!("{{\"subject\":\"s{number}\",\"predicate\":\"p\",\"object\":1,\"source\":\"x\"}}\n")
        })
        .collect();
    let database = stemedb_api::Database::create(&path, crate::support::tiny()).unwrap();
    database.import(input.as_bytes(), stemedb_api::ImportOptions::default(), &mut ()).unwrap();
    database.close().unwrap();
    let database = stemedb_api::Database::open(&path, crate::support::tiny()).unwrap();
    let server = Server::over(database, dir, stemedb_api::RouterOptions::default());
    server.post("/v1/assert", r#"{"subject":"new","predicate":"p","object":1,"source":"x"}"#);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !server.get("/metrics").text().contains("stemedb_assertions_indexed_total 501\n") {
        assert!(std::time::Instant::now() < deadline, "{}", server.get("/metrics").text());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
