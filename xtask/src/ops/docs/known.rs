//! What there is: flags, keys, metrics, routes, variables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Everything that documentation may name.
pub struct Known {
    /// Flags by the words of their command; the empty one is the program itself.
    pub flags: BTreeMap<String, BTreeSet<String>>,
    /// Flags of `cargo xtask`.
    pub developer_flags: BTreeSet<String>,
    /// Keys of the configuration by their section.
    pub keys: BTreeMap<String, BTreeSet<String>>,
    /// Series of `/metrics`, and of exporters and rules in `deploy/`.
    pub metrics: BTreeSet<String>,
    /// Paths with their methods.
    pub routes: Vec<(String, BTreeSet<String>)>,
    /// Names of the crates, as Rust writes them.
    pub crates: BTreeSet<String>,
    /// `STEMEDB_…` variables.
    pub variables: BTreeSet<String>,
}

impl Known {
    /// Asks the program and reads the sources.
    pub fn gather(root: &Path, program: &Path, developer_usage: &str) -> Result<Known, String> {
        let mut flags = BTreeMap::new();
        ask(program, &[], &mut flags)?;
        let sources = sources(root);
        let metrics_page = read(&root.join("docs/operations/metrics.md"))?;
        let mut metrics: BTreeSet<String> = names(&metrics_page, "stemedb_").collect();
        metrics.extend(names(&metrics_page, "process_"));
        let mut variables = BTreeSet::new();
        for path in &sources {
            let text = fs::read_to_string(path).unwrap_or_default();
            variables.extend(capitals(&text));
            let of_deploy = path.starts_with(root.join("deploy"));
            let quoted = text.lines().filter(|line| of_deploy || line.contains('"'));
            metrics.extend(quoted.flat_map(|line| names(line, "stemedb_")));
        }
        let crates = fs::read_dir(root.join("crates")).map_err(|error| error.to_string())?;
        let crates =
            crates.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.replace('-', "_"))).collect();
        Ok(Known {
            flags,
            developer_flags: flags_of(developer_usage),
            keys: keys(&read(&root.join("deploy/api.toml"))?),
            metrics,
            routes: routes(&read(&root.join("docs/openapi.json"))?)?,
            crates,
            variables,
        })
    }

    /// Flags of any command of the program.
    pub fn is_any_flag(&self, flag: &str) -> bool {
        self.flags.values().any(|flags| flags.contains(flag)) || self.developer_flags.contains(flag)
    }

    /// The methods of a path as somebody writes it; `None` if there is no such route. One that ends in `/` names all below it.
    pub fn methods(&self, path: &str) -> Option<BTreeSet<String>> {
        let below = |known: &str| path.ends_with('/') && known.starts_with(path);
        let mut found = self.routes.iter().filter(|(known, _)| below(known) || is_of(known, path)).peekable();
        found.peek()?;
        Some(found.flat_map(|(_, methods)| methods.iter().cloned()).collect())
    }

    /// Whether a name is that of a series, or of the first part of several.
    pub fn is_metric(&self, name: &str) -> bool {
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let is_prefix =
            |name: &str| name.ends_with('_') && self.metrics.iter().any(|known| known.starts_with(name));
        self.metrics.contains(name)
            || plain.is_some_and(|name| self.metrics.contains(name))
            || is_prefix(name)
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Asks a command for its help, and all of its own commands.
fn ask(
    program: &Path,
    words: &[String],
    flags: &mut BTreeMap<String, BTreeSet<String>>,
) -> Result<(), String> {
    let output = Command::new(program).args(words).arg("--help").env("COLUMNS", "200").output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{} {} --help failed", program.display(), words.join(" ")));
    }
    flags.insert(words.join(" "), flags_of(&help));
    for command in commands_of(&help) {
        ask(program, &[words, &[command]].concat(), flags)?;
    }
    Ok(())
}

/// The names below `Commands:`.
fn commands_of(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  ") || line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Everything in a text that looks like a long flag.
pub fn flags_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices("--") {
        let before = at.checked_sub(1).map(|at| bytes[at]);
        if before.is_some_and(|c| c == b'-' || c.is_ascii_alphanumeric()) {
            continue;
        }
        let name = &text[at + 2..];
        let end = name
            .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))
            .unwrap_or(name.len());
        let name = name[..end].trim_end_matches('-');
        if name.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.insert(format!("--{name}"));
        }
    }
    found
}

/// Sections and keys of the commented example.
fn keys(example: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            found.entry(section.clone()).or_default();
        } else if let Some((name, _)) = line.trim_start_matches('#').split_once(" = ")
            && !name.contains(' ')
        {
            found.entry(section.clone()).or_default().insert(name.to_owned());
        }
    }
    found
}

fn routes(document: &str) -> Result<Vec<(String, BTreeSet<String>)>, String> {
    let document: Value =
        serde_json::from_str(document).map_err(|error| format!("docs/openapi.json: {error}"))?;
    let paths = document["paths"].as_object().ok_or("docs/openapi.json has no paths")?;
    let methods = |item: &Value| {
        item.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()).collect()
    };
    Ok(paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect())
}

/// Whether a path is of a template: `{…}` is any one piece, and so is what somebody writes in its place.
pub fn is_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let is_variable = |piece: &str| piece.starts_with('{');
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(known, given)| (is_variable(known) && !given.is_empty()) || known == given)
}

/// Words of a text that begin so and go on in small letters, digits and `_`.
pub fn names<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = String> + 'a {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.match_indices(begin).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/')) {
            return None;
        }
        let rest = &text[at..];
        let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        // A path of Rust is no series.
        (!rest[end..].starts_with("::")).then(|| rest[..end].to_owned())
    })
}

/// `STEMEDB_…` words.
pub fn capitals(text: &str) -> impl Iterator<Item = String> + '_ {
    let is_inside = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("STEMEDB_").map(move |(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        rest[..end].to_owned()
    })
}

/// Files that are programs, settings or tests: where a variable or a series exists because something reads or makes it.
pub fn sources(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["crates", "xtask", "clients", "benches", "deploy"].iter().map(|name| root.join(name)).collect();
    let mut found = vec![root.join(".env.example")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | "node_modules" | "corpus" | "golden") {
                    folders.push(path);
                }
            } else if !name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_text_names_commands_and_flags() {
        let help = "About\n\nUsage: x [OPTIONS]\n\nCommands:\n  init   Makes --it\n  wal    Looks\n         at more\n  help   Print\n\nOptions:\n  -h, --help\n      --data-dir <DIR>\n";
        assert_eq!(commands_of(help), ["init", "wal"]);
        let flags: Vec<String> = flags_of(help).into_iter().collect();
        assert_eq!(flags, ["--data-dir", "--help", "--it"]);
        assert!(flags_of("a--b ---c -- d").is_empty());
    }

    #[test]
    fn paths_are_of_their_templates() {
        assert!(is_of("/v1/jobs/{id}", "/v1/jobs/1") && is_of("/v1/jobs/{id}", "/v1/jobs/{id}"));
        assert!(!is_of("/v1/jobs/{id}", "/v1/jobs/") && !is_of("/v1/jobs/{id}", "/v1/jobs"));
    }

    #[test]
    fn names_end_where_they_end() {
        let found: Vec<String> =
            names("`stemedb_a_total{x}` stemedb_api::X my_stemedb_b stemedb_cache_*", "stemedb_").collect();
        assert_eq!(found, ["stemedb_a_total", "stemedb_cache_"]);
        assert_eq!(
            capitals("STEMEDB_DISK_LOW=1 STEMEDB_…").collect::<Vec<_>>(),
            ["STEMEDB_DISK_LOW", "STEMEDB_"]
        );
    }

    #[test]
    fn keys_are_of_their_sections() {
        let found = keys("# About\n[a]\n\n# Text = here\n#b = 1\nc = 2\n[d]\n#e = \"x\"\n");
        assert_eq!(found["a"].iter().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(found["d"].iter().collect::<Vec<_>>(), ["e"]);
    }
}
