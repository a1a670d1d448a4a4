//! The console in a real browser: `crates/stemedb-api/tests/console`, with everything that it needs.
//!
//! Debian's Chromium, driven by Playwright's Python package, which brings its own driver but whose own browsers are not
//! downloaded. What is absent is installed: the browser by apt-get (as root), the packages into a virtual environment
//! below the target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::steps::{self, Outcome};

/// The tests, on two cores that are busy with other things, too.
const LIMIT: Duration = Duration::from_secs(240);
/// Programs that are looked for, with the packages that bring them.
const PROGRAMS: [(&[&str], &[&str]); 2] = [
    (&["chromium", "--version"], &["chromium"]),
    (&["python3", "-c", "import ensurepip, venv"], &["python3", "python3-venv"]),
];

/// Installs what is absent, builds the program, and runs the tests (or takes pictures: `--shots FOLDER`; or some: `--only WORD`).
pub fn run(root: &Path, options: &[&str]) -> Outcome {
    let absent: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !answers(program))
        .flat_map(|(_, packages)| *packages)
        .copied()
        .collect();
    if !absent.is_empty() {
        steps::command(Command::new("apt-get").args(["update", "-q"]))?;
        let mut install = Command::new("apt-get");
        install.args(["install", "-qy", "--no-install-recommends"]).args(&absent);
        steps::command(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let python = environment(root)?;
    let mut build = Command::new("cargo");
    build.args(["build", "--package", "stemedb-api", "--locked", "--quiet"]).current_dir(root);
    steps::command(&mut build)?;
    let mut tests = Command::new(python);
    tests.arg(root.join(TESTS).join("run.py")).arg(target(root).join("debug/stemedb-api")).args(options);
    // No compiled copies beside the sources.
    steps::command_within(tests.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(root), LIMIT)
}

const TESTS: &str = "crates/stemedb-api/tests/console";

/// The Python of an environment that has exactly the packages that are asked for.
fn environment(root: &Path) -> Result<PathBuf, String> {
    let list = root.join(TESTS).join("requirements.txt");
    let wanted = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let folder = target(root).join("console-python");
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    steps::command(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&list);
    steps::command(&mut install)?;
    // Written last: an installation that was cut off begins again.
    fs::write(&installed, wanted).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(python)
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn answers(program: &[&str]) -> bool {
    let Some((name, arguments)) = program.split_first() else { return false };
    Command::new(name).args(arguments).output().is_ok_and(|output| output.status.success())
}
