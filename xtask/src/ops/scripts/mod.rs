//! `deploy/scripts`, each of them called as its unit or cron would, around a real server: what goes in comes back.
//!
//! ```text
//! import ─▶ cleanup: nothing goes, it is the only copy
//!        ─▶ backup ─▶ import ─▶ archive ─▶ restore: state_root of the server, of the backup, of an entry
//!        ─▶ cleanup: young stays, old goes ─▶ restore: still all of it
//!        ─▶ archived copy damaged, segments moved by hand: cleanup lets go of nothing
//!        ─▶ verify, then a damaged backup: it fails
//! ```
//!
//! The server speaks TLS to nobody here, but asks for keys: the scripts come through its socket file, as they do where it is installed.

mod place;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    Depth,
    bucket::{self, Bucket},
    units,
};
use crate::{server, steps::Outcome};
use place::Place;
pub use place::Ran;

/// Claims that are real.
const CLAIMS: &str = "examples/data/chemistry-sample.jsonl";

/// Runs the part: with a folder as the target, and as a whole also with a bucket of a real server.
pub fn run(root: &Path, depth: Depth) -> Outcome {
    let folder = server::target(root).join("ops/scripts");
    units::fresh(&folder)?;
    let claims = fs::read_to_string(root.join(CLAIMS)).map_err(|error| format!("{CLAIMS}: {error}"))?;
    let lines: Vec<&str> = claims.lines().collect();
    in_a_folder(root, &folder.join("folder"), &lines)?;
    if depth == Depth::Whole { in_a_bucket(root, &folder.join("bucket"), &lines) } else { Ok(()) }
}

fn in_a_folder(root: &Path, folder: &Path, lines: &[&str]) -> Outcome {
    let target = folder.join("backup/stemedb");
    let place = Place::new(root, &server::program(root)?, folder, &target.to_string_lossy(), Vec::new())?;
    place.fails("backup", &[], "is the server running?")?;
    let server = place.serve()?;
    let late = there_and_back(&place, &server, lines)?;

    let young = place.cleanup(90)?;
    expect(young["removed"] == 0, || format!("young segments went: {young}"))?;
    says(&young["stays"]["reason"], "younger than the retention")?;
    let done = place.cleanup(0)?;
    expect(done["removed"].as_u64() >= Some(1), || format!("nothing went: {done}"))?;
    let all = restored(&place, "pruned", &[])?;
    expect(all == late, || format!("after the cleanup {all} is restored, not {late}"))?;
    let point = restored(&place, "point", &["--lsn", "1"])?;
    expect(point != all && !point.is_empty(), || "an entry whose segment is gone here".to_owned())?;
    println!("cleanup: {} of the journal's segments went, and all of it is restored", done["removed"]);

    only_copies_stay(&place, &server, &target)?;
    drilled(&place)?;
    damage_is_found(&place, &target)?;
    one_after_the_other(&place)?;
    failures_are_told(&place)?;
    server.stop()
}

/// The same into a bucket: credentials by variables, nothing else is different.
fn in_a_bucket(root: &Path, folder: &Path, lines: &[&str]) -> Outcome {
    let program = bucket::program(root)?;
    let s3 = Bucket::start(root, &folder.with_file_name("buckets"))?;
    let place = Place::new(root, &program, folder, &Bucket::target("daily"), s3.variables())?;
    let server = place.serve()?;
    let late = there_and_back(&place, &server, lines)?;
    let done = place.cleanup(0)?;
    expect(done["removed"].as_u64() >= Some(1), || format!("nothing went: {done}"))?;
    let all = restored(&place, "pruned", &[])?;
    expect(all == late, || format!("after the cleanup {all} is restored, not {late}"))?;
    let told = place.script("verify", &[])?;
    expect(told.out.contains("is whole"), || format!("{told:?}"))?;
    drilled(&place)?;
    println!("the same into {}", Bucket::target("daily"));
    server.stop()?;
    s3.stop()
}

/// Claims, backup, more claims, archive, backup, restores: the state root of all, which is what was restored.
fn there_and_back(place: &Place, server: &place::Served, lines: &[&str]) -> Result<String, String> {
    let (first, rest) = lines.split_at(lines.len() / 2);
    server.import(first)?;
    let only = place.cleanup(0)?;
    expect(only["removed"] == 0, || format!("the only copy went: {only}"))?;
    says(&only["stays"]["reason"], "no verified backup")?;

    let early = state_root(&place.json("backup")?)?;
    server.import(rest)?;
    place.json("archive")?;
    let latest = restored(place, "latest", &[])?;
    wait_for_another_second();
    let late = state_root(&place.json("backup")?)?;
    expect(latest == late, || format!("archive and backup restored {latest}, and the server has {late}"))?;
    expect(early != late, || "both backups hold the same".to_owned())?;
    let names = place.backups()?;
    let [oldest, _] = &names[..] else { return Err(format!("not two backups: {names:?}")) };
    let back = restored(place, "early", &["--backup", oldest])?;
    expect(back == early, || format!("the first backup restored {back}, and held {early}"))?;
    println!(
        "restored: the first backup {back:.8}…, backup and archive {latest:.8}…, as the server had them"
    );
    Ok(late)
}

fn expect(is_so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

fn says(found: &serde_json::Value, words: &str) -> Outcome {
    expect(found.as_str().is_some_and(|text| text.contains(words)), || {
        format!("{found} does not say `{words}`")
    })
}

fn state_root(made: &serde_json::Value) -> Result<String, String> {
    expect(made["verified"] == true, || format!("the backup was not proven: {made}"))?;
    made["state_root"].as_str().map(str::to_owned).ok_or_else(|| format!("no state_root in {made}"))
}

/// Restores into a folder of this name; the state root of what is there then.
fn restored(place: &Place, name: &str, point: &[&str]) -> Result<String, String> {
    let into = place.folder.join("restored").join(name);
    let told = place.script("restore", &[&[into.to_string_lossy().as_ref()], point].concat())?;
    expect(told.out.contains("no damage: ") && told.out.contains("systemctl start"), || format!("{told:?}"))?;
    let line = told.out.lines().find_map(|line| line.strip_prefix("state root"));
    Ok(line.ok_or_else(|| format!("no state root: {told:?}"))?.trim().to_owned())
}

/// Backups are named by the second.
fn wait_for_another_second() {
    thread::sleep(Duration::from_millis(1100));
}

/// Neither a damaged copy nor one that an operator has made counts.
fn only_copies_stay(place: &Place, server: &place::Served, target: &Path) -> Outcome {
    server.import(&[r#"{"subject":"s","predicate":"p","object":1,"source":"t"}"#])?;
    place.json("archive")?;
    wait_for_another_second();
    place.json("backup")?;
    let kept = place.backups()?;
    expect(kept.len() == 2, || format!("KEEP_BACKUPS=2, and there are {kept:?}"))?;
    let copy = newest(&target.join("wal-archive"), ".wal.zst")?;
    let whole = fs::read(&copy).map_err(|error| error.to_string())?;
    flip(&copy)?;
    let stays = place.cleanup(0)?;
    expect(stays["removed"] == 0, || format!("its copy is damaged, and it went: {stays}"))?;
    says(&stays["stays"]["reason"], "cannot be trusted")?;
    fs::write(&copy, whole).map_err(|error| error.to_string())?;

    // What the runbook types when the disk is full.
    let moved = place.folder.join("backup/wal-20260101");
    let runbook = "mkdir -p \"$1\" && mv \"$0\"/segment.*.wal* \"$1\"/ && ls -1 \"$1\" | wc -l";
    let journal = place.data.join("wal");
    let typed = Command::new("sh").args(["-c", runbook]).args([&journal, &moved]).output();
    let typed = typed.map_err(|error| error.to_string())?;
    let count: u64 = String::from_utf8_lossy(&typed.stdout).trim().parse().unwrap_or(0);
    expect(count > 0, || format!("nothing was moved: {}", String::from_utf8_lossy(&typed.stderr)))?;
    place.cleanup(0)?;
    let still = fs::read_dir(&moved).map_err(|error| error.to_string())?.count() as u64;
    expect(still == count, || format!("{count} segments were moved by hand, and {still} are there"))?;
    let mut verify = Command::new(&place.program);
    verify.args(["wal", "verify", "--data-dir"]).arg(&place.data).arg("--archive").arg(&moved);
    let told = Ran::of(&mut verify)?;
    expect(told.is_ok && told.out.contains("no damage"), || format!("{told:?}"))?;
    println!("cleanup: a damaged copy is none, and {count} segments moved by hand are left where they are");
    Ok(())
}

/// A drill restores what the target has; with the journal archived as it is written it is compared with the server, too.
fn drilled(place: &Place) -> Outcome {
    let told = place.script("drill", &[])?;
    expect(told.out.contains(": passed"), || format!("{told:?}"))?;
    let report = place.folder.join("cache/drill");
    let written = ["drill.json", "drill.md", "drill.prom"].map(|name| report.join(name).is_file());
    expect(written == [true; 3], || format!("{} has not all of the report", report.display()))?;
    println!("drill: restored and compared, with its report in three forms");
    Ok(())
}

/// The weekly verification passes, and fails where a backup has rotted.
fn damage_is_found(place: &Place, target: &Path) -> Outcome {
    let told = place.script("verify", &[])?;
    expect(told.out.contains("no damage: ") && told.out.contains("is whole"), || format!("{told:?}"))?;
    let part = newest(&target.join("blobs"), "")?;
    flip(&part)?;
    let found = place.fails("verify", &[], "is damaged")?;
    let name = part.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    expect(found.err.contains(&name), || format!("{found:?} does not name {name}"))?;
    flip(&part)?;
    place.script("verify", &[]).map(|_| println!("verify: fails for one bit of a backup, and names its file"))
}

/// A second script waits for the first.
fn one_after_the_other(place: &Place) -> Outcome {
    let (lock, mark) = (place.folder.join("run/maintenance.lock"), place.folder.join("first-is-done"));
    let mut first = Command::new("flock");
    first.arg(&lock).args(["sh", "-c", "echo held; sleep 1; touch \"$0\""]).arg(&mark);
    let mut first = first.stdout(Stdio::piped()).spawn().map_err(|error| format!("flock: {error}"))?;
    let mut said = [0; 5];
    let stdout = first.stdout.as_mut().ok_or("flock says nothing")?;
    std::io::Read::read_exact(stdout, &mut said).map_err(|error| format!("flock: {error}"))?;
    let archived = place.json("archive");
    let was_first = mark.exists();
    first.wait().map_err(|error| format!("flock: {error}"))?;
    archived?;
    expect(was_first, || "a script did not wait for the one before it".to_owned())
}

/// What `OnFailure=` starts says it in the journal and to the operator's own program.
fn failures_are_told(place: &Place) -> Outcome {
    let told = place.script("on-failure", &["stemedb-backup"])?;
    let expected =
        "<2>stemedb-backup.service has failed; journalctl -u stemedb-backup.service -n 50 says why\n";
    expect(told.out == expected, || format!("{told:?}"))?;
    let hook = place.folder.join("etc/on-failure");
    fs::write(&hook, "#!/bin/sh\necho \"paged: $1\"\n").map_err(|error| error.to_string())?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&hook, executable).map_err(|error| error.to_string())?;
    let told = place.script("on-failure", &["stemedb-verify"])?;
    expect(told.out.ends_with("paged: stemedb-verify.service\n"), || format!("{told:?}"))
}

/// The file below a folder that was written last, of those whose names end so.
fn newest(folder: &Path, end: &str) -> Result<PathBuf, String> {
    let (mut folders, mut found) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    let written = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified()).ok();
    found.into_iter().max_by_key(written).ok_or_else(|| format!("nothing in {}", folder.display()))
}

/// Changes one bit in the middle of a file; a second time changes it back.
fn flip(path: &Path) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = fs::read(path).map_err(failed)?;
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 8,
        None => return Err(format!("{} is empty", path.display())),
    }
    fs::write(path, bytes).map_err(failed)
}
