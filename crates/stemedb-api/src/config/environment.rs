//! The layer of the environment.

use std::ffi::OsString;

use super::{
    FILE_VARIABLE, Keys, Origin, Problem, Suggestion,
    kind::Raw,
    layers::{Given, take},
    nearest::nearest,
};

const PREFIX: &str = "STEMEDB_";
/// Where clients find the server's address, and they and the commands with `--url` their key. A server may be started where they are set; it does not look at them.
const OF_CLIENTS: [&str; 3] = ["STEMEDB_API_KEY", "STEMEDB_API_KEY_FILE", "STEMEDB_URL"];

/// Reads the variables whose names begin with `STEMEDB_`, in the order of their names.
pub(super) fn read(
    keys: Keys,
    variables: &[(OsString, OsString)],
    problems: &mut Vec<Problem>,
) -> Vec<Given> {
    let mut ours: Vec<(String, &OsString)> = variables
        .iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| {
            name.starts_with(PREFIX) && name != FILE_VARIABLE && !OF_CLIENTS.contains(&&**name)
        })
        .collect();
    ours.sort();
    let mut given = Vec::new();
    for (name, value) in ours {
        match keys.iter().find(|key| key.variable() == name) {
            Some(key) => take(key, Raw::Words(value), Origin::Variable(name), &mut given, problems),
            None if is_service_link(&name, &value.to_string_lossy()) => {
                problems.push(Problem::ServiceLink { name })
            }
            None => {
                let known = || keys.iter().map(|key| key.variable()).chain([FILE_VARIABLE.to_owned()]);
                // Without what all of them have, or everything would be alike.
                let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
                let suggestion = match nearest(&bare(&name), known().map(|name| (bare(&name), name))) {
                    Some(name) => Suggestion::Nearest(name),
                    None => Suggestion::Known(known().collect()),
                };
                problems.push(Problem::UnknownVariable { name, suggestion });
            }
        }
    }
    given
}

/// `STEMEDB_PORT_18180_TCP_ADDR`, `STEMEDB_API_SERVICE_HOST` and their kin.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = value.starts_with("tcp://") || value.starts_with("udp://");
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_url)
        || (name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP")))
}
