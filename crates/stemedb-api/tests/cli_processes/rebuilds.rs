//! The view from the journal, by the flags of the runbook.

use crate::{
    program::{import_sample, run},
    server::Server,
};

#[test]
fn a_view_that_was_moved_aside_is_rebuilt_with_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let ask = || {
        let mut answers = String::new();
        for question in [["cas:7732-18-5", "boiling_point_K"], ["cas:110-62-3", "flash_point_K"]] {
            let how =
                ["--json", "--evaluated-at", "2027-01-01T00:00:00Z", "--data-dir", data.to_str().unwrap()];
            answers += &run([&["query"], &question[..], &how].concat()).ok().out;
        }
        answers
    };
    let before = ask();
    let rows = |text: &str| text.split_once(" rows").unwrap().0.rsplit(' ').next().unwrap().to_owned();
    let verify = || rows(&run(["verify", "--data-dir", data.to_str().unwrap()]).ok().out);
    let rows_before = verify();

    let (wal, kv) = (data.join("wal"), data.join("kv"));
    let flags =
        ["--rebuild-from-wal", "--wal-path", wal.to_str().unwrap(), "--kv-path", kv.to_str().unwrap()];
    let refused = run(flags);
    assert_eq!(refused.code, Some(1), "a view that is there is never overwritten");
    assert!(refused.err.contains("corrupted"), "{refused:?}");

    std::fs::rename(&kv, data.join("kv.corrupted.20270101")).unwrap();
    let rebuilt = run(flags).ok();
    assert!(rebuilt.out.contains("rebuild complete"), "{rebuilt:?}");
    assert!(rebuilt.err.contains("rebuild complete"), "the log says it too: {rebuilt:?}");

    // The next start of the service says it once more, for the log of the service.
    let server = Server::start(&data);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("rebuild complete"), "{log}");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(["INFO", "WARN"].contains(&event["level"].as_str().unwrap()), "{line}");
    }
    assert_eq!(ask(), before);
    assert_eq!(verify(), rows_before);
}

#[test]
fn a_rebuild_while_the_database_is_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let _server = Server::start(&data);
    let other = dir.path().join("kv2");
    let (wal, kv) = (data.join("wal"), other.to_str().unwrap());
    let refused = run(["rebuild", "--wal", wal.to_str().unwrap(), "--kv", kv]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("in use"), "{refused:?}");
}
