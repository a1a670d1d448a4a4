//! The seeded simulation of the engine; the work is in `crates/stemedb-sim`.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// Passes the options on to the simulator, built with optimisation and with every assertion.
pub fn run(root: &Path, options: &[&str]) -> Outcome {
    steps::command(
        Command::new("cargo")
            .args(["run", "--locked", "--quiet", "--profile", "sim", "--package", "stemedb-sim", "--"])
            .args(options)
            .current_dir(root),
    )
}
