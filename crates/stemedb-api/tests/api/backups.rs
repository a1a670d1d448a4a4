//! Backups that a server makes of itself.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use stemedb_api::{
    RouterOptions,
    backup::{Catalog, MemoryTarget, Point, RestoreOptions},
    http::Backups,
};

use crate::support::{Server, database};

fn finished(server: &Server, job: u64) -> Value {
    for _ in 0..600 {
        let status = server.get("/v1/admin/backup/status").json();
        assert_eq!(status["job"], job, "{status}");
        if status["state"] != "running" {
            return status;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it takes too long");
}

fn assert_claim(server: &Server, number: u64) {
    let body = format!("{{\"subject\":\"s\",\"predicate\":\"p\",\"object\":{number},\"source\":\"t\"}}");
    assert_eq!(server.post("/v1/assert", &body).status, 201);
}

#[test]
fn a_running_server_backs_itself_up_and_archives() {
    let target = MemoryTarget::new();
    let (database, dir) = database();
    let server = Server::with_backups(
        database,
        dir,
        RouterOptions::default(),
        Some(Backups::new(Arc::new(target.clone()))),
    );
    assert_eq!(server.get("/v1/admin/backup/status").json()["state"], "none");
    for number in 0..20 {
        assert_claim(&server, number);
    }
    let begun = server.post("/v1/admin/backup", "{}");
    assert_eq!((begun.status, begun.json()["job"].as_u64()), (202, Some(1)));
    let done = finished(&server, 1);
    assert_eq!((&done["state"], &done["result"]["verified"]), (&"done".into(), &true.into()), "{done}");
    assert_eq!(done["result"]["lsn"], 20);
    let catalog = Catalog::load(&target).unwrap();
    assert_eq!(catalog.latest.as_deref(), done["result"]["name"].as_str());
    // It has gone on serving, and archives what it has.
    assert_claim(&server, 20);
    let begun = server.post("/v1/admin/wal/archive", "{\"rotate\":true}");
    assert_eq!(begun.status, 202);
    let done = finished(&server, 2);
    assert_eq!((&done["state"], &done["result"]["upto"]), (&"done".into(), &21.into()), "{done}");
    let plan = stemedb_api::backup::Plan::make(&target, &target, &RestoreOptions::to(Point::Latest)).unwrap();
    assert_eq!(plan.lsn.1.0, 21, "the archive goes further than the backup");
    // What goes wrong is told.
    target.fail_after(Some(0));
    assert_eq!(server.post("/v1/admin/backup", "{\"verify\":false}").status, 202);
    let failed = finished(&server, 3);
    assert_eq!(failed["state"], "failed", "{failed}");
}

#[test]
fn requests_begin_backups_and_do_not_say_where_to() {
    let without = Server::start();
    assert_eq!(without.post("/v1/admin/backup", "{}").problem().1, "unavailable");
    assert_eq!(without.get("/v1/admin/backup/status").problem().1, "unavailable");
    let (database, dir) = database();
    let backups = Backups::new(Arc::new(MemoryTarget::new()));
    let server = Server::with_backups(database, dir, RouterOptions::default(), Some(backups));
    assert_eq!(server.post("/v1/admin/backup", "{\"to\":\"/etc\"}").problem().1, "unknown_field");
    assert_eq!(server.post("/v1/admin/backup", "{").problem().1, "invalid_json");
    let other = server.send("POST", "/v1/admin/backup", &[("Content-Type", "text/plain")], b"{}");
    assert_eq!(other.problem().1, "unsupported_media_type", "a web page cannot do it");
    assert_eq!(server.get("/v1/admin/backup/status").json()["state"], "none");
}
