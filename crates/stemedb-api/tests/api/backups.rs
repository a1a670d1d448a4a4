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
fn archiving_lets_go_of_old_segments_when_it_is_asked_to_and_never_of_the_only_copy() {
    let target = MemoryTarget::new();
    let (database, dir) = database();
    let backups = Some(Backups::new(Arc::new(target.clone())));
    let server = Server::with_backups(database, dir, RouterOptions::default(), backups);
    for number in 0..20 {
        assert_claim(&server, number);
    }
    let archive = |body: &str, job: u64| {
        assert_eq!(server.post("/v1/admin/wal/archive", body).status, 202);
        finished(&server, job)["result"].take()
    };
    let now = "{\"rotate\":true,\"prune_older_than_days\":0}";
    let only = archive(now, 1);
    assert_eq!((&only["upto"], &only["pruned"]["removed"]), (&20.into(), &0.into()), "{only}");
    let reason = only["pruned"]["stays"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("no verified backup"), "{reason}");
    assert_eq!(server.post("/v1/admin/backup", "{}").status, 202);
    assert_eq!(finished(&server, 2)["state"], "done");
    let young = archive("{\"prune_older_than_days\":1}", 3);
    assert_eq!(young["pruned"]["removed"], 0);
    assert_eq!(young["pruned"]["stays"]["reason"], "younger than the retention");
    assert!(archive("{}", 4).get("pruned").is_none(), "it was not asked to");
    let done = archive(now, 5);
    assert_eq!(
        (&done["pruned"]["removed"], &done["pruned"]["floor_lsn"]),
        (&only["archived"], &21.into()),
        "{done}"
    );
    let shown = server.get("/v1/admin/jobs/5").json();
    assert_eq!(shown["parameters"]["prune_older_than_days"], 0);
    assert_eq!(server.get("/v1/health").json()["repair_floor_lsn"], 21);
    let negative = server.post("/v1/admin/wal/archive", "{\"prune_older_than_days\":-1}");
    assert_eq!(negative.status, 400, "{}", negative.text());
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
