//! The lines of the journal of watches: see `docs/formats/watches.md`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stemedb_env::Lsn;
use stemedb_index::watches::Registered;

use crate::json::{WatchJson, watch};

const LAYOUT: u8 = 1;
/// Size at which an entry ends and another one begins.
const ENTRY_BYTES: usize = 1 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Add(Arc<Registered>),
    Remove(String),
}

#[derive(Serialize)]
struct AddJson<'a> {
    since: u64,
    watch: WatchJson<'a>,
}

#[derive(Serialize)]
struct RemoveJson<'a> {
    remove: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineJson<'a> {
    since: Option<u64>,
    #[serde(borrow)]
    watch: Option<&'a RawValue>,
    remove: Option<String>,
}

/// Lines as entries, each of about a megabyte at most.
pub(super) fn entries(lines: impl IntoIterator<Item = Line>) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    let mut entry = vec![LAYOUT];
    for line in lines {
        // Plain structs always serialize.
        let _ = match &line {
            Line::Add(registered) => serde_json::to_writer(
                &mut entry,
                &AddJson { since: registered.since.0, watch: WatchJson::new(&registered.watch) },
            ),
            Line::Remove(id) => serde_json::to_writer(&mut entry, &RemoveJson { remove: id }),
        };
        entry.push(b'\n');
        if entry.len() >= ENTRY_BYTES {
            entries.push(std::mem::replace(&mut entry, vec![LAYOUT]));
        }
    }
    if entry.len() > 1 {
        entries.push(entry);
    }
    entries
}

/// The lines of an entry, one after the other. The error says what is wrong.
pub(super) fn lines(
    entry: &[u8],
    mut visit: impl FnMut(Line) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let rest = match entry.split_first() {
        Some((&LAYOUT, rest)) => rest,
        _ => return Err("an entry has a layout that is not known"),
    };
    let body = rest.strip_suffix(b"\n").ok_or("an entry ends inside of a line")?;
    for line in body.split(|byte| *byte == b'\n') {
        let read: LineJson<'_> =
            serde_json::from_slice(line).map_err(|_| "a line is neither a watch nor a removal")?;
        visit(match read {
            LineJson { since: Some(since), watch: Some(json), remove: None } => {
                let watch = watch(json.get().as_bytes(), None).map_err(|_| "a watch breaks a rule")?;
                Line::Add(Arc::new(Registered { watch, since: Lsn(since) }))
            }
            LineJson { since: None, watch: None, remove: Some(id) } => Line::Remove(id),
            _ => return Err("a line is neither a watch nor a removal"),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stemedb_core::{Lens, Nano};
    use stemedb_index::{QuestionKey, watches::Watch};

    use super::*;

    fn registered(id: &str) -> Registered {
        let question = QuestionKey { subject: "s".into(), predicate: "p".into() };
        let mut watch = Watch::new(id, question, Lens::Skeptic);
        watch.conflict_above = Some(Nano(250_000_000));
        Registered { watch, since: Lsn(7) }
    }

    #[test]
    fn the_bytes_are_those_of_the_page() {
        let one = Arc::new(registered("team/x"));
        let entry = entries([Line::Add(Arc::clone(&one)), Line::Remove("é\n".into())]);
        let text = concat!(
            "\u{1}",
            r#"{"since":7,"watch":{"id":"team/x","subject":"s","predicate":"p","lens":"skeptic","conflict_above":0.25}}"#,
            "\n",
            r#"{"remove":"é\n"}"#,
            "\n"
        );
        assert_eq!(entry, [text.as_bytes()]);
        let mut read = Vec::new();
        lines(&entry[0], |line| {
            read.push(line);
            Ok(())
        })
        .unwrap();
        assert_eq!(read, [Line::Add(one), Line::Remove("é\n".into())]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for bad in [
            "",
            "\u{2}{\"remove\":\"x\"}\n",
            "\u{1}{\"remove\":\"x\"}",
            "\u{1}{\"remove\":\"x\",\"since\":1}\n",
            "\u{1}{\"since\":1}\n",
            "\u{1}{\"remove\":\"x\",\"why\":1}\n",
            "\u{1}\n",
            "\u{1}{\"since\":1,\"watch\":{\"id\":\"x\",\"subject\":\"s\",\"predicate\":\"p\",\"new\":1}}\n",
        ] {
            assert!(lines(bad.as_bytes(), |_| Ok(())).is_err(), "{bad}");
        }
    }

    #[test]
    fn many_lines_are_several_entries_in_order() {
        let all: Vec<Arc<Registered>> =
            (0..20_000).map(|number| Arc::new(registered(&format!("{number:05}")))).collect();
        let entries = entries(all.iter().map(|one| Line::Add(Arc::clone(one))));
        assert!(entries.len() > 1 && entries.iter().all(|entry| entry.len() < 2 * ENTRY_BYTES));
        let mut read = Vec::new();
        for entry in &entries {
            lines(entry, |line| {
                if let Line::Add(one) = line {
                    read.push(one);
                }
                Ok(())
            })
            .unwrap();
        }
        assert!(read == all);
    }
}
