//! Every secret that this program can know of: it is read so that it can be looked for, and for nothing else.

use std::{ffi::OsString, path::Path};

use stemedb_api::config::Config;
use stemedb_env::{Env, Fs, fs::read_file};
use stemedb_hybrid::Layout;

const FILE_MAX_BYTES: u64 = 1 << 20;
/// Of a key in PEM every line is looked for; the last one may be short.
const LINE_LEAST_BYTES: usize = 16;

/// A secret and what it is, for people.
pub struct Secret {
    pub what: String,
    pub text: String,
}

/// Values of variables that are secrets by their names.
pub fn of_variables(variables: &[(OsString, OsString)], found: &mut Vec<Secret>) {
    const PARTS: [&str; 9] = [
        "SECRET",
        "TOKEN",
        "PASSWORD",
        "PASSWD",
        "CREDENTIAL",
        "API_KEY",
        "ACCESS_KEY",
        "PRIVATE_KEY",
        "AUTHORIZATION",
    ];
    for (name, value) in variables {
        let (name, value) = (name.to_string_lossy().to_uppercase(), value.to_string_lossy());
        // Names of files are no secrets, what is in them is.
        let is_of_file = ["_FILE", "_PATH", "_DIR"].into_iter().any(|end| name.ends_with(end));
        if !is_of_file && PARTS.into_iter().any(|part| name.contains(part)) {
            found.push(Secret { what: format!("the variable {name}"), text: value.into_owned() });
        }
    }
}

/// What stands in files that the configuration or the environment names as secret.
pub fn of_files(
    env: &Env,
    config: Option<&Config>,
    variables: &[(OsString, OsString)],
    found: &mut Vec<Secret>,
) {
    let named = variables.iter().find(|(name, _)| name == "STEMEDB_API_KEY_FILE");
    if let Some((_, path)) = named {
        lines(&*env.fs, "the API key in a file", path.as_ref(), found);
    }
    let entries = config.map(Config::entries).unwrap_or_default();
    for entry in entries.iter().filter(|entry| entry.key.holds_secret) {
        if let Some(value) = &entry.value {
            lines(&*env.fs, &format!("the file of {}", entry.key.path()), value.text().as_ref(), found);
        }
    }
    let addresses = entries.iter().filter_map(|entry| entry.value.as_ref()?.text().split_once("://"));
    for (_, authority) in addresses {
        if let Some((credentials, _)) = authority.split_once('@') {
            let parts = credentials.split(':').filter(|part| !part.is_empty());
            let what = "the credentials of an address";
            found.extend(parts.map(|part| Secret { what: what.to_owned(), text: part.to_owned() }));
        }
    }
}

/// The keys in a database's folder: the server's own, and what is stored of API keys.
pub fn of_folder(env: &Env, layout: &Layout, found: &mut Vec<Secret>) {
    lines(&*env.fs, "the server's key", &layout.server_key(), found);
    let mut keys = Vec::new();
    lines(&*env.fs, "a stored API key", &layout.api_keys(), &mut keys);
    for line in keys {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(&line.text) else { continue };
        for member in ["hash", "agent", "label"] {
            if let Some(text) = line[member].as_str() {
                found.push(Secret { what: format!("{member} of a stored API key"), text: text.to_owned() });
            }
        }
    }
}

/// The lines of a file, if it can be read: one that cannot has told nobody anything.
fn lines(fs: &dyn Fs, what: &str, path: &Path, found: &mut Vec<Secret>) {
    let Ok(bytes) = read_file(fs, path, FILE_MAX_BYTES) else { return };
    let text = String::from_utf8_lossy(&bytes);
    let is_secret = |line: &&str| {
        line.len() >= LINE_LEAST_BYTES
            && !line.starts_with("-----")
            && !line.starts_with("stemedb server key")
    };
    let lines = text.lines().map(str::trim).filter(is_secret);
    for line in lines {
        // Of a header its value alone is the secret, and may stand somewhere without the name.
        let value = line.split_once(": ").map(|(_, value)| value.trim());
        let texts = [Some(line), value].into_iter().flatten();
        found.extend(texts.map(|text| Secret { what: what.to_owned(), text: text.to_owned() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_secret_by_their_names() {
        let of = |names: &[&str]| {
            let variables: Vec<_> =
                names.iter().map(|name| (OsString::from(name), OsString::from("v"))).collect();
            let mut found = Vec::new();
            of_variables(&variables, &mut found);
            found.into_iter().map(|secret| secret.what).collect::<Vec<_>>()
        };
        let names = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "STEMEDB_API_KEY", "PGPASSWORD"];
        assert_eq!(of(&names), names.map(|name| format!("the variable {name}")));
        assert_eq!(of(&["STEMEDB_API_KEY_FILE", "HOME", "PATH", "AWS_REGION"]), Vec::<String>::new());
    }
}
