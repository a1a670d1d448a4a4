//! JSON, member by member: what is named by a list stays, everything else goes.

use serde_json::{Map, Value};

use super::{Redactor, words};

/// What a member may be. Members that no list names are left out with all that is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number, a truth value or null.
    Number,
    /// Numbers and truth values, however deep; other values in it are left out.
    Numbers,
    /// A text of the program: only its own words stay ([`words::filter`]).
    Text,
    /// The last piece of a path, if an engine gives such names.
    File,
    /// A text of a client. In its place stands a name that is the same for the same text within one bundle.
    Pseudonym,
}

/// Members by their path: `views[].name`. One list is what one document may have.
pub type Shape = &'static [(&'static str, Kind)];

/// Keeps of a document what its shape names.
pub fn keep(shape: Shape, document: &Value, redactor: &Redactor) -> Value {
    at(shape, "", document, redactor).unwrap_or(Value::Null)
}

fn at(shape: Shape, path: &str, value: &Value, redactor: &Redactor) -> Option<Value> {
    if let Some((_, kind)) = shape.iter().find(|(named, _)| *named == path) {
        return leaf(*kind, value, redactor);
    }
    match value {
        Value::Object(members) => {
            let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
            let mut kept = Map::new();
            for (name, member) in members {
                let below = format!("{prefix}{name}");
                // A name that is not in the list is not looked at, so that it cannot be what leaks.
                if !shape.iter().any(|(named, _)| is_at_or_below(named, &below)) {
                    redactor.withhold_all(member);
                    continue;
                }
                if let Some(member) = at(shape, &below, member, redactor) {
                    kept.insert(name.clone(), member);
                }
            }
            Some(Value::Object(kept))
        }
        Value::Array(members) => {
            let below = format!("{path}[]");
            Some(Value::Array(
                members.iter().filter_map(|member| at(shape, &below, member, redactor)).collect(),
            ))
        }
        _ => {
            redactor.withhold_all(value);
            None
        }
    }
}

fn is_at_or_below(named: &str, path: &str) -> bool {
    named.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn leaf(kind: Kind, value: &Value, redactor: &Redactor) -> Option<Value> {
    match (kind, value) {
        (Kind::Number | Kind::Numbers, Value::Number(_) | Value::Bool(_) | Value::Null) => {
            Some(value.clone())
        }
        (Kind::Numbers, Value::Array(members)) => {
            Some(Value::Array(members.iter().filter_map(|member| leaf(kind, member, redactor)).collect()))
        }
        (Kind::Numbers, Value::Object(members)) => {
            let named = members.iter().filter(|(name, _)| words::is_own(name));
            let kept = named.filter_map(|(name, member)| Some((name.clone(), leaf(kind, member, redactor)?)));
            Some(Value::Object(kept.collect()))
        }
        (Kind::Text, Value::String(text)) => Some(Value::String(words::filter(text))),
        (Kind::File, Value::String(path)) => {
            let name = path.rsplit('/').next().unwrap_or_default();
            Some(Value::String(if words::is_engine_file(name) { name } else { words::WITHHELD }.to_owned()))
        }
        (Kind::Pseudonym, Value::String(text)) => Some(Value::String(redactor.pseudonym(text))),
        _ => {
            redactor.withhold_all(value);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHAPE: Shape = &[
        ("status", Kind::Text),
        ("views[].name", Kind::Text),
        ("views[].lsn", Kind::Number),
        ("memory", Kind::Numbers),
        ("file", Kind::File),
        ("subject", Kind::Pseudonym),
    ];

    #[test]
    fn only_named_members_stay_and_only_as_what_they_are_named() {
        let document = json!({
            "status": "ok Zyxobenzene", "surprise": {"status": "Zyxobenzene"}, "benzene": 7,
            "views": [{"name": "primary", "lsn": "Zyxobenzene", "more": [1]}, "Zyxobenzene"],
            "memory": {"total_bytes": 4, "Zyxobenzene": 5, "text": "Zyxobenzene", "deep": {"bytes": [1, "Zyxobenzene"]}},
            "file": "/srv/Zyxobenzene/000012.sst", "subject": "Zyxobenzene",
        });
        let redactor = Redactor::new(&stemedb_env::Env::real(), true);
        let kept = keep(SHAPE, &document, &redactor);
        assert!(!kept.to_string().to_lowercase().contains("benzene"), "{kept}");
        assert_eq!(kept["status"], "ok …");
        assert_eq!(kept["views"], json!([{"name": "primary"}]));
        assert_eq!(kept["memory"], json!({"total_bytes": 4, "deep": {"bytes": [1]}}));
        assert_eq!(kept["file"], "000012.sst");
        assert_eq!(kept["subject"], redactor.pseudonym("Zyxobenzene"));
        // What was taken away is what the finished bundle is searched for.
        assert!(redactor.withheld().iter().any(|text| text == "Zyxobenzene"));
    }
}
