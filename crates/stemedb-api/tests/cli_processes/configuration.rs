//! The server's configuration as an operator meets it: what is refused, what is in force, and that it is obeyed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    http,
    program::{Ran, program, run},
    runbook::{import, metric},
    server::Server,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A configuration file in a folder.
fn file(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("api.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A server with this file, on a free port.
#[track_caller]
fn serve(data: &Path, config: &Path) -> Server {
    Server::start_with(data, &["--bind", "127.0.0.1:0", "--config", text(config)])
}

#[test]
fn check_config_tells_everything_that_is_wrong_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        file(dir.path(), "[storage]\nlock_timeout = 1\ncache_mib = \"64\"\n[loging]\nlevel = \"info\"\n");
    let mut check = program();
    check.args(["check-config", "--config", text(&config), "--drain-seconds", "soon"]);
    let checked = ran(check.env("STEMEDB_LOGLEVEL", "info"));
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let lines: Vec<&str> = checked.out.lines().collect();
    let place = |line: usize, column: usize| format!("{}:{line}:{column}: ", text(&config));
    let wanted = [
        place(2, 1) + "unknown key lock_timeout in [storage]; did you mean lock_timeout_ms?",
        place(3, 1) + "storage.cache_mib must be a whole number",
        place(4, 2) + "unknown section [loging]; did you mean [logging]?",
        "variable STEMEDB_LOGLEVEL: not known; did you mean STEMEDB_LOG_LEVEL?".to_owned(),
        "flag --drain-seconds: server.drain_seconds must be a whole number".to_owned(),
    ];
    assert_eq!(lines.len(), wanted.len(), "{checked:?}");
    for (line, start) in lines.iter().zip(&wanted) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
    assert!(checked.err.contains("5 problems"), "{checked:?}");

    let right = file(dir.path(), "[storage]\nlock_timeout_ms = 10000 # Increase from default 5000\n");
    let checked = run(["check-config", "--config", text(&right)]).ok();
    assert!(checked.out.contains("1 key from ") && checked.err.is_empty(), "{checked:?}");
    let missing = run(["check-config", "--config", text(&dir.path().join("none.toml"))]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.out.contains("none.toml: does not exist"), "{missing:?}");
}

#[test]
fn the_examples_are_printed_and_accepted() {
    let repository = [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect::<PathBuf>();
    let committed = |name: &str| std::fs::read_to_string(repository.join(name)).unwrap();
    assert_eq!(run(["config", "example", "--format", "toml"]).ok().out, committed("deploy/api.toml"));
    assert_eq!(run(["config", "example", "--format", "env"]).ok().out, committed(".env.example"));
    let deployed = repository.join("deploy/api.toml");
    run(["check-config", "--config", text(&deployed)]).ok();
}

#[test]
fn config_show_says_which_layer_each_value_comes_from_and_can_be_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        file(dir.path(), "[storage]\ncache_mib = 3\nmemory_mib = 100\n[logging]\nlevel = \"warn\"\n");
    let show = |extra: &[&str]| {
        let mut show = program();
        show.args([
            "config",
            "show",
            "--config",
            text(&config),
            "--memory-mib",
            "200",
            "--log-format",
            "json",
        ]);
        let ran = ran(show.args(extra).env("STEMEDB_MEMORY_MIB", "150").env("STEMEDB_DISK_LOW", "10%"));
        ran.ok().out
    };
    let shown = show(&["--origin"]);
    let line = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("cache_mib"), format!("cache_mib = 3 # {}:2:1", text(&config)));
    assert_eq!(line("memory_mib"), "memory_mib = 200 # flag --memory-mib");
    assert_eq!(line("low"), "low = \"10%\" # variable STEMEDB_DISK_LOW");
    assert_eq!(line("level"), format!("level = \"warn\" # {}:5:1", text(&config)));
    assert_eq!(line("format"), "format = \"json\" # flag --log-format");
    assert_eq!(line("lock_timeout_ms"), "lock_timeout_ms = 5000 # built-in");
    let plain = show(&[]);
    assert!(!plain.contains("built-in"), "{plain}");
    let again = dir.path().join("again.toml");
    std::fs::write(&again, &plain).unwrap();
    assert_eq!(run(["config", "show", "--config", text(&again)]).ok().out, plain);
}

#[test]
fn a_server_is_not_started_with_what_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let config = file(dir.path(), "[storage]\ncompaction_trigger = 1\n");
    let mut serve = program();
    serve.args(["serve", "--init", "--data-dir", text(&data), "--config", text(&config)]);
    let refused = ran(serve.env("STEMEDB_CACHE_MB", "1"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("did you mean compaction_trigger_mb?"), "{refused:?}");
    assert!(refused.err.contains("did you mean STEMEDB_CACHE_MIB?"), "{refused:?}");
    assert!(refused.out.is_empty() && !data.exists());
}

#[test]
fn production_refuses_what_is_unsafe_with_all_reasons_and_starts_what_is_safe() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let unsafe_one = ["--env", "production", "--bind", "0.0.0.0:0", "--auth", "off", "--log-level", "trace"];
    let refused = run([&["serve", "--init", "--data-dir", text(&data)], &unsafe_one[..]].concat());
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for key in ["security.auth", "server.tls_terminated_by_proxy", "security.signatures", "logging.level"] {
        assert!(refused.err.contains(&format!("{key} is unsafe in production: ")), "{key}: {refused:?}");
    }
    assert!(!data.exists());

    let safe = ["--env", "production", "--signatures", "required", "--bind", "127.0.0.1:0"];
    let server = Server::start_with(&data, &safe);
    let (_, acknowledged, body) = import(&server.address, 0..3);
    assert!(acknowledged == 0 && body.contains("signature_required"), "{body}");
    assert_eq!(server.stop().0, Some(0));
    // Without the key, unsigned claims are taken.
    let server = Server::start(&data);
    assert_eq!(import(&server.address, 0..3).1, 3);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn the_level_of_the_log_is_that_of_the_file_and_the_log_file_gets_the_events_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let log = dir.path().join("storage.log");
    let with = |level: &str| {
        let config = file(
            dir.path(),
            &format!("[logging]\nlevel = \"{level}\"\nformat = \"json\"\nfile = \"{}\"\n", text(&log)),
        );
        let (code, events) = serve(&data, &config).stop();
        assert_eq!(code, Some(0), "{events}");
        let lines = |text: &str| -> Vec<serde_json::Value> {
            let event = |line| {
                let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
                // Each of the two looks at the clock for itself.
                event["timestamp"] = serde_json::Value::Null;
                event
            };
            text.lines().map(event).collect()
        };
        let kept = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert_eq!(lines(&kept), lines(&events));
        events
    };
    let info = with("info");
    assert!(info.contains("\"level\":\"INFO\"") && info.contains("SIGTERM"), "{info}");
    assert!(info.contains("\"key\":\"logging.level\""), "what differs is written down: {info}");
    assert!(!info.contains("\"level\":\"DEBUG\""), "{info}");
    assert!(!with("error").contains("\"level\":\"INFO\""));
}

#[test]
fn writes_wait_as_long_for_their_turn_as_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let config = file(dir.path(), "[storage]\nlock_timeout_ms = 1\n");
    let server = serve(&dir.path().join("db"), &config);
    let is_refused = std::sync::atomic::AtomicBool::new(false);
    let begun = Instant::now();
    let mut round = 0;
    // Sixteen at once keep the disk busy for longer than a millisecond, sooner or later.
    while !is_refused.load(std::sync::atomic::Ordering::Relaxed) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was refused with a timeout of 1 ms");
        std::thread::scope(|scope| {
            for client in 0..16 {
                let (server, is_refused) = (&server, &is_refused);
                scope.spawn(move || {
                    let first = 16_000 * round + 1000 * client;
                    let (_, _, body) = import(&server.address, first..first + 1000);
                    if body.contains("\"lock_timeout\"") {
                        is_refused.store(true, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        round += 1;
    }
    assert_eq!(http::get(&server.address, "/livez").unwrap().status, 200);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn without_automatic_compaction_nothing_is_merged_until_it_is_asked_for_and_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let with = |name: &str, auto: bool| {
        let config = file(
            dir.path(),
            &format!(
                "[storage]\nmemory_mib = 8\nenable_auto_compaction = {auto}\ncompaction_trigger_mb = 1\n"
            ),
        );
        let data = dir.path().join(name);
        let server = serve(&data, &config);
        for part in 0..10 {
            assert_eq!(
                import(&server.address, part * 4000..(part + 1) * 4000).1,
                4000,
                "nobody waits for ever"
            );
        }
        let pending = || metric(&server, "stemedb_lsm_pending_compaction_bytes");
        let begun = Instant::now();
        while auto && pending() > 0.0 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        let left = pending();
        let (code, log) = server.stop();
        assert_eq!(code, Some(0), "{log}");
        (data, left, log)
    };
    let (_, left, log) = with("on", true);
    assert!(left == 0.0 && log.contains("compaction finished"), "{left}: {log}");
    assert!(!log.contains("automatic compaction is off"), "{log}");
    let (data, left, log) = with("off", false);
    assert!(left > f64::from(1 << 20) && !log.contains("compaction finished"), "{left}: {log}");
    assert!(log.contains("automatic compaction is off: tables are merged on request alone"), "{log}");
    assert!(log.contains("automatic compaction is off, and tables wait to be merged"), "{log}");
    let compacted = run(["compact", "--data-dir", text(&data), "--log-level", "info"]).ok();
    assert!(compacted.err.contains("compaction finished"), "{compacted:?}");
}
