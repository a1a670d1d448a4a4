//! What the server is configured to be. Secrets are in no bundle, redacted or not: keys name their files, and those are not read here.

use std::ffi::OsString;

use serde_json::{Value, json};
use stemedb_api::config::{
    self, Config, DEFAULT_FILE, FlagOf, Keys, Kind, Origin, Problem, Problems, Sources,
};
use stemedb_env::Env;

use crate::cli::bundle::redact::{Redactor, words};

/// What a running server was started with, as the system tells it.
#[derive(Debug)]
pub struct Started {
    pub arguments: Vec<OsString>,
    pub variables: Vec<(OsString, OsString)>,
}

/// Reads the configuration as the running server has done, or as one would that is started now with this file.
pub fn load(
    env: &Env,
    file: Option<std::path::PathBuf>,
    started: Option<&Started>,
) -> Result<Config, Problems> {
    let Some(started) = started else { return config::load(env, &Sources::of_process(file, Vec::new())) };
    let (named, flags) = flags_of(&started.arguments);
    let variables = started.variables.clone();
    config::load(env, &Sources { file: named.or(file), default_file: DEFAULT_FILE.into(), variables, flags })
}

/// The flags of `serve` in a command line: those of keys, and the file.
fn flags_of(arguments: &[OsString]) -> (Option<std::path::PathBuf>, Vec<(&'static str, OsString)>) {
    let (mut file, mut flags) = (None, Vec::new());
    let mut words = arguments.iter().map(|word| word.to_string_lossy().into_owned()).peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else { continue };
        let (name, given) =
            flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
        let key = Keys::all().iter().find(|key| key.flag == name);
        let is_switch = key.is_some_and(|key| matches!(key.kind, Kind::Switch(_)));
        let value = match given {
            Some(value) => value,
            None if is_switch => "true".to_owned(),
            None => match words.next_if(|next| !next.starts_with("--")) {
                Some(value) => value,
                None => continue,
            },
        };
        match key {
            _ if name == "config" => file = Some(value.into()),
            Some(key) if matches!(key.flag_of, FlagOf::Serve | FlagOf::Everything) => {
                flags.push((key.flag, value.into()))
            }
            _ => {}
        }
    }
    (file, flags)
}

/// The part: every key with its value and where it comes from, or what is wrong.
pub fn document(loaded: &Result<Config, Problems>, is_of_running_server: bool, redactor: &Redactor) -> Value {
    let of = if is_of_running_server {
        "the running server"
    } else {
        "a server that is started now with the environment of this command"
    };
    match loaded {
        Ok(config) => {
            let mut keys = serde_json::Map::new();
            for entry in config.entries() {
                let shown = entry.value.as_ref().map(|value| value_of(entry.key, value.text(), redactor));
                let value = json!({ "value": shown, "origin": origin(&entry.origin, redactor) });
                keys.insert(entry.key.path(), value);
            }
            json!({ "of": of, "keys": keys })
        }
        Err(problems) => {
            let all: Vec<Value> = problems.iter().map(|problem| problem_of(problem, redactor)).collect();
            json!({ "of": of, "problems": all })
        }
    }
}

/// By what kind of key it is: numbers and words of the program are shown, texts of an operator are described.
fn value_of(key: &config::Key, text: &str, redactor: &Redactor) -> String {
    if !redactor.is_on() && !key.holds_secret {
        // An address with credentials in it is a secret, whatever it is for.
        return match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
            Some((scheme, (_, place))) => format!("{scheme}://{}@{place}", words::WITHHELD),
            None => text.to_owned(),
        };
    }
    match key.kind {
        Kind::Switch(_) | Kind::Number { .. } | Kind::Ratio(_) | Kind::Choice(_) | Kind::Room(_) => {
            text.to_owned()
        }
        Kind::Address(_) => address(text),
        Kind::Path(_) if is_built_in(key, text) => text.to_owned(),
        Kind::Path(_) => if text == "off" { "off" } else { "a path" }.to_owned(),
        Kind::Text { .. } if is_built_in(key, text) => text.to_owned(),
        Kind::Text { .. } if is_target(key) => match text.split_once("://") {
            Some(("s3", _)) => "s3".to_owned(),
            _ => "a folder".to_owned(),
        },
        Kind::Text { .. } if key.is("security", "rate_limits") => text.to_owned(),
        Kind::Text { .. } => format!("{} of them", text.split(',').count()),
    }
}

/// A folder or a bucket.
fn is_target(key: &config::Key) -> bool {
    [("backup", "to"), ("archive", "to"), ("archive", "follow")]
        .into_iter()
        .any(|(of, name)| key.is(of, name))
}

fn is_built_in(key: &config::Key, text: &str) -> bool {
    matches!(key.built_in, config::BuiltIn::Is(value) if value == text)
}

/// Which machine it is does not matter, whether others can reach it does.
fn address(text: &str) -> String {
    let Ok(address) = text.parse::<std::net::SocketAddr>() else { return "an address".to_owned() };
    let ip = match address.ip() {
        ip if ip.is_loopback() => "loopback",
        ip if ip.is_unspecified() => "every address",
        _ => "an address of others",
    };
    format!("{ip}, port {}", address.port())
}

fn origin(origin: &Origin, redactor: &Redactor) -> String {
    match origin {
        Origin::File { path, line, column }
            if redactor.is_on() && path.as_ref() != std::path::Path::new(DEFAULT_FILE) =>
        {
            format!("a file, line {line}, column {column}")
        }
        other => other.to_string(),
    }
}

/// Which key and where. The value that was refused may be anything, a secret in the wrong place among others.
fn problem_of(problem: &Problem, redactor: &Redactor) -> Value {
    // Also without redaction: values stand in the text.
    let text = words::filter(&problem.to_string());
    json!({ "at": problem.origin().map(|at| origin(at, redactor)), "text": text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_flags_of_a_running_server_are_read_out_of_its_command_line() {
        let (file, flags) = flags_of(&words(
            "stemedb-api serve --init --bind 0.0.0.0:1 --config /c.toml --cache-mib=7 --unknown x --log-level debug",
        ));
        let given = |name: &'static str, value: &str| (name, OsString::from(value));
        assert_eq!(file, Some("/c.toml".into()));
        assert_eq!(
            flags,
            [
                given("init", "true"),
                given("bind", "0.0.0.0:1"),
                given("cache-mib", "7"),
                given("log-level", "debug")
            ]
        );
    }

    #[test]
    fn texts_of_an_operator_are_described_and_not_shown() {
        let env = Env::real();
        let variables = [
            ("STEMEDB_BIND", "192.0.2.7:18180"),
            ("STEMEDB_DATA_DIR", "/srv/zyxo/db"),
            ("STEMEDB_BACKUP_TO", "/mnt/zyxo"),
            ("STEMEDB_TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1"),
            ("STEMEDB_CACHE_MIB", "7"),
        ];
        let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value))).to_vec();
        let started = Started { arguments: Vec::new(), variables };
        let loaded = load(&env, None, Some(&started));
        let shown = document(&loaded, true, &Redactor::new(&env, true));
        let text = shown.to_string();
        assert!(!text.contains("zyxo") && !text.contains("192.0.2") && !text.contains("10.0.0"), "{text}");
        let value = |key: &str| shown["keys"][key]["value"].as_str().unwrap().to_owned();
        assert_eq!(value("server.bind"), "an address of others, port 18180");
        assert_eq!(
            (value("storage.cache_mib").as_str(), value("storage.data_dir").as_str()),
            ("7", "a path")
        );
        assert_eq!(
            (value("backup.to").as_str(), value("security.trusted_proxies").as_str()),
            ("a folder", "2 of them")
        );
        assert_eq!(shown["keys"]["storage.cache_mib"]["origin"], "variable STEMEDB_CACHE_MIB");
        assert_eq!(value("storage.fallback"), "on_demand");
        let open = document(&loaded, true, &Redactor::new(&env, false)).to_string();
        assert!(open.contains("/srv/zyxo/db"), "{open}");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_told() {
        let env = Env::real();
        let variables = vec![(OsString::from("STEMEDB_AUTH"), OsString::from("hunter2-of-zyxo"))];
        let loaded = load(&env, None, Some(&Started { arguments: Vec::new(), variables }));
        for is_on in [true, false] {
            let text = document(&loaded, true, &Redactor::new(&env, is_on)).to_string();
            assert!(!text.contains("zyxo") && text.contains("STEMEDB_AUTH"), "{text}");
        }
    }
}
