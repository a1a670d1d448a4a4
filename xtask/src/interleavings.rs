//! The commit queue and the memtable under a scheduler that explores interleavings.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// What needs shuttle's locks and atomics: a package, and what selects its tests.
const SUITES: [(&str, &[&str]); 3] = [
    ("stemedb-wal", &["--test", "interleavings"]),
    ("stemedb-lsm", &["--lib", "memtable::tests::interleavings"]),
    ("stemedb-lsm", &["--test", "interleavings"]),
];

/// Builds the suites with shuttle's locks, in a target folder of its own (the flag changes every crate), and runs them.
pub fn run(root: &Path) -> Outcome {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    SUITES.iter().try_for_each(|(package, tests)| {
        steps::command(
            Command::new("cargo")
                .args(["test", "--locked", "--quiet", "--package", package])
                .arg("--target-dir")
                .arg(folder.join("shuttle"))
                .args(*tests)
                .env("RUSTFLAGS", "--cfg shuttle")
                .current_dir(root),
        )
    })
}
