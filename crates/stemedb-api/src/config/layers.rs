//! The layers, one over the other.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use stemedb_env::{Env, OpenMode};

use super::{
    BuiltIn, Key, Keys, Origin, Problem, Problems, Settings, Value, environment, file, flags, kind::Raw,
    rules,
};

/// The file that is read where none is named. It may be absent.
pub const DEFAULT_FILE: &str = "/etc/stemedb/api.toml";
/// The variable that names another file. It is no key: a file cannot say which file it is.
pub const FILE_VARIABLE: &str = "STEMEDB_CONFIG";
/// Longer ones are no configuration.
pub(super) const FILE_MAX_BYTES: usize = 1 << 20;

/// Where a configuration is taken from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file that the command line names. It must exist, as must one that [`FILE_VARIABLE`] names.
    pub file: Option<PathBuf>,
    /// The file that is read if there is one, where no other is named.
    pub default_file: PathBuf,
    /// The environment, whole: what is not ours is left alone.
    pub variables: Vec<(OsString, OsString)>,
    /// Flags by their names, without dashes, with their values.
    pub flags: Vec<(&'static str, OsString)>,
}

impl Sources {
    /// Those of this process, whose command line was `file` and `flags`.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, OsString)>) -> Sources {
        Sources { file, default_file: DEFAULT_FILE.into(), variables: std::env::vars_os().collect(), flags }
    }
}

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Config {
    entries: Vec<Entry>,
    file: Option<PathBuf>,
}

/// One key of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: &'static Key,
    /// Its value; `None` if no layer has one.
    pub value: Option<Value>,
    /// The layer that has it.
    pub origin: Origin,
}

impl Config {
    /// Every key, in the order of the table.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What a server is made of.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for value in self.entries.iter().filter_map(|entry| entry.value.as_ref()) {
            value.apply(&mut settings);
        }
        settings
    }
}

/// A value that a layer has for a key.
pub(super) struct Given {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Reads a value of a layer.
pub(super) fn take(
    key: &'static Key,
    raw: Raw<'_>,
    at: Origin,
    given: &mut Vec<Given>,
    problems: &mut Vec<Problem>,
) {
    match key.kind.read(raw) {
        Some(value) => given.push(Given { key, value, origin: at }),
        None => {
            let shown = match raw {
                _ if key.holds_secret => None,
                Raw::Words(words) if has_password(&words.to_string_lossy()) => None,
                Raw::Text(text) if has_password(text) => None,
                Raw::Words(words) => Some(format!("{:?}", words.to_string_lossy())),
                Raw::Text(text) => Some(format!("{text:?}")),
                Raw::Boolean(value) => Some(value.to_string()),
                Raw::Integer(number) => number.map(|number| number.to_string()),
                // With its point, or 5.0 would be told from 5 by nobody.
                Raw::Float(number) => Some(format!("{number:?}")),
                Raw::Other => None,
            };
            problems.push(Problem::Refused { at, key, value: shown });
        }
    }
}

/// True for what looks like an address with a name and a password in it.
fn has_password(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Reads all layers and puts them over each other.
///
/// # Errors
/// Everything that is wrong with any layer, and what the rules of the environment refuse. A rule about a key whose value is
/// wrong is not asked.
pub fn load(env: &Env, sources: &Sources) -> Result<Config, Problems> {
    load_keys(Keys::all(), env, sources)
}

/// [`load`] with other keys.
pub(super) fn load_keys(keys: Keys, env: &Env, sources: &Sources) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let (path, is_named) = file_of(sources);
    let bytes = read_file(env, &path, is_named, &mut problems);
    let is_read = bytes.is_some();
    let layers = [
        bytes.map(|bytes| file::read(keys, &path, &bytes, &mut problems)).unwrap_or_default(),
        environment::read(keys, &sources.variables, &mut problems),
        flags::read(keys, &sources.flags, &mut problems),
    ];
    let mut entries: Vec<Entry> = keys.iter().map(built_in).collect();
    for given in layers.into_iter().flatten() {
        if let Some(entry) = entries.iter_mut().find(|entry| std::ptr::eq(entry.key, given.key)) {
            (entry.value, entry.origin) = (Some(given.value), given.origin);
        }
    }
    let config = Config { entries, file: is_read.then_some(path) };
    let refused = rules::check(&config, &problems);
    problems.extend(refused);
    if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
}

fn built_in(key: &'static Key) -> Entry {
    let value = match key.built_in {
        BuiltIn::Is(text) => key.kind.read(Raw::Words(text.as_ref())),
        BuiltIn::Unset { .. } => None,
    };
    Entry { key, value, origin: Origin::BuiltIn }
}

/// The file, and whether somebody named it.
fn file_of(sources: &Sources) -> (PathBuf, bool) {
    let by_variable = || {
        let named = sources.variables.iter().find(|(name, _)| name == FILE_VARIABLE);
        named.map(|(_, path)| PathBuf::from(path))
    };
    match sources.file.clone().or_else(by_variable) {
        Some(path) => (path, true),
        None => (sources.default_file.clone(), false),
    }
}

/// The bytes of a file; `None` if it is absent and may be so, or if there is a problem with it.
fn read_file(env: &Env, path: &Path, is_named: bool, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let path_buf = || path.to_path_buf();
    let mut failed = |problem| {
        problems.push(problem);
        None
    };
    match env.fs.metadata(path) {
        Ok(Some(found)) if found.is_dir => {
            return failed(Problem::NoFile { path: path_buf(), what: "is a folder" });
        }
        Ok(None) if !is_named => return None,
        Ok(None) => return failed(Problem::NoFile { path: path_buf(), what: "does not exist" }),
        Err(error) => return failed(Problem::Unreadable { path: path_buf(), error }),
        Ok(Some(_)) => {}
    }
    let mut bytes = vec![0; FILE_MAX_BYTES + 1];
    let read = env.fs.open(path, OpenMode::Read).and_then(|file| file.read_up_to_at(&mut bytes, 0));
    match read {
        Ok(count) if count > FILE_MAX_BYTES => failed(Problem::TooLong { path: path_buf() }),
        Ok(count) => {
            bytes.truncate(count);
            Some(bytes)
        }
        Err(error) => failed(Problem::Unreadable { path: path_buf(), error }),
    }
}
