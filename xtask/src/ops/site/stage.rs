//! The pages as mdBook gets them.
//!
//! What stands in `docs/` is copied; what its links lead to outside of it is copied below `repository/`, pages as pages, and so on from there.
//! Links are turned accordingly. A folder is its README, or its first page; one without pages is looked at where the sources are.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::{Component, Path, PathBuf},
};

use super::summary::{self, FOLDER};

/// Where pages from outside of `docs/` are put.
const OUTSIDE: &str = "repository";

/// What was copied.
pub struct Staged {
    source: PathBuf,
    /// Pages of the site, as `a/b.md`.
    pub pages: Vec<String>,
}

impl Staged {
    /// Puts the pages as Markdown beside the rendered ones: `llms.txt` names them so.
    pub fn copy_sources(&self, site: &Path) -> Result<(), String> {
        for page in &self.pages {
            copy(&self.source.join("docs").join(page), &site.join(page))?;
        }
        Ok(())
    }
}

/// Copies the book to a folder that is not there yet.
pub fn stage(root: &Path, to: &Path) -> Result<Staged, String> {
    let mut stage = Stage {
        root,
        host: code_host(root)?,
        order: summary::read(root)?.into_iter().map(|entry| entry.path).collect(),
        outside: BTreeSet::new(),
        waiting: VecDeque::new(),
    };
    let docs = to.join("docs");
    copy(&root.join("book.toml"), &to.join("book.toml"))?;
    copy_others(&root.join(FOLDER), &docs)?;
    let mut pages = stage.order.clone();
    for page in &pages {
        stage.page(&format!("{FOLDER}/{page}"), &docs)?;
    }
    let mut list = String::new();
    while let Some(path) = stage.waiting.pop_front() {
        let text = stage.page(&path, &docs)?;
        let staged = staged(&path);
        list.push_str(&format!("- [{}]({staged})\n", summary::title(&text)));
        pages.push(staged);
    }
    let summary = read(&root.join(FOLDER).join("SUMMARY.md"))?;
    let summary = format!("{}\n\n# From the repository\n\n{list}", summary.trim_end());
    write(&docs.join("SUMMARY.md"), &summary)?;
    Ok(Staged { source: to.to_path_buf(), pages })
}

struct Stage<'a> {
    root: &'a Path,
    /// Where the sources can be read, without a slash at its end.
    host: String,
    /// Pages in the order of the list.
    order: Vec<String>,
    /// Files outside of `docs/` that were taken in.
    outside: BTreeSet<String>,
    /// Pages among them that are still to be copied.
    waiting: VecDeque<String>,
}

impl Stage<'_> {
    /// Copies a page, which is named from the root of the workspace; gives its text.
    fn page(&mut self, path: &str, docs: &Path) -> Result<String, String> {
        let text = read(&self.root.join(path))?;
        let mut wrong = None;
        let turned = turn(&text, |target| match self.link(path, target, docs) {
            Ok(link) => link,
            Err(error) => {
                wrong = Some(format!("{path}: {target}: {error}"));
                target.to_owned()
            }
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        write(&docs.join(staged(path)), &turned)?;
        Ok(text)
    }

    /// Where a link of a page leads on the site.
    fn link(&mut self, page: &str, target: &str, docs: &Path) -> Result<String, String> {
        if target.contains("://") || target.starts_with("mailto:") || target.starts_with('#') {
            return Ok(target.to_owned());
        }
        let (file, anchor) = target
            .split_once('#')
            .map_or((target, String::new()), |(file, anchor)| (file, format!("#{anchor}")));
        let folder = Path::new(page).parent().unwrap_or(Path::new(""));
        let path = tidy(&folder.join(file))?;
        let path = match self.root.join(&path) {
            folder if folder.is_dir() => match self.page_of_folder(&path) {
                Some(page) => page,
                None => return Ok(format!("{}/tree/main/{path}", self.host)),
            },
            file if file.is_file() => path,
            _ => return Err("no such file".to_owned()),
        };
        if !path.starts_with("docs/") && self.outside.insert(path.clone()) {
            if path.ends_with(".md") {
                self.waiting.push_back(path.clone());
            } else {
                copy(&self.root.join(&path), &docs.join(staged(&path)))?;
            }
        }
        let there = staged(&path);
        // A README is the page of its folder.
        let there = match there.strip_suffix("README.md") {
            Some(folder) => format!("{folder}index.html"),
            None => there,
        };
        Ok(format!("{}{anchor}", relative(&staged(page), &there)))
    }

    fn page_of_folder(&self, folder: &str) -> Option<String> {
        let readme = format!("{folder}/README.md");
        if self.root.join(&readme).is_file() {
            return Some(readme);
        }
        let below = format!("{}/", folder.strip_prefix("docs/")?);
        self.order.iter().find(|page| page.starts_with(&below)).map(|page| format!("{FOLDER}/{page}"))
    }
}

/// Where a file of the workspace stands in the book.
fn staged(path: &str) -> String {
    path.strip_prefix("docs/").map_or_else(|| format!("{OUTSIDE}/{path}"), str::to_owned)
}

/// The way from a page to a file, both named from the root of the book.
fn relative(page: &str, file: &str) -> String {
    let (mut from, mut to): (Vec<&str>, Vec<&str>) = (page.split('/').collect(), file.split('/').collect());
    from.pop();
    while from.first().is_some_and(|first| to.len() > 1 && to.first() == Some(first)) {
        from.remove(0);
        to.remove(0);
    }
    format!("{}{}", "../".repeat(from.len()), to.join("/"))
}

/// A path without `.` and `..`, with slashes.
fn tidy(path: &Path) -> Result<String, String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop().ok_or("it leads out of the workspace")?),
            _ => {}
        }
    }
    Ok(parts.join("/"))
}

/// A page with its links turned, and with nothing but the language behind the fences.
fn turn(page: &str, mut link: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut fence: Option<String> = None;
    for line in page.lines() {
        let trimmed = line.trim();
        let ticks: String = trimmed.chars().take_while(|c| *c == '`').collect();
        match &fence {
            None if ticks.len() >= 3 => {
                let info = trimmed[ticks.len()..].trim();
                let language = info.split([' ', ',']).next().unwrap_or_default();
                let indent = &line[..line.len() - line.trim_start().len()];
                out.push_str(&format!("{indent}{ticks}{language}"));
                fence = Some(ticks);
            }
            Some(closing) => {
                if trimmed == closing.as_str() {
                    fence = None;
                }
                out.push_str(line);
            }
            None => turn_line(line, &mut link, &mut out),
        }
        out.push('\n');
    }
    out
}

/// Links of a line, but for what stands in code.
fn turn_line(line: &str, link: &mut impl FnMut(&str) -> String, out: &mut String) {
    let mut rest = line;
    while let Some(at) = rest.find(['`', ']']) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        if behind.starts_with('`') {
            let ticks: String = behind.chars().take_while(|c| *c == '`').collect();
            let end = behind[ticks.len()..].find(ticks.as_str()).map(|end| end + 2 * ticks.len());
            let (code, more) = behind.split_at(end.unwrap_or(ticks.len()));
            out.push_str(code);
            rest = more;
        } else if let Some((target, more)) =
            behind.strip_prefix("](").and_then(|behind| behind.split_once(')'))
        {
            out.push_str(&format!("]({})", link(target.trim())));
            rest = more;
        } else {
            out.push(']');
            rest = &behind[1..];
        }
    }
    out.push_str(rest);
}

/// The address that `Cargo.toml` names.
fn code_host(root: &Path) -> Result<String, String> {
    let manifest = read(&root.join("Cargo.toml"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("repository = \""));
    Ok(line.ok_or("Cargo.toml names no repository")?.trim_end_matches(['"', '/']).to_owned())
}

/// Everything of a folder that is no page.
fn copy_others(from: &Path, to: &Path) -> Result<(), String> {
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_others(&path, &to)?;
        } else if path.extension().is_none_or(|end| end != "md") {
            copy(&path, &to)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().unwrap_or(to);
    let copied = fs::create_dir_all(folder).and_then(|()| fs::copy(from, to));
    copied.map(|_| ()).map_err(|error| format!("{}: {error}", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_turned_and_code_is_not() {
        let page =
            "See [`a`](x.md) and `[b](y.md)`, [c [d]](z.md#e).\n```sh fault scenario=\"x\"\n[f](g.md)\n```\n";
        let turned = turn(page, |target| format!("<{target}>"));
        assert_eq!(turned, "See [`a`](<x.md>) and `[b](y.md)`, [c [d]](<z.md#e>).\n```sh\n[f](g.md)\n```\n");
    }

    #[test]
    fn the_way_between_two_pages_is_found() {
        assert_eq!(relative("a/b.md", "a/c.md"), "c.md");
        assert_eq!(relative("a/b.md", "c/d.md"), "../c/d.md");
        assert_eq!(relative("b.md", "c/d.md"), "c/d.md");
        assert_eq!(relative("a/b/c.md", "index.html"), "../../index.html");
        assert_eq!(tidy(Path::new("docs/a/../../deploy/./x")), Ok("deploy/x".to_owned()));
        assert!(tidy(Path::new("../x")).is_err());
        assert_eq!(staged("deploy/README.md"), "repository/deploy/README.md");
    }
}
