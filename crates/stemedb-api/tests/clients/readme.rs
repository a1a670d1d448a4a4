//! The examples of the READMEs, run as they stand there against a fresh server.

use std::process::Command;

use crate::{python, server::Server};

const README: &str = include_str!("../../../stemedb-client/README.md");
const EXAMPLE: &str = include_str!("first_example.rs");
/// Says to this very test, started again, that it is to be the example.
const ROLE: &str = "STEMEDB_TEST_IS_THE_EXAMPLE";

// Not a module of its own: it stands in the README, so it has no documentation of modules.
mod first {
    include!("first_example.rs");

    pub fn run() -> Result<(), stemedb_client::Error> {
        main()
    }
}

/// The first fenced block with this info string.
pub fn block<'a>(text: &'a str, info: &str) -> &'a str {
    let start = format!("```{info}\n");
    let rest = text.split_once(&start).unwrap_or_else(|| panic!("no block {info}")).1;
    rest.split_once("```").unwrap().0
}

#[test]
fn the_example_for_rust_does_what_it_says() {
    if std::env::var_os(ROLE).is_some() {
        first::run().unwrap();
        return;
    }
    assert_eq!(block(README, "rust,no_run"), EXAMPLE, "the README shows another program");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["readme::the_example_for_rust_does_what_it_says", "--exact", "--nocapture"])
        .env(ROLE, "1")
        .env("STEMEDB_URL", server.url())
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{out}{}", String::from_utf8_lossy(&ran.stderr));
    said(&out);
}

#[test]
fn the_example_for_python_does_what_it_says() {
    let readme = std::fs::read_to_string(python::folder().join("README.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    let ran = python::command()
        .args(["-c", block(&readme, "python")])
        .env("STEMEDB_URL", server.url())
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{out}{}", String::from_utf8_lossy(&ran.stderr));
    said(&out);
}

/// Both examples tell the same.
#[track_caller]
fn said(out: &str) {
    assert!(out.contains("recorded at 3, new: "), "{out}");
    assert!(out.contains("181.15 says [") && out.contains("handbook"), "{out}");
    assert!(out.contains("contested: ") && out.matches("melting_point_K").count() == 2, "{out}");
}
