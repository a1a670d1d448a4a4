//! Every route, doing its job.

use serde_json::json;
use stemedb_api::core::{AgentKey, Assertion, ClaimId, Nano, Object, Supersession, SupersessionKind, Vote};

use crate::support::{Server, tiny};

const BOILING: &str =
    r#"{"subject":"cas:50-00-0","predicate":"boiling_point_K","object":254.050,"source":"WEBBOOK"}"#;

#[test]
fn a_claim_is_created_once_and_found_again() {
    let server = Server::start();
    let first = server.post("/v1/assert", BOILING);
    assert_eq!(first.status, 201, "{}", first.text());
    let body = first.json();
    assert_eq!(body["created"], true);
    assert_eq!(body["hash"], body["id"]);
    assert_eq!(body["lsn"], 1);
    let id = body["id"].as_str().unwrap();
    assert_eq!(first.header("location"), Some(format!("/v1/assertions/{id}").as_str()));
    assert_eq!(first.header("stemedb-lsn"), Some("1.1"));
    let claim = Assertion::new("cas:50-00-0", "boiling_point_K", Object::Number("254.050".into()), "WEBBOOK");
    assert_eq!(id, claim.id().to_string());

    let again = server.post("/v1/assert", BOILING);
    assert_eq!(
        (again.status, &again.json()["created"], &again.json()["lsn"]),
        (200, &json!(false), &json!(1))
    );

    let stored = server.get(&format!("/v1/assertions/{id}"));
    assert_eq!(stored.status, 200);
    assert!(stored.text().contains(r#""object":254.050"#), "the number's text is kept: {}", stored.text());
    assert_eq!(stored.json()["source"], "WEBBOOK");
    let tag = format!("\"{id}\"");
    assert_eq!(stored.header("etag"), Some(tag.as_str()));
    let unchanged = server.send("GET", &format!("/v1/assertions/{id}"), &[("If-None-Match", &tag)], b"");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let other = server.send("GET", &format!("/v1/assertions/{id}"), &[("If-None-Match", "\"x\"")], b"");
    assert_eq!(other.status, 200);
}

#[test]
fn every_member_of_an_assertion_comes_back_as_it_was_said() {
    let server = Server::start();
    let parent = server.post("/v1/assert", BOILING).json()["id"].as_str().unwrap().to_owned();
    let key = AgentKey::from_seed(&[7; 32]);
    let mut claim = Assertion::new("s", "p", Object::Reference("cas:1".into()), "src");
    claim.confidence = Some(Nano(250_000_001));
    claim.source_class = Some(stemedb_api::core::SourceClass::new(2).unwrap());
    claim.author = Some(key.agent());
    claim.excerpt_hash = Some([9; 32]);
    claim.epoch = Some("e1".into());
    claim.lifecycle = Some(stemedb_api::core::Lifecycle::UnderReview);
    claim.valid_from = Some(stemedb_api::core::Micros(0));
    claim.valid_to = Some(stemedb_api::core::Micros(4_102_444_800_000_000));
    claim.observed_at = Some(stemedb_api::core::Micros(1_700_000_000_123_456));
    claim.parents = vec![parent.parse().unwrap()];
    claim.sign(&key);
    let signature = claim.signatures[0];
    let body = json!({
        "subject": "s", "predicate": "p", "object": {"type": "reference", "value": "cas:1"}, "source": "src",
        "confidence": 0.250000001, "source_class": 2, "author": key.agent().to_string(),
        "excerpt_hash": "09".repeat(32), "epoch": "e1", "lifecycle": "under_review",
        "valid_from": "1970-01-01T00:00:00Z", "valid_to": "2100-01-01T01:00:00+01:00",
        "observed_at": "2023-11-14T22:13:20.123456Z", "parents": [parent],
        "signatures": [{"agent": signature.agent.to_string(), "signature": signature.bytes.to_string()}],
    });
    let reply = server.post("/v1/assert", &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.json()["id"], claim.id().to_string());
    let stored = server.get(&format!("/v1/assertions/{}", claim.id())).json();
    for member in [
        "subject",
        "predicate",
        "object",
        "source",
        "confidence",
        "source_class",
        "author",
        "excerpt_hash",
        "epoch",
        "lifecycle",
        "valid_from",
        "observed_at",
        "parents",
        "signatures",
    ] {
        assert_eq!(stored[member], body[member], "{member}");
    }
    assert_eq!(stored["valid_to"], "2100-01-01T00:00:00Z");
}

#[test]
fn votes_sources_epochs_and_supersessions_change_the_answer_and_say_why() {
    let server = Server::start();
    let assert = |value: &str, source: &str, more: &str| {
        let body = format!(r#"{{"subject":"s","predicate":"p","object":{value},"source":"{source}"{more}}}"#);
        let reply = server.post("/v1/assert", &body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["id"].as_str().unwrap().to_owned()
    };
    let (a, b) = (assert("1", "A", ""), assert("2", "B", ""));
    let old = assert("3", "C", "");
    assert("4", "D", r#","epoch":"first""#);

    let key = AgentKey::from_seed(&[1; 32]);
    let mut vote = Vote::new(a.parse().unwrap(), key.agent(), Nano(750_000_000));
    vote.reason = Some("measured it".into());
    vote.sign(&key);
    let body = json!({"assertion": a, "agent": key.agent().to_string(), "weight": 0.75, "reason": "measured it",
        "signature": vote.signature.unwrap().to_string()});
    assert_eq!(server.post("/v1/vote", &body.to_string()).status, 201);
    assert_eq!(server.post("/v1/vote", &body.to_string()).status, 200, "the same vote again");

    let mut change =
        Supersession::replace(old.parse().unwrap(), b.parse().unwrap(), SupersessionKind::Corrects);
    change.sign(&key);
    let body = json!({"old": old, "new": b, "kind": "corrects", "agent": key.agent().to_string(),
        "signature": change.signature.unwrap().to_string()});
    let reply = server.post("/v1/supersede", &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(server.post("/v1/epoch", r#"{"name":"second","supersedes":"first"}"#).status, 201);
    let source = r#"{"id":"B","class":0,"title":"The standard","uri":"https://example.org/b"}"#;
    assert_eq!(server.post("/v1/source", source).status, 201);

    let answer = server.get("/v1/query?subject=s&predicate=p&lens=consensus&explain=true");
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!((&answer["value"], &answer["winners"]), (&json!(1), &json!([a])));
    assert_eq!(answer["confidence"], 0.636363636);
    assert_eq!(answer["margin"], 0.272727273);
    assert_eq!(answer["status"], "contested");
    assert_eq!(answer["considered"], 2);
    assert_eq!(answer["candidates"].as_array().unwrap().len(), 4);
    assert_eq!(
        answer["values"][0],
        json!({"value": 1, "share": 0.636363636, "support": 1.75, "voices": 1, "sources": ["A"], "claims": [a]})
    );
    let reasons: Vec<&str> =
        answer["set_aside"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["out_of_epoch", "superseded"]);
    assert_eq!(answer["set_aside"][1]["by"], b.as_str());
    let votes: Vec<_> =
        answer["candidates"].as_array().unwrap().iter().filter(|c| !c["votes"].is_null()).collect();
    assert_eq!((votes.len(), &votes[0]["id"], &votes[0]["votes"][0]["weight"]), (1, &json!(a), &json!(0.75)));
    assert_eq!(answer["explain"]["total_support"], 2.75);
    assert_eq!(answer["explain"]["claims"].as_array().unwrap().len(), 2);
    assert_eq!(answer["explain"]["claims"][0]["voices"], json!(["source:B"]));

    let authority = server.get("/v1/query?subject=s&predicate=p&lens=authority").json();
    assert_eq!((&authority["value"], &authority["confidence"]), (&json!(2), &json!(0.5)));
    assert!(authority.get("explain").is_none());
    let epoch = server.get("/v1/query?subject=s&predicate=p&lens=recency&epoch=first").json();
    assert_eq!(epoch["value"], 4);

    let skeptic = server.get("/v1/skeptic?subject=s&predicate=p").json();
    assert_eq!((&skeptic["status"], &skeptic["values"][1]["value"]), (&json!("contested"), &json!(2)));
    assert_eq!(skeptic["conflict_score"], answer["conflict_score"]);
    let layered = server.get("/v1/layered?subject=s&predicate=p").json();
    assert_eq!((&layered["value"], &layered["cross_class_conflict"]), (&json!(2), &json!(1.0)));
    assert_eq!(layered["layers"][0]["class"], 0);
    assert_eq!(layered["layers"][1]["winners"], json!([a]));
}

#[test]
fn a_retraction_names_no_successor_and_sets_the_claim_aside() {
    let server = Server::start();
    let id = server.post("/v1/assert", BOILING).json()["id"].as_str().unwrap().to_owned();
    let reply =
        server.post("/v1/supersede", &json!({"old": id, "new": null, "kind": "retracts"}).to_string());
    assert_eq!(reply.status, 201, "{}", reply.text());
    let answer = server.get("/v1/query?subject=cas:50-00-0&predicate=boiling_point_K").json();
    assert_eq!((&answer["status"], &answer["value"]), (&json!("unknown"), &json!(null)));
    assert_eq!(answer["set_aside"], json!([{"id": id, "reason": "retracted"}]));
}

#[test]
fn the_same_claim_signed_by_another_agent_is_a_cosignature() {
    let server = Server::start();
    server.post("/v1/assert", BOILING);
    let mut claim =
        Assertion::new("cas:50-00-0", "boiling_point_K", Object::Number("254.050".into()), "WEBBOOK");
    claim.sign(&AgentKey::from_seed(&[3; 32]));
    let signature = claim.signatures[0];
    let body = format!(
        r#"{{"subject":"cas:50-00-0","predicate":"boiling_point_K","object":254.050,"source":"WEBBOOK",
            "signatures":[{{"agent":"{}","signature":"{}"}}]}}"#,
        signature.agent, signature.bytes
    );
    let reply = server.post("/v1/assert", &body);
    assert_eq!((reply.status, &reply.json()["cosigned"]), (200, &json!(1)));
    assert_eq!(reply.header("stemedb-lsn"), Some("1.2"), "the position that shows the co-signature");
    let answer = server.get("/v1/query?subject=cas%3A50-00-0&predicate=boiling_point_K").json();
    assert_eq!(answer["candidates"][0]["signers"], json!([signature.agent.to_string()]));
}

#[test]
fn nothing_claimed_is_an_answer() {
    let server = Server::start();
    let answer = server.get("/v1/query?subject=nobody&predicate=nothing&lens=layered");
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(
        (&answer["status"], &answer["value"], &answer["layers"]),
        (&json!("unknown"), &json!(null), &json!([]))
    );
    assert_eq!(server.get("/v1/skeptic?subject=a&predicate=b").json()["values"], json!([]));
    let unknown = server.get(&format!("/v1/assertions/{}", ClaimId([0; 32])));
    assert_eq!(unknown.problem(), (404, "claim_not_found".into(), String::new()));
}

#[test]
fn health_says_how_far_the_database_has_come() {
    let server = Server::start();
    server.post("/v1/assert", BOILING);
    let health = server.get("/v1/health").json();
    assert_eq!(
        (&health["status"], &health["published_lsn"], &health["writable"]),
        (&json!("ok"), &json!(1), &json!(true))
    );
    assert_eq!(server.get("/livez").text(), "ok\n");
    let ready = server.get("/readyz").json();
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["checks"].as_array().unwrap().len(), 4);
}

#[test]
fn health_names_every_view_with_its_state_and_lsn() {
    let server = Server::start();
    server.post("/v1/assert", BOILING);
    let health = server.get("/v1/health").json();
    assert_eq!((&health["fallback_mode"], &health["readable"]), (&json!("on_demand"), &json!(true)));
    let views = health["views"].as_array().unwrap();
    assert_eq!(views.len(), 1, "{health}");
    assert_eq!(
        (&views[0]["name"], &views[0]["state"], &views[0]["published_lsn"]),
        (&json!("primary"), &json!("healthy"), &json!(1))
    );
    assert!(views[0].get("progress").is_none() && views[0].get("cause").is_none());

    let dir = tempfile::tempdir().unwrap();
    let mut options = tiny();
    options.engine.fallback = stemedb_api::hybrid::FallbackMode::Standby;
    let database = stemedb_api::Database::create(dir.path().join("db"), options).unwrap();
    let server = Server::over(database, dir, stemedb_api::RouterOptions::default());
    server.post("/v1/assert", BOILING);
    let followed = (0..2000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let health = server.get("/v1/health").json();
        let views = health["views"].as_array().unwrap();
        views.get(1).is_some_and(|view| {
            (&view["name"], &view["state"], &view["published_lsn"])
                == (&json!("fallback"), &json!("healthy"), &json!(1))
        })
    });
    assert!(followed, "{}", server.get("/v1/health").text());
}

#[test]
fn storage_events_are_told_after_a_number() {
    use stemedb_api::hybrid::EventKind;
    let server = Server::start();
    let events = server.database.events();
    let file = "/data/kv/000007.sst";
    events.push(EventKind::Damage, Some(file.into()), "Corruption: block checksum mismatch");
    let all = server.get("/v1/admin/storage/events").json();
    let at = |text: &str, all: &serde_json::Value| {
        let of = all["events"].as_array().unwrap().iter().find(|event| event["text"] == text).cloned();
        of.unwrap_or_else(|| panic!("no {text:?} in {all}"))
    };
    let first = at("Corruption: block checksum mismatch", &all);
    events.push(EventKind::Repaired, None, "it is whole again");
    // The engine may tell something of its own at any time.
    let target = format!("/v1/admin/storage/events?after={}", first["number"]);
    let reply = server.get(&target);
    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert!(
        body["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["number"].as_u64() > first["number"].as_u64())
    );
    let told = [first, at("it is whole again", &body)];
    assert!(body["newest"].as_u64() >= told[1]["number"].as_u64());
    assert_eq!((&told[0]["kind"], &told[0]["file"]), (&json!("damage"), &json!(file)));
    assert!(told[0]["at"].as_str().unwrap().ends_with('Z') && told[1].get("file").is_none());
    let later = server.get(&format!("/v1/admin/storage/events?after={}", u64::MAX)).json();
    assert_eq!(later["events"], json!([]));
    let bad = server.get("/v1/admin/storage/events?after=x");
    assert_eq!(bad.problem().0, 400);
    assert_eq!(server.get("/v1/admin/storage/events?before=1").problem().0, 400);
}

#[test]
fn a_plain_request_id_is_kept_and_any_other_is_replaced() {
    let server = Server::start();
    let kept = server.send("GET", "/livez", &[("X-Request-Id", "job-7.a_B")], b"");
    assert_eq!(kept.header("x-request-id"), Some("job-7.a_B"));
    for bad in ["with space", "semi;colon", &"x".repeat(129)] {
        let replaced = server.send("GET", "/livez", &[("X-Request-Id", bad)], b"");
        let id = replaced.header("x-request-id").unwrap();
        assert_eq!((id.len(), id.bytes().all(|byte| byte.is_ascii_hexdigit())), (32, true), "{bad}");
    }
    assert_ne!(server.get("/livez").header("x-request-id"), server.get("/livez").header("x-request-id"));
}
