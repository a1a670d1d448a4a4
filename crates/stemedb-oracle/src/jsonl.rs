//! A file of plain claims, one JSON object a line, as a world.

use crate::{Claim, Source, Value, World};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};

/// Why a file could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The reader failed.
    Io(io::Error),
    /// The list of sources is not what it should be.
    Sources(serde_json::Error),
    /// A line is not a claim.
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(cause) => write!(f, "reading claims: {cause}"),
            ReadError::Sources(cause) => write!(f, "list of sources: {cause}"),
            ReadError::Line { line, cause } => write!(f, "line {line}: {cause}"),
        }
    }
}

impl std::error::Error for ReadError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimLine {
    subject: String,
    predicate: String,
    object: Box<RawValue>,
    source: String,
}

/// Further fields (title, number of claims) do not matter here.
#[derive(Deserialize)]
struct SourceEntry {
    id: String,
    class: u8,
}

impl World {
    /// Reads lines `{"subject","predicate","object","source"}` and a JSON list of `{"id","class"}`.
    ///
    /// A line's LSN is its number from 1, its ordinal and its recorded time are 0, its id is the number
    /// in 16 hex digits. Exact duplicates (subject, predicate, object as written, source) are skipped: the
    /// first one wins. Sources stand before the first line, at LSN 0.
    ///
    /// # Errors
    /// The first line, source or read that fails.
    pub fn read_jsonl(reader: impl BufRead, sources_json: &str) -> Result<World, ReadError> {
        let mut world = World::default();
        let sources: Vec<SourceEntry> = serde_json::from_str(sources_json).map_err(ReadError::Sources)?;
        for (ordinal, entry) in (0..).zip(sources) {
            world.source(Source { lsn: 0, ordinal, id: entry.id, class: entry.class });
        }
        for (line, text) in (1..).zip(reader.lines()) {
            let text = text.map_err(ReadError::Io)?;
            let wrong = |cause| ReadError::Line { line, cause };
            let read: ClaimLine = serde_json::from_str(&text).map_err(wrong)?;
            let object = object(&read.object).map_err(wrong)?;
            let question = (read.subject.clone(), read.predicate.clone());
            let asserted = world.questions.get(&question).map_or(&[][..], Vec::as_slice);
            let said = asserted.iter().map(|&i| &world.claims()[i]);
            if said.into_iter().any(|c| c.object == object && c.source == read.source) {
                continue;
            }
            let (subject, predicate, source) = (read.subject, read.predicate, read.source);
            let id = format!("{line:016x}");
            world.assert(Claim { id, lsn: line, subject, predicate, object, source, ..Claim::default() });
        }
        Ok(world)
    }
}

/// A plain JSON value, or `{"type": …, "value": …}` and nothing else.
fn object(raw: &RawValue) -> Result<Value, serde_json::Error> {
    let text = raw.get();
    if text.starts_with('{') {
        let Members(members) = serde_json::from_str(text)?;
        if let (2, Some(kind), Some(value)) = (members.len(), members.get("type"), members.get("value")) {
            return typed(kind, value);
        }
    }
    match text.as_bytes().first() {
        Some(b'"') => Ok(Value::Text(serde_json::from_str(text)?)),
        Some(b't' | b'f') => Ok(Value::Boolean(serde_json::from_str(text)?)),
        Some(b'-' | b'0'..=b'9') => {
            Ok(integer(text).map_or_else(|| Value::Number(text.to_string()), Value::Integer))
        }
        _ => Ok(Value::Json(canonical(text)?)),
    }
}

/// The value of a stated type.
fn typed(kind: &RawValue, value: &RawValue) -> Result<Value, serde_json::Error> {
    let text = value.get();
    let kind: String = serde_json::from_str(kind.get())?;
    let string = || serde_json::from_str::<String>(text);
    match kind.as_str() {
        "text" => Ok(Value::Text(string()?)),
        "reference" => Ok(Value::Reference(string()?)),
        "time" => Ok(Value::Time(string()?)),
        "boolean" => Ok(Value::Boolean(serde_json::from_str(text)?)),
        "json" => Ok(Value::Json(canonical(text)?)),
        "number" if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Ok(Value::Number(text.to_string()))
        }
        "integer" => {
            integer(text).map(Value::Integer).ok_or_else(|| serde_json::Error::custom("not an integer"))
        }
        _ => Err(serde_json::Error::custom(format!("no object of type {kind:?} reads {text}"))),
    }
}

/// The shortest text of a number that fits 64 bits and has neither fraction nor exponent.
fn integer(text: &str) -> Option<String> {
    text.parse::<i64>().ok().map(|n| n.to_string())
}

/// Keys sorted by bytes, no spaces, numbers as written.
fn canonical(text: &str) -> Result<String, serde_json::Error> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            let mut written = Vec::new();
            for (key, value) in &members {
                written.push(format!("{}:{}", serde_json::to_string(key)?, canonical(value.get())?));
            }
            Ok(format!("{{{}}}", written.join(",")))
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text)?;
            let written: Result<Vec<String>, _> = items.iter().map(|item| canonical(item.get())).collect();
            Ok(format!("[{}]", written?.join(",")))
        }
        Some(b'"') => serde_json::to_string(&serde_json::from_str::<String>(text)?),
        _ => Ok(text.to_string()),
    }
}

/// The members of a JSON object, sorted by key; a key that occurs twice is refused.
struct Members(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachOnce;
        impl<'de> Visitor<'de> for EachOnce {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = access.next_entry::<String, Box<RawValue>>()? {
                    if members.contains_key(&key) {
                        return Err(A::Error::custom(format!("the key {key:?} occurs twice")));
                    }
                    members.insert(key, value);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(EachOnce)
    }
}
