//! Debian's packages of Prometheus, Alertmanager and node_exporter.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    server,
    steps::{self, Outcome},
};

/// The programs, with the packages that bring them. Those packages have services, too; nothing here wants them to be started.
const PACKAGES: [&str; 3] = ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter"];
const PROGRAMS: [&str; 4] = ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter", "amtool"];
/// Asked by Debian's scripts whether a service may be started: 101 is no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// `promtool` alone, for the checks that CI makes: the one that is installed, else out of its package, without installing that.
pub fn promtool(root: &Path) -> Result<PathBuf, String> {
    let installed = PathBuf::from("/usr/bin/promtool");
    if installed.is_file() {
        return Ok(installed);
    }
    let folder = server::target(root).join("monitoring");
    let program = folder.join("debian/usr/bin/promtool");
    if program.is_file() {
        return Ok(program);
    }
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(told)?;
    let mut download = Command::new("apt-get");
    download.args(["download", "-q", "prometheus"]).current_dir(&folder);
    // Lists of packages that were never fetched, or are too old, are the same failure.
    if steps::command(&mut download).is_err() {
        steps::command(Command::new("apt-get").args(["update", "-q"]))?;
        steps::command(&mut download)?;
    }
    for entry in fs::read_dir(&folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            steps::command(Command::new("dpkg").arg("--extract").arg(&path).arg(folder.join("debian")))?;
            fs::remove_file(&path).map_err(told)?;
        }
    }
    Ok(program)
}

/// Installs what is absent, as root, and starts none of its services.
pub fn install() -> Outcome {
    let is_there = |program: &&str| Path::new("/usr/bin").join(program).is_file();
    if PROGRAMS.iter().all(is_there) {
        return Ok(());
    }
    let _policy = NoServices::new()?;
    steps::command(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-qy", "--no-install-recommends"]).args(PACKAGES);
    steps::command(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// While it lives no package starts a service.
struct NoServices {
    is_mine: bool,
}

impl NoServices {
    fn new() -> Result<NoServices, String> {
        let is_mine = !Path::new(POLICY).exists();
        if is_mine {
            let told = |error: std::io::Error| format!("{POLICY}: {error}");
            fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(told)?;
            steps::command(Command::new("chmod").args(["755", POLICY]))?;
        }
        Ok(NoServices { is_mine })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_mine {
            // Left behind it would keep all later packages from starting services.
            let _ = fs::remove_file(POLICY);
        }
    }
}
