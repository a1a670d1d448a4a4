//! Every direct dependency has a line that says what it is for.

use std::{fs, path::Path};

use crate::steps::Outcome;

const PAGE: &str = "docs/dependencies.md";

/// Compares the workspace's dependencies with the page.
pub fn check(root: &Path) -> Outcome {
    let read = |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"));
    let (manifest, page) = (read("Cargo.toml")?, read(PAGE)?);
    let names = names(&manifest);
    let missing: Vec<&str> =
        names.iter().filter(|name| !page.contains(&format!("`{name}`"))).copied().collect();
    println!("{} dependencies, each with its reason", names.len());
    if names.is_empty() {
        return Err("Cargo.toml has no [workspace.dependencies]".to_owned());
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("{PAGE} says nothing about {}", missing.join(", "))) }
}

/// The keys of `[workspace.dependencies]` that are not ours.
fn names(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim()))
        .filter(|name| !name.starts_with("stemedb-") && !name.starts_with('#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_workspaces_table() {
        let manifest =
            "[a]\nx = 1\n[workspace.dependencies]\nstemedb-env = { }\n# why\nbytes = \"1\"\n\n[b]\ny = 1\n";
        assert_eq!(names(manifest), ["bytes"]);
    }
}
