//! `doctor`: what it finds in servers and folders that are made sick, and that it touches nothing.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use crate::{
    corpus, http,
    program::{Ran, program, run, run_with_input},
    server::Server,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs it with a configuration of its own, whatever the machine has; without a second look, so that it is quick.
fn doctor(dir: &Path, arguments: &[&str]) -> Ran {
    let config = dir.join("api.toml");
    if !config.exists() {
        std::fs::write(&config, "").unwrap();
    }
    let mut command = program();
    command.args(["doctor", "--json", "--seconds", "0", "--config", text(&config)]).args(arguments);
    let output = command.output().unwrap();
    let read = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: read(output.stdout), err: read(output.stderr) }
}

/// What was found, as `severity check page`. How full the disk of the test is says nothing about the program.
fn found(ran: &Ran) -> Vec<String> {
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let of = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let line = |finding: &Value| {
        let page = of(finding, "runbook");
        let page = page.strip_prefix("docs/operations/runbooks/").unwrap().strip_suffix(".md").unwrap();
        format!("{} {} {page}", of(finding, "severity"), of(finding, "check"))
    };
    findings
        .map(line)
        .filter(|line| !line.starts_with("warning disk_space") && !line.contains("machine_memory"))
        .collect()
}

fn has(found: &[String], wanted: &str) -> bool {
    found.iter().any(|line| line == wanted)
}

/// A closed database of claims, with released segments of the journal behind it.
fn database(data: &Path) {
    for part in 0..3 {
        let lines = corpus::lines(part * 500..(part + 1) * 500);
        run_with_input(["import", "--data-dir", text(data), "-"], lines.into_bytes()).ok();
        run(["compact", "--data-dir", text(data)]).ok();
    }
}

fn files(dir: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::metadata(&path).unwrap();
            found.insert(text(&path).to_owned(), (metadata.len(), metadata.modified().unwrap()));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// A backup that was just made is all that a healthy server needs for having nothing to do.
#[test]
fn a_healthy_server_gives_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    database(&data);
    run(["backup", "create", "--data-dir", text(&data), "--to", text(&target)]).ok();
    let server = Server::start_with(&data, &["--bind", "127.0.0.1:0", "--backup-to", text(&target)]);
    let ran = doctor(dir.path(), &["--url", &server.url(), "--backups", text(&target)]);
    assert_eq!(found(&ran), Vec::<String>::new(), "{ran:?}");
    let beside = doctor(dir.path(), &["--data-dir", text(&data), "--backups", text(&target)]);
    assert_eq!(found(&beside), Vec::<String>::new(), "{beside:?}");
    // What is configured: the same server, folder and target, found by itself.
    let configuration = format!(
        "[server]\nbind = \"{}\"\n[storage]\ndata_dir = \"{}\"\n[backup]\nto = \"{}\"\n",
        server.address,
        text(&data),
        text(&target)
    );
    std::fs::write(dir.path().join("api.toml"), configuration).unwrap();
    let all = doctor(dir.path(), &[]);
    assert_eq!(found(&all), Vec::<String>::new(), "{all:?}");
    let looked_at: Value = serde_json::from_str(&all.out).unwrap();
    let looked_at = looked_at["looked_at"].to_string();
    for place in [text(&data), text(&target), &server.url(), "api.toml"] {
        assert!(looked_at.contains(place), "{looked_at}");
    }
    if !all.out.contains("disk_space") && !all.out.contains("machine_memory") {
        assert_eq!(all.code, Some(0), "{all:?}");
    }
}

#[test]
fn a_full_disk_is_critical_and_named_with_its_page() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let options = ["--bind", "127.0.0.1:0", "--disk-full", "100%", "--disk-scarce", "0", "--disk-low", "0"];
    let server = Server::start_with(&data, &options);
    let start = Instant::now();
    while http::get(&server.address, "/readyz").unwrap().status == 200 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = doctor(dir.path(), &["--url", &server.url()]);
    let found = found(&ran);
    assert_eq!(ran.code, Some(1));
    for line in ["critical writable disk-full", "critical disk_space disk-full", "warning ready disk-full"] {
        assert!(has(&found, line), "{found:?}");
    }
    assert!(has(&found, "warning backup_job restore-from-backup"), "{found:?}");
    assert!(ran.err.contains("things to do"), "{ran:?}");
}

#[test]
fn a_stopped_folder_is_read_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    database(&data);
    std::fs::create_dir(data.join("kv.corrupted.20261127")).unwrap();
    let mut segments: Vec<_> =
        std::fs::read_dir(data.join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment."));
    segments.sort();
    assert!(segments.len() >= 2, "{segments:?}");
    std::fs::rename(segments.last().unwrap(), dir.path().join("away")).unwrap();
    let before = files(&data);
    let ran = doctor(dir.path(), &["--data-dir", text(&data)]);
    assert_eq!(files(&data), before, "a doctor changes nothing");
    assert_eq!(ran.code, Some(1));
    let seen = found(&ran);
    assert!(has(&seen, "warning moved_aside high-storage-error-rate"), "{seen:?}");
    assert!(has(&seen, "warning journal_gaps restore-from-backup"), "{seen:?}");
    assert!(has(&seen, "warning backups restore-from-backup"), "{seen:?}");
    // Damage is worse than absence.
    std::fs::rename(dir.path().join("away"), segments.last().unwrap()).unwrap();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].fill(0xEE);
    std::fs::write(&segments[0], bytes).unwrap();
    let damaged = doctor(dir.path(), &["--data-dir", text(&data)]);
    let seen = found(&damaged);
    assert!(has(&seen, "critical journal restore-from-backup"), "{damaged:?}");
    assert!(!has(&seen, "warning journal_gaps restore-from-backup"), "{seen:?}");
}

#[test]
fn what_keeps_a_server_from_starting_is_found_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let absent = doctor(dir.path(), &["--data-dir", text(&data)]);
    assert!(has(&found(&absent), "critical folder server-wont-start"), "{absent:?}");
    std::fs::create_dir(&data).unwrap();
    let empty = doctor(dir.path(), &["--data-dir", text(&data)]);
    assert!(empty.out.contains("is its disk mounted?"), "{empty:?}");
    // Port 1 is nobody's.
    let nobody = doctor(dir.path(), &["--url", "http://127.0.0.1:1"]);
    assert_eq!(found(&nobody), ["critical server server-wont-start"]);
    std::fs::write(dir.path().join("api.toml"), "[storage]\nlock_timeout = 1\n").unwrap();
    let wrong = doctor(dir.path(), &["--data-dir", text(&data)]);
    assert!(has(&found(&wrong), "critical configuration server-wont-start"), "{wrong:?}");
    assert!(wrong.out.contains("did you mean lock_timeout_ms?"), "{wrong:?}");
}

#[test]
fn an_old_backup_and_one_that_was_not_proven_are_something_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    database(&data);
    run(["backup", "create", "--no-verify", "--data-dir", text(&data), "--to", text(&target)]).ok();
    let look = |hours: &str| {
        let ran = doctor(
            dir.path(),
            &["--data-dir", text(&data), "--backups", text(&target), "--backup-hours", hours],
        );
        (has(&found(&ran), "warning backups restore-from-backup"), ran.out)
    };
    let (is_found, said) = look("26");
    assert!(is_found && said.contains("proven"), "{said}");
    run(["backup", "create", "--data-dir", text(&data), "--to", text(&target)]).ok();
    assert!(!look("26").0, "{}", look("26").1);
    let (is_found, said) = look("0");
    assert!(is_found && said.contains("hours old"), "{said}");
}

#[test]
fn people_read_the_page_behind_each_finding() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(["doctor", "--data-dir", text(&dir.path().join("nowhere"))]);
    assert_eq!(ran.code, Some(1));
    let lines: Vec<&str> = ran.out.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("critical  folder: ")).unwrap();
    assert_eq!(lines[at + 1].trim(), "docs/operations/runbooks/server-wont-start.md");
    assert!(ran.out.contains("verdict   critical"), "{ran:?}");
    assert!(run(["doctor", "--url", "http://h:1", "--data-dir", "d"]).code == Some(2));
}
