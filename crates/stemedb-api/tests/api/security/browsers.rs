//! What browsers are told.

use serde_json::json;
use stemedb_api::http::{AuthMode, RouterParts};

use super::setup::{LOCAL, PROXIED, REMOTE, Setup, security};

const ORIGIN: &str = "https://app.example";

#[test]
fn every_reply_has_the_headers_that_keep_browsers_from_harm() {
    let setup = Setup::new(AuthMode::Required);
    let too_long = format!("/v1/query?{}", "a".repeat(2000));
    for (method, target, status) in [
        ("GET", "/livez", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/claims", 401),
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/claims", 405),
        ("GET", &too_long, 401),
    ] {
        let reply = setup.send(REMOTE, method, target, &[], "");
        assert_eq!(reply.status, status, "{method} {target}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name), value, "{name} of {method} {target}");
        }
    }
}

#[test]
fn pages_of_other_origins_read_nothing_unless_their_origin_is_named() {
    let preflight = [
        ("origin", ORIGIN),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let closed = Setup::new(AuthMode::Auto);
    for (method, headers) in [("OPTIONS", &preflight[..]), ("GET", &preflight[..1])] {
        let reply = closed.send(REMOTE, method, "/v1/claims", headers, "");
        assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{reply:?}");
    }
    let mut options = security(AuthMode::Required);
    options.cors_origins = vec![ORIGIN.parse().unwrap()];
    let open = Setup::with(RouterParts { security: options, ..RouterParts::default() });
    let asked = open.send(REMOTE, "OPTIONS", "/v1/claims", &preflight, "");
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (200, ORIGIN));
    assert!(asked.header("access-control-allow-headers").contains("authorization"));
    let refused = open.send(REMOTE, "GET", "/v1/claims", &preflight[..1], "");
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (401, ORIGIN),
        "it may read why"
    );
    let (_, key) = open.key(&["read"], json!({}));
    let authorization = format!("Bearer {key}");
    let headers = [("origin", ORIGIN), ("authorization", &authorization)];
    assert_eq!(
        open.send(REMOTE, "GET", "/v1/claims", &headers, "").header("access-control-allow-origin"),
        ORIGIN
    );
    let other = open.send(REMOTE, "GET", "/v1/claims", &[("origin", "https://evil.example")], "");
    assert_eq!(other.header("access-control-allow-origin"), "");
    assert!(
        !open
            .send(REMOTE, "GET", "/v1/claims", &headers, "")
            .headers
            .contains_key("access-control-allow-credentials")
    );
}

#[test]
fn a_page_cannot_use_its_readers_machine_to_reach_the_admin_plane() {
    let setup = Setup::new(AuthMode::Auto);
    let admin =
        |headers: &[(&str, &str)]| setup.send(LOCAL, "POST", "/v1/admin/storage/scrub", headers, "").status;
    assert_eq!(admin(&[]), 409, "the handler's own answer: a program on this machine");
    assert_eq!(admin(&[("origin", "http://localhost:18180")]), 409, "the server's own page");
    assert_eq!(admin(&[("origin", "https://evil.example")]), 401);
    assert_eq!(admin(&[("origin", "null")]), 401);
    // A name of the page's own that leads here: the setup sends localhost, and this is a second one.
    assert_eq!(admin(&[("host", "rebound.example")]), 401);
    assert_eq!(setup.send(PROXIED, "POST", "/v1/admin/storage/scrub", &[], "").status, 401);
}
