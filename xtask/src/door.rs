//! Only `stemedb-env` may name files, time, threads and random sources of the operating system.
//!
//! clippy bans the calls and types; this check also finds what clippy cannot see (traits, modules, code under `allow`) and
//! says who switched the ban off outside of tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    source::{self, Token},
    steps::Outcome,
};

/// The crate behind which the operating system lies.
const DOOR: &str = "stemedb-env";
/// A crate whose subject is the operating system itself: it mounts, stops processes and copies disks. Not in the product.
const RIG: &str = "stemedb-rig";
/// The client's own door: it is built into other programs and does not bring in the engine's.
const CLIENT_DOOR: &str = "stemedb-client/src/machine.rs";

/// Checks the sources of every crate under `crates/`, test code left out.
pub fn check(root: &Path) -> Outcome {
    let mut problems = Vec::new();
    let mut files = 0;
    for krate in sorted_entries(&root.join("crates"))? {
        if krate.file_name().is_some_and(|name| name == DOOR || name == RIG) {
            continue;
        }
        let mut sources = Vec::new();
        rust_files(&krate.join("src"), &mut sources)?;
        let mut read = Vec::new();
        let mut test_files: Vec<PathBuf> = Vec::new();
        for path in sources {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let kept = source::without_tests(&source::tokens(&text));
            test_files.extend(kept.test_modules.iter().map(|module| module_path(&path, module)));
            read.push((path, kept.tokens));
        }
        for (path, tokens) in read {
            let is_test = test_files.iter().any(|test| path.with_extension("").starts_with(test));
            if is_test || path.ends_with(CLIENT_DOOR) {
                continue;
            }
            files += 1;
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            problems.extend(
                violations(&tokens).into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")),
            );
        }
    }
    if files == 0 {
        return Err("no source was found: the check looks in the wrong place".to_owned());
    }
    println!("{files} files name no file, clock, thread or random source of the operating system's own");
    if problems.is_empty() { Ok(()) } else { Err(format!("use {DOOR} instead\n{}", problems.join("\n"))) }
}

fn violations(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = source::std_paths(tokens)
        .into_iter()
        .filter(|(_, path)| is_banned(path))
        .map(|(line, path)| (line, format!("names std::{path}")))
        .collect();
    for (at, token) in tokens.iter().enumerate() {
        let allows = matches!(token.text.as_str(), "disallowed_methods" | "disallowed_types")
            && tokens[at.saturating_sub(12)..at]
                .iter()
                .any(|before| before.text == "allow" || before.text == "expect");
        if allows {
            found.push((token.line, format!("switches clippy::{} off", token.text)));
        }
    }
    found
}

fn is_banned(path: &str) -> bool {
    let mut parts = path.split("::");
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("fs" | "thread", _) => true,
        // A duration is a number, not a clock.
        ("time", part) => !matches!(part, Some("Duration" | "TryFromFloatSecsError")),
        ("hash", Some("RandomState" | "DefaultHasher")) => true,
        ("collections", Some("hash_map")) => path.ends_with("RandomState"),
        ("os", Some(_)) => path.split("::").any(|part| part == "fs"),
        _ => false,
    }
}

/// Where `mod name;` in the file at `path` has its source, without extension.
fn module_path(path: &Path, name: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default();
    let folder = path.parent().unwrap_or(path);
    if stem == "lib" || stem == "main" || stem == "mod" {
        folder.join(name)
    } else {
        folder.join(stem).join(name)
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    for path in sorted_entries(folder)? {
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        violations(&source::without_tests(&source::tokens(source)).tokens)
            .into_iter()
            .map(|(_, what)| what)
            .collect()
    }

    #[test]
    fn files_threads_clocks_and_switched_off_bans_are_found() {
        assert_eq!(
            found("use std::{fs::File, time::{Duration, Instant}};"),
            ["names std::fs::File", "names std::time::Instant"]
        );
        assert_eq!(found("fn f() { std::thread::yield_now() }"), ["names std::thread::yield_now"]);
        assert_eq!(found("use std::os::unix::fs::FileExt;"), ["names std::os::unix::fs::FileExt"]);
        assert_eq!(found("#![allow(clippy::disallowed_types)]"), ["switches clippy::disallowed_types off"]);
    }

    #[test]
    fn durations_and_tests_are_not() {
        assert!(found("use std::time::Duration; #[cfg(test)] mod tests { use std::fs; }").is_empty());
    }
}
