//! Agents, who may supersede what, and what derives from what: over HTTP and embedded.

use serde_json::{Value, json};
use stemedb_api::{
    Code, Database, DatabaseOptions, RouterOptions,
    core::{Agent, AgentId, Assertion, AuthorityPolicy, Nano, Object, SourceClass, Supersession},
};

use crate::support::{Server, database, tiny};

fn agent(n: u8) -> AgentId {
    AgentId([n; 32])
}

fn assert_claim(server: &Server, body: &Value) -> String {
    let reply = server.post("/v1/assert", &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn claim(subject: &str, object: i64, source: &str) -> Value {
    json!({"subject": subject, "predicate": "p", "object": object, "source": source})
}

fn retract(server: &Server, id: &str, by: Option<AgentId>) -> (u16, Value) {
    let by = by.map(|agent| agent.to_string());
    let body = json!({"old": id, "new": null, "kind": "retracts", "agent": by});
    let reply = server.post("/v1/supersede", &body.to_string());
    (reply.status, reply.json())
}

#[test]
fn an_agent_is_recorded_known_and_forgotten_over_http() {
    let server = Server::start();
    let id = agent(1).to_string();
    let known = |query: &str| server.get(&format!("/v1/agents/{id}{query}")).json();
    let unknown = json!({"id": id, "recorded": false, "class": 5, "trust": 0.5, "as_of": 0});
    assert_eq!(known(""), unknown);
    let body = json!({"id": id, "name": "Ada", "class": 1, "trust": 0.123456789}).to_string();
    assert_eq!(server.post("/v1/agent", &body).status, 201);
    assert_eq!(server.post("/v1/agent", &body).status, 200, "the same again");
    let first = known("");
    assert_eq!(
        (&first["name"], &first["class"], &first["trust"]),
        (&json!("Ada"), &json!(1), &json!(0.123456789))
    );
    assert_eq!((&first["recorded"], &first["lsn"], &first["as_of"]), (&json!(true), &json!(1), &json!(1)));
    assert!(first["recorded_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(server.post("/v1/agent", &json!({"id": id}).to_string()).status, 201);
    let after = known("");
    assert_eq!(
        (&after["recorded"], &after["class"], &after["trust"]),
        (&json!(true), &json!(5), &json!(0.5))
    );
    assert!(after.get("name").is_none());
    assert_eq!(known("?as_of=1"), first, "the past stays as it was known");
    assert_eq!(known("?as_of=0"), unknown);
}

#[test]
fn trust_in_an_author_is_what_the_authority_lens_weighs() {
    let server = Server::start();
    for (object, by) in [(1, 1), (2, 2)] {
        let mut body = claim("s", object, "A");
        body["author"] = agent(by).to_string().into();
        assert_claim(&server, &body);
    }
    let ask =
        |query: &str| server.get(&format!("/v1/query?subject=s&predicate=p&lens=authority{query}")).json();
    let (value, confidence) = (ask("")["value"].clone(), ask("")["confidence"].clone());
    assert_eq!((value, confidence), (json!(2), json!(0.5)), "equally trusted: the newer one");
    let trusted = json!({"id": agent(1).to_string(), "trust": 0.8}).to_string();
    assert_eq!(server.post("/v1/agent", &trusted).status, 201);
    let (value, confidence) = (ask("")["value"].clone(), ask("")["confidence"].clone());
    assert_eq!((value, confidence), (json!(1), json!(0.8)));
    assert_eq!(ask("&as_of=2")["value"], json!(2));
    assert_eq!(ask("&explain=true")["explain"]["claims"][1]["trust"], json!(0.8));
}

#[test]
fn a_lower_class_is_refused_and_nothing_is_applied() {
    let server = Server::start();
    server.post("/v1/source", r#"{"id":"IUPAC","class":0}"#);
    let id = assert_claim(&server, &claim("s", 1, "IUPAC"));
    let lsn = server.database.published_lsn();
    let (status, problem) = retract(&server, &id, Some(agent(1)));
    assert_eq!((status, &problem["code"]), (403, &json!("authority_too_low")));
    assert_eq!(problem["errors"][0]["pointer"], "/old");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("class 5 may not set aside a claim of class 0"), "{detail}");
    assert_eq!(problem["retryable"], false);
    assert_eq!(server.database.published_lsn(), lsn);
    assert_eq!(server.get("/v1/query?subject=s&predicate=p").json()["value"], json!(1));
    let record = json!({"id": agent(1).to_string(), "class": 0}).to_string();
    server.post("/v1/agent", &record);
    assert_eq!(retract(&server, &id, Some(agent(1))).0, 201);
}

#[test]
fn the_policy_can_be_switched_off() {
    let regulator = Assertion {
        source_class: Some(SourceClass::REGULATORY),
        ..Assertion::new("s", "p", Object::Integer(1), "IUPAC")
    };
    let (strict, _dir) = database();
    assert_eq!(strict.authority_policy(), AuthorityPolicy::Enforce);
    strict.assert(regulator.clone()).unwrap();
    let refused = strict.supersede(Supersession::retract(regulator.id())).unwrap_err();
    assert_eq!((refused.code(), refused.code().status()), (Code::AuthorityTooLow, 403));

    let dir = tempfile::tempdir().unwrap();
    let options = DatabaseOptions { supersession_authority: AuthorityPolicy::Off, ..tiny() };
    let open = Database::create(dir.path().join("db"), options).unwrap();
    open.assert(regulator.clone()).unwrap();
    assert!(open.supersede(Supersession::retract(regulator.id())).unwrap().created);
}

#[test]
fn a_circle_is_refused_by_name() {
    let server = Server::start();
    let ids: Vec<String> = (1..=3).map(|n| assert_claim(&server, &claim("s", n, "A"))).collect();
    let replace = |old: usize, new: usize| {
        let body = json!({"old": ids[old], "new": ids[new], "kind": "replaces"});
        server.post("/v1/supersede", &body.to_string())
    };
    assert_eq!((replace(0, 1).status, replace(1, 2).status), (201, 201));
    assert_eq!(replace(2, 0).problem(), (422, "supersession_cycle".to_owned(), "/new".to_owned()));
    let chain = server.get(&format!("/v1/assertions/{}/history", ids[0])).json()["chain"].clone();
    assert_eq!((&chain["end"], &chain["at"]), (&json!("head"), &json!(ids[2])));
    assert_eq!(chain["links"].as_array().unwrap().len(), 2);
    assert_eq!(chain["links"][1]["old"], json!(ids[1]));
}

#[test]
fn a_history_comes_in_pages_of_one_moment() {
    let server = Server::start();
    let id = assert_claim(&server, &claim("s", 1, "A"));
    for n in 1..=5_u8 {
        let body = json!({"assertion": id, "agent": agent(n).to_string(), "weight": 0.5, "reason": "seen"});
        assert_eq!(server.post("/v1/vote", &body.to_string()).status, 201);
    }
    let page = |query: &str| server.get(&format!("/v1/assertions/{id}/history{query}")).json();
    let first = page("?limit=2");
    assert_eq!((&first["remarks_total"], &first["as_of"]), (&json!(5), &json!(6)));
    assert_eq!(first["claim"]["object"], json!(1));
    assert_eq!(first["remarks"][0]["agent"], json!(agent(1).to_string()));
    retract(&server, &id, None);
    let rest = page("?limit=10&offset=2&as_of=6");
    let agents: Vec<&str> =
        rest["remarks"].as_array().unwrap().iter().map(|one| one["agent"].as_str().unwrap()).collect();
    let expected: Vec<String> = (3..=5).map(|n| agent(n).to_string()).collect();
    assert_eq!(agents, expected);
    let now = page("");
    assert_eq!((&now["remarks_total"], &now["chain"]["end"]), (&json!(6), &json!("retracted")));
    let last = &now["remarks"][5];
    assert_eq!((&last["kind"], &last["supersession"]), (&json!("supersede"), &json!("retracts")));
    assert_eq!(page("?as_of=6")["chain"]["end"], json!("head"));
}

#[test]
fn the_impact_of_a_retraction_is_counted_before_and_marked_after() {
    let server = Server::start();
    let root = assert_claim(&server, &claim("root", 0, "A"));
    let derive = |subject: &str, object: i64, parent: &str| {
        let mut body = claim(subject, object, "model");
        body["parents"] = json!([parent]);
        assert_claim(&server, &body)
    };
    let child = derive("s", 1, &root);
    for n in 0..3 {
        derive("t", n, &child);
    }
    let impact = |query: &str| server.get(&format!("/v1/assertions/{root}/impact{query}")).json();
    let found = impact("");
    let figures =
        ["direct", "total", "depth", "questions", "complete", "as_of"].map(|name| found[name].clone());
    assert_eq!(figures, [json!(1), json!(4), json!(2), json!(2), json!(true), json!(5)]);
    assert_eq!(found["nearest"][0], json!({"id": child, "subject": "s", "predicate": "p"}));
    assert_eq!(found["nearest"].as_array().unwrap().len(), 4);
    assert_eq!(impact("?as_of=3")["total"], json!(2));
    assert_eq!(retract(&server, &root, None).0, 201);
    let answer = server.get("/v1/query?subject=t&predicate=p").json();
    assert_eq!(answer["considered"], json!(3), "they take part all the same");
    for candidate in answer["candidates"].as_array().unwrap() {
        assert_eq!(candidate["tainted_by"], json!(root));
        assert!(candidate.get("lineage_cut").is_none());
    }
    for route in ["skeptic", "layered"] {
        let answer = server.get(&format!("/v1/{route}?subject=t&predicate=p")).json();
        let marks = answer["tainted"].as_array().unwrap();
        assert!(marks.len() == 3 && marks.iter().all(|mark| mark["by"] == json!(root)), "{answer}");
        let before = server.get(&format!("/v1/{route}?subject=t&predicate=p&as_of=5")).json();
        assert!(before.get("tainted").is_none());
    }
    let before = server.get("/v1/query?subject=t&predicate=p&as_of=5").json();
    assert!(before["candidates"].as_array().unwrap().iter().all(|one| one.get("tainted_by").is_none()));
    let history = server.get(&format!("/v1/assertions/{child}/history")).json();
    assert_eq!(history["lineage"], json!({"trust": 0.5, "tainted_by": root, "ancestors": 1, "cut": false}));
}

#[test]
fn records_survive_reopening_and_every_way_of_reading_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let database = Database::create(&path, tiny()).unwrap();
    let record = Agent {
        id: agent(7),
        name: Some("Grace".into()),
        class: SourceClass::new(2).ok(),
        trust: Some(Nano(250_000_000)),
    };
    database.agent(record.clone()).unwrap();
    let own = Assertion { author: Some(agent(7)), ..Assertion::new("s", "p", Object::Integer(1), "A") };
    database.assert(own).unwrap();
    database.flush().unwrap();
    database.compact().unwrap();
    let root = database.engine().state_root().unwrap();
    database.close().unwrap();
    let database = Database::open(&path, tiny()).unwrap();
    database.verify().unwrap();
    assert_eq!(database.engine().state_root().unwrap(), root);
    assert_eq!(database.agent_known(agent(7), None).unwrap().agent(), record);
    let server = Server::over(database, dir, RouterOptions::default());
    let answer = server.get("/v1/query?subject=s&predicate=p&lens=authority").json();
    assert_eq!(answer["confidence"], json!(0.25));
}
