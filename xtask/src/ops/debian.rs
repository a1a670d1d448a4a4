//! Programs that Debian has and a part needs.

use std::{path::Path, process::Command};

use crate::steps::{self, Outcome};

/// Folders beside those of `PATH` that hold what only root calls.
const OF_ROOT: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Installs the packages of those programs (`(program, package)`) that are absent. Cost: seconds and the network where one is.
pub fn need(programs: &[(&str, &str)]) -> Outcome {
    let absent: Vec<&str> =
        programs.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if absent.is_empty() {
        return Ok(());
    }
    steps::command(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-qy", "--no-install-recommends"]).args(&absent);
    steps::command(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    match programs.iter().find(|(program, _)| !is_there(program)) {
        Some((program, package)) => Err(format!("{package} was installed, and there is no {program}")),
        None => Ok(()),
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(OF_ROOT.iter().map(|folder| Path::new(folder).to_path_buf()))
        .any(|folder| folder.join(program).is_file())
}
