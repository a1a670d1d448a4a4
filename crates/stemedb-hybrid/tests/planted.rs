//! Defects on purpose: the tests of the engine must notice them. Needs the feature `planted`.
#![cfg(feature = "planted")]
#![allow(clippy::unwrap_used)]
// It starts other tests of this package.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::process::Command;

/// The test program `engine`, which stands beside this one.
fn engine() -> std::path::PathBuf {
    let own = std::env::current_exe().unwrap();
    let is_engine = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("engine-") && !name.ends_with(".d")
    };
    let mut found: Vec<_> = std::fs::read_dir(own.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(is_engine)
        .collect();
    found.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    found.pop().expect("build the other tests with the same features first")
}

#[test]
fn every_defect_of_the_engine_is_noticed() {
    for (bug, test) in [("WriteBelowTheLastLine", "disk::lines_are_crossed")] {
        let run = |planted: bool| {
            let mut command = Command::new(engine());
            command.arg(test);
            if planted {
                command.env("STEMEDB_PLANTED", bug);
            }
            let output = command.output().unwrap();
            assert!(String::from_utf8_lossy(&output.stdout).contains("running 1 test"), "{output:?}");
            output.status.success()
        };
        assert!(run(false), "{test} must pass");
        assert!(!run(true), "{test} does not notice {bug}");
    }
}
