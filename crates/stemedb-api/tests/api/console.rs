//! The console's files, as browsers get them. What the page does is tested in a browser: `cargo xtask console`.

use std::io::Read;

use stemedb_api::{
    RouterOptions, RouterParts,
    http::{AuthMode, AuthOptions, SecurityOptions},
};

use crate::support::{Reply, Server, database};

/// The program that the page gives for a question of the browser tests, which compare it letter by letter.
#[allow(dead_code)]
mod copied {
    include!("../console/copied.rs");
}

fn files(page: &str) -> Vec<String> {
    let named = page.split('"').filter(|word| word.starts_with("console/"));
    named.map(str::to_owned).collect()
}

fn is_strict(reply: &Reply) {
    let policy = reply.header("content-security-policy").unwrap();
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "trusted-types 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.split("; ").any(|one| one == directive), "{directive} in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("x-frame-options"), Some("DENY"));
    assert_eq!(reply.header("cross-origin-opener-policy"), Some("same-origin"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("vary"), Some("accept-encoding"));
}

#[test]
fn the_page_names_only_files_that_are_there_and_has_no_script_or_style_within() {
    let server = Server::start();
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    is_strict(&page);
    let text = page.text();
    for (index, _) in text.match_indices("<script") {
        assert!(text[index..].starts_with("<script type=\"module\" src=\"console/"));
    }
    for forbidden in ["<style", " style=", "javascript:", "http:", "https:", " onclick", " onload"] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    let mut waiting = files(text);
    assert!(waiting.len() >= 4);
    let mut seen = Vec::new();
    while let Some(file) = waiting.pop() {
        let reply = server.get(&format!("/{file}"));
        assert_eq!(reply.status, 200, "{file}");
        is_strict(&reply);
        // Modules name each other.
        let text = reply.text();
        for line in text.lines().filter(|line| line.starts_with("import ")) {
            let name = line.rsplit('"').nth(1).unwrap().strip_prefix("./").unwrap();
            let file = format!("console/{name}");
            if !seen.contains(&file) && !waiting.contains(&file) {
                waiting.push(file);
            }
        }
        seen.push(file);
    }
    assert!(seen.len() >= 20, "{seen:?}");
    let missing = server.get("/console/../Cargo.toml");
    assert_eq!((missing.status, missing.json()["code"].as_str()), (404, Some("not_found")));
    assert_eq!(server.get("/console/nothing.js").status, 404);
    assert_eq!(server.send("POST", "/", &[], b"").status, 405);
}

#[test]
fn a_browser_that_has_a_file_is_told_so_and_compressed_files_are_the_same_files() {
    let server = Server::start();
    let plain = server.get("/console/main.js");
    let tag = plain.header("etag").unwrap().to_owned();
    let again = server.send("GET", "/console/main.js", &[("If-None-Match", &tag)], b"");
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag.as_str())));
    is_strict(&again);
    let other = server.send("GET", "/console/main.js", &[("If-None-Match", "\"other\"")], b"");
    assert_eq!((other.status, &other.body), (200, &plain.body));

    let packed = server.send("GET", "/console/main.js", &[("Accept-Encoding", "gzip, br")], b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_ne!(packed.header("etag"), Some(tag.as_str()), "other bytes, another strong tag");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let wrong = server.send("GET", "/", &[("If-None-Match", &tag)], b"");
    assert_eq!(wrong.status, 200, "a tag is of one file");
}

#[test]
fn the_files_need_no_key_where_everything_else_does_and_say_nothing_of_the_database() {
    let (database, dir) = database();
    let auth = AuthOptions { mode: AuthMode::Required, local_admin: false, ..AuthOptions::default() };
    let security = SecurityOptions { auth, ..SecurityOptions::default() };
    let parts = RouterParts { security, ..RouterParts::default() };
    let closed = Server::with_parts(database, dir, RouterOptions::default(), parts);
    let open = Server::start();
    assert_eq!(closed.get("/v1/claims").status, 401);
    let page = closed.get("/");
    assert_eq!(page.body, open.get("/").body);
    for file in files(page.text()) {
        let target = format!("/{file}");
        assert_eq!(closed.get(&target).body, open.get(&target).body, "{file}");
    }
}

#[test]
fn every_file_of_the_folder_is_sent_as_it_is() {
    let server = Server::start();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/console/assets");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let reply = server.get(&format!("/console/{name}"));
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(reply.body, std::fs::read(entry.path()).unwrap(), "{name}");
        count += 1;
    }
    assert!(count >= 20);
}

#[test]
fn an_application_may_keep_its_own_front_page() {
    let server = Server::with(RouterOptions { console: false, ..RouterOptions::default() });
    assert_eq!(server.get("/").json()["code"], "not_found");
    assert_eq!(server.get("/console/main.js").status, 404);
}
