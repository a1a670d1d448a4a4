//! The client for Python: its types by mypy, and what needs `cryptography`.
//!
//! Everything else of it is tested without a package, by `crates/stemedb-api/tests/clients`.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// Where the client lies.
const FOLDER: &str = "clients/python";
/// Where its tools are installed, below the target folder.
const TOOLS: &str = "target/python-tools";
/// Whose versions are checked and tested with.
const PACKAGES: &[&str] = &["mypy==2.4.1", "cryptography==50.0.2"];

/// Checks types strictly, and makes the golden signatures again.
pub fn check(root: &Path) -> Outcome {
    let (folder, tools) = (root.join(FOLDER), root.join(TOOLS));
    let python = tools.join("bin/python");
    if !python.exists() {
        steps::command(Command::new("python3").args(["-m", "venv"]).arg(&tools))?;
    }
    let mut install = Command::new(&python);
    steps::command(
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES),
    )?;
    let cache = tools.join("mypy");
    steps::command(
        Command::new(&python).args(["-m", "mypy", "--cache-dir"]).arg(cache).current_dir(&folder),
    )?;
    steps::command(
        Command::new(&python)
            .args(["-W", "error", "-m", "unittest", "tests.with_cryptography"])
            .env("PYTHONPATH", folder.join("src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&folder),
    )
}
