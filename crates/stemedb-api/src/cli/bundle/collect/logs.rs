//! The ends of logs, line by line: numbers, the program's own words, and nothing that a client has sent.

use std::path::Path;

use serde_json::{Map, Value};
use stemedb_env::{Env, OpenMode};

use crate::cli::bundle::redact::{Redactor, words};

/// How much of the end of a log is read.
const TAIL_BYTES: u64 = 1 << 20;

/// Members of a line whose text is the program's, with parts of others in it.
const TEXTS: [&str; 14] = [
    "message",
    "error",
    "problem",
    "cause",
    "kind",
    "state",
    "stage",
    "level",
    "timestamp",
    "lens",
    "operation",
    "view",
    "job",
    "why",
];
/// Members whose value is a path.
const FILES: [&str; 3] = ["file", "path", "dir"];

/// The end of a log as it may stand in a bundle; an error says why it cannot be read.
pub fn tail(env: &Env, path: &Path, redactor: &Redactor) -> stemedb_env::Result<String> {
    let file = env.fs.open(path, OpenMode::Read)?;
    let len = file.len()?;
    let from = len.saturating_sub(TAIL_BYTES);
    let mut bytes = vec![0; usize::try_from(len - from).unwrap_or(usize::MAX)];
    let read = file.read_up_to_at(&mut bytes, from)?;
    bytes.truncate(read);
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be cut.
    let whole = if from == 0 { &*text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    Ok(whole.lines().map(|line| format!("{}\n", of_line(line, redactor))).collect())
}

fn of_line(line: &str, redactor: &Redactor) -> String {
    if !redactor.is_on() {
        return line.to_owned();
    }
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(members)) => Value::Object(kept(&members, redactor)).to_string(),
        // Not written by this program, or cut.
        _ => serde_json::json!({ "line": words::filter(line) }).to_string(),
    }
}

fn kept(members: &Map<String, Value>, redactor: &Redactor) -> Map<String, Value> {
    let mut kept = Map::new();
    let mut withheld = 0_u64;
    for (name, value) in members {
        let value = match value {
            _ if !words::is_own(name) => None,
            Value::Number(_) | Value::Bool(_) => Some(value.clone()),
            Value::String(text) if name == "target" => {
                let is_ours = text.starts_with("stemedb")
                    && text.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b':')
                    });
                is_ours.then(|| value.clone())
            }
            Value::String(text) if TEXTS.contains(&name.as_str()) => Some(Value::String(words::filter(text))),
            Value::String(text) if FILES.contains(&name.as_str()) => {
                let file = text.rsplit('/').next().unwrap_or_default();
                words::is_engine_file(file).then(|| Value::String(file.to_owned()))
            }
            _ => None,
        };
        match value {
            Some(value) => {
                kept.insert(name.clone(), value);
            }
            None => {
                redactor.withhold_all(members.get(name).unwrap_or(&Value::Null));
                withheld += 1;
            }
        }
    }
    if withheld > 0 {
        kept.insert("withheld".to_owned(), withheld.into());
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_keeps_its_numbers_and_the_programs_words() {
        let redactor = Redactor::new(&Env::real(), true);
        let line = json!({
            "timestamp": "2026-11-27T10:00:00.5Z", "level": "WARN", "target": "stemedb_api::http", "message": "slow query",
            "subject": "Zyxobenzene", "predicate": "boils", "duration_ms": 120.5, "lens": "consensus", "zyxobenzene": 4,
            "file": "/srv/zyxo/wal/live.000003.wal", "dir": "/srv/zyxo", "error": "cannot open /srv/zyxo: No such file or directory",
            "span": {"request_id": "Zyxobenzene"},
        });
        let kept: Value = serde_json::from_str(&of_line(&line.to_string(), &redactor)).unwrap();
        let expected = json!({
            "timestamp": "2026-11-27T10:00:00.5Z", "level": "WARN", "target": "stemedb_api::http", "message": "slow query",
            "duration_ms": 120.5, "lens": "consensus", "file": "live.000003.wal", "error": "cannot open … No such file or directory",
            "withheld": 5,
        });
        assert_eq!(kept, expected);
        assert!(redactor.withheld().contains(&"Zyxobenzene".to_owned()));
        assert_eq!(
            of_line("2026-11-27T10:00:00Z ERROR refused Zyxobenzene from 10.1.2.3", &redactor),
            r#"{"line":"2026-11-27T10:00:00Z ERROR refused … from …"}"#
        );
    }

    #[test]
    fn a_long_log_is_read_from_its_end_and_begins_with_a_whole_line() {
        let (env, _sim) = Env::sim(1);
        let path = Path::new("/log");
        let file = env.fs.open(path, OpenMode::CreateNew).unwrap();
        let line = format!("{}\n", json!({"message": "compaction finished", "bytes": 7}));
        let text = line.repeat((TAIL_BYTES as usize + 1000) / line.len() + 1);
        file.write_all_at(text.as_bytes(), 0).unwrap();
        let redactor = Redactor::new(&env, true);
        let tail = tail(&env, path, &redactor).unwrap();
        assert!(tail.len() as u64 <= TAIL_BYTES && tail.len() as u64 > TAIL_BYTES - 200);
        assert!(
            tail.lines().all(|line| line == r#"{"bytes":7,"message":"compaction finished"}"#),
            "{}",
            tail.lines().next().unwrap()
        );
    }
}
