//! Everything that documentation names exists: `cargo xtask docs`.
//!
//! | named | exists if |
//! |---|---|
//! | a flag | the program's help names it, for that command |
//! | a key of the configuration, a `STEMEDB_…` variable | `deploy/api.toml` has it, something reads it |
//! | a series | `docs/operations/metrics.md` has it, or something in the sources or in `deploy/` makes it |
//! | a route, with its method | `docs/openapi.json` has it |
//! | a relative link, with its anchor | the file is there, and has that heading |
//!
//! What stands in no list of the program (files, units, codes, headers, alerts, tasks, packages) is looked at by [`named`].
//! Every block says what it is, and something proves it: [`blocks`]. Every page is in `docs/SUMMARY.md`, and `docs/llms.txt` is what they say.

pub mod blocks;
mod commands;
mod contents;
mod known;
mod markdown;
mod named;
mod routes;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use self::{
    commands::Ours,
    known::{Known, capitals, flags_of, names},
    markdown::{Kind, Piece, anchors, pieces},
    named::Named,
    routes::routes_of,
};
use super::{Depth, site};
use crate::{server, steps::Outcome};

/// Flags of other programs that pages name by themselves, without a command around them.
const FOREIGN_FLAGS: &[&str] = &[
    "--all-targets",
    "--cfg",
    "--example",
    "--no-default-features",
    "--no-deps",
    "--output",
    "--package",
    "--release",
    "--since",
    "--unix-socket",
    "--workspace",
];
/// Attributes of spans that are called like keys.
const FOREIGN_KEYS: &[&str] = &["http.route"];

/// Where collectors of OpenTelemetry take spans.
const COLLECTOR_ROUTE: &str = "/v1/traces";

/// Series of other programs: node_exporter, Prometheus itself.
const FOREIGN_METRICS: &[&str] = &[
    "node_disk_io_errors_total",
    "node_disk_io_time_seconds_total",
    "node_filesystem_avail_bytes",
    "node_filesystem_files",
    "node_filesystem_files_free",
    "node_filesystem_readonly",
    "node_filesystem_size_bytes",
    "node_memory_",
    "node_pressure_",
    "node_exporter",
    "node_textfile_mtime_seconds",
];
/// Names that begin like a series and are none: folders, users, modules.
const NO_METRICS: &[&str] = &["stemedb_api", "stemedb_client", "stemedb_exporter", "process_killed"];

/// As a part of `cargo xtask ops`.
pub fn part(root: &Path, _depth: Depth) -> Outcome {
    run(root)
}

/// Checks all pages; an error says how many names are wrong, each printed with its place.
pub fn run(root: &Path) -> Outcome {
    let program = server::program(root)?;
    let known = Known::gather(root, &program, crate::USAGE)?;
    let named = Named::gather(root, &known::sources(root), crate::USAGE)?;
    let (looked, pages) = (BTreeMap::new(), BTreeMap::new());
    let mut checker = Checker { root, known, named, looked, wrong: Vec::new(), pages };
    let pages = markdown_files(root);
    for path in &pages {
        checker.page(path);
    }
    let scratch = server::target(root).join("docs");
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let blocks = blocks::check(root, &program, &scratch)?;
    checker.wrong.extend(blocks.wrong.iter().cloned());
    checker.wrong.extend(site::summary::check(root)?);
    checker.wrong.extend(site::llms::check(root)?);
    for line in &checker.wrong {
        println!("{line}");
    }
    println!("{}", blocks.table());
    let counts: Vec<String> = checker.looked.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!("{} pages: {}", pages.len(), counts.join(", "));
    match checker.wrong.len() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} things in the documentation are not so")),
    }
}

/// The README and everything below `docs/`.
fn markdown_files(root: &Path) -> Vec<PathBuf> {
    let mut found = site::summary::pages(&root.join("docs"));
    found.extend([root.join("README.md"), root.join("CONTRIBUTING.md")]);
    found.sort();
    found
}

struct Checker<'a> {
    root: &'a Path,
    known: Known,
    named: Named,
    looked: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
    /// Anchors of pages that were looked into.
    pages: BTreeMap<PathBuf, Vec<String>>,
}

impl Checker<'_> {
    fn page(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut section = None;
        for piece in pieces(&text) {
            let mut found = match &piece.kind {
                Kind::Link => self.link(path, &piece.text),
                Kind::Span => self.span(&piece.text),
                Kind::Fenced(info) => self.fenced(info, &piece.text, &mut section),
            };
            found.extend(self.named.wrong(&piece.kind, &piece.text));
            let place = path.strip_prefix(self.root).unwrap_or(path).display();
            let Piece { line, .. } = piece;
            self.wrong.extend(found.into_iter().map(|what| format!("{place}:{line}: {what}")));
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.looked.entry(what).or_default() += 1;
    }

    fn link(&mut self, page: &Path, target: &str) -> Vec<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return Vec::new();
        }
        self.count("links");
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let folder = page.parent().unwrap_or(self.root);
        let path = if file.is_empty() { page.to_path_buf() } else { folder.join(file) };
        let Ok(path) = fs::canonicalize(&path) else {
            return vec![format!("no file behind the link {target}")];
        };
        if anchor.is_empty() || path.extension().is_none_or(|end| end != "md") {
            return Vec::new();
        }
        let there = self
            .pages
            .entry(path)
            .or_insert_with_key(|path| anchors(&fs::read_to_string(path).unwrap_or_default()));
        if there.iter().any(|known| known == anchor) {
            Vec::new()
        } else {
            vec![format!("no heading behind the link {target}")]
        }
    }

    fn span(&mut self, text: &str) -> Vec<String> {
        let mut wrong = self.words(text);
        let first = text.split_whitespace().next().unwrap_or_default();
        if first.starts_with("--") {
            for flag in flags_of(text) {
                self.count("flags");
                if !self.known.is_any_flag(&flag) && !FOREIGN_FLAGS.contains(&flag.as_str()) {
                    wrong.push(format!("no flag {flag}"));
                }
            }
        } else if self.known.flags.contains_key(first) && text.contains(" --") {
            let words = text.split_whitespace().map(str::to_owned).collect();
            wrong.extend(self.command(&Ours::Program(words)));
        } else {
            wrong.extend(self.commands(text));
        }
        if let Some((section, key)) = text.split_once('.')
            && let Some(keys) = self.known.keys.get(section)
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            // Pages, sources and files are called like sections, too.
            && !FOREIGN_KEYS.contains(&text)
            && !matches!(key, "md" | "rs" | "key" | "log" | "json" | "toml" | "staging" | "keys" | "img")
        {
            let is_there = keys.contains(key);
            self.count("keys");
            if !is_there {
                wrong.push(format!("no key {key} in [{section}]"));
            }
        } else if let Some((section, key)) = text.split_once('.')
            && section.chars().all(|c| c.is_ascii_lowercase())
            && key.contains('_')
            && self.known.keys.values().any(|keys| keys.contains(key))
        {
            wrong.push(format!("no section {section} with a key {key}"));
        }
        wrong
    }

    fn fenced(&mut self, info: &str, text: &str, section: &mut Option<String>) -> Vec<String> {
        let mut wrong = self.words(text);
        let language = info.split_whitespace().next().unwrap_or_default();
        match language {
            "sh" | "bash" => wrong.extend(self.commands(text)),
            "text" | "console" | "" => {
                if let Some(command) = text.trim_start().strip_prefix("$ ") {
                    wrong.extend(self.commands(command));
                }
            }
            "toml" => wrong.extend(self.toml(text, section)),
            _ => {}
        }
        wrong
    }

    /// A line of a configuration, below the section that was named last.
    fn toml(&mut self, text: &str, section: &mut Option<String>) -> Vec<String> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('[').and_then(|text| text.split_once(']')).map(|(name, _)| name)
        {
            let is_ours = self.known.keys.contains_key(name);
            *section = is_ours.then(|| name.to_owned());
            let is_cargo = name.starts_with("dependencies")
                || matches!(name, "package" | "features" | "dev-dependencies");
            return if is_ours || is_cargo { Vec::new() } else { vec![format!("no section [{name}]")] };
        }
        let Some((section, (key, _))) =
            section.as_ref().zip(text.trim_start_matches(['#', ' ']).split_once('='))
        else {
            return Vec::new();
        };
        let key = key.trim();
        let is_there = self.known.keys.get(section).is_some_and(|keys| keys.contains(key));
        let what = format!("no key {key} in [{section}]");
        self.count("keys");
        if is_there || key.contains(' ') { Vec::new() } else { vec![what] }
    }

    fn commands(&mut self, line: &str) -> Vec<String> {
        commands::of_line(line).iter().flat_map(|command| self.command(command)).collect()
    }

    /// The flags of a command of ours.
    fn command(&mut self, command: &Ours) -> Vec<String> {
        let mut wrong = Vec::new();
        let (known, words, name) = match command {
            Ours::Cargo(words) => return self.named.cargo(words),
            Ours::Developer(words) => {
                (self.known.developer_flags.clone(), words.as_slice(), "cargo xtask".to_owned())
            }
            Ours::Program(words) => {
                let mut path = String::new();
                let mut rest = words.as_slice();
                while let Some((word, more)) = rest.split_first() {
                    let longer = if path.is_empty() { word.clone() } else { format!("{path} {word}") };
                    if !self.known.flags.contains_key(&longer) {
                        break;
                    }
                    (path, rest) = (longer, more);
                }
                let mut below = self.known.flags.keys().filter(|known| known.len() > path.len());
                let has_commands =
                    path.is_empty() || below.any(|known| known.starts_with(&format!("{path} ")));
                let is_word = |word: &&String| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                if let Some(word) =
                    rest.first().filter(is_word).filter(|word| !word.starts_with('-') && has_commands)
                {
                    wrong.push(format!("no command {word} of stemedb-api {path}"));
                }
                let known = self.known.flags.get(&path).cloned().unwrap_or_default();
                (known, rest, format!("stemedb-api {path}"))
            }
        };
        if let Ours::Developer(_) = command {
            wrong.extend(self.named.task(words));
        }
        if let (Ours::Developer(_), [task, rest @ ..]) = (command, words)
            && task == "ops"
        {
            let named = rest.iter().zip(rest.iter().skip(1)).filter(|(flag, _)| *flag == "--only");
            for (_, part) in named {
                self.count("parts of ops");
                if !super::PARTS.iter().any(|(known, _)| known == part)
                    && part.chars().any(char::is_lowercase)
                {
                    wrong.push(format!("no part {part} of cargo xtask ops"));
                }
            }
        }
        for word in words {
            let Some(flag) = word.starts_with("--").then(|| flags_of(word).into_iter().next()).flatten()
            else {
                continue;
            };
            self.count("flags");
            if !known.contains(&flag) {
                wrong.push(format!("no flag {flag} of {name}"));
            }
        }
        wrong
    }

    /// Routes, series and variables, wherever they stand.
    fn words(&mut self, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for (method, path) in routes_of(text).into_iter().filter(|(_, path)| path != COLLECTOR_ROUTE) {
            self.count("routes");
            match self.known.methods(&path) {
                None => wrong.push(format!("no route {path}")),
                Some(known) => wrong.extend(
                    method
                        .filter(|method| !known.contains(method))
                        .map(|method| format!("no {method} {path}")),
                ),
            }
        }
        for name in names(text, "stemedb_").chain(names(text, "process_")) {
            // An example of an API key: its id, and perhaps the beginning of what follows.
            let is_key = name
                .trim_end_matches('_')
                .strip_prefix("stemedb_")
                .is_some_and(|id| id.len() == 12 && id.chars().all(|c| c.is_ascii_hexdigit()));
            let is_name = NO_METRICS.contains(&name.as_str()) || self.known.crates.contains(&name);
            if is_key || is_name || matches!(name.as_str(), "stemedb_" | "process_") {
                continue;
            }
            self.count("series");
            if !self.known.is_metric(&name) {
                wrong.push(format!("no series {name}"));
            }
        }
        for name in names(text, "node_") {
            self.count("series");
            if !FOREIGN_METRICS
                .iter()
                .any(|known| name == *known || (known.ends_with('_') && name.starts_with(known)))
            {
                wrong.push(format!("no series {name} of a named exporter"));
            }
        }
        for name in capitals(text).filter(|name| name != "STEMEDB_") {
            self.count("variables");
            let is_beginning =
                name.ends_with('_') && self.known.variables.iter().any(|known| known.starts_with(&name));
            if !self.known.variables.contains(&name) && !is_beginning {
                wrong.push(format!("no variable {name}"));
            }
        }
        wrong
    }
}
