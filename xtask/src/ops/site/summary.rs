//! `docs/SUMMARY.md`: the order of the pages, and that none is left out.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where the pages are.
pub const FOLDER: &str = "docs";
/// The list of them.
const PAGE: &str = "docs/SUMMARY.md";

/// A page in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The heading that it stands under; empty before the first one.
    pub part: String,
    /// What the list calls it.
    pub title: String,
    /// Below `docs/`, with slashes.
    pub path: String,
}

/// Reads the list; an error names a line that is neither a heading nor one page.
pub fn read(root: &Path) -> Result<Vec<Entry>, String> {
    let text = fs::read_to_string(root.join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let (mut part, mut found) = (String::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        let item = trimmed.strip_prefix("- ").unwrap_or(trimmed);
        if let Some(heading) = trimmed.strip_prefix("# ") {
            // The first one is the list's own.
            part = if number == 0 { String::new() } else { heading.to_owned() };
        } else if let Some((title, path)) = item
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|rest| rest.split_once("]("))
        {
            found.push(Entry { part: part.clone(), title: title.to_owned(), path: path.to_owned() });
        } else if !(trimmed.is_empty() || trimmed == "---") {
            return Err(format!("{PAGE}:{}: not a page: {trimmed}", number + 1));
        }
    }
    Ok(found)
}

/// What is wrong with the list: pages that it lacks, has twice, or that are not there.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let entries = read(root)?;
    let there: BTreeSet<String> = pages(&root.join(FOLDER))
        .iter()
        .filter_map(|path| Some(path.strip_prefix(root.join(FOLDER)).ok()?.to_str()?.to_owned()))
        .filter(|path| path != "SUMMARY.md")
        .collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in &entries {
        if !there.contains(&entry.path) {
            wrong.push(format!("{PAGE}: no page {}", entry.path));
        }
        if !seen.insert(entry.path.clone()) {
            wrong.push(format!("{PAGE}: {} stands there twice", entry.path));
        }
    }
    for path in there.difference(&seen) {
        let title = title(&fs::read_to_string(root.join(FOLDER).join(path)).unwrap_or_default());
        wrong.push(format!("{PAGE}: {FOLDER}/{path} is not in it; a line would be `- [{title}]({path})`"));
    }
    Ok(wrong)
}

/// Every page below a folder.
pub fn pages(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A page's first heading.
pub fn title(page: &str) -> String {
    page.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("?").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_listed_with_the_part_they_stand_in() {
        let text = "# Summary\n\n[Start](README.md)\n\n# Using it\n\n- [The program](cli.md)\n  - [Keys](a/b.md)\n\n---\n";
        let entry = |part: &str, title: &str, path: &str| Entry {
            part: part.into(),
            title: title.into(),
            path: path.into(),
        };
        assert_eq!(
            parse(text).unwrap(),
            [
                entry("", "Start", "README.md"),
                entry("Using it", "The program", "cli.md"),
                entry("Using it", "Keys", "a/b.md")
            ]
        );
        assert!(parse("# S\n- cli.md\n").unwrap_err().contains(":2: not a page"));
    }

    #[test]
    fn the_list_of_this_repository_is_whole() {
        assert_eq!(check(&crate::workspace_root()), Ok(Vec::new()));
    }
}
