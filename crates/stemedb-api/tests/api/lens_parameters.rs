//! Tolerance, counterfactuals, independence and fragility over HTTP.

use serde_json::{Value, json};
use stemedb_api::{
    Query,
    core::{AgentKey, Lens, lens::fingerprint},
};

use crate::support::Server;

/// Three sources for 10, one of them near it; two for 20 that have one publisher; one agent for 30.
fn disagreement() -> (Server, String) {
    let server = Server::start();
    let agent = AgentKey::from_seed(&[1; 32]).agent().to_string();
    let said = [
        ("10", "A", String::new()),
        ("10.0", "B", String::new()),
        ("10.4", "C", String::new()),
        ("20", "D", String::new()),
        ("20", "E", String::new()),
        ("30", "F", format!(r#","author":"{agent}","source_class":1"#)),
    ];
    for (value, source, more) in said {
        let body = format!(r#"{{"subject":"s","predicate":"p","object":{value},"source":"{source}"{more}}}"#);
        let reply = server.post("/v1/assert", &body);
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    for (source, uri) in
        [("D", "https://www.example.org/d"), ("E", "http://example.org:80/e"), ("A", "https://doi.org/1")]
    {
        let body = format!(r#"{{"id":"{source}","class":5,"uri":"{uri}"}}"#);
        assert_eq!(server.post("/v1/source", &body).status, 201);
    }
    (server, agent)
}

fn ask(server: &Server, more: &str) -> Value {
    let reply = server.get(&format!("/v1/query?subject=s&predicate=p{more}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[test]
fn answers_name_the_rules_they_were_made_by() {
    let (server, _) = disagreement();
    let plain = ask(&server, "");
    let query = Query::new("s", "p", Lens::Consensus);
    let hash = fingerprint(Lens::Consensus, &query.params(stemedb_api::core::Micros(0)));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&plain["lens_hash"], &plain["lens_version"]), (&json!(hash), &json!(Lens::VERSION)));
    for member in ["tolerance", "without", "max_class", "independent", "fragility"] {
        assert!(plain.get(member).is_none(), "{member} is there unasked");
    }
    let asked =
        ask(&server, "&tolerance=0.50&max_class=3&without=source:B&without=source:A&independent=true");
    assert_eq!((&asked["tolerance"], &asked["max_class"]), (&json!("5e-1"), &json!(3)));
    assert_eq!((&asked["without"], &asked["independent"]), (&json!(["source:A", "source:B"]), &json!(true)));
    assert_ne!(asked["lens_hash"], plain["lens_hash"]);
    let skeptic = server.get("/v1/skeptic?subject=s&predicate=p&tolerance=5e-1&without=source:A").json();
    assert_eq!(skeptic["without"], json!(["source:A"]));
}

#[test]
fn near_numbers_are_one_value() {
    let (server, _) = disagreement();
    let plain = ask(&server, "");
    assert_eq!(plain["values"].as_array().unwrap().len(), 4);
    for tolerance in ["0.5", "4%25"] {
        let answer = ask(&server, &format!("&tolerance={tolerance}"));
        assert_eq!(answer["values"].as_array().unwrap().len(), 3, "{answer}");
        // The anchor is written as its newest claim writes it.
        assert_eq!((&answer["value"], &answer["values"][0]["support"]), (&json!(10.0), &json!(3.0)));
        assert_eq!(answer["values"][0]["sources"], json!(["A", "B", "C"]));
    }
}

#[test]
fn what_is_left_out_is_set_aside_and_the_answer_is_another() {
    let (server, agent) = disagreement();
    let answer = ask(&server, "&without=source:A&without=source:B");
    assert_eq!((&answer["value"], &answer["considered"]), (&json!(20), &json!(4)));
    let reasons: Vec<_> = answer["set_aside"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert_eq!(reasons, ["excluded", "excluded"]);
    assert_eq!(ask(&server, "&lens=authority")["value"], 30);
    assert_ne!(ask(&server, &format!("&lens=authority&without=agent:{agent}"))["value"], 30);
    assert_eq!(ask(&server, "&lens=layered&max_class=1")["considered"], 1);
    assert_eq!(ask(&server, "&max_class=0")["status"], "unknown");
}

#[test]
fn copies_count_once_and_are_named() {
    let (server, agent) = disagreement();
    // The newer of two values of two voices wins, unless its voices are one.
    let plain = ask(&server, "");
    assert_eq!((&plain["value"], &plain["values"][0]["voices"]), (&json!(20), &json!(2)));
    let answer = ask(&server, "&independent=true&explain=true");
    assert_eq!(answer["value"], 10.0);
    let copied = answer["values"].as_array().unwrap().iter().position(|value| value["value"] == 20).unwrap();
    let value = &answer["values"][copied];
    assert_eq!((&value["voices"], &value["independent_voices"]), (&json!(2), &json!(1)));
    let explained = &answer["explain"]["values"][copied];
    assert_eq!(explained["copies"], json!([{"voice": "source:E", "of": "source:D", "by": "host"}]));
    let claims = answer["explain"]["claims"].as_array().unwrap();
    assert_eq!(claims[0]["voices"], json!([format!("agent:{agent}")]));
    assert!(claims.iter().all(|claim| claim["lsn"].is_u64() && claim["score"].is_f64()));
}

#[test]
fn fragility_names_what_must_go() {
    let (server, _) = disagreement();
    let fragility = ask(&server, "&tolerance=0.5&fragility=true")["fragility"].clone();
    assert_eq!(
        (&fragility["exact"], &fragility["at_least"], &fragility["at_most"]),
        (&json!(1), &json!(1), &json!(1))
    );
    // Any one of the three will do.
    let removals = fragility["removals"].as_array().unwrap();
    assert_eq!((removals.len(), &removals[0]["kind"]), (1, &json!("source")));
    assert!(["A", "B", "C"].contains(&removals[0]["source"].as_str().unwrap()), "{fragility}");
    assert_eq!((&fragility["becomes"], &fragility["status"]), (&json!(20), &json!("contested")));
    assert!(server.get("/v1/query?subject=x&predicate=p&fragility=true").json().get("fragility").is_none());
}

#[test]
fn parameters_of_another_form_are_refused() {
    let server = Server::start();
    let wrong = [
        ("tolerance=-1", "tolerance"),
        ("tolerance=much", "tolerance"),
        ("tolerance=", "tolerance"),
        ("max_class=6", "max_class"),
        ("without=A", "without"),
        ("without=source:", "without"),
        ("without=agent:12", "without"),
        ("without=source:A&without=class:3", "without"),
        ("independent=perhaps", "independent"),
        ("fragility=2", "fragility"),
    ];
    for (given, name) in wrong {
        let problem = server.get(&format!("/v1/query?subject=s&predicate=p&{given}")).problem();
        assert_eq!(problem, (400, "invalid_parameter".into(), format!("?{name}")), "{given}");
    }
    let many = "&without=source:A".repeat(65);
    assert_eq!(server.get(&format!("/v1/query?subject=s&predicate=p{many}")).problem().0, 400);
    let twice = server.get("/v1/query?subject=s&predicate=p&tolerance=1&tolerance=2").problem();
    assert_eq!(twice, (400, "duplicate_parameter".into(), "?tolerance".into()));
    let unknown = server.get("/v1/skeptic?subject=s&predicate=p&fragility=true").problem();
    assert_eq!(unknown, (400, "unknown_parameter".into(), "?fragility".into()));
}
