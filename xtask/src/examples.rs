//! Every example once: what is shown must work.

use std::{fs, path::Path, process::Command};

use crate::{
    ci::EXAMPLE_LIMIT,
    steps::{self, Outcome},
};

/// The package that holds the examples.
const PACKAGE: &str = "stemedb-examples";

/// Set for examples that would run until they are stopped (a server): they then do their round once and end.
const ONCE: &str = "STEMEDB_EXAMPLE_ONCE";

/// Builds all examples, then runs each with a scratch folder as its working directory.
pub fn run(root: &Path) -> Outcome {
    let names = names(&root.join("examples"))?;
    if names.is_empty() {
        return Err("no example was found".to_owned());
    }
    steps::command(
        Command::new("cargo")
            .args(["build", "--locked", "--quiet", "--package", PACKAGE, "--examples"])
            .current_dir(root),
    )?;
    for name in names {
        steps::command_within(
            Command::new("cargo")
                .args(["run", "--locked", "--quiet", "--package", PACKAGE, "--example", &name])
                .env(ONCE, "1")
                .current_dir(root),
            EXAMPLE_LIMIT,
        )?;
    }
    Ok(())
}

/// Each `.rs` file of the folder is one example.
fn names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}
