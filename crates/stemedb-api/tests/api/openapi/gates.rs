//! What stands before every handler refuses as the document says of each operation: keys, scopes, rates, load, a full disk; and what
//! belongs to no operation is refused as the components say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stemedb_api::{
    Database, RouterOptions, RouterParts,
    http::{Access, AuthMode, LimitOptions, Rate, Scope, SecurityOptions, document, route_access},
    hybrid::{Line, SpaceLevel},
};

use super::conformance::{check, operation_of, problem};
use crate::support::{Reply, Server, database, tiny};

/// Whoever comes through a proxy that is not trusted is no program on this machine.
const FROM_ELSEWHERE: (&str, &str) = ("X-Forwarded-For", "192.0.2.7");

fn server(options: RouterOptions, security: SecurityOptions) -> Server {
    let (database, dir) = database();
    Server::with_parts(database, dir, options, RouterParts { security, ..RouterParts::default() })
}

/// Asks every route that needs a scope, and holds the replies against the document.
fn ask_all(server: &Server, headers: &[(&str, &str)], mut judge: impl FnMut(&str, &str, Scope, &Reply)) {
    let document = document();
    for (method, path, access) in route_access() {
        let Access::Needs(scope) = access else { continue };
        let target = path.replace("{id}", "x");
        let reply = server.send(method, &target, headers, b"");
        let operation = operation_of(&document, method, &target).unwrap();
        check(&document, operation, &format!("{method} {path}"), &reply);
        judge(method, path, scope, &reply);
    }
}

#[test]
fn who_has_no_key_or_none_for_this_is_refused_as_documented() {
    let mut security = SecurityOptions::default();
    security.auth.mode = AuthMode::Required;
    let server = server(RouterOptions::default(), security);
    let made = server.post("/v1/admin/keys", r#"{"scopes":["read"]}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let key = format!("Bearer {}", made.json()["key"].as_str().unwrap());
    let mut asked = 0;
    ask_all(&server, &[FROM_ELSEWHERE], |_, path, _, reply| {
        assert_eq!((reply.status, reply.problem().1.as_str()), (401, "key_required"), "{path}");
        assert!(reply.header("www-authenticate").is_some(), "{path}");
        asked += 1;
    });
    assert!(asked > 40, "{asked}");
    ask_all(&server, &[FROM_ELSEWHERE, ("Authorization", "Bearer x")], |_, path, _, reply| {
        assert_eq!(reply.problem().1, "key_malformed", "{path}");
    });
    ask_all(&server, &[FROM_ELSEWHERE, ("Authorization", &key)], |_, path, scope, reply| {
        assert_eq!(reply.status == 403, scope != Scope::Read, "{path}: {}", reply.status);
    });
}

#[test]
fn who_has_used_up_its_rate_is_refused_as_documented() {
    let rate = Some(Rate { quota: 1, window_seconds: 3600 });
    let limits = LimitOptions {
        reads: rate,
        writes: rate,
        bulk: rate,
        admin: rate,
        limit_local: true,
        ..LimitOptions::default()
    };
    let server = server(RouterOptions::default(), SecurityOptions { limits, ..SecurityOptions::default() });
    // What is left of each group is asked for.
    ask_all(&server, &[], |_, _, _, _| {});
    ask_all(&server, &[], |_, path, _, reply| {
        assert_eq!((reply.status, reply.problem().1.as_str()), (429, "rate_limited"), "{path}");
    });
}

#[test]
fn above_the_cap_every_operation_is_refused_as_documented() {
    let admission = stemedb_api::http::AdmissionOptions { max_in_flight: 0, ..Default::default() };
    let options = RouterOptions { admission, ..RouterOptions::default() };
    let server = server(options, SecurityOptions::default());
    ask_all(&server, &[], |_, path, _, reply| {
        assert_eq!((reply.status, reply.problem().1.as_str()), (503, "overloaded"), "{path}");
    });
    // What is open to everybody costs nothing that would have to be shared.
    let document = document();
    let reply = server.get("/openapi.json");
    check(&document, operation_of(&document, "GET", "/openapi.json").unwrap(), "openapi.json", &reply);
    assert_eq!(reply.status, 200);
}

/// The first example of a body.
fn example(operation: &Value) -> Option<(String, Vec<u8>)> {
    let contents = operation.pointer("/requestBody/content")?.as_object()?;
    contents.iter().find_map(|(kind, content)| {
        let value = &content["examples"].as_object()?.values().next()?["value"];
        let body = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((kind.clone(), body.into_bytes()))
    })
}

#[test]
fn on_a_full_disk_every_write_is_refused_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = tiny();
    // No disk has so much.
    options.engine.disk.lines.full = Line::of_bytes(u64::MAX / 2);
    options.engine.disk.reserve_bytes = 0;
    let place = dir.path().join("db");
    drop(Database::create(&place, tiny()).unwrap());
    let database = Database::open(&place, options).unwrap();
    let looked = (0..4000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        database.health().space.is_some_and(|space| space.level == SpaceLevel::Full)
    });
    assert!(looked, "nobody looks");
    let server = Server::over(database, dir, RouterOptions::default());
    let (document, mut told) = (document(), BTreeMap::new());
    let paths = document["paths"].as_object().unwrap().iter();
    // A key that is made would close the others.
    for (path, item) in paths.filter(|(path, _)| !path.starts_with("/v1/admin/")) {
        for (method, operation) in item.as_object().unwrap() {
            let (true, Some((kind, body))) =
                (operation["responses"].get("507").is_some(), example(operation))
            else {
                continue;
            };
            let target = path.replace("{id}", "x");
            let reply = server.send(&method.to_uppercase(), &target, &[("Content-Type", &kind)], &body);
            check(&document, operation, &format!("{method} {path}"), &reply);
            told.insert(operation["operationId"].as_str().unwrap().to_owned(), reply.status);
        }
    }
    for name in ["assert", "agent", "epoch", "import", "source"] {
        assert_eq!(told.get(name), Some(&507), "{name}: {told:?}");
    }
}

#[test]
fn methods_that_a_path_has_not_and_paths_that_there_are_not_are_refused_as_the_components_say() {
    let server = server(RouterOptions::default(), SecurityOptions::default());
    let document = document();
    let codes = |name: &str| {
        let content = &document["components"]["responses"][name]["content"]["application/problem+json"];
        content["examples"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        (codes("MethodNotAllowed"), codes("NotFound")),
        (vec!["method_not_allowed".into()], vec!["not_found".into()])
    );
    let mut refused = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            if item.get(method.to_ascii_lowercase()).is_some() {
                continue;
            }
            let reply = server.send(method, &path.replace("{id}", "x"), &[], b"");
            problem(&format!("{method} {path}"), &reply);
            assert_eq!(reply.json()["code"], json!("method_not_allowed"), "{method} {path}");
            let allowed: BTreeSet<&str> = reply.header("allow").unwrap().split(',').map(str::trim).collect();
            let has: Vec<String> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
            assert!(has.iter().all(|method| allowed.contains(method.as_str())), "{path}: {allowed:?}");
            refused += 1;
        }
    }
    assert!(refused > 150, "{refused}");
    for path in ["/v1/nothing", "/v1/assertions/", "/v1/claims/", "//v1/claims", "/V1/claims"] {
        let reply = server.get(path);
        problem(path, &reply);
        assert_eq!(reply.json()["code"], json!("not_found"), "{path}");
    }
}
