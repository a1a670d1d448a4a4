//! `deploy/exporters/stemedb-disk-io-errors.sh`, run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{daemon, debian, http};
use crate::{
    server,
    steps::{self, Outcome},
};

/// Below the repository's root.
const SCRIPT: &str = "deploy/exporters/stemedb-disk-io-errors.sh";
/// What it writes.
pub const FILE: &str = "stemedb_disk_io_errors.prom";
const HEAD: &str = "\
# HELP node_disk_io_errors_total I/O errors of the disk that the kernel has counted.
# TYPE node_disk_io_errors_total counter
";

/// Runs it over a folder that looks like `/sys/block`, into another one.
pub fn run(root: &Path, block: &Path, texts: &Path) -> Outcome {
    let mut command = Command::new("sh");
    steps::command(command.arg(root.join(SCRIPT)).arg(texts).env("SYSFS_BLOCK", block))
}

/// A disk that has counted so many errors, as the kernel shows it.
pub fn disk(block: &Path, name: &str, count: &str) -> Outcome {
    let folder = block.join(name).join("device");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(told)?;
    fs::write(folder.join("ioerr_cnt"), format!("{count}\n")).map_err(told)
}

/// An empty folder for disks and one for what is told of them.
fn folders(root: &Path) -> Result<(PathBuf, PathBuf), String> {
    let folder = server::target(root).join("monitoring/exporter");
    let _ = fs::remove_dir_all(&folder);
    let (block, texts) = (folder.join("block"), folder.join("texts"));
    for folder in [&block, &texts] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok((block, texts))
}

/// What it makes of disks of every kind.
pub fn fixtures(root: &Path) -> Outcome {
    let (block, texts) = folders(root)?;
    let written = || fs::read_to_string(texts.join(FILE)).unwrap_or_default();
    let same = |what: &str, wanted: &str| match written() {
        found if found == wanted => Ok(()),
        found => Err(format!("{what}: {found:?} instead of {wanted:?}")),
    };
    run(root, &block, &texts)?;
    same("no disk at all", HEAD)?;
    disk(&block, "sda", "0x2a")?;
    disk(&block, "sdb", "0x0")?;
    disk(&block, "sdaa", "0xFFFFFFFF")?;
    // What is no number is left out, and so is a disk that does not count.
    disk(&block, "sdc", "none")?;
    disk(&block, "sdd", "0x12 $(id)")?;
    disk(&block, "sde", "")?;
    fs::create_dir_all(block.join("vda/device")).map_err(|error| error.to_string())?;
    fs::create_dir_all(block.join("loop0")).map_err(|error| error.to_string())?;
    run(root, &block, &texts)?;
    let lines = "node_disk_io_errors_total{device=\"sda\"} 42\nnode_disk_io_errors_total{device=\"sdaa\"} 4294967295\n\
                 node_disk_io_errors_total{device=\"sdb\"} 0\n";
    same("six disks", &format!("{HEAD}{lines}"))?;
    let left = fs::read_dir(&texts).map_err(|error| error.to_string())?.count();
    if left != 1 {
        return Err(format!("{left} files are left in the folder of texts"));
    }
    // A folder that is not there is a failure that somebody sees, not a file elsewhere.
    if run(root, &block, &texts.join("absent")).is_ok() {
        return Err("an absent folder was taken".to_owned());
    }
    println!("3 of 8 devices counted, 5 left out");
    Ok(())
}

/// A real node_exporter says what the script wrote, and follows it.
pub fn read(root: &Path) -> Outcome {
    debian::install()?;
    let (block, texts) = folders(root)?;
    let folder = texts.parent().unwrap_or(&texts).to_path_buf();
    disk(&block, "sda", "0x2a")?;
    run(root, &block, &texts)?;
    let node = daemon::node_exporter(&folder, &texts)?;
    let says = |line: &str| {
        http::ask("GET", &format!("{}/metrics", node.url), "")
            .is_ok_and(|(_, text)| text.lines().any(|said| said == line))
    };
    let wait = |line: &str| daemon::until(line, Duration::from_secs(20), || says(line));
    wait("node_disk_io_errors_total{device=\"sda\"} 42")?;
    wait("node_textfile_scrape_error 0")?;
    disk(&block, "sda", "0x2b")?;
    run(root, &block, &texts)?;
    wait("node_disk_io_errors_total{device=\"sda\"} 43")?;
    println!("node_exporter: node_disk_io_errors_total 42, then 43");
    Ok(())
}
