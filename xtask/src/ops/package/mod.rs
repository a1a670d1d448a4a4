//! The Debian package: made by cargo-deb, installed into a system of its own, and used there.
//!
//! ```text
//! cargo deb ─▶ .deb ─┐
//! packages of this   ├─▶ a root folder ─▶ installed.sh in namespaces of its own: dpkg -i · files, owners, modes ·
//! machine ───────────┘     (base_system)      the unit's command line · scripts, cron, logrotate · upgrade, removal · install.sh
//!                                                   └─▶ its system calls, compared with what the unit allows (calls)
//! ```
//!
//! Only the whole run has it: cargo-deb is built for it once.

mod base_system;
mod calls;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Depth, debian,
    units::{self, manifest},
};
use crate::{
    server,
    steps::{self, Outcome},
};

/// The version that `[package.metadata.deb]` is written for.
const CARGO_DEB: &str = "3.8.0";
/// Everything in the installed system, on two cores that are busy with other things, too.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs the part.
pub fn run(root: &Path, depth: Depth) -> Outcome {
    if depth == Depth::Quick {
        println!("the package is made and installed by the whole run");
        return Ok(());
    }
    debian::need(&[
        ("dpkg-shlibdeps", "dpkg-dev"),
        ("ip", "iproute2"),
        ("logrotate", "logrotate"),
        ("strace", "strace"),
        ("systemd-analyze", "systemd"),
        ("curl", "curl"),
    ])?;
    let program = server::program(root)?;
    let folder = server::target(root).join("ops/package");
    units::fresh(&folder)?;
    let package = made(root, &program, &folder)?;
    let system = folder.join("system");
    base_system::make(&system)?;
    // What the installer needs of this repository, below the system's root.
    let sources = system.join("src");
    for entry in manifest::read(root)?.iter().filter(|entry| entry.source != "program") {
        copied(&root.join(&entry.source), &sources.join(&entry.source))?;
    }
    for source in ["deploy/install.sh", manifest::LIST] {
        copied(&root.join(source), &sources.join(source))?;
    }
    let trace = folder.join("calls.txt");
    let mut inside = Command::new("unshare");
    inside
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "bash"])
        .arg(root.join("xtask/src/ops/package/installed.sh"))
        .args([&system, &package, &trace]);
    steps::command_within(&mut inside, LIMIT)?;
    calls::are_allowed(&root.join("deploy/systemd/stemedb-api.service"), &trace)
}

fn copied(from: &Path, to: &Path) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::copy(from, to).map(drop).map_err(failed)
}

/// Makes the package of a program that is built already.
fn made(root: &Path, program: &Path, folder: &Path) -> Result<PathBuf, String> {
    let cargo_deb = cargo_deb(root)?;
    let built = folder.join("built");
    copied(program, &built.join("release/stemedb-api"))?;
    let mut make = Command::new(cargo_deb);
    make.args([
        "--no-build",
        "--no-strip",
        "--fast",
        "--compress-type",
        "gz",
        "--compress-system",
        "--locked",
    ])
    .args(["--package", "stemedb-api", "--output"])
    .arg(folder)
    .env("CARGO_TARGET_DIR", &built)
    .current_dir(root);
    steps::command(&mut make)?;
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let made = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let package = made.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.ok_or("cargo deb has made no package")?;
    steps::command(Command::new("dpkg-deb").arg("--info").arg(&package))?;
    Ok(package)
}

/// cargo-deb of the version that is meant, installed below the target folder. It runs for a second: built without optimisation, and
/// without the compression that `--compress-system` leaves to other programs, it takes a quarter of the time.
fn cargo_deb(root: &Path) -> Result<PathBuf, String> {
    let tools = server::target(root).join("tools");
    let program = tools.join("bin/cargo-deb");
    let version = Command::new(&program).arg("--version").output();
    if !version.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).trim().ends_with(CARGO_DEB)) {
        let mut install = Command::new("cargo");
        install
            .args(["install", "--locked", "--debug", "--no-default-features", "--quiet"])
            .args(["--version", CARGO_DEB, "--root"])
            .arg(&tools)
            .arg("cargo-deb")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(root);
        steps::command(&mut install)?;
    }
    Ok(program)
}
