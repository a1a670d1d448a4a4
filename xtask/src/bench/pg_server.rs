//! What `bench load` compares with: PostgreSQL, and the program of `benches/peers` in front of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::steps;

/// Where Debian keeps the programs of a server; `benches/peers` looks there, too.
const INSTALLED: &str = "/usr/lib/postgresql";
const CASE: &str = "beside";

/// Whether a run with these options needs it: all cases, or this one by name.
pub fn is_asked_for(options: &[&str]) -> bool {
    let after = |name: &str| {
        options.windows(2).find_map(|two| match two {
            [option, value] if *option == name => Some(*value),
            _ => None,
        })
    };
    let is_named = after("--cases").is_none_or(|cases| cases.split(',').any(|case| case == CASE));
    is_named && !options.contains(&"--help") && after("--pg-server").is_none()
}

/// Installs PostgreSQL where there is none (as root, on Debian), builds the program, and says where it is. RocksDB is not compiled for it.
pub fn ready(root: &Path) -> Result<PathBuf, String> {
    let is_installed = fs::read_dir(INSTALLED)
        .is_ok_and(|folder| folder.flatten().any(|version| version.path().join("bin/initdb").is_file()));
    if !is_installed {
        steps::command(Command::new("apt-get").args(["update", "-q"]))?;
        let mut install = Command::new("apt-get");
        install.args(["install", "-qy", "--no-install-recommends", "postgresql"]);
        steps::command(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let mut build = Command::new("sh");
    build
        .arg("benches/peers/cargo.sh")
        .args(["build", "--release", "--locked", "--quiet", "--bin", "pg-server"])
        .env("STEMEDB_PEERS_WITHOUT_ROCKSDB", "1")
        .current_dir(root);
    steps::command(&mut build)?;
    // A workspace of its own has a target folder of its own, unless one is named for all.
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("benches/peers/target"), |named| root.join(named));
    Ok(target.join("release/pg-server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_needed_by_all_cases_and_by_its_own() {
        assert!(is_asked_for(&[]) && is_asked_for(&["--seconds", "3"]));
        assert!(is_asked_for(&["--cases", "asserts,beside"]));
        assert!(!is_asked_for(&["--cases", "asserts,overload"]) && !is_asked_for(&["--help"]));
        assert!(!is_asked_for(&["--pg-server", "somewhere"]));
    }
}
