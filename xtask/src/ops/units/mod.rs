//! `deploy/systemd`, `deploy/scripts` and `deploy/package` as those read them who use them: systemd, the shell, the program.
//!
//! Everything is installed into a folder by `deploy/install.sh`, and judged there:
//!
//! | what | by |
//! |---|---|
//! | scripts | shellcheck |
//! | the list of files, the package's, and what stands in `deploy/` | each other ([`manifest`]) |
//! | units | `systemd-analyze verify`: nothing may be said, as it only warns of names it does not know |
//! | how much a service may do | `systemd-analyze security`, with a limit |
//! | command lines of units, scripts and the guide | the program's own help ([`commands`]) |
//! | the configuration | `check-config`, and `deploy/api.toml`, from which it differs in lines that are put in force |

pub mod commands;
pub mod manifest;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Depth, debian};
use crate::{
    server,
    steps::{self, Outcome},
};

/// What `systemd-analyze security` may say at most of any service, in tenths (0 is best, 100 worst). What is left is the network and the
/// machine's root folder.
const EXPOSURE_LIMIT: u32 = 11;
/// What systemd wants to know of a system beside our units.
const OF_THE_SYSTEM: &str = "/usr/lib/systemd/system";

/// Runs the part.
pub fn run(root: &Path, _: Depth) -> Outcome {
    debian::need(&[("systemd-analyze", "systemd"), ("shellcheck", "shellcheck")])?;
    let program = server::program(root)?;
    scripts(root)?;
    let stage = server::target(root).join("ops/units");
    files(root, &program, &stage)?;
    configuration(root, &program)?;
    units(root, &stage)?;
    commands::exist(root, &program)
}

/// Every script, read by shellcheck.
fn scripts(root: &Path) -> Outcome {
    let mut all: Vec<PathBuf> =
        ["deploy/install.sh", "deploy/package/cron-daily", "xtask/src/ops/package/installed.sh"]
            .map(PathBuf::from)
            .to_vec();
    for folder in ["deploy/scripts", "deploy/package/debian"] {
        all.extend(names(&root.join(folder))?.into_iter().map(|name| Path::new(folder).join(name)));
    }
    let mut check = Command::new("shellcheck");
    // A script that is sourced is looked at where it is, too.
    steps::command(check.arg("--external-sources").args(&all).current_dir(root))?;
    println!("{} scripts: nothing to say", all.len());
    Ok(())
}

/// Names in a folder, in order.
fn names(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let names: Result<Vec<String>, _> =
        entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names.map_err(failed)?;
    names.sort();
    Ok(names)
}

/// The list is the package's, nothing is left out of it, and the installer puts all of it where it says, twice.
fn files(root: &Path, program: &Path, stage: &Path) -> Outcome {
    let list = manifest::read(root)?;
    let mut problems = manifest::differences(&list, &manifest::of_package(root)?);
    for folder in ["deploy/systemd", "deploy/scripts"] {
        let left_out = names(&root.join(folder))?;
        let left_out = left_out.iter().map(|name| format!("{folder}/{name}"));
        problems.extend(
            left_out
                .filter(|source| !list.iter().any(|entry| entry.source == *source))
                .map(|source| format!("{source} is not installed")),
        );
    }
    fresh(stage)?;
    let install = || {
        let mut install = Command::new(root.join("deploy/install.sh"));
        steps::command(install.arg("--program").arg(program).arg("--root").arg(stage))
    };
    install()?;
    problems.extend(manifest::missing(&list, stage));
    // An upgrade keeps what an administrator has changed.
    let changed = stage.join("etc/stemedb/api.toml");
    fs::write(&changed, "# mine\n").map_err(|error| error.to_string())?;
    install()?;
    let is_kept = fs::read_to_string(&changed).is_ok_and(|text| text == "# mine\n");
    if !is_kept || !changed.with_extension("toml.new").is_file() {
        problems.push("a changed api.toml was not kept, with the new one beside it".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    println!("{} files, as the package has them, installed with their modes", list.len());
    Ok(())
}

/// An empty folder.
pub fn fresh(folder: &Path) -> Outcome {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// The installed configuration is the example with some lines in force, and is accepted.
fn configuration(root: &Path, program: &Path) -> Outcome {
    let read = |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"));
    let (example, installed) = (read("deploy/api.toml")?, read("deploy/package/api.toml")?);
    let in_force = in_force(&example, &installed)?;
    let mut check = Command::new(program);
    check.env_remove(server::PROGRAM);
    check.args(["check-config", "--config"]).arg(root.join("deploy/package/api.toml"));
    steps::command(&mut check)?;
    println!("installed configuration: {}", in_force.join(", "));
    Ok(())
}

/// The lines that are put in force; an error where the two differ otherwise.
fn in_force<'a>(example: &str, installed: &'a str) -> Result<Vec<&'a str>, String> {
    let (lines, others): (Vec<&str>, Vec<&str>) = (example.lines().collect(), installed.lines().collect());
    if lines.len() != others.len() {
        return Err(format!(
            "deploy/package/api.toml has {} lines, deploy/api.toml {}: take that one, and put in force what was",
            others.len(),
            lines.len()
        ));
    }
    let changed = lines.iter().zip(others).filter(|(line, other)| *line != other);
    changed
        .map(|(line, other)| match line.strip_prefix('#') {
            Some(line) if line == other => Ok(other),
            _ => Err(format!("deploy/package/api.toml has `{other}` where deploy/api.toml has `{line}`")),
        })
        .collect()
}

/// systemd has nothing to say about the installed units, and no service may do more than the limit says.
fn units(root: &Path, stage: &Path) -> Outcome {
    let all = names(&root.join("deploy/systemd"))?;
    surroundings(stage)?;
    let below = format!("--root={}", stage.display());
    let mut verify = Command::new("systemd-analyze");
    // An instance stands for a template.
    let judged = all.iter().map(|unit| unit.replace("@.", "@stemedb-api."));
    verify.args(["verify", "--man=no", &below]).args(judged);
    let told = verify.output().map_err(|error| format!("systemd-analyze: {error}"))?;
    let words = [told.stdout, told.stderr].concat();
    if !told.status.success() || !words.is_empty() {
        return Err(format!("systemd-analyze verify: {}", String::from_utf8_lossy(&words)));
    }
    println!("systemd-analyze verify: {} units, nothing to say", all.len());
    for unit in all.iter().filter(|unit| unit.ends_with(".service")) {
        let mut security = Command::new("systemd-analyze");
        let limit = format!("--threshold={EXPOSURE_LIMIT}");
        security.args(["security", "--offline=true", "--no-pager", &limit, &below, unit]);
        let told = security.output().map_err(|error| format!("systemd-analyze: {error}"))?;
        let words = String::from_utf8_lossy(&told.stdout).into_owned();
        let score = words.lines().rfind(|line| line.contains("Overall exposure level")).unwrap_or_default();
        println!(
            "{unit}: {} (limit {}.{})",
            score.trim_start_matches("→ "),
            EXPOSURE_LIMIT / 10,
            EXPOSURE_LIMIT % 10
        );
        if !told.status.success() || score.is_empty() {
            return Err(format!("{unit} may do too much\n{words}{}", String::from_utf8_lossy(&told.stderr)));
        }
        tells_of_failures(root, unit)?;
    }
    Ok(())
}

/// The targets that our units name, and the one program of the system that they call.
fn surroundings(stage: &Path) -> Outcome {
    let place = stage.join(OF_THE_SYSTEM.trim_start_matches('/'));
    for name in names(Path::new(OF_THE_SYSTEM))?.iter().filter(|name| name.ends_with(".target")) {
        let target = Path::new(OF_THE_SYSTEM).join(name);
        fs::copy(&target, place.join(name)).map_err(|error| format!("{}: {error}", target.display()))?;
    }
    let folder = stage.join("bin");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy("/bin/kill", folder.join("kill")))
        .map_err(|error| format!("/bin/kill: {error}"))?;
    Ok(())
}

/// A unit that fails says so; the one that says it cannot say it of itself.
fn tells_of_failures(root: &Path, unit: &str) -> Outcome {
    let path = root.join("deploy/systemd").join(unit);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let tells = text.lines().any(|line| line == "OnFailure=stemedb-failure@%N.service");
    if tells == (unit == "stemedb-failure@.service") {
        return Err(format!("{unit}: OnFailure= is not as it should be"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_force_are_told_and_any_other_difference_is_refused() {
        let example = "# what\n#a = 1\n\n#b = 2\n";
        assert_eq!(in_force(example, "# what\na = 1\n\n#b = 2\n").unwrap(), ["a = 1"]);
        assert!(in_force(example, "# what\na = 3\n\n#b = 2\n").is_err());
        assert!(in_force(example, "# what\na = 1\n\n").is_err());
    }
}
