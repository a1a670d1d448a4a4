//! A disk that is (said to be) full: 507 for writes, answers for reads, and the health says why.

use std::time::{Duration, Instant};

use stemedb_api::{
    Database, DatabaseOptions, RouterOptions,
    hybrid::{Line, SpaceLevel},
};

use crate::support::{Server, tiny};

#[test]
fn writes_are_refused_with_507_and_reads_go_on_when_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("db");
    let claim = r#"{"subject":"s","predicate":"p","object":1,"source":"x"}"#;
    let database = Database::create(&place, tiny()).unwrap();
    let server = Server::over(database, tempfile::tempdir().unwrap(), RouterOptions::default());
    assert_eq!(server.post("/v1/assert", claim).status, 201);
    let health = server.get("/v1/health").json();
    assert_eq!((&health["status"], &health["writable"]), (&"ok".into(), &true.into()));
    drop(server);

    // No disk has so much.
    let mut options: DatabaseOptions = tiny();
    options.engine.disk.lines.full = Line::of_bytes(u64::MAX / 2);
    options.engine.disk.reserve_bytes = 0;
    // The size of the disk is a bound of every line: there is always less free than that.
    let database = Database::open(&place, options).unwrap();
    let start = Instant::now();
    while database.health().space.is_none_or(|space| space.level != SpaceLevel::Full) {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody looks");
        std::thread::yield_now();
    }
    let server = Server::over(database, dir, RouterOptions::default());
    let before = server.get("/v1/health").json();
    let refused = server.post("/v1/assert", &claim.replace(":1,", ":2,"));
    assert_eq!(refused.problem(), (507, "storage_full".to_owned(), String::new()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["retryable"], true);
    let health = server.get("/v1/health").json();
    assert_eq!(health["durable_lsn"], before["durable_lsn"], "no LSN was given");
    assert_eq!((&health["status"], &health["writable"]), (&"failed".into(), &false.into()));
    assert!(health["refusing_writes"].as_str().unwrap().contains("bytes are free"));
    assert_eq!(health["space"]["level"], "full");
    assert!(health["space"]["total_bytes"].as_u64() > health["space"]["available_bytes"].as_u64());
    assert_eq!(server.get("/readyz").problem().1, "unavailable");
    let answer = server.get("/v1/query?subject=s&predicate=p");
    assert_eq!((answer.status, answer.json()["considered"].as_u64()), (200, Some(1)));
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains("stemedb_storage_full_refusals_total 1"), "{}", metrics.text());
    assert!(metrics.text().contains("stemedb_storage_available_bytes"));
}
