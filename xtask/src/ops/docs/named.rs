//! Names that stand in no list of the program: of files, units, error codes, headers, alerts, packages, tasks.
//!
//! | named | exists if |
//! |---|---|
//! | a file of the workspace: `xtask/…`, `deploy/…` | it is there |
//! | an error code with its status: `503 standby` | `docs/errors/README.md` has both |
//! | a parameter of a route: `/v1/query?subject=` | `docs/openapi.json` has it for that route |
//! | `stemedb-…`, `Stemedb-…`, `/etc/stemedb/…`, `like_this`, `LikeThis` | the word stands in a program, a setting or a test |
//! | a task, a step, a page, a package, a test, an example | cargo or xtask would find it |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::markdown::Kind;
use crate::ci;

/// Words of other programs, and of formats, in code spans that no file of ours has.
const FOREIGN: &[&str] = &["RateLimit", "notify_all"];
/// What stands for a name in a usage.
const PLACEHOLDERS: &[&str] = &["PAGE", "PART", "STEP", "SUITE", "WORD", "NAME"];
/// Folders that pages name files of.
const TOP: &[&str] = &["benches/", "clients/", "crates/", "deploy/", "docs/", "examples/", "xtask/"];
/// Folders of a machine that has the package.
const INSTALLED: &[&str] = &["/etc/stemedb/", "/usr/lib/stemedb/", "/etc/cron.daily/"];
/// Files there that are somebody's own, whatever he calls them.
const OWN: &[&str] = &[".key", ".pem", "/tls", ".new"];

/// What may be named.
pub struct Named {
    root: PathBuf,
    /// Every word of the sources that could be a name.
    words: BTreeSet<String>,
    /// Codes with their statuses.
    codes: BTreeMap<String, String>,
    /// Parameters by path.
    parameters: Vec<(String, BTreeSet<String>)>,
    /// Tasks of `cargo xtask`.
    tasks: BTreeSet<String>,
}

impl Named {
    /// Reads the sources: a second at most.
    pub fn gather(root: &Path, sources: &[PathBuf], usage: &str) -> Result<Named, String> {
        let read =
            |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"));
        let mut words = BTreeSet::new();
        // This file has examples of names that are nowhere.
        for path in sources.iter().filter(|path| !path.ends_with("docs/named.rs")) {
            words.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            let text = fs::read_to_string(path).unwrap_or_default();
            let of_text = words_of(&text).filter(|word| is_name(word));
            of_text.for_each(|word| {
                if !words.contains(word) {
                    words.insert(word.to_owned());
                }
            });
        }
        let errors = read("docs/errors/README.md")?;
        let code = |line: &str| {
            let (_, behind) = line.strip_prefix("| <a id=\"")?.split_once("`")?;
            let (code, behind) = behind.split_once("` | ")?;
            Some((code.to_owned(), behind.split(' ').next()?.to_owned()))
        };
        let codes = errors.lines().filter_map(code).collect();
        let tasks = usage.lines().filter_map(|line| line.strip_prefix("  ")?.split([' ', '\n']).next());
        Ok(Named {
            root: root.to_path_buf(),
            words,
            codes,
            parameters: parameters(&read("docs/openapi.json")?)?,
            tasks: tasks.filter(|task| !task.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// What a piece of a page names and is not there.
    pub fn wrong(&self, kind: &Kind, text: &str) -> Vec<String> {
        let mut wrong = self.queries(text);
        if *kind == Kind::Span {
            wrong.extend(self.span(text.trim()));
        }
        if !matches!(kind, Kind::Link) {
            wrong.extend(self.tokens(text));
        }
        wrong
    }

    fn span(&self, text: &str) -> Option<String> {
        if let Some((status, code)) = text.split_once(' ')
            && status.len() == 3
            && status.chars().all(|c| c.is_ascii_digit())
            && code.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            return match self.codes.get(code) {
                Some(known) if known == status => None,
                Some(known) => Some(format!("{code} is {known}, and not {status}")),
                None => Some(format!("no error code {code}")),
            };
        }
        let first = text.split_whitespace().next().unwrap_or_default();
        if TOP.iter().any(|top| first.starts_with(top)) {
            return self.missing(first).map(|path| format!("no file {path}"));
        }
        // Words that begin as ours do are looked at wherever they stand.
        let is_word = is_name(text) && words_of(text).eq([text]) && !begins_as_ours(text);
        (is_word && !self.is_there(text)).then(|| format!("nothing is called {text}"))
    }

    /// Words that begin as ours do, wherever they stand.
    fn tokens(&self, text: &str) -> Vec<String> {
        words_of(text)
            .filter(|word| !self.is_ours(word))
            .map(|word| format!("nothing is called {word}"))
            .collect()
    }

    /// Whether a word that begins as ours do is one of ours.
    fn is_ours(&self, word: &str) -> bool {
        if let Some((folder, _)) = word.split_once('/').filter(|_| word.starts_with("stemedb-")) {
            let in_crates = self.root.join("crates").join(word);
            return in_crates.exists() || !self.root.join("crates").join(folder).is_dir();
        }
        // The name of a backup has a moment in it; headers are the same in any case.
        let is_made = word.starts_with("stemedb-backup-2") || word.starts_with("stemedb-api.");
        let is_header = word.starts_with("Stemedb-");
        let is_own = OWN.iter().any(|end| word.ends_with(end));
        let is_installed = INSTALLED.iter().any(|folder| word.starts_with(folder)) && !is_own;
        if is_header {
            return self.is_there(word) || self.is_there(&word.to_lowercase());
        }
        !(is_installed || word.starts_with("stemedb-") && !is_made) || self.is_there(word)
    }

    fn is_there(&self, word: &str) -> bool {
        self.words.contains(word) || FOREIGN.contains(&word)
    }

    /// The first of the paths that a word with braces means which is not there.
    fn missing(&self, path: &str) -> Option<String> {
        if let Some((before, behind)) = path.split_once('{')
            && let Some((choices, after)) = behind.split_once('}')
        {
            return choices.split(',').find_map(|one| self.missing(&format!("{before}{one}{after}")));
        }
        // As far as it is spelled out.
        let spelled = path.split(['*', '…', '<']).next().unwrap_or_default();
        let spelled =
            if spelled.len() < path.len() { spelled.rsplit_once('/').map(|it| it.0) } else { Some(spelled) };
        let file = spelled.unwrap_or_default().split(':').next().unwrap_or_default();
        (!self.root.join(file).exists()).then(|| path.to_owned())
    }

    /// Parameters of routes in a text.
    fn queries(&self, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for (at, _) in text.match_indices("/v1/") {
            let rest = &text[at..];
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ')' | '|'));
            let Some((path, query)) = rest[..end.unwrap_or(rest.len())].split_once('?') else { continue };
            let Some((_, known)) = self.parameters.iter().find(|(known, _)| super::known::is_of(known, path))
            else {
                continue;
            };
            let named = query.split('&').filter_map(|part| part.split('=').next());
            let is_word =
                |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let strange = named.filter(is_word).filter(|name| !known.contains(*name));
            wrong.extend(strange.map(|name| format!("no parameter {name} of {path}")));
        }
        wrong
    }

    /// What a command of `cargo xtask` is told to do.
    pub fn task(&self, words: &[String]) -> Vec<String> {
        let Some((task, rest)) = words.split_first() else { return Vec::new() };
        if !self.tasks.contains(task) && task.starts_with(|c: char| c.is_ascii_lowercase()) {
            return vec![format!("no task {task} of cargo xtask")];
        }
        let only = rest.iter().zip(rest.iter().skip(1)).filter(|(flag, _)| *flag == "--only");
        let only = only.map(|(_, name)| name.as_str()).filter(|name| !PLACEHOLDERS.contains(name));
        let is_there = |name: &str| match task.as_str() {
            "ci" => ci::names().any(|step| step == name),
            "runbooks" => self.root.join(format!("docs/operations/runbooks/{name}.md")).is_file(),
            "transcripts" => ["", "docs/"].iter().any(|folder| self.root.join(folder).join(name).is_file()),
            _ => true,
        };
        only.filter(|name| !is_there(name)).map(|name| format!("cargo xtask {task} has no {name}")).collect()
    }

    /// What cargo is told to build or run.
    pub fn cargo(&self, words: &[String]) -> Vec<String> {
        let own = words.split(|word| word == "--").next().unwrap_or_default();
        let of = |flags: &[&str]| {
            let at = own.iter().position(|word| flags.contains(&word.as_str()))?;
            own.get(at + 1).map(String::as_str)
        };
        let folder = match of(&["-p", "--package"]) {
            None => "crates/stemedb-api".to_owned(),
            Some("stemedb-examples") => "examples".to_owned(),
            Some("stemedb-benches") => "benches".to_owned(),
            Some("xtask") => "xtask".to_owned(),
            Some(name) => format!("crates/{name}"),
        };
        if !self.root.join(&folder).is_dir() {
            return vec![format!("no package {folder}")];
        }
        let manifest = fs::read_to_string(self.root.join(&folder).join("Cargo.toml")).unwrap_or_default();
        let is_there = |name: &str, places: [String; 2]| {
            manifest.contains(&format!("name = \"{name}\""))
                || places.iter().any(|place| self.root.join(&folder).join(place).is_file())
        };
        ["test", "example", "bench"]
            .into_iter()
            .filter_map(|kind| Some((kind, of(&[&format!("--{kind}")])?)))
            .filter(|(kind, name)| {
                let place = if *kind == "bench" { "benches" } else { &format!("{kind}s") };
                !is_there(name, [format!("{place}/{name}.rs"), format!("{place}/{name}/main.rs")])
            })
            .map(|(kind, name)| format!("no {kind} {name} in {folder}"))
            .collect()
    }
}

/// Pieces of a text that could be a name or a path.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
    text.split(move |c: char| !is_inside(c))
        .map(|word| word.trim_end_matches(['.', '/', '-']))
        .filter(|word| !word.is_empty())
}

/// Whether a word is made as names are: `like_this`, `LikeThis`, `stemedb-…`, `Stemedb-…`, a path of the package.
fn is_name(word: &str) -> bool {
    let is_snake = word.contains('_')
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let humps = word
        .chars()
        .zip(word.chars().skip(1))
        .filter(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase());
    let is_camel = word.chars().all(|c| c.is_ascii_alphanumeric())
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && humps.count() > 0;
    is_snake || is_camel || begins_as_ours(word)
}

fn begins_as_ours(word: &str) -> bool {
    // Series and modules have lists of their own.
    ["stemedb-", "stemedb_", "Stemedb-"].iter().chain(INSTALLED).any(|begin| word.starts_with(begin))
}

fn parameters(document: &str) -> Result<Vec<(String, BTreeSet<String>)>, String> {
    let document: Value =
        serde_json::from_str(document).map_err(|error| format!("docs/openapi.json: {error}"))?;
    let paths = document["paths"].as_object().ok_or("docs/openapi.json has no paths")?;
    let named = |item: &Value| -> BTreeSet<String> {
        let operations = item.as_object().into_iter().flatten().map(|(_, operation)| operation);
        let all = operations.flat_map(|operation| operation["parameters"].as_array().into_iter().flatten());
        all.filter_map(|parameter| parameter["name"].as_str()).map(str::to_owned).collect()
    };
    Ok(paths.iter().map(|(path, item)| (path.clone(), named(item))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Named {
        let root = crate::workspace_root();
        let sources = super::super::known::sources(&root);
        Named::gather(&root, &sources, crate::USAGE).unwrap()
    }

    #[test]
    fn names_that_are_nowhere_are_told() {
        let named = named();
        let wrong = |text: &str| named.wrong(&Kind::Span, text).join("; ");
        let right = [
            "503 standby",
            "storage_full",
            "StemeDBFenced",
            "stemedb-backup.timer",
            "systemctl start stemedb-api",
            "Stemedb-Standby-Lag",
            "deploy/api.toml",
            "crates/stemedb-{lsm,wal}/src",
            "/etc/stemedb/api.toml",
            "/etc/stemedb/mine.key",
            "/v1/query?subject=a&predicate=b",
            "Vec",
        ];
        right.into_iter().for_each(|text| assert_eq!(wrong(text), "", "{text}"));
        let told = [
            ("503 standbyy", "no error code standbyy"),
            ("409 standby", "standby is 503"),
            ("storage_fulll", "nothing is called"),
            ("StemeDBFencedd", "nothing is called"),
            ("stemedb-backupp.timer", "nothing is called"),
            ("systemctl start stemedb-apiss", "nothing is called"),
            ("Stemedb-Lsnn", "nothing is called"),
            ("stemedb-wal/src/nothing.rs", "nothing is called"),
            ("deploy/apy.toml", "no file"),
            ("crates/stemedb-{lsm,none}/src", "no file"),
            ("/etc/stemedb/apy.toml", "nothing is called"),
            ("/usr/lib/stemedb/rotate", "nothing is called"),
            ("/v1/query?subjekt=a", "no parameter subjekt of /v1/query"),
        ];
        told.into_iter()
            .for_each(|(text, what)| assert!(wrong(text).contains(what), "{text}: {}", wrong(text)));
    }

    #[test]
    fn tasks_packages_and_tests_that_are_nowhere_are_told() {
        let named = named();
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        for line in
            ["site", "ci --only README", "runbooks --only disk-full", "transcripts --only cli.md", "TASK"]
        {
            assert_eq!(named.task(&words(line)), Vec::<String>::new(), "{line}");
        }
        for line in ["sites", "ci --only READMES", "runbooks --only disk-ful", "transcripts --only clii.md"] {
            assert_eq!(named.task(&words(line)).len(), 1, "{line}");
        }
        let good = [
            "-p stemedb-api --test cli_processes failovers",
            "-p stemedb-examples --example embed",
            "--release -- demo",
        ];
        good.into_iter()
            .for_each(|line| assert_eq!(named.cargo(&words(line)), Vec::<String>::new(), "{line}"));
        let bad =
            ["-p stemedb-apis", "-p stemedb-api --test cli_proceses", "-p stemedb-examples --example embedd"];
        bad.into_iter().for_each(|line| assert_eq!(named.cargo(&words(line)).len(), 1, "{line}"));
    }
}
