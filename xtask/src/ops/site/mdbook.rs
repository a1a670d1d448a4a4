//! mdBook: installed where it is absent, and run.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// The version that `book.toml` is written for.
const VERSION: &str = "0.5.4";

/// Builds a book; a warning is an error.
pub fn build(root: &Path, book: &Path, site: &Path) -> Outcome {
    install(root)?;
    let mut command = Command::new("mdbook");
    command.arg("build").arg(book).arg("--dest-dir").arg(site);
    let output = command.output().map_err(|error| format!("mdbook: {error}"))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let is_told =
        |line: &&str| ["WARN", "ERROR", "warning:", "error:"].iter().any(|word| line.contains(word));
    let told: Vec<&str> = said.lines().filter(is_told).collect();
    if output.status.success() && told.is_empty() {
        return Ok(());
    }
    Err(format!("mdbook ended with {} and said:\n{said}", output.status))
}

/// From crates.io, without the parts that serve and watch. Built without optimisation, as cargo-deny is: it runs for a few seconds.
fn install(root: &Path) -> Outcome {
    if is_installed() {
        return Ok(());
    }
    let mut command = Command::new("cargo");
    command.args(["install", "--locked", "--debug", "--no-default-features", "--features", "search"]);
    command.args(["--version", VERSION, "mdbook"]).current_dir(root);
    steps::command(command.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR"))
}

/// Whether this version is there.
pub fn is_installed() -> bool {
    let output = Command::new("mdbook").arg("--version").output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("mdbook v") == VERSION
    })
}
