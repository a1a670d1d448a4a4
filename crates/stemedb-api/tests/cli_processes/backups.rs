//! `backup` and `wal archive` as an operator types them.

use std::path::{Path, PathBuf};

use crate::{
    corpus,
    program::{Ran, import_sample, run, run_with_input},
    server::Server,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn backup(command: &str, more: &[&str]) -> Ran {
    run([&["backup", command], more].concat())
}

fn create(data: &Path, target: &Path) -> Ran {
    backup("create", &["--data-dir", text(data), "--to", text(target)])
}

fn ask(data: &Path) -> String {
    let question = ["query", "cas:7732-18-5", "boiling_point_K", "--json"];
    let how = ["--evaluated-at", "2027-01-01T00:00:00Z", "--data-dir", text(data)];
    run([&question[..], &how].concat()).ok().out
}

fn name(created: &Ran) -> String {
    created.out.split_whitespace().next().unwrap().to_owned()
}

fn word_after(ran: &Ran, line: &str) -> String {
    let found = ran.out.lines().find_map(|text| text.strip_prefix(line));
    found.unwrap_or_else(|| panic!("no {line:?} in {ran:?}")).trim().to_owned()
}

#[test]
fn a_database_is_backed_up_listed_verified_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    import_sample(&data).ok();
    let before = ask(&data);
    let first = create(&data, &target).ok();
    assert!(name(&first).starts_with("stemedb-backup-20") && name(&first).len() == 30, "{first:?}");
    assert!(word_after(&first, "verified").starts_with("yes"), "{first:?}");
    assert!(target.join(name(&first)).join("metadata.json").is_file());
    assert_eq!(std::fs::read_to_string(target.join("latest")).unwrap().trim(), name(&first));
    assert!(!data.join("backup.staging").exists());

    let listed = backup("list", &["--from", text(&target)]).ok();
    assert!(listed.out.contains(&name(&first)) && listed.out.contains("verified, latest"), "{listed:?}");
    let json = backup("list", &["--from", text(&target), "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["latest"], name(&first));
    assert_eq!(json["backups"][0]["state_root"], word_after(&first, "state root"));

    let verified = backup("verify", &["--from", text(&target)]).ok();
    assert!(verified.out.contains("is whole"), "{verified:?}");

    let restored = dir.path().join("restored");
    let how = ["--from", text(&target), "--into", text(&restored), "--latest"];
    let dry = backup("restore", &[&how[..], &["--dry-run"]].concat()).ok();
    assert!(dry.out.contains("to fetch") && dry.out.contains("nothing was done"), "{dry:?}");
    assert!(!restored.exists());
    let done = backup("restore", &how).ok();
    assert!(done.out.contains("as timeline 2"), "{done:?}");
    assert_eq!(word_after(&done, "state root"), word_after(&first, "state root"));
    // The same answer, but for the position: it is of another timeline.
    assert_eq!(ask(&restored), before);
    let refused = backup("restore", &how);
    assert_eq!(refused.code, Some(1), "a folder that is there is left alone");
    assert!(refused.err.contains("there already"), "{refused:?}");
}

#[test]
fn a_restore_goes_back_to_an_entry_and_needs_one_point() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    for part in 0..4 {
        let lines = corpus::lines(part * 500..(part + 1) * 500);
        run_with_input(["import", "--data-dir", text(&data), "-"], lines.into_bytes()).ok();
    }
    create(&data, &target).ok();
    let count = |data: &Path| {
        let out = run(["verify", "--data-dir", text(data)]).ok().out;
        out.split_once(" rows")
            .unwrap()
            .0
            .rsplit(' ')
            .next()
            .unwrap()
            .replace(',', "")
            .parse::<u64>()
            .unwrap()
    };
    let all = count(&data);
    let mut last = 0;
    for lsn in ["1", "2", "3", "4"] {
        let into = dir.path().join(lsn);
        let how = ["--from", text(&target), "--into", text(&into), "--lsn", lsn];
        let done = backup("restore", &how).ok();
        assert!(done.out.contains(&format!("restored LSN {lsn}, recorded")), "{done:?}");
        let rows = count(&into);
        assert!(rows > last, "{rows} after {last}");
        last = rows;
    }
    assert_eq!(last, all);
    let never = dir.path().join("never");
    let never = text(&never);
    let future = backup("restore", &["--from", text(&target), "--into", never, "--lsn", "5"]);
    assert_eq!(future.code, Some(1));
    assert!(future.err.contains("entries 5 to 5"), "{future:?}");
    for wrong in [&[][..], &["--latest", "--lsn", "1"], &["--keep-timeline", "--latest"]] {
        let wrong = backup("restore", &[&["--from", text(&target), "--into", never], wrong].concat());
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
    }
    let time = backup("restore", &["--from", text(&target), "--into", never, "--time", "yesterday"]);
    assert_eq!(time.code, Some(2), "{time:?}");
    let before = ["--from", text(&target), "--into", never, "--time", "2001-01-01T00:00:00Z"];
    assert_eq!(backup("restore", &before).code, Some(1));
    assert!(!Path::new(never).exists());
}

fn largest(dir: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { dirs.push(entry) } else { files.push(entry) }
        }
    }
    files.into_iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn damage_in_a_target_is_named_and_the_next_backup_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    import_sample(&data).ok();
    create(&data, &target).ok();
    let part = largest(&target.join("blobs"));
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[100] ^= 8;
    std::fs::write(&part, bytes).unwrap();
    let refused = backup("verify", &["--from", text(&target)]);
    assert_eq!(refused.code, Some(1));
    let digest = part.file_stem().unwrap().to_str().unwrap();
    assert!(refused.err.contains("is damaged") && refused.err.contains(digest), "{refused:?}");
    let into = dir.path().join("restored");
    let restore = ["--from", text(&target), "--into", text(&into), "--latest"];
    assert_eq!(backup("restore", &restore).code, Some(1));
    assert_eq!(run(["verify", "--data-dir", text(&into)]).code, Some(1), "it is no database");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let mended = create(&data, &target).ok();
    assert!(mended.out.contains("had been damaged"), "{mended:?}");
    backup("verify", &["--from", text(&target)]).ok();
    backup("restore", &restore).ok();
    assert_eq!(ask(&into), ask(&data));
    let pruned = backup("prune", &["--from", text(&target), "--keep", "1"]).ok();
    assert!(pruned.out.contains("removed 1 backup and"), "{pruned:?}");
    backup("verify", &["--from", text(&target)]).ok();
}

#[test]
fn an_open_database_or_no_target_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    let server = Server::start(&data);
    let refused = create(&data, &target);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("in use"), "{refused:?}");
    server.stop();
    let nothing = backup("restore", &["--from", text(&target), "--into", text(&data.join("x")), "--latest"]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.err.contains("no backup"), "{nothing:?}");
    assert_eq!(backup("verify", &["--from", text(&target)]).code, Some(1));
    let scheme = backup("list", &["--from", "ftp://x"]);
    assert_eq!(scheme.code, Some(1));
}

#[test]
fn segments_are_archived_let_go_of_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("archive"));
    for part in 0..3 {
        let lines = corpus::lines(part * 1000..(part + 1) * 1000);
        run_with_input(["import", "--data-dir", text(&data), "-"], lines.into_bytes()).ok();
        run(["compact", "--data-dir", text(&data)]).ok();
    }
    let prune = |more: &[&str]| {
        let how = ["wal", "prune", "--data-dir", text(&data), "--archive", text(&target)];
        run([&how[..], &["--older-than-days", "0"], more].concat())
    };
    let early = prune(&[]).ok();
    assert!(early.out.contains("removed 0 segments") && early.out.contains("stays: "), "{early:?}");
    let archived = run(["wal", "archive", "--data-dir", text(&data), "--to", text(&target), "--rotate"]).ok();
    assert!(archived.out.contains("archived "), "{archived:?}");
    create(&data, &target).ok();
    let dry = prune(&["--dry-run"]).ok();
    assert!(dry.out.contains("would remove"), "{dry:?}");
    let done = prune(&[]).ok();
    assert!(done.out.contains("cannot be repaired from the journal here"), "{done:?}");
    run(["verify", "--data-dir", text(&data)]).ok();
    let into = dir.path().join("one");
    let restore = ["--from", text(&target), "--into", text(&into), "--lsn", "1"];
    backup("restore", &restore).ok();
    run(["verify", "--data-dir", text(&into)]).ok();
}

#[test]
fn a_running_server_is_asked_for_backups_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    let server = Server::start_with(&data, &["--bind", "127.0.0.1:0", "--backup-to", text(&target)]);
    let import = |range| {
        run_with_input(["import", "--url", &server.url(), "-"], corpus::lines(range).into_bytes()).ok()
    };
    import(0..500);
    let made = backup("create", &["--url", &server.url()]).ok();
    let json: serde_json::Value = serde_json::from_str(made.out.split_once("\ninto ").unwrap().0).unwrap();
    assert_eq!(json["verified"], true, "{made:?}");
    import(500..900);
    let archived = run(["wal", "archive", "--url", &server.url(), "--rotate"]).ok();
    assert!(archived.out.contains("upto"), "{archived:?}");
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("backup stemedb-backup-"), "{log}");
    // What is not in the backup is in the archive.
    let into = dir.path().join("restored");
    backup("restore", &["--from", text(&target), "--into", text(&into), "--latest"]).ok();
    let stats = |data: &Path| run(["verify", "--data-dir", text(data)]).ok().out;
    let rows = |out: String| out.split_once(" rows").unwrap().0.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(rows(stats(&into)), rows(stats(&data)));
    let both = backup("create", &["--url", "http://127.0.0.1:1", "--to", "x"]);
    assert_eq!(both.code, Some(2), "a server has a target of its own");
    let neither = backup("create", &["--data-dir", text(&data)]);
    assert_eq!(neither.code, Some(2));
}

#[test]
fn archiving_lets_go_of_what_is_proven_elsewhere_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    import_sample(&data).ok();
    let here = ["wal", "archive", "--data-dir", text(&data), "--to", text(&target), "--rotate"];
    let only = run([&here[..], &["--prune-older-than-days", "0"]].concat()).ok();
    assert!(only.out.contains("removed 0 segments") && only.out.contains("no verified backup"), "{only:?}");
    create(&data, &target).ok();
    let done = run([&here[..], &["--prune-older-than-days", "0"]].concat()).ok();
    assert!(done.out.contains("\nremoved ") && !done.out.contains("removed 0"), "{done:?}");

    let server = Server::start_with(&data, &["--bind", "127.0.0.1:0", "--backup-to", text(&target)]);
    run_with_input(["import", "--url", &server.url(), "-"], corpus::lines(0..900).into_bytes()).ok();
    let asked = ["wal", "archive", "--url", &server.url(), "--rotate", "--prune-older-than-days"];
    let only = run([&asked[..], &["0"]].concat()).ok();
    assert!(only.out.contains("verified backups hold"), "{only:?}");
    backup("create", &["--url", &server.url()]).ok();
    let young = run([&asked[..], &["1"]].concat()).ok();
    assert!(young.out.contains("younger than the retention"), "{young:?}");
    let done = run([&asked[..], &["0"]].concat()).ok();
    assert!(done.out.contains("\"removed\": ") && !done.out.contains("\"removed\": 0"), "{done:?}");
    assert_eq!(server.stop().0, Some(0));
    let into = dir.path().join("restored");
    backup("restore", &["--from", text(&target), "--into", text(&into), "--latest"]).ok();
    assert_eq!(ask(&into), ask(&data));
}
