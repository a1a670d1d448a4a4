//! Where a key is shown, and what was read with one.

use serde_json::json;
use stemedb_api::http::AuthMode;

use super::setup::{LOCAL, Setup};

#[test]
fn no_cache_keeps_a_reply_that_shows_a_key_or_what_a_key_has_read() {
    let setup = Setup::new(AuthMode::Required);
    let made = setup.send(LOCAL, "POST", "/v1/admin/keys", &[], r#"{"scopes":["read","write","admin"]}"#);
    assert_eq!(made.status, 201);
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("stemedb_"));
    assert_eq!(made.header("cache-control"), "no-store", "the only time that it is shown");
    let listed = setup.send(LOCAL, "GET", "/v1/admin/keys", &[], "");
    assert_eq!((listed.status, listed.header("cache-control")), (200, "no-store"));
    let secret = &key[21..];
    assert!(!listed.json().to_string().contains(secret), "and it is not shown again");
    for target in ["/v1/claims", "/v1/query?subject=s&predicate=p", "/v1/admin/server-key", "/v1/admin/jobs"]
    {
        let read = setup.with_key(&key, "GET", target, "");
        assert_eq!((read.status, read.header("cache-control")), (200, "no-store"), "{target}");
    }
    // What never changes may be kept, but by its reader alone.
    let claim = json!({ "subject": "s", "predicate": "p", "object": 1, "source": "x" }).to_string();
    let id = setup.with_key(&key, "POST", "/v1/assert", &claim).json()["id"].as_str().unwrap().to_owned();
    let read = setup.with_key(&key, "GET", &format!("/v1/assertions/{id}"), "");
    assert!(read.header("cache-control").starts_with("private"), "{}", read.header("cache-control"));
}
