//! What is written down of who did what.

use serde_json::{Value, json};
use stemedb_api::http::{Audit, AuditOptions, AuthMode, RouterParts, verify_audit};
use stemedb_env::Env;

use super::setup::{LOCAL, REMOTE, Setup, security};

#[test]
fn writes_admin_calls_and_refusals_are_lines_with_who_and_what_but_not_what_was_claimed() {
    let log = tempfile::tempdir().unwrap();
    let file = log.path().join("audit.log");
    let audit = Audit::open(&Env::real(), AuditOptions::new(&file)).unwrap();
    let parts =
        RouterParts { security: security(AuthMode::Required), audit: Some(audit), ..RouterParts::default() };
    let setup = Setup::with(parts);
    let (id, key) = setup.key(&["read", "write"], json!({}));
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", &*authorization), ("x-request-id", "the-write")];
    let claim = r#"{"subject":"secret subject","predicate":"p","object":"secret text","source":"x"}"#;
    let made = setup.send(REMOTE, "POST", "/v1/assert", &headers, claim);
    assert_eq!(made.status, 201);
    assert_eq!(setup.with_key(&key, "GET", "/v1/claims", "").status, 200, "reading is not written down");
    setup.send(REMOTE, "GET", "/v1/query?subject=secret+subject&predicate=p", &[], "");
    setup.with_key(&key, "GET", "/v1/admin/keys", "");
    setup.send(REMOTE, "POST", "/v1/assert", &[("authorization", "Bearer stemedb_secret")], claim);
    setup.revoke(&id);
    let asked = setup.send(LOCAL, "GET", "/v1/admin/storage/scrub", &[], "");
    assert_eq!(asked.status, 200);
    let Setup { router, database, .. } = setup;
    drop((router, database));
    let lines = whole(&file, 8);
    assert!(!lines.iter().any(|line| line.to_string().contains("secret")), "{lines:#?}");
    let short: Vec<String> = lines
        .iter()
        .skip(1)
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            let who = if line["key"].is_null() { text("peer") } else { text("key").replace(&id, "K") };
            format!("{who} {} {} {} {}", text("method"), text("route"), line["status"], text("code"))
        })
        .collect();
    assert_eq!(
        short,
        [
            "127.0.0.1 POST /v1/admin/keys 201 -",
            "K POST /v1/assert 201 -",
            "192.0.2.7 GET /v1/query 401 key_required",
            "K GET /v1/admin/keys 403 scope_missing",
            "192.0.2.7 POST /v1/assert 401 key_malformed",
            "127.0.0.1 DELETE /v1/admin/keys/{id} 204 -",
            "127.0.0.1 GET /v1/admin/storage/scrub 200 -",
        ]
    );
    let write = &lines[2];
    assert_eq!(write["ids"], json!([made.json()["id"]]));
    assert_eq!((&write["request_id"], &write["lsn"]), (&"the-write".into(), &made.json()["lsn"]));
    assert_eq!(write["peer"], "192.0.2.7");
    assert_eq!(lines[6]["ids"], json!([id]));
    assert_eq!(lines[1]["ids"], json!([id]), "of a key that was made, too");
    let report = verify_audit(&Env::real(), &[file]).unwrap();
    assert_eq!((report.first_seq, report.last_seq), (1, 8));
}

/// The lines, once there are as many.
fn whole(file: &std::path::Path, count: usize) -> Vec<Value> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() >= count {
            assert_eq!(lines.len(), count, "{text}");
            return lines;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
