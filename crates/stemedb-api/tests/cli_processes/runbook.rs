//! The runbook "High Storage Error Rate", row by row: what an operator had to do at night is brought about here, nobody touches
//! anything, and it ends by itself.

use std::{
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    corpus, http,
    program::{program, run, run_with_input},
    server::Server,
};

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a server on a free port with these options.
#[track_caller]
fn serve(data: &Path, options: &[&str]) -> Server {
    Server::start_with(data, &[&["--bind", "127.0.0.1:0"], options].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A closed database of claims, all of them in tables, with released segments of the journal behind it.
fn database(data: &Path, parts: usize) -> usize {
    for part in 0..parts {
        let lines = corpus::lines(part * 1000..(part + 1) * 1000);
        run_with_input(["import", "--data-dir", text(data), "-"], lines.into_bytes()).ok();
        run(["compact", "--data-dir", text(data)]).ok();
    }
    parts * 1000
}

fn files(dir: &Path, ends: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| text(path).ends_with(ends));
    found.sort();
    found
}

/// Flips a bit in every 256th byte of the middle half of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let (from, to) = (bytes.len() / 4, bytes.len() * 3 / 4);
    bytes[from..to].iter_mut().step_by(256).for_each(|byte| *byte ^= 0x10);
    std::fs::write(path, bytes).unwrap();
}

fn json(address: &str, path: &str) -> Value {
    serde_json::from_str(&http::get(address, path).unwrap().body).unwrap()
}

fn events(server: &Server) -> Vec<Value> {
    json(&server.address, "/v1/admin/storage/events")["events"].as_array().unwrap().clone()
}

pub fn metric(server: &Server, name: &str) -> f64 {
    let metrics = http::get(&server.address, "/metrics").unwrap().body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

fn status(server: &Server, number: usize) -> u16 {
    http::get(&server.address, &format!("/v1/assertions/{}", corpus::id(number))).unwrap().status
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_healthy(server: &Server) -> bool {
    let health = json(&server.address, "/v1/health");
    health["views"][0]["state"] == "healthy" && health["writable"] == true
}

/// Imports these lines; the status, and how many were acknowledged.
pub fn import(address: &str, range: std::ops::Range<usize>) -> (u16, usize, String) {
    let body = corpus::lines(range).into_bytes();
    let mut stream = TcpStream::connect(address).unwrap();
    http::begin_import(&mut stream, body.len()).unwrap();
    // A refusal may come before everything is sent.
    let _ = stream.write_all(&body);
    let mut reply = http::Incoming::read_head(stream).unwrap();
    let mut bytes = Vec::new();
    while let Ok(Some(part)) = reply.next_part() {
        bytes.extend(part);
    }
    let body = String::from_utf8(bytes).unwrap();
    let acknowledged = body.lines().filter(|line| line.contains("\"id\":")).count();
    (reply.status, acknowledged, body)
}

/// "Alert when more than 1 % of the operations fail for 5 minutes", and "debug logging after a restart": the first damage is told with
/// file and place, always, while no read is wrong, and is mended.
#[test]
fn the_first_damage_is_told_with_its_file_and_mended_while_every_answer_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let claims = database(&data, 3);
    let tables = files(&data.join("kv"), ".sst");
    tables.iter().for_each(|table| damage(table));
    let server = Server::start(&data);
    for number in 0..claims {
        assert_eq!(status(&server, number), 200, "claim {number}");
    }
    until("repaired", || {
        let events = events(&server);
        let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
        of("repaired") > 0 && of("damage") > 0 && is_healthy(&server)
    });
    let told = events(&server).into_iter().find(|event| event["kind"] == "damage").unwrap();
    let file = told["file"].as_str().unwrap();
    assert!(file.ends_with(".sst") && told["text"].as_str().unwrap().contains("offset"), "{told}");
    assert!(tables.iter().any(|table| text(table).ends_with(file.rsplit('/').next().unwrap())), "{told}");
    for number in 0..claims {
        assert_eq!(status(&server, number), 200, "claim {number}");
    }
    let evidence = std::fs::read_dir(data.join("quarantine")).unwrap().count();
    assert!(evidence > 0);
    assert_eq!(server.stop().0, Some(0));
    run(["verify", "--data-dir", text(&data)]).ok();
}

/// "Assertion writes fail silently", "free up space immediately": somebody fills the disk, writes are refused with a code and nothing of
/// them is there, reads go on; he frees it, and writes go on. The same process, and nobody has touched it.
#[test]
fn a_full_disk_refuses_writes_by_name_and_ends_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let claims = database(&data, 1);
    let free = rustix::fs::statvfs(dir.path()).map(|found| found.f_bavail * found.f_frsize).unwrap();
    // Others use this disk too: the line, and the tenth more that it takes to come back over it, lie well within what is taken.
    let line = free / 10 * 8;
    let taken = free - line + (512 << 20);
    let line = line.to_string();
    let server = serve(&data, &["--disk-full", &line, "--disk-scarce", "0", "--disk-low", "0"]);
    until("writable", || is_healthy(&server));
    assert_eq!(import(&server.address, claims..claims + 100).0, 200);
    let filler = dir.path().join("somebody's file");
    let file = std::fs::File::create(&filler).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, taken).unwrap();
    until("refused", || json(&server.address, "/v1/health")["writable"] == false);
    let (_, acknowledged, body) = import(&server.address, claims + 100..claims + 200);
    assert!(acknowledged == 0 && body.contains("storage_full"), "{body}");
    assert_eq!(status(&server, claims + 100), 404, "refused means not applied");
    assert_eq!(status(&server, claims + 99), 200);
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let freed = Instant::now();
    until("writable again", || json(&server.address, "/v1/health")["writable"] == true);
    println!("writable {:?} after the room was there", freed.elapsed());
    assert_eq!(import(&server.address, claims + 100..claims + 200).0, 200);
    assert_eq!(status(&server, claims + 199), 200);
    assert_eq!(server.stop().0, Some(0));
}

/// "Query results may be incomplete": where neither the table nor the journal has a claim any more the answer is an error, never one
/// claim less; and when the journal's file is back, so is everything.
#[test]
fn what_cannot_be_read_is_an_error_and_never_a_shorter_answer() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let claims = database(&data, 3);
    files(&data.join("kv"), ".sst").iter().for_each(|table| damage(table));
    let away = dir.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let released: Vec<PathBuf> = files(&data.join("wal"), "")
        .into_iter()
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment."))
        .collect();
    assert!(!released.is_empty());
    let moved = |path: &Path| away.join(path.file_name().unwrap());
    released.iter().for_each(|path| std::fs::rename(path, moved(path)).unwrap());
    let server = Server::start(&data);
    let mut refused = 0;
    for number in 0..claims {
        match status(&server, number) {
            200 => {}
            500..600 => refused += 1,
            other => panic!("claim {number}: {other}"),
        }
        let path = format!("/v1/query?subject=s{number}&predicate=p");
        let reply = http::get(&server.address, &path).unwrap();
        assert!(reply.status >= 500 || reply.body.contains("\"considered\":1"), "{}", reply.body);
    }
    assert!(refused > 0, "the damage must be felt");
    assert!(events(&server).iter().any(|event| event["kind"] == "damage"));
    assert_eq!(server.stop().0, Some(0));
    released.iter().for_each(|path| std::fs::rename(moved(path), path).unwrap());
    let server = Server::start(&data);
    for number in 0..claims {
        assert_eq!(status(&server, number), 200, "claim {number}");
    }
    until("healthy", || is_healthy(&server));
    assert_eq!(server.stop().0, Some(0));
}

/// "gzip old WAL segments", "move segments to a backup folder": nobody has to, and whoever does it beside a running server does no harm.
#[test]
fn the_old_commands_for_room_are_harmless_beside_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let claims = database(&data, 4);
    let server = Server::start(&data);
    let script = "cd \"$1\" && for f in segment.*.wal segment.*.wal.zst; do [ -e \"$f\" ] || continue; \
                  n=$((n+1)); if [ $n -eq 1 ]; then mkdir -p \"$2\"; mv \"$f\" \"$2\"; \
                  else case $f in *.wal) gzip -k \"$f\" && rm \"$f\";; esac; fi; done";
    let (wal, away) = (data.join("wal"), dir.path().join("backup-of-wal"));
    let ran = Command::new("sh").args(["-c", script, "sh", text(&wal), text(&away)]).status().unwrap();
    assert!(ran.success());
    assert_eq!(std::fs::read_dir(&away).unwrap().count(), 1);
    assert_eq!(import(&server.address, claims..claims + 1000).0, 200);
    for number in 0..claims + 1000 {
        assert_eq!(status(&server, number), 200, "claim {number}");
    }
    assert_eq!(server.stop().0, Some(0));
    let server = Server::start(&data);
    for number in 0..claims + 1000 {
        assert_eq!(status(&server, number), 200, "claim {number}");
    }
    assert_eq!(server.stop().0, Some(0));
}

/// "Trigger a compaction by hand; more than 500 files: it is failing": the debt is a number that is exported, and it goes away.
#[test]
fn the_debt_of_compaction_is_a_number_that_goes_down_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = serve(&data, &["--memory-mib", "8"]);
    for part in 0..10 {
        assert_eq!(import(&server.address, part * 4000..(part + 1) * 4000).0, 200);
        assert!(metric(&server, "stemedb_lsm_sst_files") < 100.0);
    }
    until("no debt", || metric(&server, "stemedb_lsm_pending_compaction_bytes") == 0.0);
    assert!(metric(&server, "stemedb_lsm_sst_files") < 100.0);
    until("counted", || metric(&server, "stemedb_assertions_indexed_total") == 40_000.0);
    assert_eq!(server.stop().0, Some(0));
}

/// "Stop, move kv away, --rebuild-from-wal, start, check the count" still works as it is typed; nobody has to (`lost_views.rs` has the
/// view deleted under a running server, and a start without it).
#[test]
fn the_offline_rebuild_works_as_the_runbook_types_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let claims = database(&data, 3);
    std::fs::rename(data.join("kv"), data.join("kv.corrupted.20261126")).unwrap();
    let rebuilt = program()
        .arg("--rebuild-from-wal")
        .arg("--wal-path")
        .arg(data.join("wal"))
        .arg("--kv-path")
        .arg(data.join("kv"))
        .output()
        .unwrap();
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let server = Server::start(&data);
    until("counted", || metric(&server, "stemedb_assertions_indexed_total") == claims as f64);
    let (code, log) = server.stop();
    assert!(code == Some(0) && log.to_lowercase().contains("rebuild complete"), "{log}");
}

/// "If the rebuild fails, restore from backup": first it is said exactly what is lost, the rest can be read meanwhile, and only that is
/// restored.
#[test]
fn a_loss_is_told_exactly_and_only_that_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    let server = Server::start(&data);
    for part in 0..8 {
        assert_eq!(import(&server.address, part * 500..(part + 1) * 500).0, 200);
    }
    assert_eq!(server.stop().0, Some(0));
    let copy = dir.path().join("copy");
    run(["backup", "create", "--data-dir", text(&data), "--to", text(&target)]).ok();
    // The same database once more, whose view has nothing: everything hangs on the journal, and that is damaged.
    assert!(Command::new("cp").args(["-r", text(&data), text(&copy)]).status().unwrap().success());
    std::fs::remove_dir_all(copy.join("kv")).unwrap();
    let _ = std::fs::remove_dir_all(copy.join("sidecar"));
    let live = files(&copy.join("wal"), ".wal")
        .into_iter()
        .max_by_key(|path| std::fs::metadata(path).unwrap().len());
    let live = live.unwrap();
    let mut bytes = std::fs::read(&live).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2..used / 2 + 4096].fill(0xEE);
    std::fs::write(&live, bytes).unwrap();
    let refused =
        program().args(["serve", "--bind", "127.0.0.1:0", "--data-dir"]).arg(&copy).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    let name = live.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name) && said.contains("offset") && said.contains("LSN"), "{said}");
    let server = serve(&copy, &["--read-only-if-damaged"]);
    let served = json(&server.address, "/v1/health")["published_lsn"].as_u64().unwrap();
    assert!(served > 0, "{said}");
    assert_eq!(status(&server, 0), 200);
    assert_eq!(json(&server.address, "/v1/health")["writable"], false);
    assert_eq!(server.stop().0, Some(0));
    // What is lost begins behind it, and the backup has it.
    let restored = dir.path().join("restored");
    run(["backup", "restore", "--from", text(&target), "--into", text(&restored), "--latest"]).ok();
    let server = Server::start(&restored);
    for number in 0..4000 {
        assert_eq!(status(&server, number), 200, "claim {number}");
    }
    assert_eq!(server.stop().0, Some(0));
}

/// "Raise the lock timeout": a write waits at most so long for its turn, and what is refused was not done. Under a flood with the
/// shortest timeout each answer is one of the two, and when the flood ends nothing is refused any more.
#[test]
fn a_flood_is_answered_and_ends_by_itself_whatever_the_lock_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = serve(&data, &["--lock-timeout-ms", "1"]);
    let refused = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (server, refused) = (&server, &refused);
            scope.spawn(move || {
                for round in 0..20 {
                    let first = 100_000 * client + 200 * round;
                    let (status, acknowledged, body) = import(&server.address, first..first + 200);
                    if acknowledged == 200 {
                        assert_eq!((status, crate::runbook::status(server, first)), (200, 200));
                        continue;
                    }
                    refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let known = ["\"lock_timeout\"", "\"overloaded\""];
                    assert!(known.iter().any(|text| body.contains(text)), "{status}: {body}");
                    assert_eq!(crate::runbook::status(server, first), 404, "refused means not applied");
                }
            });
        }
    });
    println!("{refused:?} of 320 imports were refused");
    assert_eq!(import(&server.address, 0..200).0, 200);
    assert!(is_healthy(&server));
    assert_eq!(server.stop().0, Some(0));
}
