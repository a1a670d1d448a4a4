//! The benchmarks beside RocksDB, fjall, redb, LMDB, SQLite and sled.
//!
//! They are a workspace of their own, `benches/peers`, because RocksDB takes half an hour to compile, once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::steps::{self, Outcome};

fn program(root: &Path, workload: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("benches/peers/cargo.sh")
        .args(["run", "--release", "--quiet", "--", workload])
        .current_dir(root);
    command
}

fn results(root: &Path) -> Result<PathBuf, String> {
    let folder = root.join("docs/benchmarks");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// Durable commits.
pub fn commits(root: &Path, quick: bool) -> Outcome {
    println!(
        "\nbeside other engines (the first build compiles RocksDB: half an hour; --no-peers leaves this out)"
    );
    let mut command = program(root, "commits");
    if quick {
        command.args(["--rounds", "3", "--seconds-per-slice", "0.5"]);
    } else {
        let results = results(root)?;
        command.arg("--json").arg(results.join("commits.json"));
        command.arg("--svg").arg(results.join("commits.svg"));
    }
    steps::command(&mut command)
}

/// Everything else that is stored and read.
pub fn stores(root: &Path, options: &[&str]) -> Outcome {
    reported(root, ("peers", "store", "engines"), options)
}

/// Questions about claims.
pub fn questions(root: &Path, options: &[&str]) -> Outcome {
    reported(root, ("questions", "questions", "questions"), options)
}

/// A workload whose results are kept. The program knows its options itself; paths are made independent of where it starts.
fn reported(root: &Path, (suite, workload, kept): (&str, &str, &str), options: &[&str]) -> Outcome {
    let mut command = program(root, workload);
    let mut is_path = false;
    for option in options {
        if is_path {
            command.arg(std::path::absolute(option).map_err(|error| format!("{option}: {error}"))?);
        } else {
            command.arg(option);
        }
        is_path = PATHS.contains(option);
    }
    command.arg("--command").arg(named(suite, options));
    if is_whole(options) {
        let results = results(root)?;
        for (option, extension) in [("--markdown", "md"), ("--json", "json"), ("--svg", "svg")] {
            command.arg(option).arg(results.join(kept).with_extension(extension));
        }
    }
    steps::command(&mut command)
}

/// Options that are followed by a path.
const PATHS: [&str; 6] = ["--claims", "--sources", "--dir", "--markdown", "--json", "--svg"];
/// Options that are of no interest to a reader of the results.
const PRIVATE: [&str; 4] = ["--dir", "--markdown", "--json", "--svg"];
/// With one of these it is not the run whose results are kept.
const PARTIAL: [&str; 7] =
    ["--quick", "--entries", "--workloads", "--only", "--seconds", "--limit", "--questions"];

fn is_whole(options: &[&str]) -> bool {
    let is_partial = |option: &&str| {
        PARTIAL.iter().any(|partial| {
            option.strip_prefix(partial).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    !options.iter().any(is_partial)
}

/// The command as it may be published: paths of this machine are cut down to their last part.
fn named(suite: &str, options: &[&str]) -> String {
    let mut words = vec![format!("cargo xtask bench {suite}")];
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if PRIVATE.contains(option) {
            options.next();
            continue;
        }
        words.push((*option).to_owned());
        if PATHS.contains(option)
            && let Some(path) = options.next()
        {
            let name = Path::new(path).file_name().unwrap_or_default();
            words.push(name.to_string_lossy().into_owned());
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_commands_name_files_but_no_folders() {
        let options = ["--dir", "/mnt/fast", "--claims", "/data/all/claims.jsonl.zst", "--rounds", "5"];
        assert_eq!(named("peers", &options), "cargo xtask bench peers --claims claims.jsonl.zst --rounds 5");
    }

    #[test]
    fn only_a_whole_run_renews_the_results() {
        assert!(is_whole(&[]) && is_whole(&["--rounds", "5", "--rows", "small"]));
        assert!(!is_whole(&["--quick"]) && !is_whole(&["--only=redb"]) && !is_whole(&["--workloads", "hot"]));
    }
}
