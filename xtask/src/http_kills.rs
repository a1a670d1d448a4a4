//! `kill -9` of a server under clients; the suite is a test of `stemedb-api`, because cargo has built the program for it there.

use std::{path::Path, process::Command};

use crate::{steps::Outcome, torture::told};

/// Its name among the suites of `torture`.
pub const SUITE: &str = "http-kills";
const TEST: &str = "http_kills::eight_clients_see_one_order_of_events_through_kills_and_lose_nothing";
/// How many times a server is killed, deep. With every change the test takes fewer.
const ROUNDS: u64 = 60;

/// Runs it, and returns its line for the ledger.
pub fn run(root: &Path, is_deep: bool) -> (Vec<String>, Outcome) {
    let mut command = Command::new("cargo");
    command
        .args(["test", "--locked", "--quiet", "--package", "stemedb-api", "--test", "cli_processes", "--"])
        .args(["--exact", "--nocapture", TEST])
        .current_dir(root);
    let mut shown = String::new();
    if is_deep {
        command.env("HTTP_KILLS_ROUNDS", ROUNDS.to_string());
        shown = format!("HTTP_KILLS_ROUNDS={ROUNDS} ");
    }
    println!("$ {shown}cargo test -p stemedb-api --test cli_processes -- --exact --nocapture {TEST}");
    match told(&mut command, SUITE) {
        // A test that is not there passes.
        (lines, Ok(())) if lines.is_empty() => (lines, Err(format!("`{SUITE}` said nothing"))),
        told => told,
    }
}
