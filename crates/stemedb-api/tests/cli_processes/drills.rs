//! `drill` as an operator types it, and the disasters that it is for.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    corpus,
    http::get,
    program::{Ran, run, run_with_input},
    server::Server,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A server that archives and keeps backups in one target.
    fn server(&self) -> Server {
        let target = self.at("target");
        let target = text(&target);
        let options = ["--bind", "127.0.0.1:0", "--archive-interval-seconds", "1"];
        Server::start_with(
            &self.at("db"),
            &[&options[..], &["--archive-to", target, "--backup-to", target]].concat(),
        )
    }

    fn drill(&self, more: &[&str]) -> Ran {
        let (target, report) = (self.at("target"), self.at("report"));
        run([&["drill", "--from", text(&target), "--report", text(&report)], more].concat())
    }

    fn report(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.at("report/drill.json")).unwrap()).unwrap()
    }
}

fn import(server: &Server, range: std::ops::Range<usize>) {
    run_with_input(["import", "--url", &server.url(), "-"], corpus::lines(range).into_bytes()).ok();
}

fn health(server: &Server) -> Value {
    serde_json::from_str(&get(&server.address, "/v1/health").unwrap().body).unwrap()
}

fn archived(server: &Server) {
    let begun = Instant::now();
    loop {
        let health = health(server);
        if health["archive"]["lsn"] == health["durable_lsn"] {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{health}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_drill_restores_what_the_server_shows_and_measures_what_a_disaster_would_cost() {
    let place = Place::new();
    let server = place.server();
    import(&server, 0..600);
    run(["backup", "create", "--url", &server.url()]).ok();
    import(&server, 600..900);
    let ran = place.drill(&["--url", &server.url()]).ok();
    let report = place.report();
    assert_eq!(report["passed"], true, "{report}");
    assert!(ran.out.contains("passed") && ran.out.contains("**RTO**"), "{ran:?}");
    assert_eq!(report["lsn"], report["live_lsn"]);
    assert!(report["backup"].as_str().unwrap().starts_with("stemedb-backup-"), "{report}");
    let compared = report["compared"].as_array().unwrap();
    assert!(compared.len() >= 3 && compared.iter().all(|one| one["same"] == true), "{report}");
    let (rpo, rto) = (report["rpo_seconds"].as_f64().unwrap(), report["rto_seconds"].as_f64().unwrap());
    println!("suite=drill rpo_s={rpo:.2} rto_s={rto:.2}");
    assert!(rpo <= 10.0 && rto > 0.0, "{report}");
    let metrics = std::fs::read_to_string(place.at("report/drill.prom")).unwrap();
    assert!(metrics.contains("\nstemedb_drill_success 1\n"), "{metrics}");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once(' ').unwrap();
        assert!(name.starts_with("stemedb_drill_") && value.parse::<f64>().is_ok(), "{line}");
    }
    // Nothing of it is left, in the target or elsewhere.
    assert!(!place.at("target/timelines").exists());
    let slow = place.drill(&["--url", &server.url(), "--max-rto-seconds", "0"]);
    assert_eq!(slow.code, Some(1));
    assert!(slow.err.contains("the RTO is"), "{slow:?}");

    // The disk is lost: the archive alone says what there was.
    archived(&server);
    let wanted = report["state_root"].clone();
    server.kill();
    std::fs::remove_dir_all(place.at("db")).unwrap();
    let copy = place.at("copy");
    place.drill(&["--to", text(&copy)]).ok();
    let report = place.report();
    assert_eq!((&report["passed"], &report["state_root"]), (&Value::Bool(true), &wanted), "{report}");
    assert!(report["rpo_seconds"].is_null() && copy.join("IDENTITY.a").is_file());
}

#[test]
fn a_table_that_rots_on_the_server_does_not_reach_what_is_restored() {
    let place = Place::new();
    let server = place.server();
    import(&server, 0..2_000);
    run(["backup", "create", "--url", &server.url()]).ok();
    archived(&server);
    assert_eq!(server.stop().0, Some(0));
    let tables = std::fs::read_dir(place.at("db/kv")).unwrap().map(|entry| entry.unwrap().path());
    let table = tables.filter(|path| path.extension().is_some_and(|end| end == "sst")).max().unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&table, bytes).unwrap();
    let server = place.server();
    place.drill(&["--url", &server.url()]).ok();
    assert_eq!(place.report()["passed"], true);
}

#[test]
fn a_lost_prefix_of_the_target_is_named_and_the_drill_fails() {
    let place = Place::new();
    let server = place.server();
    import(&server, 0..600);
    run(["backup", "create", "--url", &server.url()]).ok();
    let backed_up = health(&server)["durable_lsn"].clone();
    import(&server, 600..700);
    archived(&server);
    assert_ne!(health(&server)["durable_lsn"], backed_up);
    for lost in ["blobs", "wal-archive"] {
        let (there, aside) = (place.at("target").join(lost), place.at("aside"));
        if lost == "wal-archive" {
            // Without a server that would send it again.
            server.signal("STOP");
        }
        std::fs::rename(&there, &aside).unwrap();
        let ran = place.drill(&[]);
        let report = place.report();
        match lost {
            "blobs" => {
                assert_eq!(ran.code, Some(1), "{ran:?}");
                assert_eq!(report["passed"], false);
                assert!(report["problem"].as_str().unwrap().contains("is missing"), "{report}");
                let metrics = std::fs::read_to_string(place.at("report/drill.prom")).unwrap();
                assert!(metrics.contains("\nstemedb_drill_success 0\n"), "{metrics}");
            }
            // What is left is whole, and ends with the backup.
            _ => {
                assert_eq!((&report["passed"], &report["lsn"]), (&Value::Bool(true), &backed_up), "{report}");
            }
        }
        std::fs::rename(&aside, &there).unwrap();
    }
    server.signal("CONT");
    place.drill(&["--url", &server.url()]).ok();
    let nothing = run(["drill", "--from", text(&place.at("nowhere"))]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.err.contains("holds no backup"), "{nothing:?}");
}
