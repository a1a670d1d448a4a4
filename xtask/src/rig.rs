//! The journal and the engine on a real kernel; the work is in `crates/stemedb-rig`.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// How much of each suite.
struct Sizes {
    /// Power cuts below a journal.
    cuts: u64,
    /// Times that a disk is filled.
    cycles: u64,
    /// Kills of processes that run the whole engine.
    engine_kills: u64,
    /// Power cuts below such processes.
    engine_cuts: u64,
}

const PER_PUSH: Sizes = Sizes { cuts: 500, cycles: 3, engine_kills: 40, engine_cuts: 60 };
const DEEP: Sizes = Sizes { cuts: 5_000, cycles: 20, engine_kills: 300, engine_cuts: 1_500 };

/// Runs all suites, built with optimisation and with every assertion. Each prints one line with what it did; where the
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
    for (suite, option, count) in [
        ("power-cuts", "--cuts", size.cuts),
        ("full-disk", "--cycles", size.cycles),
        ("engine-kills", "--kills", size.engine_kills),
        ("engine-cuts", "--cuts", size.engine_cuts),
    ] {
        steps::command(
            Command::new("cargo")
                .args(["run", "--locked", "--quiet", "--profile", "sim", "--package", "stemedb-rig", "--"])
                .args([suite, option, &count.to_string()])
                .args(require.then_some("--require"))
                .current_dir(root),
        )?;
    }
    Ok(())
}
