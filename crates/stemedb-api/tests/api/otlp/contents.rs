//! What is exported, and what never is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stemedb_api::{
    RouterOptions, RouterParts,
    http::{AdmissionOptions, AuthMode, AuthOptions, OtlpOptions, SecurityOptions},
};

use super::{CALLER, Exporting, PLAIN, TRACE, answered, attributes, nanos, patient};
use crate::collector::{Collector, Says};

#[test]
fn a_question_is_a_span_under_its_caller_with_its_stages_below() {
    let collector = Collector::start(&[], Says::YES);
    let exporting = Exporting::start(patient(&collector.url()));
    let claim = r#"{"subject":"hush-subject","predicate":"hush-predicate","object":"hush-value","source":"hush-source"}"#;
    let asserted = exporting.server.post("/v1/assert", claim);
    assert_eq!(asserted.status, 201, "{}", asserted.text());
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let headers =
        [("traceparent", parent.as_str()), ("X-Request-Id", "mine-7"), ("Authorization", "Bearer hush-key")];
    let target = "/v1/query?subject=hush-subject&predicate=hush-predicate&lens=recency&receipt=true";
    let reply = exporting.server.send("GET", target, &headers[..2], b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let with_a_key = exporting.server.send("GET", target, &headers, b"");
    assert_eq!(with_a_key.status, 200, "{}", with_a_key.text());
    assert_eq!(exporting.stop(), 0);

    let got = collector.got();
    assert_eq!(got.len(), 1);
    assert!(got[0].head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", got[0].head);
    assert!(got[0].head.contains("content-type: application/json\r\n"), "{}", got[0].head);
    // Neither what was said and asked, nor with which key.
    assert!(!got[0].body.contains("hush"), "{}", got[0].body);

    let body: Value = serde_json::from_str(&got[0].body).unwrap();
    let resource = attributes(&body["resourceSpans"][0]["resource"]);
    assert_eq!(resource["service.name"], json!({ "stringValue": "stemedb-api" }));
    assert_eq!(resource["service.version"], json!({ "stringValue": env!("CARGO_PKG_VERSION") }));
    assert_eq!(resource["service.instance.id"]["stringValue"].as_str().unwrap().len(), 36);
    let scope = &body["resourceSpans"][0]["scopeSpans"][0]["scope"];
    assert_eq!(scope, &json!({ "name": "stemedb-api", "version": env!("CARGO_PKG_VERSION") }));

    let (trace, id, flags) = answered(&reply);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    let spans = collector.spans();
    let span = spans.iter().find(|span| span["spanId"] == id.as_str()).unwrap();
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(CALLER)));
    assert_eq!((&span["name"], &span["kind"]), (&json!("GET /v1/query"), &json!(2)));
    assert_eq!((&span["flags"], span.get("status")), (&json!(0x301), None));
    let lsn: &str = reply.header("stemedb-lsn").unwrap().split('.').nth(1).unwrap();
    let wanted: BTreeMap<String, Value> = [
        ("http.request.method", json!({ "stringValue": "GET" })),
        ("http.route", json!({ "stringValue": "/v1/query" })),
        ("http.response.status_code", json!({ "intValue": "200" })),
        ("stemedb.lsn", json!({ "intValue": lsn })),
        ("stemedb.request_id", json!({ "stringValue": "mine-7" })),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(attributes(span), wanted);

    let stages: Vec<&Value> = spans.iter().filter(|stage| stage["parentSpanId"] == id.as_str()).collect();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["queue", "gather", "lens", "receipt", "render"]);
    let ids: BTreeSet<&str> = stages.iter().map(|stage| stage["spanId"].as_str().unwrap()).collect();
    assert!(ids.len() == 5 && ids.iter().all(|id| id.len() == 16), "{ids:?}");
    let mut at = nanos(&span["startTimeUnixNano"]);
    for stage in stages {
        assert_eq!((&stage["traceId"], &stage["kind"]), (&json!(TRACE), &json!(1)));
        assert_eq!(stage["flags"], 0x101);
        let (begins, ends) = (nanos(&stage["startTimeUnixNano"]), nanos(&stage["endTimeUnixNano"]));
        assert!(at <= begins && begins < ends, "{stage}");
        at = ends;
    }
    assert!(at <= nanos(&span["endTimeUnixNano"]));
}

#[test]
fn problems_have_their_code_and_only_those_of_the_server_are_errors() {
    let collector = Collector::start(&[], Says::YES);
    let options = RouterOptions {
        admission: AdmissionOptions { max_in_flight: 0, ..AdmissionOptions::default() },
        ..RouterOptions::default()
    };
    let auth = AuthOptions { mode: AuthMode::Required, ..AuthOptions::default() };
    let security = SecurityOptions { auth, ..SecurityOptions::default() };
    let parts = RouterParts { security, ..RouterParts::default() };
    let exporting = Exporting::with(patient(&collector.url()), options, parts);
    assert_eq!(exporting.traced("/hush/path").status, 404);
    assert_eq!(exporting.traced("/v1/assertions/hush-id").status, 503);
    let odd = format!(
        "HUSH /v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\ntraceparent: 00-{TRACE}-{CALLER}-01\r\n\r\n"
    );
    assert_eq!(exporting.server.raw(odd.as_bytes()).status, 405);
    assert_eq!(exporting.stop(), 0);
    let spans = collector.spans();
    assert_eq!(spans.len(), 3);
    assert!(!collector.got()[0].body.to_lowercase().contains("hush"), "{:?}", collector.got());
    let text = |value: &str| Some(json!({ "stringValue": value }));
    let told = |at: usize| {
        let all = attributes(&spans[at]);
        let of = |name: &str| all.get(name).cloned();
        (
            spans[at]["name"].clone(),
            of("http.route"),
            of("stemedb.problem"),
            of("error.type"),
            spans[at].get("status"),
        )
    };
    assert_eq!(told(0), (json!("GET"), None, text("not_found"), None, None));
    let overloaded = text("overloaded");
    let (route, error) = ("/v1/assertions/{id}", json!({ "code": 2 }));
    let wanted = (json!(format!("GET {route}")), text(route), overloaded.clone(), overloaded, Some(&error));
    assert_eq!(told(1), wanted);
    let wanted = (json!("HTTP /v1/query"), text("/v1/query"), text("method_not_allowed"), None, None);
    assert_eq!(told(2), wanted);
    assert_eq!(attributes(&spans[2])["http.request.method"], json!({ "stringValue": "_OTHER" }));
}

#[test]
fn the_callers_flag_decides_whatever_the_ratio_is() {
    for ratio in [0.0, 1.0] {
        let collector = Collector::start(&[], Says::YES);
        let exporting = Exporting::start(OtlpOptions { sample_ratio: ratio, ..patient(&collector.url()) });
        let mut wanted = Vec::new();
        for flags in ["00", "01", "02", "03"] {
            let (_, id, answer) = answered(&exporting.with_flags(PLAIN, flags));
            assert_eq!(answer, flags);
            if flags.ends_with(['1', '3']) {
                wanted.push(id);
            }
        }
        // A probe is seen only by whoever asks for that.
        assert_eq!(answered(&exporting.server.get("/livez")).2, "00");
        wanted.push(answered(&exporting.traced("/livez")).1);
        // Without a caller's it is the ratio.
        let (trace, id, answer) = answered(&exporting.server.get(PLAIN));
        assert_eq!(answer, if ratio == 0.0 { "00" } else { "01" });
        if ratio == 1.0 {
            wanted.push(id);
        }
        assert_eq!(exporting.stop(), 0);
        let spans = collector.spans();
        let ids: Vec<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
        assert_eq!(ids, wanted, "with {ratio}");
        if let Some(root) = spans.iter().find(|span| span["traceId"] == trace.as_str()) {
            assert_eq!((root.get("parentSpanId"), &root["flags"]), (None, &json!(0x101)));
        }
    }
}
