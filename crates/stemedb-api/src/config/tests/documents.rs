//! The files of the repository that are made from the table of keys.

use std::path::{Path, PathBuf};

use super::Setup;
use crate::config::{Keys, Origin, example_environment, example_file, tables};

fn repository(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", name].iter().collect()
}

/// Compares, and puts what it should be where it can be taken from.
#[allow(clippy::disallowed_methods)] // a file of the repository
#[track_caller]
fn compare(name: &str, wanted: impl FnOnce(&str) -> String) {
    let written = std::fs::read_to_string(repository(name)).unwrap_or_default();
    let wanted = wanted(&written);
    if written != wanted {
        let file_name = Path::new(name).file_name().unwrap().to_str().unwrap();
        let proposal = std::env::temp_dir().join(format!("stemedb-{}", file_name.trim_start_matches('.')));
        std::fs::write(&proposal, &wanted).unwrap();
        panic!("{name} is not up to date; what it should be is in {}", proposal.display());
    }
}

#[test]
fn the_example_file_of_the_repository_is_the_one_that_the_program_prints() {
    compare("deploy/api.toml", |_| example_file());
}

#[test]
fn the_example_environment_of_the_repository_is_the_one_that_the_program_prints() {
    compare(".env.example", |_| example_environment());
}

#[test]
fn the_tables_of_the_page_are_those_of_the_program() {
    const BEGIN: &str = "<!-- keys: made from the table of keys, and compared with it by a test -->\n";
    const END: &str = "<!-- end of keys -->";
    compare("docs/configuration.md", |written| {
        let (before, rest) = written.split_once(BEGIN).expect("the page has a mark where the keys begin");
        let (_, after) = rest.split_once(END).expect("the page has a mark where the keys end");
        format!("{before}{BEGIN}\n{}\n{END}{after}", tables())
    });
}

/// The lines of an example that are commented out and mean something.
fn in_force(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.contains('=') && !line.starts_with(' '))
}

#[test]
fn examples_are_right_as_they_are() {
    Setup::file(example_file()).load().unwrap();
    // All of it is commented out.
    assert!(example_environment().lines().all(|line| line.is_empty() || line.starts_with('#')));
}

#[test]
fn every_key_of_the_example_file_is_read() {
    let example = example_file();
    assert_eq!(in_force(&example).count(), Keys::all().iter().count());
    let all: String = example.lines().fold(String::new(), |text, line| {
        let line = in_force(line).next().unwrap_or(line);
        text + line + "\n"
    });
    let config = Setup::file(all.clone()).load().unwrap();
    let mut lines: Vec<usize> = Vec::new();
    for entry in config.entries() {
        match &entry.origin {
            Origin::File { line, .. } => lines.push(*line),
            other => panic!("{} comes from {other}", entry.key.path()),
        }
    }
    // Each from its own line; and a wrong value there is refused under its name.
    for (entry, line) in config.entries().iter().zip(lines) {
        let broken: Vec<String> = all
            .lines()
            .enumerate()
            .map(
                |(at, text)| {
                    if at + 1 == line { format!("{} = []", entry.key.name) } else { text.to_owned() }
                },
            )
            .collect();
        let problems = Setup::file(broken.join("\n")).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with(&format!("api.toml:{line}:1: {} must be", entry.key.path())),
            "{problems:?}"
        );
    }
}

#[test]
fn every_variable_of_the_example_environment_is_read() {
    let example = example_environment();
    let pairs: Vec<(&str, &str)> = in_force(&example).map(|line| line.split_once('=').unwrap()).collect();
    assert_eq!(pairs.len(), Keys::all().iter().count() + 1, "and the file's");
    let mut setup = Setup::file("");
    for (name, value) in &pairs {
        setup = setup.variable(name, value);
    }
    let config = setup.load().unwrap();
    assert!(config.entries().iter().all(|entry| matches!(entry.origin, Origin::Variable(_))));
    for (name, _) in pairs.iter().filter(|(name, _)| *name != crate::config::FILE_VARIABLE) {
        let problems = Setup::default().variable(name, "").problems();
        assert!(
            problems.len() == 1 && problems[0].starts_with(&format!("variable {name}: ")),
            "{problems:?}"
        );
    }
}
