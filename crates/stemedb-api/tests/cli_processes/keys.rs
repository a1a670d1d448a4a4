//! Keys and the audit log, as an operator handles them.

use crate::{
    http,
    program::{program, run},
    server::Server,
};

#[test]
fn a_key_made_offline_opens_a_closed_server_and_the_log_of_it_can_be_checked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let place = data.to_str().unwrap();
    run(["init", "--data-dir", place]).ok();
    let file = dir.path().join("key");
    let made = run([
        "keys",
        "create",
        "--data-dir",
        place,
        "--scopes",
        "read,write",
        "--label",
        "loader",
        "--out",
        file.to_str().unwrap(),
    ]);
    let id = made.ok().out.trim().to_owned();
    let admin = run(["keys", "create", "--data-dir", place, "--scopes", "admin"]).ok().out.trim().to_owned();
    let listed = run(["keys", "list", "--data-dir", place]).ok().out;
    assert!(listed.contains(&id) && listed.contains("read,write") && listed.contains("loader"), "{listed}");

    let server =
        Server::start_with(&data, &["--bind", "127.0.0.1:0", "--auth", "required", "--admin-needs-key"]);
    let url = server.url();
    assert_eq!(http::get(&server.address, "/v1/claims").unwrap().status, 401);
    assert_eq!(http::get(&server.address, "/readyz").unwrap().status, 200);
    let refused = run(["list", "claims", "--url", &url]);
    assert!(refused.code == Some(1) && refused.err.contains("key_required"), "{refused:?}");
    let busy = run(["keys", "list", "--data-dir", place]);
    assert!(busy.code == Some(1) && busy.err.contains("--url"), "{busy:?}");

    let with = |variable: &str, value: &str, arguments: &[&str]| {
        let ran = program().env(variable, value).args(arguments).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
    };
    let claims = ["list", "claims", "--url", &url, "--json"];
    let by_file = with("STEMEDB_API_KEY_FILE", file.to_str().unwrap(), &claims);
    assert_eq!(by_file.0, Some(0), "{by_file:?}");
    let cut = with("STEMEDB_API_KEY", &admin[..80], &claims);
    assert!(cut.0 == Some(2) && cut.2.contains("STEMEDB_API_KEY"), "{cut:?}");
    let made = with("STEMEDB_API_KEY", &admin, &["keys", "create", "--url", &url, "--scopes", "read"]);
    assert!(made.0 == Some(0) && made.1.starts_with("stemedb_"), "{made:?}");
    let revoked = with("STEMEDB_API_KEY", &admin, &["keys", "revoke", "--url", &url, &id]);
    assert_eq!(revoked.0, Some(0), "{revoked:?}");
    let late = with("STEMEDB_API_KEY_FILE", file.to_str().unwrap(), &claims);
    assert!(late.0 == Some(1) && late.2.contains("key_refused"), "{late:?}");
    assert_eq!(server.stop().0, Some(0));

    let log = data.join("audit.log");
    let whole = run(["audit", "verify", log.to_str().unwrap()]).ok().out;
    assert!(whole.starts_with("whole: lines 1 to "), "{whole}");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("key_refused") && text.contains(&id) && !text.contains(&admin[21..40]), "{text}");
    std::fs::write(&log, text.replacen("201", "200", 1)).unwrap();
    let broken = run(["audit", "verify", log.to_str().unwrap()]);
    assert!(broken.code == Some(1) && broken.err.contains("line "), "{broken:?}");
}

#[test]
fn the_key_of_a_client_s_environment_is_not_one_of_the_server_s() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    run(["init", "--data-dir", elsewhere.to_str().unwrap()]).ok();
    let file = dir.path().join("key");
    let (place, out) = (elsewhere.to_str().unwrap(), file.to_str().unwrap());
    run(["keys", "create", "--data-dir", place, "--scopes", "read,write,admin", "--out", out]).ok();
    let key = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(key.starts_with("stemedb_"), "{key}");
    // As on a machine where somebody works with both.
    let variables = [("STEMEDB_API_KEY", &*key), ("STEMEDB_API_KEY_FILE", out)];
    let options =
        ["--bind", "127.0.0.1:0", "--auth", "required", "--admin-needs-key", "--log-level", "debug"];
    let server = Server::start_in(&dir.path().join("db"), &options, &variables);
    let with_it = |path: &str| {
        let asked = std::process::Command::new("curl")
            .args(["-s", "-H", &format!("Authorization: Bearer {key}"), &format!("{}{path}", server.url())])
            .output()
            .unwrap();
        serde_json::from_slice::<serde_json::Value>(&asked.stdout).unwrap()["code"].clone()
    };
    for path in ["/v1/claims", "/v1/admin/keys", "/v1/admin/storage/stats"] {
        assert_eq!(with_it(path), "key_refused", "{path}");
        let without = http::get(&server.address, path).unwrap();
        assert!(without.status == 401 && without.body.contains("key_required"), "{without:?}");
    }
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(&key[21..]), "it is not told to anybody: {log}");
}
