//! Every route × every kind of key × every kind of peer × every mode. The routes come from the router's own table; what each cell
//! must be follows from the access that the table gives the route.

use std::fmt::Write;

use serde_json::json;
use stemedb_api::http::{Access, AuthMode, Scope, route_access};

use super::setup::{LOCAL, PROXIED, Peer, REMOTE, Setup, UNKNOWN};

const KEYS: [&str; 9] =
    ["none", "read", "write", "admin", "expired", "revoked", "unknown", "malformed", "in_query"];
const PEERS: [(&str, Peer); 4] =
    [("local", LOCAL), ("proxied", PROXIED), ("remote", REMOTE), ("nobody", UNKNOWN)];
const MODES: [AuthMode; 4] = [AuthMode::Auto, AuthMode::Off, AuthMode::Required, AuthMode::Writes];

/// What must come out: 0 stands for whatever the handler says. Written down without a look at the code: it is the rule.
fn expected(mode: AuthMode, access: Access, key: &str, is_local: bool) -> u16 {
    let Access::Needs(scope) = access else { return 0 };
    let presented = match key {
        "none" | "in_query" => None,
        key => Some(key),
    };
    if mode == AuthMode::Off && scope != Scope::Admin {
        return 0;
    }
    match presented {
        Some(key) if Scope::ALL.iter().any(|scope| scope.name() == key) => {
            if key == scope.name() {
                0
            } else {
                403
            }
        }
        Some(_) => 401,
        None if scope == Scope::Admin && is_local => 0,
        None if scope == Scope::Read && mode == AuthMode::Writes => 0,
        None => 401,
    }
}

#[test]
fn every_route_answers_exactly_those_who_may_call_it() {
    let mut table = String::new();
    let mut cells = 0;
    for mode in MODES {
        let setup = Setup::new(mode);
        let soon = stemedb_api::core::Micros(now() + 700_000).to_string();
        let (_, expired) = setup.key(&["read", "write", "admin"], json!({ "expires_at": soon }));
        let (revoked_id, revoked) = setup.key(&["read", "write", "admin"], json!({}));
        setup.revoke(&revoked_id);
        let scopes = ["read", "write", "admin"].map(|scope| setup.key(&[scope], json!({})).1);
        let other = Setup::new(AuthMode::Auto).key(&["read", "write", "admin"], json!({})).1;
        std::thread::sleep(std::time::Duration::from_millis(800));
        let text = |key: &str| match key {
            "read" => scopes[0].clone(),
            "write" => scopes[1].clone(),
            "admin" => scopes[2].clone(),
            "expired" => expired.clone(),
            "revoked" => revoked.clone(),
            "unknown" => other.clone(),
            "malformed" => scopes[2][..90].to_owned(),
            _ => String::new(),
        };
        let _ = writeln!(
            table,
            "\n{mode}, answers by peer ({}); · = the handler's own",
            PEERS.map(|(name, _)| name).join(" / ")
        );
        let _ = writeln!(table, "{:<40}{}", "route", KEYS.map(|key| format!("{key:<17}")).concat());
        for (method, path, access) in route_access() {
            let _ = write!(table, "{:<40}", format!("{method} {path}"));
            for key in KEYS {
                let mut row = Vec::new();
                for (name, peer) in PEERS {
                    let mut target = path.replace("{id}", "x");
                    let authorization = format!("Bearer {}", text(key));
                    let headers: &[(&str, &str)] = match key {
                        "none" => &[],
                        "in_query" => {
                            target = format!("{target}?api_key={0}&access_token={0}&key={0}", scopes[2]);
                            &[]
                        }
                        _ => &[("authorization", &authorization)],
                    };
                    let reply = setup.send(peer, method, &target, headers, "");
                    let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
                    let refused = matches!(
                        code.as_str(),
                        "key_required" | "key_malformed" | "key_refused" | "scope_missing"
                    );
                    let seen = if refused { reply.status } else { 0 };
                    let must = expected(mode, access, key, peer == LOCAL);
                    assert_eq!(seen, must, "{mode} {method} {path} with {key} from {name}: {code}");
                    let challenge = reply.header("www-authenticate");
                    assert_eq!(challenge.starts_with("Bearer realm="), refused, "{challenge}");
                    cells += 1;
                    row.push(if seen == 0 { "·".to_owned() } else { seen.to_string() });
                }
                let row = row.join("/");
                let _ = write!(table, "{row}{}", " ".repeat(17 - row.chars().count()));
            }
            table.push('\n');
        }
    }
    println!("{table}\n{cells} cells");
    assert_eq!(cells, route_access().len() * KEYS.len() * PEERS.len() * MODES.len());
}

#[test]
fn everything_below_admin_needs_the_admin_scope_and_what_records_needs_write() {
    for (method, path, access) in route_access() {
        let must = match (method, path) {
            (_, "/v1/health" | "/livez" | "/readyz" | "/metrics" | "/openapi.json") => Access::Open,
            (_, path) if path.starts_with("/v1/admin/") => Access::Needs(Scope::Admin),
            ("GET", _) => Access::Needs(Scope::Read),
            _ => Access::Needs(Scope::Write),
        };
        assert_eq!(access, must, "{method} {path}");
    }
}

#[test]
fn without_any_key_the_data_plane_is_open_and_the_first_key_closes_it_for_ever() {
    let setup = Setup::new(AuthMode::Auto);
    let ask = || setup.send(REMOTE, "GET", "/v1/claims", &[], "").problem();
    assert_eq!(ask().0, 200);
    let basic = [("authorization", "Basic dXNlcjpwYXNz")];
    assert_eq!(setup.send(REMOTE, "GET", "/v1/claims", &basic, "").status, 200, "a proxy's own");
    for peer in [PROXIED, REMOTE, UNKNOWN] {
        assert_eq!(
            setup.send(peer, "GET", "/v1/admin/keys", &[], "").problem(),
            (401, "key_required".into())
        );
    }
    let (id, key) = setup.key(&["read"], json!({}));
    assert_eq!(ask(), (401, "key_required".into()));
    assert_eq!(setup.with_key(&key, "GET", "/v1/claims", "").status, 200);
    setup.revoke(&id);
    assert_eq!(ask(), (401, "key_required".into()), "no key is left, and it stays closed");
}

#[test]
fn a_router_below_a_path_of_an_application_is_guarded_as_well() {
    let setup = Setup::new(AuthMode::Required);
    let (_, key) = setup.key(&["read"], json!({}));
    let nested = axum::Router::new().nest("/db", setup.router.clone());
    let send = |target: &str, headers: &[(&str, &str)]| {
        setup.send_to(nested.clone(), REMOTE, "GET", target, headers, "").problem()
    };
    assert_eq!(send("/db/v1/claims", &[]), (401, "key_required".into()));
    assert_eq!(send("/db/v1/admin/keys", &[]), (401, "key_required".into()));
    assert_eq!(send("/db/v1/claims", &[("authorization", &format!("Bearer {key}"))]).0, 200);
    assert_eq!(send("/db/livez", &[]).0, 200);
    for target in
        ["/v1/admin//keys", "/v1/admin/./keys", "/v1/Admin/keys", "/v1/%61dmin/keys", "//v1/admin/keys"]
    {
        let reply = setup.send(REMOTE, "GET", target, &[], "");
        assert!(matches!(reply.status, 401 | 404), "{target}: {}", reply.status);
    }
    assert_eq!(setup.send(REMOTE, "HEAD", "/v1/claims", &[], "").status, 401);
    let tricks =
        [("x-http-method-override", "GET"), ("x-original-url", "/livez"), ("x-rewrite-url", "/livez")];
    assert_eq!(setup.send(REMOTE, "POST", "/v1/admin/keys", &tricks, "{}").status, 401);
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64
}
