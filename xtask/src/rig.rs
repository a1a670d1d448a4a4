//! The journal on a real kernel; the work is in `crates/stemedb-rig`.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// Power cuts and cycles of a full disk, for every push and for a run in depth.
const PER_PUSH: (u64, u64) = (500, 3);
const DEEP: (u64, u64) = (5_000, 20);

/// Runs both suites, built with optimisation and with every assertion. Each prints one line with what it did; where the
/// machine does not let it mount, it prints why and that is no failure, unless `--require` is given.
pub fn run(root: &Path, options: &[&str]) -> Outcome {
    let (mut size, mut require) = (PER_PUSH, false);
    for option in options {
        match *option {
            "--deep" => size = DEEP,
            "--require" => require = true,
            other => return Err(format!("unknown option {other}")),
        }
    }
    let (cuts, cycles) = (size.0.to_string(), size.1.to_string());
    for suite in [["power-cuts", "--cuts", &cuts], ["full-disk", "--cycles", &cycles]] {
        steps::command(
            Command::new("cargo")
                .args(["run", "--locked", "--quiet", "--profile", "sim", "--package", "stemedb-rig", "--"])
                .args(suite)
                .args(require.then_some("--require"))
                .current_dir(root),
        )?;
    }
    Ok(())
}
