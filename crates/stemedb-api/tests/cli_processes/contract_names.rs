//! The names that operators' scripts, alerts and habits depend on: each of them is asked of a real server, as the runbook types it, and
//! must behave as promised. What a real disk does not do on demand (a sync that never returns, an entry that cannot be derived) is brought
//! about on a simulated one: `crates/stemedb-hybrid/tests/engine/log_texts.rs`.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    corpus,
    program::{program, run, run_with_input},
    server::Server,
};

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was looked at, in the order of looking.
#[derive(Default)]
struct Table(Vec<(String, String, bool)>);

impl Table {
    fn row(&mut self, name: &str, behaviour: &str, is_so: bool) {
        self.0.push((name.to_owned(), behaviour.to_owned(), is_so));
    }

    /// Prints all rows; fails if one is not as promised.
    fn finish(self) {
        let width =
            |column: fn(&(String, String, bool)) -> usize| self.0.iter().map(column).max().unwrap_or(0);
        let (name, behaviour) = (width(|row| row.0.len()), width(|row| row.1.len()));
        let mut wrong = Vec::new();
        for row in &self.0 {
            let verdict = if row.2 { "ok" } else { "NOT SO" };
            println!("{:name$}  {:behaviour$}  {verdict}", row.0, row.1);
            wrong.extend((!row.2).then_some(row));
        }
        println!("{} names", self.0.len());
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Runs what an operator types, with `ADDRESS` for `localhost:18180`; what it prints.
#[track_caller]
fn shell(command: &str, server: &Server) -> String {
    let command = command.replace("localhost:18180", &server.address);
    let ran = Command::new("sh").args(["-c", &command]).output().unwrap();
    let error = String::from_utf8_lossy(&ran.stderr);
    assert!(error.is_empty(), "{command}: {error}");
    String::from_utf8(ran.stdout).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A closed database of tables, with released segments of the journal behind it.
fn database(data: &Path) -> usize {
    for part in 0..3 {
        let lines = corpus::lines(part * 1000..(part + 1) * 1000);
        run_with_input(["import", "--data-dir", text(data), "-"], lines.into_bytes()).ok();
        run(["compact", "--data-dir", text(data)]).ok();
    }
    3000
}

/// The samples of a metric: labels and value.
fn samples(metrics: &str, name: &str) -> Vec<(String, f64)> {
    let of = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, labels) = series.split_once('{').unwrap_or((series, ""));
        (found == name).then(|| (labels.trim_end_matches('}').to_owned(), value.parse().unwrap()))
    };
    metrics.lines().filter_map(of).collect()
}

fn kind<'a>(metrics: &'a str, name: &str) -> Option<&'a str> {
    metrics.lines().find_map(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '))
}

const METRICS: [(&str, &str); 18] = [
    ("stemedb_storage_operation_errors_total", "counter"),
    ("stemedb_storage_operations_total", "counter"),
    ("stemedb_storage_put_duration_seconds", "histogram"),
    ("stemedb_lsm_compaction_duration_seconds", "histogram"),
    ("stemedb_lsm_pending_compaction_bytes", "gauge"),
    ("stemedb_storage_write_amplification", "gauge"),
    ("stemedb_storage_lock_wait_duration_seconds", "histogram"),
    ("stemedb_assertions_indexed_total", "counter"),
    ("stemedb_wal_fsync_latency_seconds", "histogram"),
    ("stemedb_wal_fsync_errors_total", "counter"),
    ("stemedb_wal_disk_usage_bytes", "gauge"),
    ("stemedb_wal_segments_count", "gauge"),
    ("stemedb_wal_batch_size", "histogram"),
    ("stemedb_http_requests_total", "counter"),
    ("stemedb_http_request_duration_seconds", "histogram"),
    ("stemedb_query_latency_seconds", "histogram"),
    ("stemedb_storage_fallback_reads_total", "counter"),
    ("process_resident_memory_bytes", "gauge"),
];

const ASSERT: &str = "curl -s -X POST http://localhost:18180/v1/assert -H 'Content-Type: application/json' \
                      -d '{\"subject\":\"s\",\"predicate\":\"p\",\"object\":1,\"source\":\"x\"}'";

fn binary_flags_port(table: &mut Table, data: &Path) {
    let name = program().get_program().to_str().unwrap().to_owned();
    table.row("stemedb-api", "is the program's name", name.ends_with("/stemedb-api"));
    let help = run(["serve", "--help"]).ok().out;
    table.row("18180", "is the port unless another is given", help.contains("127.0.0.1:18180"));
    let folders = names(data);
    let has = |name: &str| folders.iter().any(|found| found == name);
    table.row("DATA/{wal,kv}", "are the folders of journal and view", has("wal") && has("kv"));
    let wal = names(&data.join("wal"));
    let segments = wal.iter().filter(|name| name.starts_with("segment.") && name.contains(".wal")).count();
    table.row("segment.*.wal", "are released segments of the journal", segments > 0);
    let kv = names(&data.join("kv"));
    let tables = kv.iter().filter(|name| name.ends_with(".sst")).count();
    table.row("SSTs in kv/", "lie flat, fewer than 100 files", tables > 0 && kv.len() < 100);
    // As the runbook types it, with the folder moved aside before.
    std::fs::rename(data.join("kv"), data.join("kv.corrupted.20261127")).unwrap();
    let mut rebuild = program();
    rebuild.arg("--rebuild-from-wal").arg("--wal-path").arg(data.join("wal"));
    let rebuilt = rebuild.arg("--kv-path").arg(data.join("kv")).output().unwrap();
    let said = String::from_utf8(rebuilt.stderr).unwrap();
    table.row(
        "--rebuild-from-wal --wal-path --kv-path",
        "derives the view again, exit code 0",
        rebuilt.status.success(),
    );
    table.row(
        "rebuild complete",
        "is logged by the rebuild",
        said.to_lowercase().contains("rebuild complete"),
    );
}

fn runs_the_runbook(table: &mut Table, server: &Server, claims: usize) {
    until("counted", || {
        let found = shell("curl -s http://localhost:18180/metrics | grep assertions_indexed_total", server);
        samples(&found, "stemedb_assertions_indexed_total").iter().any(|(_, count)| *count == claims as f64)
    });
    table.row("grep assertions_indexed_total", "hits, with all claims, right after a rebuild", true);
    assert!(json(&shell(ASSERT, server))["created"].as_bool().unwrap());
    shell("curl -s 'http://localhost:18180/v1/query?subject=s&predicate=p'", server);
    let errors = shell("curl -s http://localhost:18180/metrics | grep storage_operation_errors", server);
    let put = |text: &str| {
        samples(text, "stemedb_storage_operation_errors_total").contains(&("operation=\"put\"".into(), 0.0))
    };
    table.row("grep storage_operation_errors", "hits, by operation", put(&errors));
    let compact = "curl -s -X POST http://localhost:18180/v1/admin/storage/compact -H 'Content-Type: application/json' -d '{\"force\": true}'";
    let job = json(&shell(compact, server));
    table.row(
        "POST /v1/admin/storage/compact {\"force\": true}",
        "answers with a job",
        job["job"].is_u64() && job["kind"] == "compaction",
    );
    let show = format!("curl -s http://localhost:18180/v1/admin/jobs/{}", job["job"]);
    until("compacted", || json(&shell(&show, server))["state"] != "running");
    table.row(
        "GET /v1/admin/jobs/{id}",
        "shows how the job ended",
        json(&shell(&show, server))["state"] == "done",
    );
    let report = "curl -s http://localhost:18180/v1/admin/storage/stats | jq '{sst_files: .sst_file_count, \
                  total_size_mb: (.total_bytes / 1e6), pending_compaction_mb: (.pending_compaction_bytes / 1e6)}'";
    let report = json(&shell(report, server));
    let is_report = report["sst_files"].as_f64().unwrap() > 0.0
        && report["total_size_mb"].as_f64().unwrap() > 0.0
        && report["pending_compaction_mb"] == 0;
    table.row("GET /v1/admin/storage/stats", "is what the weekly report reads", is_report);
    let stats = json(&shell("curl -s http://localhost:18180/v1/admin/storage/stats", server));
    for figure in [
        "sst_file_count",
        "total_bytes",
        "pending_compaction_bytes",
        "index_memory_bytes",
        "cache_memory_bytes",
    ] {
        table.row(&format!("stats .{figure}"), "is a number", stats[figure].is_u64());
    }
    let slow = json(&shell("curl -s http://localhost:18180/v1/admin/slow-queries | jq", server));
    let query = &slow["queries"][0];
    let has = ["duration_ms", "candidates", "memory_mb"].iter().all(|name| query[*name].is_number());
    table.row(
        "GET /v1/admin/slow-queries",
        "duration, lens, candidates, memory_mb",
        has && query["lens"] == "consensus",
    );
    let waits = shell("curl -s http://localhost:18180/metrics | grep lock_wait_duration", server);
    let waited = samples(&waits, "stemedb_storage_lock_wait_duration_seconds_count");
    table.row(
        "grep lock_wait_duration",
        "hits, and counts writes",
        waited.iter().any(|(_, count)| *count >= 1.0),
    );
    let puts = shell("curl -s http://localhost:18180/metrics | grep stemedb_storage_put_duration", server);
    let count = samples(&puts, "stemedb_storage_put_duration_seconds_count");
    table.row(
        "grep stemedb_storage_put_duration",
        "hits, and counts writes",
        count == [(String::new(), 1.0)],
    );
    let head = shell(
        "curl -s -o /dev/null -w '%{http_code} %{content_type}' http://localhost:18180/metrics",
        server,
    );
    table.row("GET /metrics", "Prometheus text", head.starts_with("200 text/plain; version=0.0.4"));
    let metrics = shell("curl -s http://localhost:18180/metrics", server);
    for (name, expected) in METRICS {
        let value = format!("{name}{}", if expected == "histogram" { "_count" } else { "" });
        let is_there = kind(&metrics, name) == Some(expected) && !samples(&metrics, &value).is_empty();
        table.row(name, expected, is_there);
    }
    let compactions = samples(&metrics, "stemedb_lsm_compaction_duration_seconds_count");
    table.row("stemedb_lsm_compaction_duration_seconds", "counts compactions", compactions[0].1 >= 1.0);
    let requests = samples(&metrics, "stemedb_http_requests_total");
    let own = "method=\"POST\",path=\"/v1/assert\",status=\"201\"";
    table.row(
        "stemedb_http_requests_total{method,path,status}",
        "counts by route",
        requests.contains(&(own.into(), 1.0)),
    );
}

/// A server whose disk is said to be full: no claim is lost without a word.
fn disk_full(table: &mut Table, data: &Path, log_format: &str) -> String {
    let server = Server::start_with(
        data,
        &[
            "--bind",
            "127.0.0.1:0",
            "--disk-full",
            "100%",
            "--disk-scarce",
            "0",
            "--disk-low",
            "0",
            "--log-format",
            log_format,
        ],
    );
    let ready = "curl -s -o /dev/null -w '%{http_code}' http://localhost:18180/readyz";
    until("the disk is looked at", || shell(ready, &server) == "503");
    let asserted = shell(
        &format!("{ASSERT} -o /dev/null -w '%{{http_code}}'").replace("\"object\":1", "\"object\":2"),
        &server,
    );
    table.row("HTTP 507", "a write while the disk is full", asserted == "507");
    let metrics = shell("curl -s http://localhost:18180/metrics | grep storage_operation_errors", &server);
    let put = samples(&metrics, "stemedb_storage_operation_errors_total")
        .contains(&("operation=\"put\"".into(), 1.0));
    table.row("stemedb_storage_operation_errors_total{operation=\"put\"}", "counts a failed write", put);
    server.stop().1
}

fn log_texts(table: &mut Table, data: &Path) {
    let log = disk_full(table, data, "human");
    for name in [
        "StorageError",
        "Failed to write to KV store",
        "Custom { kind: Other, error: \"IO error: No space left on device\" }",
    ] {
        table.row(name, "in the log of a write that failed", log.contains(name));
    }
    let log = disk_full(table, data, "json");
    let file = data.with_extension("log");
    std::fs::write(&file, &log).unwrap();
    let filter = format!("jq -cR 'fromjson? | select(.level==\"ERROR\")' {}", text(&file));
    let ran = Command::new("sh").args(["-c", &filter]).output().unwrap();
    let errors = String::from_utf8(ran.stdout).unwrap();
    let are_errors = errors.lines().count() >= 2 && errors.contains("Failed to write to KV store");
    table.row("\"level\":\"ERROR\"", "is what jq selects", are_errors);
    let grep = format!("grep -ci 'storage.*error' {}", text(&file));
    let ran = Command::new("sh").args(["-c", &grep]).output().unwrap();
    let hits: usize = String::from_utf8(ran.stdout).unwrap().trim().parse().unwrap();
    table.row("grep -i 'storage.*error'", "hits", hits > 0);
}

/// Tables of a copy are damaged, and the journal cannot mend them.
fn damage(table: &mut Table, data: &Path, kind: &str, damage: fn(&mut [u8])) {
    let copy = data.with_extension("copy");
    assert!(Command::new("cp").args(["-r", text(data), text(&copy)]).status().unwrap().success());
    let kv = copy.join("kv");
    for name in names(&kv).iter().filter(|name| name.ends_with(".sst")) {
        let mut bytes = std::fs::read(kv.join(name)).unwrap();
        damage(&mut bytes);
        std::fs::write(kv.join(name), bytes).unwrap();
    }
    for name in names(&copy.join("wal")).iter().filter(|name| name.starts_with("segment.")) {
        std::fs::remove_file(copy.join("wal").join(name)).unwrap();
    }
    let server = Server::start(&copy);
    let begin = |what: &str, body: &str| {
        let line = format!(
            "curl -s -X POST http://localhost:18180/v1/admin/storage/{what} -H 'Content-Type: application/json' -d '{body}'"
        );
        let show =
            format!("curl -s http://localhost:18180/v1/admin/jobs/{}", json(&shell(&line, &server))["job"]);
        until(what, || json(&shell(&show, &server))["state"] != "running");
        json(&shell(&show, &server))
    };
    let verified = begin("verify", "{}");
    let is_found = verified["state"] == "failed" && verified["problem"]["code"] == "corruption";
    table.row("POST /v1/admin/storage/verify", "fails with corruption where there is damage", is_found);
    begin("compact", "{\"force\": true}");
    let (_, log) = server.stop();
    let line = log.lines().find(|line| line.contains(kind)).unwrap_or_default();
    table.row(
        kind,
        "with file and offset",
        line.contains(".sst at offset ") && line.contains("StorageError"),
    );
    let failed = log.contains("LSM tree compaction failed");
    table.row("LSM tree compaction failed", "in the log of a compaction that met damage", failed);
    std::fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn every_name_that_operators_rely_on_behaves_as_promised() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let claims = database(&data);
    let mut table = Table::default();
    binary_flags_port(&mut table, &data);
    let storage_log = dir.path().join("log/storage.log");
    let options = ["--bind", "127.0.0.1:0", "--slow-query-ms", "0", "--storage-log", text(&storage_log)];
    let server = Server::start_with(&data, &options);
    runs_the_runbook(&mut table, &server, claims);
    let (code, log) = server.stop();
    table.row(
        "rebuild complete",
        "is logged again by the next start",
        log.to_lowercase().contains("rebuild complete"),
    );
    table.row("kv.corrupted.YYYYMMDD", "is ignored and mentioned", log.contains("kv.corrupted.20261127"));
    table.row(
        "compaction",
        "is a word of the log of one that was asked for",
        log.contains("compaction job done"),
    );
    table.row("SIGTERM", "ends it with exit code 0", code == Some(0));
    let events = std::fs::read_to_string(&storage_log).unwrap_or_default();
    let is_json = events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
    table.row(
        "--storage-log FILE",
        "has the events of the storage, a JSON object a line",
        is_json && events.contains("compaction finished"),
    );
    log_texts(&mut table, &data);
    damage(&mut table, &data, "Corruption: invalid SST file header", |bytes| bytes[0] ^= 0x10);
    damage(&mut table, &data, "Corruption: block checksum mismatch", |bytes| {
        let (from, to) = (bytes.len() / 4, bytes.len() * 3 / 4);
        bytes[from..to].iter_mut().step_by(256).for_each(|byte| *byte ^= 0x10);
    });
    table.finish();
}
