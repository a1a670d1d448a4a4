//! Source records from a file.

use std::{io::Read, path::Path};

use serde_json::value::RawValue;
use stemedb_api::{
    Database,
    core::{Command, Source},
    json,
};
use stemedb_env::Env;

use super::Input;
use crate::cli::failure::Failure;

/// Largest file of sources.
const FILE_MAX_BYTES: u64 = 64 << 20;
/// Sources that are committed together.
const BATCH: usize = 1000;

/// Reads a JSON list of sources. Members that a source record does not have, such as a count of claims, are left out.
pub fn read(env: &Env, path: &Path) -> Result<Vec<Source>, Failure> {
    let mut text = String::new();
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(error).context(format!("cannot read the sources in {}", path.display()))
    };
    let read = Input::open(env, path)?.text.take(FILE_MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| cannot(&error))?;
    parse(&text).map_err(|failure| failure.context(path.display()))
}

/// Reads the text of such a file.
pub fn parse(text: &str) -> Result<Vec<Source>, Failure> {
    let records: Vec<std::collections::BTreeMap<String, Box<RawValue>>> = serde_json::from_str(text)
        .map_err(|error| Failure::new(error).context("not a JSON list of sources"))?;
    let known = |name: &String| json::SOURCE_FIELDS.iter().any(|member| member.name == name);
    let one = |(index, mut record): (usize, std::collections::BTreeMap<String, Box<RawValue>>)| {
        record.retain(|name, _| known(name));
        let body = serde_json::to_vec(&record).unwrap_or_default();
        json::source(&body).map_err(|why| Failure::new(why).context(format!("source {}", index + 1)))
    };
    records.into_iter().enumerate().map(one).collect()
}

/// Registers sources; returns how many were new or changed, and how many were known.
pub fn register(database: &Database, sources: &[Source]) -> Result<(u64, u64), Failure> {
    let mut counts = (0, 0);
    for batch in sources.chunks(BATCH) {
        let commands: Vec<Command> = batch.iter().cloned().map(Command::Source).collect();
        for outcome in database.submit(&commands)? {
            *(if outcome.created { &mut counts.0 } else { &mut counts.1 }) += 1;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_not_of_a_source_are_left_out_and_wrong_ones_are_named() {
        let sources = parse(r#"[{"id":"CRC","class":2,"title":"Handbook","claims":17}]"#).unwrap();
        assert_eq!((sources[0].id.as_str(), sources[0].class.number()), ("CRC", 2));
        let failure = format!("{:?}", parse(r#"[{"id":"CRC","class":2},{"id":"X","class":9}]"#).unwrap_err());
        assert!(failure.contains("source 2") && failure.contains("/class"), "{failure}");
    }
}
