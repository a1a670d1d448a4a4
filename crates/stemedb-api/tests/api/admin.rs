//! What an operator asks a server, and has it do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use stemedb_api::{
    Database, DatabaseOptions, RouterOptions, RouterParts,
    http::{LogLevel, SlowQueryOptions},
    jobs::Jobs,
};
use stemedb_env::{
    Env, IoOp,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use tracing::Level;

use crate::support::{Server, database, tiny};

const STATS: &str = "/v1/admin/storage/stats";
const COMPACT: &str = "/v1/admin/storage/compact";
const VERIFY: &str = "/v1/admin/storage/verify";

fn fill(server: &Server, claims: std::ops::Range<usize>) {
    let lines: String = claims
        .map(|n| {
            format!("{{\"subject\":\"s{}\",\"predicate\":\"p\",\"object\":{n},\"source\":\"x\"}}\n", n % 50)
        })
        .collect();
    assert_eq!(server.import("/v1/import", &[], lines.as_bytes()).status, 200);
}

/// Waits for the end of a job.
#[track_caller]
fn ended(server: &Server, job: &Value) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = server.get(&format!("/v1/admin/jobs/{}", job["job"])).json();
        if now["state"] != "running" {
            return now;
        }
        assert!(Instant::now() < deadline, "{now}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn post_with_key(server: &Server, target: &str, key: &str, body: &str) -> crate::support::Reply {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    server.send("POST", target, &headers, body.as_bytes())
}

#[test]
fn the_storage_says_its_figures_and_what_they_mean() {
    let server = Server::start();
    let empty = server.get(STATS).json();
    assert_eq!((&empty["sst_file_count"], &empty["total_bytes"]), (&json!(0), &json!(0)));
    fill(&server, 0..3000);
    server.database.flush().unwrap();
    let stats = server.get(STATS).json();
    let engine = server.database.stats();
    assert_eq!(stats["sst_file_count"], engine.lsm.sst_file_count);
    assert_eq!(stats["total_bytes"], engine.lsm.total_bytes);
    for figure in [
        "sst_file_count",
        "total_bytes",
        "pending_compaction_bytes",
        "index_memory_bytes",
        "cache_memory_bytes",
    ] {
        assert!(stats[figure].is_u64(), "{figure} in {stats}");
    }
    let levels = stats["levels"].as_array().unwrap();
    let of_levels: u64 = levels.iter().map(|level| level["files"].as_u64().unwrap()).sum();
    assert_eq!(of_levels, stats["sst_file_count"].as_u64().unwrap());
    assert!(
        stats["journal"]["segments"].as_u64().unwrap() >= 1
            && stats["journal"]["bytes"].as_u64().unwrap() > 0
    );
    assert!(stats["memory"]["total_bytes"].as_u64() <= stats["memory"]["peak_bytes"].as_u64());
    let check = |name: &str| {
        let checks = stats["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("{name} in {stats}"))
            .clone()
    };
    let files = check("sst_file_count");
    assert_eq!((&files["healthy_below"], &files["failing_above"]), (&json!(100.0), &json!(500.0)));
    assert_eq!(
        (&files["verdict"], &check("write_amplification")["healthy_below"]),
        (&json!("healthy"), &json!(10.0))
    );
    assert_eq!(check("error_rate_5m")["failing_above"], 0.1);
    let worst = stats["checks"].as_array().unwrap().iter().any(|check| check["verdict"] != "healthy");
    assert_eq!(stats["verdict"] != "healthy", worst, "{stats}");
    let put = stats["operations"].as_array().unwrap().iter().find(|one| one["operation"] == "put").unwrap();
    assert_eq!((&put["total"], &put["errors"]), (&json!(1), &json!(0)));
    assert_eq!(server.get(&format!("{STATS}?x=1")).problem().1, "unknown_parameter");
}

#[test]
fn a_damaged_table_makes_the_verdict_one_of_failing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let server = Server::over(Database::create(&path, tiny()).unwrap(), dir, RouterOptions::default());
    fill(&server, 0..3000);
    server.database.flush().unwrap();
    // The view's folder is emptied behind the server's back, and the journal with it: nothing can mend that.
    for folder in ["kv", "wal"] {
        for entry in std::fs::read_dir(path.join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".sst") || name.starts_with("segment.") {
                std::fs::remove_file(file).unwrap();
            }
        }
    }
    let begun = server.post(VERIFY, "{}");
    assert_eq!(begun.status, 202);
    let job = ended(&server, &begun.json());
    assert_eq!((&job["state"], &job["problem"]["code"]), (&json!("failed"), &json!("corruption")), "{job}");
    assert!(job["result"]["damages"].as_u64().unwrap() > 0, "{job}");
    let finding = &job["result"]["findings"][0];
    assert!(finding["file"].is_string() && finding["text"].is_string(), "{job}");
    let stats = server.get(STATS).json();
    assert_eq!(stats["verdict"], "failing", "{stats}");
}

#[test]
fn a_compaction_is_a_job_and_asking_again_gives_the_one_that_runs() {
    let server = Server::start();
    for part in 0..4 {
        fill(&server, part * 1000..(part + 1) * 1000);
        server.database.flush().unwrap();
    }
    assert_eq!(server.get("/v1/admin/jobs").json(), json!({ "jobs": [] }));
    let begun = server.post(COMPACT, r#"{"force": true}"#);
    assert_eq!(begun.status, 202, "{}", begun.text());
    assert_eq!(begun.header("location"), Some("/v1/admin/jobs/1"));
    let job = begun.json();
    assert_eq!((&job["job"], &job["kind"]), (&json!(1), &json!("compaction")));
    assert_eq!(job["parameters"], json!({ "force": true }));
    let done = ended(&server, &job);
    assert_eq!(done["state"], "done", "{done}");
    assert!(done["result"]["written_bytes"].as_u64().unwrap() > 0, "{done}");
    assert_eq!(done["result"]["sst_files"], server.database.stats().lsm.sst_file_count);
    assert!(done["ended_at"].is_string() && done.get("problem").is_none(), "{done}");
    // One that is in shape is not written anew without force.
    let idle = ended(&server, &server.post(COMPACT, "{}").json());
    assert_eq!((&idle["state"], &idle["result"]["written_bytes"]), (&json!("done"), &json!(0)), "{idle}");
    let listed = server.get("/v1/admin/jobs").json();
    let numbers: Vec<u64> =
        listed["jobs"].as_array().unwrap().iter().map(|job| job["job"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 1]);
    let metrics = server.get("/metrics").text().to_owned();
    for line in [
        "stemedb_jobs_total{kind=\"compaction\",state=\"done\"} 2",
        "stemedb_jobs_running{kind=\"compaction\"} 0",
        "stemedb_storage_operations_total{operation=\"compact\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
}

#[test]
fn one_key_is_one_job() {
    let server = Server::start();
    fill(&server, 0..1000);
    let first = post_with_key(&server, COMPACT, "nightly-7", r#"{"force":true}"#).json();
    ended(&server, &first);
    let again = post_with_key(&server, COMPACT, "nightly-7", r#"{"force":true}"#);
    assert_eq!(
        (again.status, &again.json()["job"], &again.json()["state"]),
        (202, &json!(1), &json!("done"))
    );
    let other = post_with_key(&server, COMPACT, "nightly-7", "{}");
    assert_eq!(other.problem(), (422, "idempotency_mismatch".to_owned(), String::new()));
    assert_eq!(post_with_key(&server, VERIFY, "nightly-7", "{}").problem().1, "idempotency_mismatch");
    let without = server.post(COMPACT, r#"{"force":true}"#).json();
    assert_eq!(without["job"], 2);
    assert_eq!(post_with_key(&server, COMPACT, &"k".repeat(256), "{}").problem().0, 400);
}

#[test]
fn a_verification_reads_every_file_and_says_what_it_has_read() {
    let server = Server::start();
    fill(&server, 0..2000);
    server.database.flush().unwrap();
    let done = ended(&server, &server.post(VERIFY, "{}").json());
    assert_eq!(done["state"], "done", "{done}");
    let result = &done["result"];
    assert!(result["files"].as_u64().unwrap() > 2 && result["rows"].as_u64().unwrap() >= 2000, "{done}");
    assert_eq!((&result["damages"], &result["findings"]), (&json!(0), &json!([])));
    assert!(done["done_bytes"].as_u64().unwrap() > 0, "{done}");
}

#[test]
fn requests_for_jobs_are_read_strictly() {
    let server = Server::start();
    assert_eq!(server.post(COMPACT, r#"{"forced":true}"#).problem().1, "unknown_field");
    assert_eq!(server.post(COMPACT, "{").problem().1, "invalid_json");
    assert_eq!(server.post(VERIFY, r#"{"force":true}"#).problem().1, "unknown_field");
    let page = server.send("POST", COMPACT, &[("Content-Type", "text/plain")], b"{}");
    assert_eq!(page.problem().1, "unsupported_media_type", "a web page cannot do it");
    assert_eq!(server.get("/v1/admin/jobs/7").problem(), (404, "job_not_found".to_owned(), String::new()));
    assert_eq!(
        server.get("/v1/admin/jobs/x").problem(),
        (400, "invalid_parameter".to_owned(), "?id".to_owned())
    );
    assert_eq!(server.get("/v1/admin/jobs").json(), json!({ "jobs": [] }));
}

#[test]
fn jobs_end_when_the_server_stops_and_the_database_can_be_closed() {
    let (database, dir) = database();
    let jobs = Jobs::new(&database);
    let parts = RouterParts { jobs: Some(jobs.clone()), ..RouterParts::default() };
    let server = Server::with_parts(database.clone(), dir, RouterOptions::default(), parts);
    for part in 0..10 {
        fill(&server, part * 2000..(part + 1) * 2000);
    }
    let begun = [server.post(COMPACT, r#"{"force":true}"#), server.post(VERIFY, "{}")];
    assert!(begun.iter().all(|reply| reply.status == 202));
    assert_eq!(jobs.stop(Duration::from_secs(20)), 0, "they end at once, wherever they are");
    for record in jobs.all() {
        assert!(["stopped", "done"].contains(&record.state.name()), "{record:?}");
    }
    assert_eq!(server.post(VERIFY, "{}").problem(), (503, "unavailable".to_owned(), String::new()));
    let path = database.engine().layout().dir().to_path_buf();
    let dir = server.stop();
    database.close().unwrap();
    // Nobody holds it any more.
    Database::open(&path, tiny()).unwrap().verify().unwrap();
    drop(dir);
}

fn slow_server(threshold: Duration, kept: usize, cache_bytes: u64) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let options = DatabaseOptions { cache_bytes, ..tiny() };
    let database = Database::create(dir.path().join("db"), options).unwrap();
    let slow_queries = SlowQueryOptions { threshold, kept };
    Server::over(database, dir, RouterOptions { slow_queries, ..RouterOptions::default() })
}

#[test]
fn slow_questions_are_listed_with_their_cost() {
    let server = slow_server(Duration::ZERO, 3, 0);
    fill(&server, 0..500);
    server.database.flush().unwrap();
    let headers = [
        ("X-Request-Id", "mine-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let lsn = server.database.published_lsn().to_string();
    let target = format!("/v1/query?subject=s1&predicate=p&lens=consensus&as_of={lsn}");
    let asked = server.send("GET", &target, &headers, b"");
    assert_eq!(asked.status, 200, "{}", asked.text());
    let listed = server.get("/v1/admin/slow-queries").json();
    assert_eq!((&listed["threshold_ms"], &listed["kept"]), (&json!(0), &json!(3)));
    let query = &listed["queries"][0];
    assert_eq!(
        (&query["subject"], &query["predicate"], &query["lens"]),
        (&json!("s1"), &json!("p"), &json!("consensus"))
    );
    assert_eq!(
        (&query["candidates"], &query["considered"], &query["as_of"]),
        (&json!(10), &json!(10), &json!(lsn))
    );
    assert_eq!(
        (&query["request_id"], &query["trace_id"]),
        (&json!("mine-1"), &json!("4bf92f3577b34da6a3ce929d0e0e4736"))
    );
    let number = |name: &str| query[name].as_f64().unwrap_or_else(|| panic!("{name} in {query}"));
    assert!(number("memory_mb") > 0.0 && number("memory_mb") < 1.0, "{query}");
    assert!(number("block_reads") + number("cache_hits") > 0.0, "{query}");
    let stages = &query["stages_ms"];
    let sum: f64 = ["queue", "gather", "lens", "receipt", "render"]
        .map(|name| stages[name].as_f64().unwrap())
        .iter()
        .sum();
    assert!(stages["gather"].as_f64().unwrap() > 0.0 && sum <= number("duration_ms") + 0.01, "{query}");
    // The newest are kept, newest first.
    for route in ["skeptic", "layered", "query"] {
        server.get(&format!("/v1/{route}?subject=s2&predicate=p"));
    }
    let listed = server.get("/v1/admin/slow-queries").json();
    let lenses: Vec<&Value> =
        listed["queries"].as_array().unwrap().iter().map(|query| &query["lens"]).collect();
    assert_eq!(lenses, [&json!("consensus"), &json!("layered"), &json!("skeptic")]);
    assert!(server.get("/metrics").text().contains("stemedb_slow_queries_total 4\n"));
}

#[test]
fn a_question_below_the_threshold_is_not_listed() {
    let server = slow_server(Duration::from_secs(3600), 3, 1 << 20);
    server.get("/v1/query?subject=s&predicate=p");
    assert_eq!(server.get("/v1/admin/slow-queries").json()["queries"], json!([]));
    assert!(server.get("/metrics").text().contains("stemedb_slow_queries_total 0\n"));
}

#[test]
fn whoever_asks_for_it_is_told_where_the_time_went() {
    let server = Server::start();
    let target = "/v1/query?subject=s&predicate=p";
    assert_eq!(server.get(target).header("server-timing"), None);
    let timed = server.send("GET", target, &[("Stemedb-Timing", "1")], b"");
    let timing = timed.header("server-timing").unwrap();
    let names: Vec<&str> = timing.split(", ").map(|part| part.split_once(";dur=").unwrap().0).collect();
    assert_eq!(names, ["queue", "gather", "lens", "receipt", "render", "total"]);
    for part in timing.split(", ") {
        let ms: f64 = part.split_once(";dur=").unwrap().1.parse().unwrap();
        assert!((0.0..60_000.0).contains(&ms), "{timing}");
    }
    let other = server.send("GET", "/v1/health", &[("Stemedb-Timing", "1")], b"");
    assert!(other.header("server-timing").unwrap().starts_with("total;dur="));
}

#[derive(Debug)]
struct Log(Mutex<Level>);

impl LogLevel for Log {
    fn level(&self) -> Level {
        *self.0.lock()
    }

    fn set(&self, level: Level) -> bool {
        *self.0.lock() = level;
        true
    }
}

#[test]
fn the_log_level_is_changed_while_the_server_runs_and_goes_back_by_itself() {
    const LEVEL: &str = "/v1/admin/log-level";
    let (database, dir) = database();
    let log = Arc::new(Log(Mutex::new(Level::INFO)));
    let parts = RouterParts { log_level: Some(Arc::<Log>::clone(&log)), ..RouterParts::default() };
    let server = Server::with_parts(database, dir, RouterOptions::default(), parts);
    let put =
        |body: &str| server.send("PUT", LEVEL, &[("Content-Type", "application/json")], body.as_bytes());
    assert_eq!(server.get(LEVEL).json(), json!({ "level": "info", "configured": "info" }));
    assert_eq!(put(r#"{"level":"debug"}"#).json(), json!({ "level": "debug", "configured": "info" }));
    assert_eq!(log.level(), Level::DEBUG);
    let short = put(r#"{"level":"trace","for_seconds":1}"#).json();
    assert!(short["level"] == "trace" && short["until"].is_string(), "{short}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while log.level() != Level::INFO {
        assert!(Instant::now() < deadline, "it stays {}", log.level());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.get(LEVEL).json(), json!({ "level": "info", "configured": "info" }));
    // A change in between makes the way back void.
    put(r#"{"level":"trace","for_seconds":1}"#);
    put(r#"{"level":"warn"}"#);
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(log.level(), Level::WARN);
    assert_eq!(put(r#"{"level":"loud"}"#).problem(), (422, "unknown_name".to_owned(), "/level".to_owned()));
    assert_eq!(
        put(r#"{"level":"info","for_seconds":0}"#).problem(),
        (422, "out_of_range".to_owned(), "/for_seconds".to_owned())
    );
    assert_eq!(put("{}").problem(), (400, "missing_field".to_owned(), "/level".to_owned()));
    assert_eq!(put(r#"{"lvl":"info"}"#).problem().1, "unknown_field");
    assert_eq!(Server::start().get(LEVEL).problem().1, "unavailable", "an application's log is its own");
}

#[test]
fn readiness_names_its_checks_and_says_more_when_asked() {
    let server = Server::start();
    let names = |json: &Value| -> Vec<String> {
        json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| check["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let plain = server.get("/readyz").json();
    assert_eq!(names(&plain), ["readable", "writable", "progress", "not_draining"]);
    let verbose = server.get("/readyz?verbose").json();
    assert!(names(&verbose).contains(&"disk_space".to_owned()), "{verbose}");
    assert!(verbose["checks"].as_array().unwrap().iter().any(|check| check["detail"].is_string()));
    assert_eq!(server.get("/readyz?loud").problem().1, "unknown_parameter");
    let alive = server.get("/livez?verbose").json();
    assert_eq!((&alive["status"], &alive["commits"]["stalled_ms"]), (&json!("alive"), &json!(0)));
}

/// A database whose syncs can be made slow.
fn over_faults(options: RouterOptions) -> (Server, Arc<FaultFs>) {
    let env = Env::real();
    let faults = Arc::new(FaultFs::with_clock(Arc::clone(&env.fs), Arc::clone(&env.clock), 1));
    let dir = tempfile::tempdir().unwrap();
    let env = Env { fs: Arc::<FaultFs>::clone(&faults), ..env };
    let database = Database::create(dir.path().join("db"), DatabaseOptions { env, ..tiny() }).unwrap();
    (Server::over(database, dir, options), faults)
}

#[test]
fn liveness_fails_while_commits_stand_still_and_for_nothing_else() {
    let dead_after = Duration::from_millis(200);
    let (server, faults) = over_faults(RouterOptions { dead_after, ..RouterOptions::default() });
    let body = |number: u64| format!(r#"{{"subject":"s","predicate":"p","object":{number},"source":"x"}}"#);
    assert_eq!(server.post("/v1/assert", &body(1)).status, 201);
    let slow = Fault::Latency(Duration::from_secs(3));
    faults.add(FaultRule::new(slow).on(IoOp::SyncData).path("/wal/live").times(1));
    std::thread::scope(|scope| {
        let write = scope.spawn(|| server.post("/v1/assert", &body(2)).status);
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.get("/livez").status == 200 {
            assert!(Instant::now() < deadline, "it stays alive");
        }
        let dead = server.get("/livez");
        assert_eq!(dead.problem(), (503, "unavailable".to_owned(), String::new()));
        assert!(dead.json()["commits"]["stalled_ms"].as_u64().unwrap() >= 200, "{}", dead.text());
        assert_eq!(write.join().unwrap(), 201);
    });
    assert_eq!(server.get("/livez").text(), "ok\n", "alive again");
    // A disk that fails is no reason to begin anew.
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::SyncData));
    assert_eq!(server.post("/v1/assert", &body(3)).status, 503);
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(server.get("/readyz").status, 503);
    let metrics = server.get("/metrics").text().to_owned();
    assert!(metrics.contains("stemedb_storage_operation_errors_total{operation=\"put\"} 1\n"), "{metrics}");
    faults.clear();
}
