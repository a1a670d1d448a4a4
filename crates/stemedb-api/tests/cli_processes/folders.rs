//! Which folders are taken, and which are refused with the reason.

use crate::{
    program::{import_sample, run},
    server::Server,
};

#[test]
fn a_second_process_on_a_folder_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    for command in ["query", "stats", "verify", "compact", "serve"] {
        let mut arguments = vec![command, "--data-dir", data.to_str().unwrap()];
        if command == "query" {
            arguments.extend(["s", "p"]);
        }
        let refused = run(&arguments);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("is in use by pid "), "{refused:?}");
        assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    }
    let (code, _) = server.stop();
    assert_eq!(code, Some(0));
    run(["query", "--data-dir", data.to_str().unwrap(), "s", "p"]).ok();
}

#[test]
fn serving_a_missing_or_an_empty_folder_needs_to_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, empty) = (dir.path().join("missing"), dir.path().join("empty"));
    std::fs::create_dir(&empty).unwrap();
    for data in [&missing, &empty] {
        let refused = run(["serve", "--bind", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.err.contains("holds no database") && refused.err.contains("--init"), "{refused:?}");
    }
    assert!(!missing.exists(), "a refused command must not leave a folder behind");
    // The helper passes --init.
    assert_eq!(Server::start(&missing).stop().0, Some(0));
    assert_eq!(Server::start(&empty).stop().0, Some(0));
}

#[test]
fn an_empty_folder_is_not_imported_into_and_a_full_one_not_made_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let refused = import_sample(dir.path());
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("holds no database"), "{refused:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    std::fs::write(dir.path().join("letter.txt"), "mine").unwrap();
    let data = dir.path().to_str().unwrap();
    let refused = run(["init", "--data-dir", data]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("letter.txt"), "{refused:?}");

    let data = dir.path().join("db");
    let init = ["init", "--data-dir", data.to_str().unwrap()];
    run(init).ok();
    let refused = run(init);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("holds a database already"), "{refused:?}");
}

#[test]
fn a_command_that_is_called_wrongly_exits_with_two() {
    for arguments in [
        &["query", "s", "p"][..],
        &["query", "--data-dir", "d", "--url", "http://h", "s", "p"],
        &["query", "--data-dir", "d", "s", "p", "--lens", "magic"],
        &["query", "--url", "ftp://h", "s", "p"],
        &["serve", "--bind", "nonsense", "--cache-mib", "many"],
        &["serve", "--cache-mb", "1"],
        &["--rebuild-from-wal", "--wal-path", "w"],
        &["dance"],
    ] {
        let refused = run(arguments);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(!refused.err.is_empty());
    }
    let refused = run(["query", "--data-dir", "d", "s", "p", "--lens", "magic"]);
    assert!(refused.err.contains("consensus"), "the lenses are listed: {refused:?}");
}
