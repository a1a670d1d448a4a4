//! The file of keys: reading and writing. See `docs/formats/api-keys.md`.
//!
//! Reading is strict: what was read must be, byte for byte, what would be written of it. A file that is damaged in any place
//! is damaged as a whole, because a key that was revoked must not come back by a changed digit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stemedb_core::{AgentId, Micros};

use super::{KeyId, KeyRecord, Scope, Scopes};
use crate::backup::Hex;

const FIRST_LINE: &str = "stemedb api keys 1";
const LAST_WORD: &str = "end";

/// Keys by their ids.
pub(super) type Keys = BTreeMap<KeyId, KeyRecord>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    id: String,
    hash: String,
    scopes: Vec<Scope>,
    label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

/// The bytes of a file with these keys.
pub(super) fn render(keys: &Keys) -> Vec<u8> {
    let mut text = format!("{FIRST_LINE}\n");
    for key in keys.values() {
        let line = KeyLine {
            id: key.id.to_string(),
            hash: Hex(*key.hash.as_bytes()).to_string(),
            scopes: key.scopes.iter().collect(),
            label: key.label.clone(),
            agent: key.agent.map(|agent| agent.to_string()),
            created_at: key.created_at.to_string(),
            expires_at: key.expires_at.map(|at| at.to_string()),
            revoked_at: key.revoked_at.map(|at| at.to_string()),
        };
        // Plain structs always serialize.
        text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        text.push('\n');
    }
    let digest = blake3::hash(text.as_bytes());
    text.push_str(&format!("{LAST_WORD} {} {}\n", keys.len(), Hex(*digest.as_bytes())));
    text.into_bytes()
}

/// The keys of a file, or what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Keys, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err("it does not begin as a file of keys of this version does".to_owned());
    }
    let mut keys = Keys::new();
    for (at, line) in lines.enumerate() {
        if line.starts_with(LAST_WORD) {
            break;
        }
        let key = parse_line(line).ok_or_else(|| format!("line {} is not a key", at + 2))?;
        if keys.insert(key.id, key).is_some() {
            return Err(format!("line {} names a key again", at + 2));
        }
    }
    if render(&keys) == bytes { Ok(keys) } else { Err("its last line does not vouch for it".to_owned()) }
}

fn parse_line(line: &str) -> Option<KeyRecord> {
    let line: KeyLine = serde_json::from_str(line).ok()?;
    let time = |text: Option<String>| match text {
        None => Some(None),
        Some(text) => Micros::parse_rfc3339(&text).ok().map(Some),
    };
    Some(KeyRecord {
        id: KeyId::parse(&line.id)?,
        hash: Hex::parse(&line.hash).map(|hash| blake3::Hash::from(hash.0))?,
        label: line.label,
        scopes: Scopes::new(line.scopes)?,
        agent: match line.agent {
            None => None,
            Some(text) => Some(text.parse::<AgentId>().ok()?),
        },
        created_at: Micros::parse_rfc3339(&line.created_at).ok()?,
        expires_at: time(line.expires_at)?,
        revoked_at: time(line.revoked_at)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let key = |byte: u8, agent, expires_at, revoked_at| KeyRecord {
            id: KeyId([byte; 6]),
            hash: blake3::hash(&[byte]),
            label: format!("\"{byte}\" \\ ü"),
            scopes: Scopes::new([Scope::Write, Scope::Read]).unwrap(),
            agent,
            created_at: Micros(1_700_000_000_123_456),
            expires_at,
            revoked_at,
        };
        let agent = Some(AgentId([9; 32]));
        let keys = [key(1, None, None, None), key(2, agent, Some(Micros(2_000_000_000_000_000)), None)];
        let mut keys: Keys = keys.into_iter().map(|key| (key.id, key)).collect();
        keys.insert(KeyId([3; 6]), key(3, None, None, Some(Micros(1_800_000_000_000_000))));
        keys
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        assert_eq!(parse(&render(&keys())), Ok(keys()));
        assert_eq!(parse(&render(&Keys::new())), Ok(Keys::new()));
    }

    #[test]
    fn no_change_of_a_bit_no_cut_and_no_exchange_of_lines_is_overlooked() {
        let bytes = render(&keys());
        for at in 0..bytes.len() {
            assert!(parse(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(parse(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(parse(&[&bytes[..], b"\n"].concat()).is_err());
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(1, 2);
        assert!(parse(format!("{}\n", lines.join("\n")).as_bytes()).is_err());
        let again = text.replace(lines[2], &format!("{}\n{}", lines[2], lines[2]));
        assert_eq!(parse(again.as_bytes()), Err("line 3 names a key again".to_owned()));
    }
}
