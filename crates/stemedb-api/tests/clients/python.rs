//! The client for Python: its own tests, against a server process.

use std::{path::PathBuf, process::Command};

use crate::{coverage, server::Server};

/// Where the client for Python lies.
pub fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "clients", "python"].iter().collect()
}

/// Python with the client on its path and nothing else.
pub fn command() -> Command {
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", folder().join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("STEMEDB_API_KEY")
        .env_remove("STEMEDB_API_KEY_FILE")
        .current_dir(folder());
    command
}

/// Also the tour through every route, which the server then has counted.
#[test]
fn the_tests_of_the_client_for_python_pass_and_use_every_operation() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    let server =
        Server::start_with(&data, &["--bind", "127.0.0.1:0", "--backup-to", target.to_str().unwrap()]);
    let ran = command()
        .args(["-W", "error", "-m", "unittest", "discover", "-s", "tests", "-t", "."])
        .env("STEMEDB_TEST_URL", server.url())
        .output()
        .unwrap_or_else(|error| panic!("python3 is needed: {error}"));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("\nOK"), "{said}");
    // A skipped test, or a connection that nobody closed.
    assert!(!said.contains("skipped") && !said.contains("Exception ignored"), "{said}");
    coverage::is_whole(&server.url());
}
