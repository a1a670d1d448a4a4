//! What the servers' journals have of the records that a run has sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::pair::{COPY, Pair, WRITER};

/// Claims of a run by their ids, with how often each stands in the journal of a server.
fn applied(pair: &Pair, which: usize, run: &str) -> Result<BTreeMap<String, usize>, String> {
    let (mut found, mut from) = (BTreeMap::new(), "1".to_owned());
    loop {
        let reply = pair.ask(which, &format!("/v1/feed?limit=10000&from={from}"))?;
        let mut end = Value::Null;
        for line in reply.body.lines() {
            let line: Value = serde_json::from_str(line).map_err(|error| format!("the feed: {error}"))?;
            let predicate = line["record"]["predicate"].as_str().unwrap_or_default();
            if line["kind"] == "assert" && predicate.starts_with(&format!("{run}-")) {
                *found.entry(line["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
            end = line;
        }
        if end["end"] != true || !end["error"].is_null() {
            return Err(format!("the feed has no end: {} {}", reply.status, reply.body));
        }
        match (end["entries"].as_u64(), end["next"].as_str()) {
            (Some(1..), Some(next)) => from = next.to_owned(),
            _ => return Ok(found),
        }
    }
}

/// Whether every record that was acknowledged is there, each once, at one server alone, and nothing that nobody has sent. Gives what is
/// wrong.
pub fn problems(
    pair: &Pair,
    run: &str,
    acknowledged: &[String],
    unknown: usize,
) -> Result<Vec<String>, String> {
    let (writer, copy) = (applied(pair, WRITER, run)?, applied(pair, COPY, run)?);
    Ok(judged(&writer, &copy, acknowledged, unknown))
}

/// The same of a promoted standby: it has everything that was acknowledged by it and by the writer before, who has nothing else.
pub fn problems_of_standby(
    pair: &Pair,
    run: &str,
    acknowledged: &[String],
    unknown: usize,
) -> Result<Vec<String>, String> {
    let (before, promoted) = (applied(pair, WRITER, run)?, applied(pair, COPY, run)?);
    let alone = before.into_iter().filter(|(id, _)| !promoted.contains_key(id)).count();
    let mut problems = judged(&promoted, &BTreeMap::new(), acknowledged, unknown);
    if alone > 0 {
        problems.push(format!("{alone} records are at the writer before alone"));
    }
    Ok(problems)
}

fn judged(
    writer: &BTreeMap<String, usize>,
    copy: &BTreeMap<String, usize>,
    acknowledged: &[String],
    unknown: usize,
) -> Vec<String> {
    let known: BTreeSet<&String> = acknowledged.iter().collect();
    let mut problems = Vec::new();
    if known.len() != acknowledged.len() {
        problems.push("a record was acknowledged twice as new".to_owned());
    }
    let lost = known.iter().filter(|id| !writer.contains_key(**id)).count();
    if lost > 0 {
        problems.push(format!("{lost} records were acknowledged and are not there"));
    }
    let twice = writer.values().filter(|times| **times > 1).count();
    if twice > 0 {
        problems.push(format!("{twice} records were applied twice"));
    }
    if !copy.is_empty() {
        problems.push(format!("{} records reached the copy", copy.len()));
    }
    let more = writer.len() + lost - known.len();
    if more > unknown {
        problems.push(format!("{more} records are there that nobody was told of; {unknown} are in doubt"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_misplaced_or_out_of_nowhere_is_told() {
        let journal = |ids: &[(&str, usize)]| -> BTreeMap<String, usize> {
            ids.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect()
        };
        let told = ["a".to_owned(), "b".to_owned()];
        let none = journal(&[]);
        assert!(judged(&journal(&[("a", 1), ("b", 1)]), &none, &told, 0).is_empty());
        // One in doubt may be there.
        assert!(judged(&journal(&[("a", 1), ("b", 1), ("c", 1)]), &none, &told, 1).is_empty());
        let wrong = |writer: &[(&str, usize)], copy: &[(&str, usize)]| {
            judged(&journal(writer), &journal(copy), &told, 0).join("; ")
        };
        assert_eq!(wrong(&[("a", 1)], &[]), "1 records were acknowledged and are not there");
        assert_eq!(wrong(&[("a", 2), ("b", 1)], &[]), "1 records were applied twice");
        assert_eq!(wrong(&[("a", 1), ("b", 1)], &[("b", 1)]), "1 records reached the copy");
        assert!(wrong(&[("a", 1), ("b", 1), ("c", 1)], &[]).contains("nobody was told of"));
        let twice = ["a".to_owned(), "a".to_owned()];
        assert!(!judged(&journal(&[("a", 1)]), &none, &twice, 0).is_empty());
    }
}
