//! A Debian system in a folder, made of the packages of this machine: their files, and the package manager's record of them.
//!
//! As debootstrap makes one, without its downloads. No maintainer script has run: what such scripts make and the test needs is in
//! [`MADE_BY_SCRIPTS`].

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::steps::Outcome;

use super::units;

/// What the package and the test need; what these depend on comes along.
const PACKAGES: [&str; 20] = [
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "init-system-helpers",
    "libc-bin",
    "logrotate",
    "mawk",
    "perl-base",
    "sed",
    "systemd",
    "tar",
    "util-linux",
];
/// Files of no package.
const MADE_BY_SCRIPTS: [&str; 5] =
    ["bin/sh", "etc/alternatives/awk", "etc/ld.so.cache", "etc/nsswitch.conf", "usr/bin/awk"];
/// Folders that `/bin` and its kin are links to: a link is followed only to a folder that is there.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Makes one. Cost: about 110 MB, seconds.
pub fn make(folder: &Path) -> Outcome {
    units::fresh(folder)?;
    for name in MERGED {
        fs::create_dir_all(folder.join("usr").join(name)).map_err(|error| error.to_string())?;
    }
    let packages = closure()?;
    copy(&packages, folder)?;
    for (name, from) in [("passwd", "passwd.master"), ("group", "group.master")] {
        let from = folder.join("usr/share/base-passwd").join(from);
        fs::copy(&from, folder.join("etc").join(name))
            .map_err(|error| format!("{}: {error}", from.display()))?;
    }
    record(&packages, folder)?;
    println!("a system of {} packages of this machine", packages.len());
    Ok(())
}

fn told(program: &str, arguments: &[&str], more: &BTreeSet<String>) -> Result<String, String> {
    let said = Command::new(program).args(arguments).args(more).stderr(Stdio::inherit()).output();
    let said = said.map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// [`PACKAGES`] and what they depend on, of what is installed.
fn closure() -> Result<BTreeSet<String>, String> {
    let leave_out = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    let leave_out = leave_out.map(|kind| format!("--no-{kind}"));
    let mut options = vec!["depends", "--recurse", "--installed"];
    options.extend(leave_out.iter().map(String::as_str));
    options.extend(PACKAGES);
    let tree = told("apt-cache", &options, &BTreeSet::new())?;
    let named = tree.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_alphanumeric()));
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    let states =
        told("dpkg-query", &["--show", "--showformat=${binary:Package} ${db:Status-Status}\n"], &named)?;
    let installed = states.lines().filter_map(|line| line.strip_suffix(" installed"));
    let packages: BTreeSet<String> = installed.map(str::to_owned).collect();
    let is_there = |name: &&&str| !packages.iter().any(|one| one.split(':').next() == Some(**name));
    match PACKAGES.iter().find(is_there) {
        Some(absent) => Err(format!("{absent} is not installed on this machine")),
        None => Ok(packages),
    }
}

/// Copies their files, as far as they are there: slim images have no manuals.
fn copy(packages: &BTreeSet<String>, folder: &Path) -> Outcome {
    let files = told("dpkg-query", &["--listfiles"], packages)?;
    let names: BTreeSet<&str> = files
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .chain(MADE_BY_SCRIPTS)
        .filter(|name| {
            !name.is_empty() && *name != "." && fs::symlink_metadata(Path::new("/").join(name)).is_ok()
        })
        .collect();
    let failed = |error: std::io::Error| format!("tar: {error}");
    let mut pack = Command::new("tar");
    pack.args(["-C", "/", "--hard-dereference", "--no-recursion", "-cf", "-", "-T", "-"]);
    let mut pack = pack.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let (list, packed) = (pack.stdin.take(), pack.stdout.take());
    let (Some(mut list), Some(packed)) = (list, packed) else { return Err("tar has no pipes".to_owned()) };
    let mut unpack = Command::new("tar");
    let mut unpack = unpack.arg("-C").arg(folder).args(["-xf", "-"]).stdin(packed).spawn().map_err(failed)?;
    let names: Vec<&str> = names.into_iter().collect();
    list.write_all(names.join("\n").as_bytes()).map_err(failed)?;
    drop(list);
    let ended = [pack.wait().map_err(failed)?, unpack.wait().map_err(failed)?];
    match ended.iter().find(|status| !status.success()) {
        Some(status) => Err(format!("tar ended with {status}")),
        None => Ok(()),
    }
}

/// What dpkg knows of them.
fn record(packages: &BTreeSet<String>, folder: &Path) -> Outcome {
    let place = folder.join("var/lib/dpkg");
    let failed = |error: std::io::Error| format!("{}: {error}", place.display());
    fs::create_dir_all(place.join("info"))
        .and_then(|()| fs::create_dir_all(place.join("updates")))
        .map_err(failed)?;
    fs::write(place.join("status"), told("dpkg-query", &["--status"], packages)?).map_err(failed)?;
    for name in fs::read_dir("/var/lib/dpkg/info").map_err(failed)?.filter_map(|entry| entry.ok()) {
        let file = name.file_name().to_string_lossy().into_owned();
        let package = file.rsplit_once('.').map_or("", |(package, _)| package);
        if packages.iter().any(|one| one == package || one.split(':').next() == Some(package)) {
            fs::copy(name.path(), place.join("info").join(&file)).map_err(failed)?;
        }
    }
    Ok(())
}
