//! The commit queue under a scheduler that explores interleavings.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// Builds the journal with shuttle's locks, in a target folder of its own (the flag changes every crate), and runs the
/// one test that needs them.
pub fn run(root: &Path) -> Outcome {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    steps::command(
        Command::new("cargo")
            .args(["test", "--locked", "--quiet", "--package", "stemedb-wal", "--test", "interleavings"])
            .arg("--target-dir")
            .arg(folder.join("shuttle"))
            .env("RUSTFLAGS", "--cfg shuttle")
            .current_dir(root),
    )
}
