//! The rig itself, in small: that it finds nothing where nothing is wrong, and something where something is.
#![cfg(target_os = "linux")]
// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Runs the rig. `None`, and loudly, where it may not mount.
fn rig(arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_rig")).args(arguments).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    if let Some(skipped) = said.lines().find(|line| line.starts_with("SKIPPED")) {
        eprintln!("\n!!! {skipped}\n");
        return None;
    }
    Some((output.status.success(), said))
}

/// A number of the summary line.
fn number(said: &str, name: &str) -> u64 {
    let line = said.lines().find(|line| line.starts_with("suite=")).unwrap_or_else(|| panic!("{said}"));
    let field = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    field.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[test]
fn twenty_power_cuts_lose_nothing_that_was_acknowledged() {
    let Some((passed, said)) = rig(&["power-cuts", "--cuts", "20"]) else { return };
    assert!(passed, "{said}");
    assert_eq!((number(&said, "cuts"), number(&said, "lost")), (20, 0));
    assert!(number(&said, "entries") > 0);
}

#[test]
fn a_writer_that_does_not_sync_is_caught() {
    let Some((passed, said)) = rig(&["power-cuts", "--cuts", "10", "--without-sync"]) else { return };
    assert!(!passed && number(&said, "lost") > 0, "{said}");
}

#[test]
fn an_engine_that_is_killed_loses_nothing_that_was_acknowledged() {
    let Some((passed, said)) = rig(&["engine-kills", "--kills", "12"]) else { return };
    assert!(passed, "{said}");
    assert_eq!((number(&said, "deaths"), number(&said, "lost")), (12, 0));
}

#[test]
fn an_engine_below_which_the_power_is_cut_loses_nothing_that_was_acknowledged() {
    let Some((passed, said)) = rig(&["engine-cuts", "--cuts", "8"]) else { return };
    assert!(passed, "{said}");
    assert_eq!((number(&said, "deaths"), number(&said, "lost")), (8, 0));
}

#[test]
fn an_engine_that_does_not_sync_is_caught() {
    let Some((passed, said)) = rig(&["engine-cuts", "--cuts", "10", "--without-sync"]) else { return };
    assert!(!passed && number(&said, "lost") > 0, "{said}");
}

#[test]
fn a_disk_that_is_full_and_freed_again_serves_again_and_loses_nothing() {
    let Some((passed, said)) = rig(&["full-disk", "--cycles", "1"]) else { return };
    assert!(passed, "{said}");
    // One of each kind.
    assert_eq!((number(&said, "cycles"), number(&said, "lost")), (2, 0));
    assert!(number(&said, "refused") + number(&said, "unknown") > 0);
    let engine = said.lines().find(|line| line.starts_with("suite=full-disk-engine")).unwrap();
    assert_eq!((number(engine, "cycles"), number(engine, "lost"), number(engine, "phantoms")), (1, 0, 0));
    assert!(number(engine, "refused") > 0 && number(engine, "reads_while_full") > 0, "{engine}");
}

#[test]
fn a_writer_that_believes_a_second_sync_is_caught() {
    let Some((passed, said)) = rig(&["full-disk", "--cycles", "3", "--retries-sync"]) else { return };
    assert!(!passed && said.contains("FAILED: Thin"), "{said}");
}

#[test]
fn where_it_may_not_mount_it_says_so_and_only_fails_if_it_was_required() {
    // Without any programs there is nothing to mount with.
    let rig = |required: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_rig"))
            .args(["power-cuts", "--cuts", "1"])
            .args(required)
            .env("PATH", "")
            .output()
            .unwrap()
    };
    let skipped = rig(&[]);
    assert!(skipped.status.success());
    assert!(String::from_utf8_lossy(&skipped.stdout).starts_with("SKIPPED: rig power-cuts because "));
    assert!(!rig(&["--require"]).status.success());
}
