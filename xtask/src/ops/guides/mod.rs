//! The guides of `docs/operations/`: what is done when nothing is wrong. `docs/operations/README.md` describes their blocks.
//!
//! - Blocks of commands are run as they stand there, on the machine of the runbooks: `sh begin`, `sh run`, `sh look`.
//! - [`severities`]: incident-response.md gives every alert a severity, and names its runbook.
//! - [`diagrams`]: pictures can be read in the light and in the dark, and by who cannot see them.

mod diagrams;
mod severities;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Depth,
    runbooks::{self, page::Page},
};
use crate::steps::Outcome;

const FOLDER: &str = "docs/operations";
/// What CI runs: one page's first scenario.
const QUICK: &str = "deployment.md";
/// Pages whose commands must all be run, or say why not: no example stands in another kind of block.
const GUIDES: &[&str] =
    &["deployment.md", "incident-response.md", "reference-architecture.md", "tls.md", "upgrade.md"];

/// As a part of `cargo xtask ops`.
pub fn part(root: &Path, depth: Depth) -> Outcome {
    println!("{}", severities::check(root)?);
    println!("{}", diagrams::check(root)?);
    let pages = pages(root)?;
    let counts = runbooks::count(&pages)?;
    let mut chosen: Vec<Page> = pages.into_iter().filter(|page| !page.scenarios.is_empty()).collect();
    let mut scenario = None;
    if depth == Depth::Quick {
        chosen.retain(|page| page.name == QUICK);
        scenario = chosen.first().map(|page| page.scenarios[0].name.clone());
    }
    let outcome = match runbooks::may_enter() {
        Ok(()) => runbooks::execute(root, &chosen, scenario.as_deref()),
        Err(reason) if depth == Depth::Quick => {
            println!("SKIPPED: guides because {reason}");
            Ok(())
        }
        Err(reason) => Err(format!("guides need root and namespaces: {reason}")),
    };
    println!("\n{counts}");
    outcome
}

/// The pages with blocks of commands that say what they are for; each of [`GUIDES`] must be one.
fn pages(root: &Path) -> Result<Vec<Page>, String> {
    let folder = root.join(FOLDER);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // The index shows what such blocks look like.
    paths.retain(|path| path.extension().is_some_and(|end| end == "md") && !path.ends_with("README.md"));
    paths.sort();
    let mut pages = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_guide = GUIDES.contains(&name.as_str());
        if is_guide && let Some(line) = unrun(&text) {
            return Err(format!("{name}:{line}: commands in a block that nobody runs"));
        }
        if is_guide || text.lines().any(|line| line.trim_start().starts_with("```sh ")) {
            pages.push(Page::read(&path)?);
        }
    }
    let missing = GUIDES.iter().find(|guide| !pages.iter().any(|page| page.name == **guide));
    match missing {
        Some(guide) => Err(format!("no {FOLDER}/{guide}")),
        None => Ok(pages),
    }
}

/// All pages of the folder, one behind the other.
fn pages_text(root: &Path) -> Result<String, String> {
    let folder = root.join(FOLDER);
    let mut text = String::new();
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "md") {
            text += &fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
        }
    }
    Ok(text)
}

/// The line of a block that is for reading only, and begins with a prompt.
fn unrun(text: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let is_prompt = |line: &str| line.starts_with("$ ") || line.starts_with("# ");
    let of_text = |line: &str| matches!(line, "```" | "```text" | "```console");
    let mut open = false;
    for (number, line) in lines.iter().enumerate() {
        if line.starts_with("```") {
            open = !open;
            if open && of_text(line) && lines.get(number + 1).is_some_and(|next| is_prompt(next)) {
                return Some(number + 2);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guide_can_be_read_and_enough_of_it_is_run() {
        let root = crate::workspace_root();
        let pages = pages(&root).unwrap();
        let text = runbooks::count(&pages).unwrap();
        let run = |name: &str| pages.iter().any(|page| page.name == name && !page.scenarios.is_empty());
        assert!(GUIDES.iter().all(|guide| run(guide)), "{text}");
    }

    #[test]
    fn commands_that_are_only_shown_are_found() {
        assert_eq!(unrun("a\n```text\n$ ls\n```\n"), Some(3));
        assert_eq!(unrun("```sh run\n# why\nls\n```\n```text expect\na\n```\n```toml\n# key\n```\n"), None);
        assert_eq!(unrun("```text\nlog line\n```\n```\n# apt install\n```\n"), Some(5));
    }
}
