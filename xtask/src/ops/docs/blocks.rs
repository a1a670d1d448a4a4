//! What every fenced block is, and what proves it: `docs/documentation.md` has the kinds.
//!
//! A block of commands that nobody runs, a form that nobody reads and a block that does not say what it is are refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::contents::Contents;
use crate::ops::runbooks::page::{Fence, fences, info_string};

/// At most so many of a hundred blocks of commands may be manual.
const MANUAL_PERCENT: usize = 10;
/// Pages outside of `docs/` whose blocks count.
const OTHERS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "clients/python/README.md",
    "benches/peers/README.md",
    "examples/data/README.md",
];
const RUNBOOKS: &str = "docs/operations/runbooks/";
const RUNBOOK_KINDS: &[&str] =
    &["fault", "fault-ends", "diagnose", "mitigate", "clears", "prevent", "original"];
const GUIDE_KINDS: &[&str] = &["begin", "run", "look"];
/// Of whom one block is run by the tests of the clients, as it stands.
const CLIENT_PAGE: &str = "clients/python/README.md";

/// What proves a block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// It is run: by whom.
    Run(&'static str),
    /// Something reads it: what.
    Read(&'static str),
    /// Output of a block before it, which is compared.
    Output,
    /// Drawn or laid out; no commands.
    Figure,
    /// Commands that nobody runs: why.
    Manual(String),
}

/// What was found.
#[derive(Default)]
pub struct Inventory {
    counts: BTreeMap<String, usize>,
    manual: Vec<String>,
    commands: usize,
    pages: usize,
    pub wrong: Vec<String>,
}

/// Looks at every block.
pub fn check(root: &Path, program: &Path, scratch: &Path) -> Result<Inventory, String> {
    let doc_tests = doc_tests(root);
    let mut found = Inventory::default();
    for path in pages(root) {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let page = Page { name: &name, is_doc_test: doc_tests.contains(&name) };
        found.pages += 1;
        for fence in fences(&text) {
            let outcome = page.proof(&fence).and_then(|proof| {
                Contents { root, program, scratch }.check(&fence)?;
                Ok(proof)
            });
            match outcome {
                Ok(proof) => found.take(&name, &fence, proof),
                Err(what) => found.wrong.push(format!("{name}:{}: {what}", fence.line)),
            }
        }
    }
    if found.manual.len() * 100 > found.commands * MANUAL_PERCENT {
        found.wrong.push(format!("more than {MANUAL_PERCENT} % of the blocks of commands are manual"));
    }
    Ok(found)
}

impl Inventory {
    fn take(&mut self, page: &str, fence: &Fence, proof: Proof) {
        let label = match &proof {
            Proof::Run(by) => format!("run by {by}"),
            Proof::Read(by) => format!("read by {by}"),
            Proof::Output => "output, compared".to_owned(),
            Proof::Figure => "figures and layouts".to_owned(),
            Proof::Manual(reason) => {
                self.manual.push(format!("manual: {page}:{}: {reason}", fence.line));
                "manual".to_owned()
            }
        };
        self.commands += usize::from(matches!(proof, Proof::Run(_) | Proof::Manual(_)));
        *self.counts.entry(label).or_default() += 1;
    }

    /// A table, and the reasons of what is manual.
    pub fn table(&self) -> String {
        let all: usize = self.counts.values().sum();
        let mut lines: Vec<String> =
            self.counts.iter().map(|(what, count)| format!("{count:>5}  {what}")).collect();
        lines.push(format!("{all:>5}  blocks on {} pages", self.pages));
        lines.extend(self.manual.iter().cloned());
        lines.join("\n")
    }
}

/// A page whose blocks are asked about.
struct Page<'a> {
    /// From the root of the workspace, with slashes.
    name: &'a str,
    /// Whether rustdoc compiles its blocks of Rust.
    is_doc_test: bool,
}

impl Page<'_> {
    /// What proves a block; an error says what it should say.
    fn proof(&self, fence: &Fence) -> Result<Proof, String> {
        let info = fence.info.as_str();
        let (language, rest) = info.split_once([' ', ',']).unwrap_or((info, ""));
        let is_comma = info[language.len()..].starts_with(',');
        let (kind, attributes) = match rest.split_once(' ').map_or(rest, |(word, _)| word) {
            // `LANGUAGE name="value"` has no word of its own.
            first if first.contains('=') => (String::new(), info_string(&format!("- {rest}"))?.1),
            _ if is_comma => (String::new(), Vec::new()),
            _ => info_string(rest)?,
        };
        let value =
            |name: &str| attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        if kind == "manual" {
            let reason = value("reason").filter(|reason| reason.len() > 10);
            return Ok(Proof::Manual(reason.ok_or("a manual block needs reason=\"…\"")?.to_owned()));
        }
        if value("excerpt").is_some() {
            return Ok(Proof::Read("comparison with the file that it is of"));
        }
        match (language, kind.as_str()) {
            ("sh", "runnable") if self.name == "README.md" => Ok(Proof::Run("cargo xtask ci --only README")),
            ("sh", kind) if self.name.starts_with(RUNBOOKS) && RUNBOOK_KINDS.contains(&kind) => {
                Ok(Proof::Run("cargo xtask runbooks"))
            }
            ("sh", kind) if self.is_guide() && GUIDE_KINDS.contains(&kind) => {
                Ok(Proof::Run("cargo xtask ops --only guides"))
            }
            ("sh" | "bash", "") => {
                Err("commands that nobody runs: a transcript is `console`, else say `sh manual reason=\"…\"`"
                    .to_owned())
            }
            ("sh" | "bash", kind) => Err(format!("no block `sh {kind}` is run on this page")),
            ("console", "") if self.has_transcripts() => Ok(Proof::Run("cargo xtask transcripts")),
            ("console", _) => Err("no transcript is run on this page".to_owned()),
            ("text", "expect") => Ok(Proof::Output),
            ("text", "") if fence.text.lines().any(is_typed) => {
                Err("commands in a figure: a transcript is `console`".to_owned())
            }
            ("text", "") => Ok(Proof::Figure),
            ("rust", _) if fence.info.contains("ignore") => Err("code that nobody compiles".to_owned()),
            ("rust", "") if self.is_doc_test => Ok(Proof::Run("the doc tests")),
            ("rust", _) => {
                Err("code that nobody compiles: say excerpt=\"FILE\", or include the page in doc tests"
                    .to_owned())
            }
            ("python", "") if self.name == CLIENT_PAGE => Ok(Proof::Run("the tests of the clients")),
            ("python", _) => Err("code that nobody runs: say excerpt=\"FILE\"".to_owned()),
            ("toml", "") => Ok(Proof::Read("stemedb-api check-config")),
            ("toml", "manifest") => Ok(Proof::Read("cargo metadata")),
            ("json", "") => Ok(Proof::Read("serde_json")),
            ("", _) => Err("it does not say what it is; a figure is `text`".to_owned()),
            (_, _) => Err(format!("nobody looks at `{}`: say excerpt=\"FILE\"", fence.info)),
        }
    }

    fn is_guide(&self) -> bool {
        self.name
            .strip_prefix("docs/operations/")
            .is_some_and(|name| !name.contains('/') && name != "README.md")
    }

    fn has_transcripts(&self) -> bool {
        self.name == "README.md" || self.name.starts_with("docs/")
    }
}

/// Whether a line is one that is typed behind a prompt.
fn is_typed(line: &str) -> bool {
    line.starts_with("$ ") || line.starts_with("# ")
}

/// Every page whose blocks count.
pub fn pages(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = OTHERS.iter().map(|name| root.join(name)).collect();
    found.extend(crate::ops::site::summary::pages(&root.join("docs")));
    for entry in fs::read_dir(root.join("crates")).into_iter().flatten().flatten() {
        found.push(entry.path().join("README.md"));
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

/// The pages that rustdoc tests: sources take them in as documentation.
fn doc_tests(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                for part in text.split("doc = include_str!(\"").skip(1) {
                    let page = part.split('"').next().map(|name| folder.join(name));
                    let page = page.and_then(|page| fs::canonicalize(page).ok());
                    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
                    let name = page
                        .and_then(|page| Some(page.strip_prefix(root).ok()?.to_string_lossy().into_owned()));
                    found.extend(name);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(page: &str, info: &str, text: &str) -> Result<Proof, String> {
        let fence = Fence { line: 1, info: info.to_owned(), text: text.to_owned() };
        Page { name: page, is_doc_test: page.starts_with("crates/") }.proof(&fence)
    }

    #[test]
    fn every_kind_is_proved_by_somebody() {
        let is = |page: &str, info: &str, word: &str| match proof(page, info, "x\n") {
            Ok(Proof::Run(by) | Proof::Read(by)) => assert!(by.contains(word), "{info}: {by}"),
            other => panic!("{info}: {other:?}"),
        };
        is("README.md", "sh runnable", "README");
        is("docs/operations/runbooks/a.md", "sh fault scenario=\"x\"", "runbooks");
        is("docs/operations/a.md", "sh run", "guides");
        is("docs/a.md", "console", "transcripts");
        is("docs/a.md", "console for=\"2\"", "transcripts");
        is("crates/a/README.md", "rust,no_run", "doc tests");
        is("docs/a.md", "rust excerpt=\"examples/embed.rs\"", "comparison");
        is("docs/a.md", "toml", "check-config");
        is("docs/a.md", "json", "serde_json");
        assert_eq!(proof("docs/a.md", "text", "a\n"), Ok(Proof::Figure));
        assert_eq!(proof("docs/a.md", "text expect", "a\n"), Ok(Proof::Output));
        let manual = proof("docs/a.md", "sh manual reason=\"needs a real disk\"", "a\n");
        assert_eq!(manual, Ok(Proof::Manual("needs a real disk".to_owned())));
    }

    #[test]
    fn what_nobody_proves_is_refused() {
        let refused = |page: &str, info: &str, text: &str, what: &str| {
            let error = proof(page, info, text).unwrap_err();
            assert!(error.contains(what), "{info}: {error}");
        };
        refused("docs/a.md", "sh", "ls\n", "nobody runs");
        refused("docs/a.md", "sh run", "ls\n", "is run on this page");
        refused("docs/a.md", "sh manual", "ls\n", "needs reason");
        refused("docs/a.md", "text", "$ ls\n", "commands in a figure");
        refused("docs/a.md", "text", "a\n# ls\n", "commands in a figure");
        refused("docs/a.md", "", "a\n", "does not say what it is");
        refused("docs/a.md", "rust", "a\n", "nobody compiles");
        refused("crates/a/README.md", "rust,ignore", "a\n", "nobody compiles");
        refused("docs/a.md", "python", "a\n", "nobody runs");
        refused("docs/a.md", "yaml", "a\n", "nobody looks");
        refused("crates/a/README.md", "console", "$ a\n", "no transcript");
    }
}
