//! What is refused, with which status, code and place, and that nothing of it was applied.

use std::{io::Write, net::TcpStream};

use serde_json::json;
use stemedb_api::{
    Database, RouterOptions,
    core::{AgentKey, Assertion, ClaimId, Nano, Object, SignaturePolicy, Vote},
};

use crate::support::{Reply, Server, tiny};

/// Method, target, content type, body; then status, code, place.
type Case = (&'static str, String, &'static str, Vec<u8>, (u16, &'static str, &'static str));

fn post(target: &str, body: impl Into<Vec<u8>>, expected: (u16, &'static str, &'static str)) -> Case {
    ("POST", target.to_owned(), "application/json", body.into(), expected)
}

fn get(target: &str, expected: (u16, &'static str, &'static str)) -> Case {
    ("GET", target.to_owned(), "", Vec::new(), expected)
}

/// An assertion with members exchanged or added.
fn claim(members: &str) -> String {
    format!(r#"{{"subject":"s","predicate":"p","object":1,"source":"x",{members}}}"#)
}

fn object(json: &str) -> String {
    format!(r#"{{"subject":"s","predicate":"p","object":{json},"source":"x"}}"#)
}

fn cases() -> Vec<Case> {
    let zero = ClaimId([0; 32]).to_string();
    let key = AgentKey::from_seed(&[5; 32]);
    let agent = key.agent().to_string();
    let signature = "ab".repeat(64);
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let nested_unknown = format!(r#"{{"x":{deep}}}"#);
    let vote = |members: &str| format!(r#"{{"assertion":"{zero}","agent":"{agent}","weight":1{members}}}"#);
    let mut bad_utf8 = object("\"a\"").into_bytes();
    let at = bad_utf8.iter().position(|byte| *byte == b'x').unwrap();
    bad_utf8[at] = 0xff;
    let question = |more: &str| format!("/v1/query?subject=s&predicate=p{more}");
    vec![
        // Not JSON, or not of the right shape.
        post("/v1/assert", bad_utf8, (400, "invalid_utf8", "")),
        post("/v1/assert", "", (400, "invalid_json", "")),
        post("/v1/assert", "{", (400, "invalid_json", "")),
        post("/v1/assert", r#"{"subject":"s","predicate":p}"#, (400, "invalid_json", "/predicate")),
        post("/v1/assert", r#"{"subject":"\ud800"}"#, (400, "invalid_json", "/subject")),
        post("/v1/assert", format!("{} x", object("1")), (400, "invalid_json", "")),
        post("/v1/assert", "[]", (400, "wrong_type", "")),
        post("/v1/assert", "7", (400, "wrong_type", "")),
        post("/v1/assert", claim(r#""colour":"red""#), (400, "unknown_field", "/colour")),
        post("/v1/assert", claim(r#""a/b~c":1"#), (400, "unknown_field", "/a~1b~0c")),
        post("/v1/assert", nested_unknown, (400, "unknown_field", "/x")),
        post(
            "/v1/assert",
            r#"{"subject":"s","predicate":"p","object":1}"#,
            (400, "missing_field", "/source"),
        ),
        post("/v1/assert", claim(r#""subject":"t""#), (400, "duplicate_key", "/subject")),
        post("/v1/assert", claim(r#""epoch":5"#), (400, "wrong_type", "/epoch")),
        post("/v1/assert", claim(r#""epoch":{"a":[1]}"#), (400, "wrong_type", "/epoch")),
        post("/v1/assert", claim(r#""confidence":"high""#), (400, "wrong_type", "/confidence")),
        post("/v1/assert", claim(r#""source_class":"2""#), (400, "wrong_type", "/source_class")),
        post("/v1/assert", claim(r#""parents":"none""#), (400, "wrong_type", "/parents")),
        post("/v1/assert", claim(r#""parents":[7]"#), (400, "wrong_type", "/parents/0")),
        post("/v1/assert", claim(r#""signatures":[7]"#), (400, "wrong_type", "/signatures/0")),
        post("/v1/assert", claim(r#""signatures":[{"agent":"x"}]"#), (422, "not_hex", "/signatures/0/agent")),
        post(
            "/v1/assert",
            claim(&format!(r#""signatures":[{{"agent":"{agent}"}}]"#)),
            (400, "missing_field", "/signatures/0/signature"),
        ),
        post("/v1/assert", object(r#"{"a":1,"a":2}"#), (400, "duplicate_key", "/object")),
        post("/v1/assert", object(&deep), (400, "too_deep", "/object")),
        // Well formed, and against the rules.
        post("/v1/assert", object("null"), (422, "null_value", "/object")),
        post("/v1/assert", object("1e5000"), (422, "exponent_out_of_range", "/object")),
        post("/v1/assert", object(&"7".repeat(65)), (422, "too_many_digits", "/object")),
        post("/v1/assert", object(&format!("\"{}\"", "x".repeat(65_537))), (422, "too_long", "/object")),
        post("/v1/assert", object("\"a\\u0000b\""), (422, "nul_character", "/object")),
        post("/v1/assert", object(r#"{"type":"colour","value":1}"#), (422, "unknown_name", "/object/type")),
        post("/v1/assert", object(r#"{"type":"time","value":"soon"}"#), (422, "not_a_time", "/object/value")),
        post("/v1/assert", object(r#"{"type":"reference","value":""}"#), (422, "empty", "/object/value")),
        post(
            "/v1/assert",
            object("1").replace("\"s\"", "\"a\\u0000b\""),
            (422, "control_character", "/subject"),
        ),
        post("/v1/assert", object("1").replace("\"s\"", "\"\""), (422, "empty", "/subject")),
        post(
            "/v1/assert",
            object("1").replace("\"p\"", &format!("\"{}\"", "p".repeat(513))),
            (422, "too_long", "/predicate"),
        ),
        post("/v1/assert", claim(r#""confidence":1e400"#), (422, "out_of_range", "/confidence")),
        post("/v1/assert", claim(r#""confidence":1e5000"#), (422, "out_of_range", "/confidence")),
        post("/v1/assert", claim(r#""confidence":1.5"#), (422, "out_of_range", "/confidence")),
        post("/v1/assert", claim(r#""confidence":-0.1"#), (422, "out_of_range", "/confidence")),
        post("/v1/assert", claim(r#""source_class":6"#), (422, "out_of_range", "/source_class")),
        post("/v1/assert", claim(r#""source_class":1.5"#), (422, "out_of_range", "/source_class")),
        post("/v1/assert", claim(r#""lifecycle":"done""#), (422, "unknown_name", "/lifecycle")),
        post("/v1/assert", claim(r#""observed_at":"yesterday""#), (422, "not_a_time", "/observed_at")),
        post("/v1/assert", claim(r#""author":"zz""#), (422, "not_hex", "/author")),
        post(
            "/v1/assert",
            claim(r#""valid_from":"2024-01-02T00:00:00Z","valid_to":"2024-01-01T00:00:00Z""#),
            (422, "empty_interval", "/valid_to"),
        ),
        post(
            "/v1/assert",
            claim(&format!(r#""signatures":[{{"agent":"{agent}","signature":"{signature}"}}]"#)),
            (422, "signature_invalid", "/signatures/0/signature"),
        ),
        post("/v1/vote", vote(""), (422, "unknown_claim", "/assertion")),
        post("/v1/vote", vote("").replace(":1}", ":1.01}"), (422, "out_of_range", "/weight")),
        post(
            "/v1/vote",
            vote(&format!(r#","signature":"{signature}""#)),
            (422, "signature_invalid", "/signature"),
        ),
        post("/v1/vote", r#"{"weight":1}"#, (400, "missing_field", "/assertion")),
        post(
            "/v1/supersede",
            format!(r#"{{"old":"{zero}","kind":"retracts"}}"#),
            (422, "unknown_claim", "/old"),
        ),
        post(
            "/v1/supersede",
            format!(r#"{{"old":"{zero}","kind":"corrects"}}"#),
            (422, "kind_mismatch", "/kind"),
        ),
        post(
            "/v1/supersede",
            format!(r#"{{"old":"{zero}","new":"{zero}","kind":"corrects"}}"#),
            (422, "self_reference", "/new"),
        ),
        post(
            "/v1/supersede",
            format!(r#"{{"old":"{zero}","kind":"undoes"}}"#),
            (422, "unknown_name", "/kind"),
        ),
        post(
            "/v1/supersede",
            format!(r#"{{"old":"{zero}","kind":"retracts","signature":"{signature}"}}"#),
            (422, "missing_agent", "/agent"),
        ),
        post("/v1/epoch", r#"{"name":"e","supersedes":"e"}"#, (422, "self_reference", "/supersedes")),
        post("/v1/source", r#"{"id":"s","class":9}"#, (422, "out_of_range", "/class")),
        post("/v1/source", r#"{"id":"s","class":0,"content_hash":"00"}"#, (422, "not_hex", "/content_hash")),
        post("/v1/agent", r#"{"name":"x"}"#, (400, "missing_field", "/id")),
        post("/v1/agent", r#"{"id":"00"}"#, (422, "not_hex", "/id")),
        post("/v1/agent", format!(r#"{{"id":"{agent}","class":6}}"#), (422, "out_of_range", "/class")),
        post("/v1/agent", format!(r#"{{"id":"{agent}","trust":1.1}}"#), (422, "out_of_range", "/trust")),
        post("/v1/agent", format!(r#"{{"id":"{agent}","trust":-0.1}}"#), (422, "out_of_range", "/trust")),
        post("/v1/agent", format!(r#"{{"id":"{agent}","trust":"1"}}"#), (400, "wrong_type", "/trust")),
        post("/v1/agent", format!(r#"{{"id":"{agent}","name":""}}"#), (422, "empty", "/name")),
        post("/v1/agent", format!(r#"{{"id":"{agent}","rank":1}}"#), (400, "unknown_field", "/rank")),
        get("/v1/agents/x", (400, "invalid_parameter", "?id")),
        get(&format!("/v1/agents/{agent}?as_of=99999"), (409, "lsn_not_reached", "?as_of")),
        get(&format!("/v1/assertions/{zero}/history"), (404, "claim_not_found", "")),
        get(&format!("/v1/assertions/{zero}/impact"), (404, "claim_not_found", "")),
        get("/v1/assertions/x/impact", (400, "invalid_parameter", "?id")),
        get(&format!("/v1/assertions/{zero}/history?limit=0"), (400, "invalid_parameter", "?limit")),
        get(&format!("/v1/assertions/{zero}/impact?limit=1"), (400, "unknown_parameter", "?limit")),
        post("/v1/assert?force=1", object("1"), (400, "unknown_parameter", "?force")),
        // Questions.
        get(&question("&lens=majority"), (400, "invalid_parameter", "?lens")),
        get(&question("&lense=recency"), (400, "unknown_parameter", "?lense")),
        get(&question("&subject=t"), (400, "duplicate_parameter", "?subject")),
        get(&question("&as_of=yesterday"), (400, "invalid_parameter", "?as_of")),
        get(&question("&as_of="), (400, "invalid_parameter", "?as_of")),
        get(&question("&as_of=-1"), (400, "invalid_parameter", "?as_of")),
        get(&question("&as_of=99999999999999999999"), (400, "invalid_parameter", "?as_of")),
        get(&question("&as_of=1000"), (409, "lsn_not_reached", "?as_of")),
        get(&question("&evaluated_at=now"), (400, "invalid_parameter", "?evaluated_at")),
        get(&question("&decay=maybe"), (400, "invalid_parameter", "?decay")),
        get("/v1/query?subject=s", (400, "missing_parameter", "?predicate")),
        get("/v1/query?subject=&predicate=p", (400, "invalid_parameter", "?subject")),
        get("/v1/query?subject=%ff&predicate=p", (400, "invalid_utf8", "?subject")),
        get("/v1/skeptic?subject=s&predicate=p&lens=recency", (400, "unknown_parameter", "?lens")),
        get("/v1/assertions/xyz", (400, "invalid_parameter", "?id")),
        get(&format!("/v1/assertions/{zero}"), (404, "claim_not_found", "")),
        // Routes.
        get("/v1/nothing", (404, "not_found", "")),
        get("/nothing", (404, "not_found", "")),
        get("/v1/assert", (405, "method_not_allowed", "")),
        ("DELETE", "/v1/query".into(), "", Vec::new(), (405, "method_not_allowed", "")),
        ("BREW", "/v1/query".into(), "", Vec::new(), (405, "method_not_allowed", "")),
        ("POST", "/v1/assert".into(), "text/plain", object("1").into(), (415, "unsupported_media_type", "")),
        (
            "POST",
            "/v1/assert".into(),
            "application/x-www-form-urlencoded",
            object("1").into(),
            (415, "unsupported_media_type", ""),
        ),
        post("/v1/assert", vec![b' '; (1 << 20) + 1], (413, "body_too_large", "")),
    ]
}

fn answer(server: &Server, case: &Case) -> Reply {
    let (method, target, content_type, body, _) = case;
    let headers: &[(&str, &str)] =
        if content_type.is_empty() { &[] } else { &[("Content-Type", content_type)] };
    server.send(method, target, headers, body)
}

#[test]
fn every_bad_input_has_its_status_code_and_place_and_changes_nothing() {
    let server = Server::start();
    server.post("/v1/assert", &object("1"));
    let before = (server.database.published_lsn(), server.database.engine().state_root().unwrap());
    for case in cases() {
        let reply = answer(&server, &case);
        let (status, code, place) = case.4;
        let body = String::from_utf8_lossy(&case.3[..case.3.len().min(200)]).into_owned();
        assert_eq!(
            reply.problem(),
            (status, code.to_owned(), place.to_owned()),
            "{} {} {body}",
            case.0,
            case.1
        );
    }
    assert_eq!((server.database.published_lsn(), server.database.engine().state_root().unwrap()), before);
    assert_eq!(server.post("/v1/assert", &object("2")).status, 201, "and the server goes on");
}

#[test]
fn several_errors_of_one_body_are_reported_together() {
    let server = Server::start();
    let body = r#"{"subject":7,"colour":1,"confidence":"x","lifecycle":"done"}"#;
    let json = server.post("/v1/assert", body).json();
    let places: Vec<&str> =
        json["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    let expected = ["/subject", "/colour", "/confidence", "/lifecycle", "/predicate", "/object", "/source"];
    assert_eq!(places, expected);
}

#[test]
fn a_refusal_of_a_method_lists_those_allowed() {
    let server = Server::start();
    let reply = server.get("/v1/assert");
    assert_eq!(reply.header("allow"), Some("POST"));
    let head = server.send("HEAD", "/livez", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn a_body_whose_length_is_not_declared_is_refused_at_the_limit() {
    let server = Server::with(RouterOptions { body_max_bytes: 100, ..RouterOptions::default() });
    let chunk = format!("40\r\n{}\r\n", " ".repeat(64));
    let request = format!(
        "POST /v1/assert HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    assert_eq!(server.raw(request.as_bytes()).problem(), (413, "body_too_large".into(), String::new()));
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_without_end() {
    let timeout = std::time::Duration::from_millis(200);
    let server = Server::with(RouterOptions { body_timeout: timeout, ..RouterOptions::default() });
    let request = "POST /v1/assert HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Type: application/json\r\n\
                   Content-Length: 10\r\n\r\n{";
    let reply = server.raw(request.as_bytes());
    assert_eq!(reply.problem(), (408, "request_timeout".into(), String::new()));
    assert_eq!(reply.header("retry-after"), Some("1"));
}

/// More than a body may have is more than is let in at once, too: it is still told which of both it is, since only one of them passes.
#[test]
fn a_body_that_is_too_long_is_not_told_to_come_again() {
    let server = Server::start();
    // Somebody else's body is on its way: one alone would be let in whatever its length.
    let mut other = TcpStream::connect(server.address).unwrap();
    let begun =
        "POST /v1/assert HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    other.write_all(begun.as_bytes()).unwrap();
    // Itself is the second one in flight.
    while !server.get("/metrics").text().contains("\nstemedb_http_requests_in_flight 2\n") {
        std::thread::yield_now();
    }
    for length in [2_u64 << 20, 100 << 20, 5 << 30] {
        let request = format!(
            "POST /v1/assert HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{{"
        );
        let reply = server.raw(request.as_bytes());
        assert_eq!(reply.problem(), (413, "body_too_large".into(), String::new()), "{length}");
    }
}

#[test]
fn above_the_cap_requests_are_refused_but_probes_are_answered() {
    let server = Server::with(RouterOptions {
        admission: stemedb_api::http::AdmissionOptions { max_in_flight: 0, ..Default::default() },
        ..RouterOptions::default()
    });
    let refused = server.get("/v1/query?subject=s&predicate=p");
    assert_eq!(refused.problem(), (503, "overloaded".into(), String::new()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    for probe in ["/livez", "/readyz", "/v1/health", "/metrics"] {
        assert_eq!(server.get(probe).status, 200, "{probe}");
    }
}

#[test]
fn a_database_that_requires_signatures_takes_nothing_unsigned() {
    let dir = tempfile::tempdir().unwrap();
    let options = stemedb_api::DatabaseOptions { signatures: SignaturePolicy::Required, ..tiny() };
    let database = Database::create(dir.path().join("db"), options).unwrap();
    let server = Server::over(database, dir, RouterOptions::default());
    let unsigned = server.post("/v1/assert", &object("1"));
    assert_eq!(unsigned.problem(), (422, "signature_required".into(), "/signatures".into()));

    let (author, other) = (AgentKey::from_seed(&[1; 32]), AgentKey::from_seed(&[2; 32]));
    let mut claim = Assertion::new("s", "p", Object::Integer(1), "x");
    claim.author = Some(author.agent());
    let body = |claim: &Assertion| {
        let signatures: Vec<_> = claim
            .signatures
            .iter()
            .map(|one| json!({"agent": one.agent.to_string(), "signature": one.bytes.to_string()}))
            .collect();
        json!({"subject": "s", "predicate": "p", "object": 1, "source": "x", "author": author.agent().to_string(),
            "signatures": signatures})
        .to_string()
    };
    claim.sign(&other);
    let by_another = server.post("/v1/assert", &body(&claim));
    assert_eq!(by_another.problem(), (422, "signature_required".into(), "/signatures".into()));
    claim.sign(&author);
    let id = server.post("/v1/assert", &body(&claim)).json()["id"].as_str().unwrap().to_owned();

    let mut vote = Vote::new(id.parse().unwrap(), other.agent(), Nano::ONE);
    let unsigned = json!({"assertion": id, "agent": other.agent().to_string(), "weight": 1});
    let refused = server.post("/v1/vote", &unsigned.to_string());
    assert_eq!(refused.problem(), (422, "signature_required".into(), "/signature".into()));
    vote.sign(&other);
    let signed = json!({"assertion": id, "agent": other.agent().to_string(), "weight": 1,
        "signature": vote.signature.unwrap().to_string()});
    assert_eq!(server.post("/v1/vote", &signed.to_string()).status, 201);
    // The signature covers the weight.
    let altered = signed.to_string().replace("\"weight\":1", "\"weight\":-1");
    assert_eq!(
        server.post("/v1/vote", &altered).problem(),
        (422, "signature_invalid".into(), "/signature".into())
    );
}
