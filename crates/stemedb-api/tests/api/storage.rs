//! Reading every file back, seen from outside.

use std::time::{Duration, Instant};

use stemedb_api::{
    Database, DatabaseOptions, RouterOptions,
    hybrid::{HybridOptions, ScrubOptions},
};

use crate::support::{Server, tiny};

const SCRUB: &str = "/v1/admin/storage/scrub";

fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let scrub = ScrubOptions {
        enabled: true,
        period: Duration::from_secs(1),
        share_percent: 100,
        bandwidth_bytes_per_s: 1 << 30,
    };
    let options = DatabaseOptions { engine: HybridOptions { scrub, ..HybridOptions::tiny() }, ..tiny() };
    let database = Database::create(dir.path().join("db"), options).unwrap();
    Server::over(database, dir, RouterOptions::default())
}

#[test]
fn a_round_is_begun_by_a_request_and_damage_is_listed_with_class_and_file() {
    let server = server();
    let body = r#"{"subject":"s","predicate":"p","object":1,"source":"x"}"#;
    server.post("/v1/assert", body);
    server.database.flush().unwrap();
    let before = server.get(SCRUB);
    assert_eq!(before.status, 200);
    assert_eq!(before.json()["enabled"], true);
    assert_eq!(before.json()["round"], 0);
    assert_eq!(before.json()["damage"].as_array().unwrap().len(), 0);
    let path = server.database.engine().layout().identities()[1].clone();
    let mut copy = std::fs::read(&path).unwrap();
    copy[20] ^= 1;
    std::fs::write(&path, &copy).unwrap();
    let begun = server.send("POST", SCRUB, &[], b"");
    assert_eq!(begun.status, 202, "{}", begun.text());
    let deadline = Instant::now() + Duration::from_secs(30);
    let done = loop {
        let now = server.get(SCRUB).json();
        if now["last_full_round"].is_string() {
            break now;
        }
        assert!(Instant::now() < deadline, "{now}");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!((&done["findings"], &done["healed"]), (&1.into(), &1.into()), "{done}");
    let damage = &done["damage"][0];
    assert_eq!((&damage["class"], &damage["healed"]), (&"identity".into(), &true.into()));
    assert!(damage["file"].as_str().unwrap().ends_with("IDENTITY.b"));
    copy[20] ^= 1;
    assert_eq!(std::fs::read(&path).unwrap(), copy, "it is whole again");
    assert_eq!(server.get("/v1/health").json()["scrub"]["healed"], 1);
    let metrics = server.get("/metrics").text().to_owned();
    for line in ["stemedb_scrub_findings_total 1", "stemedb_scrub_healed_total 1", "stemedb_scrub_late 0"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    assert!(metrics.contains("stemedb_scrub_last_full_round_timestamp_seconds 1"), "{metrics}");
}

#[test]
fn where_it_is_switched_off_a_request_says_so() {
    let server = Server::start();
    assert_eq!(server.get(SCRUB).json()["enabled"], false);
    let refused = server.send("POST", SCRUB, &[], b"");
    assert_eq!((refused.status, &refused.json()["code"]), (409, &"scrub_off".into()));
}
