//! Licences, bans and sources of all dependencies, by cargo-deny.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// The version that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// Installs cargo-deny where it is absent, and runs it.
pub fn check(root: &Path) -> Outcome {
    if !is_installed(root) {
        // It runs for a second and is built once: built without optimisation and without its network parts it takes
        // about a quarter of the time. The checks that need the network are not used.
        steps::command(
            Command::new("cargo")
                .args([
                    "install",
                    "--locked",
                    "--debug",
                    "--no-default-features",
                    "--version",
                    VERSION,
                    "cargo-deny",
                ])
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env_remove("CARGO_TARGET_DIR")
                .current_dir(root),
        )?;
    }
    steps::command(
        Command::new("cargo")
            .args(["deny", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
            .current_dir(root),
    )
}

fn is_installed(root: &Path) -> bool {
    Command::new("cargo")
        .args(["deny", "--version"])
        .current_dir(root)
        .output()
        .is_ok_and(|output| output.status.success())
}
