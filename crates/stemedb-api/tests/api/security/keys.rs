//! Making, using and withdrawing keys; keys that are bound to an agent; a damaged file.

use serde_json::json;
use stemedb_api::{
    Database,
    core::AgentKey,
    http::{AuthMode, RouterParts},
};

use super::setup::{LOCAL, REMOTE, Setup, security};
use crate::support::tiny;

const CLAIM: &str = r#"{"subject":"s","predicate":"p","object":1,"source":"x"}"#;

#[test]
fn a_key_is_told_once_stored_as_a_hash_and_revoked_at_once() {
    let setup = Setup::new(AuthMode::Auto);
    let (id, key) = setup.key(&["read", "write"], json!({ "label": "loader" }));
    assert!(key.starts_with(&format!("stemedb_{id}_")));
    let file = setup.dir.path().join("db/keys/api.keys");
    let stored = std::fs::read_to_string(&file).unwrap();
    let secret = &key[21..85];
    assert!(stored.contains("loader") && !stored.contains(secret), "{stored}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    assert_eq!(setup.with_key(&key, "POST", "/v1/assert", CLAIM).status, 201);
    assert_eq!(setup.with_key(&key, "GET", "/v1/admin/keys", "").problem(), (403, "scope_missing".into()));
    let listed = setup.send(LOCAL, "GET", "/v1/admin/keys", &[], "");
    let keys = listed.json()["keys"].clone();
    assert_eq!((&keys[0]["label"], &keys[0]["state"]), (&"loader".into(), &"active".into()));
    assert!(keys[0]["last_used_at"].is_string() && !listed.json().to_string().contains(secret));

    // Two at once, then the old one goes.
    let (_, next) = setup.key(&["read", "write"], json!({ "label": "loader" }));
    assert_eq!(setup.with_key(&next, "POST", "/v1/assert", CLAIM).status, 200);
    setup.revoke(&id);
    assert_eq!(setup.with_key(&key, "POST", "/v1/assert", CLAIM).problem(), (401, "key_refused".into()));
    assert_eq!(setup.with_key(&next, "POST", "/v1/assert", CLAIM).status, 200);
    setup.revoke(&id);
    let absent = setup.send(LOCAL, "DELETE", "/v1/admin/keys/000000000000", &[], "");
    assert_eq!(absent.problem(), (404, "key_not_found".into()));

    // What is refused when a key is made.
    let refused = |body: serde_json::Value| {
        let reply = setup.send(LOCAL, "POST", "/v1/admin/keys", &[], &body.to_string());
        (reply.status, reply.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused(json!({ "scopes": [] })), (422, "/scopes".into()));
    assert_eq!(refused(json!({ "scopes": ["root"] })).0, 400);
    assert_eq!(refused(json!({ "scopes": ["read"], "colour": 1 })).0, 400);
    assert_eq!(refused(json!({ "scopes": ["read"], "agent": "x" })), (422, "/agent".into()));
    assert_eq!(
        refused(json!({ "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z" })),
        (422, "/expires_at".into())
    );
    assert_eq!(refused(json!({ "scopes": ["read"], "label": "x".repeat(201) })), (422, "/label".into()));
}

#[test]
fn an_unknown_a_revoked_and_an_expired_key_get_the_same_reply() {
    let setup = Setup::new(AuthMode::Required);
    let (id, revoked) = setup.key(&["read"], json!({}));
    setup.revoke(&id);
    let unknown = Setup::new(AuthMode::Required).key(&["read"], json!({})).1;
    let replies = [revoked, unknown].map(|key| {
        let headers = [("authorization", &*format!("Bearer {key}")), ("x-request-id", "same")];
        let reply = setup.send(REMOTE, "GET", "/v1/claims", &headers, "");
        // The request's place in its trace is another one each time.
        let same = reply.headers.iter().filter(|(name, _)| *name != "traceresponse");
        let mut headers: Vec<String> = same.map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.sort();
        (reply.status, headers, String::from_utf8(reply.body).unwrap())
    });
    assert_eq!(replies[0], replies[1]);
    assert_eq!(replies[0].0, 401);
}

#[test]
fn a_damaged_file_of_keys_refuses_every_key_and_says_so() {
    let setup = Setup::new(AuthMode::Auto);
    let (_, key) = setup.key(&["read", "write", "admin"], json!({}));
    let Setup { database, dir, router, .. } = setup;
    drop(router);
    let file = dir.path().join("db/keys/api.keys");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    drop(database);
    let database = loop {
        // Handles of the router may live a moment longer.
        match Database::open(dir.path().join("db"), tiny()) {
            Ok(database) => break database,
            Err(error) => assert_eq!(error.code(), stemedb_api::Code::InUse, "{error}"),
        }
    };
    let setup = Setup::over(
        database,
        dir,
        RouterParts { security: security(AuthMode::Auto), ..RouterParts::default() },
    );
    assert_eq!(setup.with_key(&key, "GET", "/v1/claims", "").problem(), (500, "keys_damaged".into()));
    assert_eq!(
        setup.send(REMOTE, "GET", "/v1/claims", &[], "").problem(),
        (401, "key_required".into()),
        "never open"
    );
    let list = setup.send(LOCAL, "GET", "/v1/admin/keys", &[], "");
    assert_eq!(list.problem(), (500, "keys_damaged".into()));
    assert!(!String::from_utf8(list.body).unwrap().contains("api.keys"), "paths are for the log");
    let make = setup.send(LOCAL, "POST", "/v1/admin/keys", &[], r#"{"scopes":["admin"]}"#);
    assert_eq!(make.problem(), (500, "keys_damaged".into()));
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "it is left as it is");
}

#[test]
fn a_key_of_an_agent_records_what_is_that_agents_and_fills_in_who_it_is() {
    let setup = Setup::new(AuthMode::Required);
    let (own, other) = (AgentKey::from_seed(&[1; 32]).agent(), AgentKey::from_seed(&[2; 32]).agent());
    let (_, key) = setup.key(&["read", "write"], json!({ "agent": own.to_string() }));
    let made = setup.with_key(&key, "POST", "/v1/assert", CLAIM);
    assert_eq!(made.status, 201, "{}", made.json());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let claim = setup.with_key(&key, "GET", &format!("/v1/assertions/{id}"), "");
    assert_eq!(claim.json()["author"], own.to_string());
    assert_eq!(
        claim.header("cache-control"),
        "private, max-age=31536000, immutable",
        "not for shared caches"
    );

    let vote = |agent: &str| format!(r#"{{"assertion":"{id}","weight":1{agent}}}"#);
    let named = |agent| format!(r#","agent":"{agent}""#);
    assert_eq!(setup.with_key(&key, "POST", "/v1/vote", &vote("")).status, 201, "the agent is filled in");
    assert_eq!(
        setup.with_key(&key, "POST", "/v1/vote", &vote(&named(own))).status,
        200,
        "it is the same vote"
    );
    let refused = |route: &str, body: &str| {
        let reply = setup.with_key(&key, "POST", route, body);
        assert_eq!(reply.problem(), (403, "agent_mismatch".into()), "{route} {body}");
        reply.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(refused("/v1/vote", &vote(&named(other))), "/agent");
    let theirs = CLAIM.replace('}', &format!(r#","author":"{other}"}}"#));
    assert_eq!(refused("/v1/assert", &theirs), "/author");
    let retract = format!(r#"{{"old":"{id}","new":null,"kind":"retracts","agent":"{other}"}}"#);
    assert_eq!(refused("/v1/supersede", &retract), "/agent");
    refused("/v1/agent", &format!(r#"{{"id":"{own}","class":0,"trust":1}}"#));
    refused("/v1/source", r#"{"id":"x","class":0}"#);
    refused("/v1/epoch", r#"{"name":"e"}"#);

    let headers = [
        ("authorization", &*format!("Bearer {key}")),
        ("content-type", "application/x-ndjson"),
        ("accept", "*/*"),
    ];
    let lines = format!("{}\n{}\n", CLAIM.replace("\"s\"", "\"t\""), theirs.replace("\"s\"", "\"t\""));
    let before = setup.database.published_lsn();
    let reply = setup.send(REMOTE, "POST", "/v1/import", &headers, "");
    assert_eq!(reply.status, 200, "an import of nothing");
    let mut sent = headers.to_vec();
    sent.remove(1);
    let reply = setup.send(REMOTE, "POST", "/v1/import?format=jsonl", &sent, &lines);
    assert_eq!(reply.status, 200);
    assert!(setup.database.published_lsn() > before);
    let claims = setup.with_key(&key, "GET", "/v1/claims?subject=t", "").json()["claims"].clone();
    assert_eq!(claims.as_array().unwrap().len(), 1, "the other's line was refused");
    assert_eq!(claims[0]["author"], own.to_string());
}
