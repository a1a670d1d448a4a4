//! Texts of claims, of which as many are looked for as can be kept.

use std::collections::BTreeMap;

use stemedb_api::core::{Command, Micros, Object};

/// So many different texts are kept: of more, those with the least hashes, which is a fair choice.
const KEPT: usize = 20_000;
/// A long text may leak in part: pieces of this size are looked for.
const PIECE_BYTES: usize = 32;
const PIECES_MAX: usize = 8;

/// A choice of all texts that were offered.
#[derive(Default)]
pub struct Sample {
    texts: BTreeMap<u64, String>,
    /// Records that were looked at.
    pub records: u64,
}

impl Sample {
    /// Offers every text of a record.
    pub fn offer(&mut self, command: &Command) {
        self.records += 1;
        match command {
            Command::Assert(claim) => {
                for text in [&claim.subject, &claim.predicate, &claim.source] {
                    self.text(text);
                }
                claim.epoch.iter().for_each(|text| self.text(text));
                claim.author.iter().for_each(|agent| self.text(&agent.to_string()));
                match &claim.object {
                    Object::Text(text) | Object::Reference(text) => self.text(text),
                    Object::Json(text) => self.json(text),
                    // Numbers and times are everywhere; no member of a bundle takes one of a claim.
                    Object::Number(_) | Object::Integer(_) | Object::Boolean(_) | Object::Time(_) => {}
                }
            }
            Command::Vote(vote) => {
                self.text(&vote.agent.to_string());
                vote.reason.iter().for_each(|text| self.text(text));
            }
            Command::Supersede(supersession) => {
                supersession.agent.iter().for_each(|agent| self.text(&agent.to_string()));
                supersession.reason.iter().for_each(|text| self.text(text));
            }
            Command::Epoch(epoch) => self.text(&epoch.name),
            Command::Source(source) => {
                self.text(&source.id);
                source.title.iter().chain(&source.uri).for_each(|text| self.text(text));
            }
            Command::Cosign(_) => {}
            Command::Agent(agent) => {
                self.text(&agent.id.to_string());
                agent.name.iter().for_each(|text| self.text(text));
            }
        }
    }

    /// Offers every text of a JSON value.
    fn json(&mut self, text: &str) {
        let mut open = vec![serde_json::from_str(text).unwrap_or(serde_json::Value::Null)];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::String(text) => self.text(&text),
                serde_json::Value::Array(members) => open.extend(members),
                serde_json::Value::Object(members) => {
                    open.extend(members.into_iter().map(|(_, member)| member))
                }
                _ => {}
            }
        }
    }

    /// Offers every text of a record as the server exports it.
    pub fn offer_line(&mut self, line: &[u8]) {
        self.records += 1;
        self.json(std::str::from_utf8(line).unwrap_or_default());
    }

    fn text(&mut self, text: &str) {
        // Times are everywhere.
        if Micros::parse_rfc3339(text).is_ok() {
            return;
        }
        let hash = blake3::hash(text.as_bytes());
        let key = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let is_full = self.texts.len() >= KEPT;
        if is_full && self.texts.last_key_value().is_some_and(|(last, _)| *last <= key) {
            return;
        }
        self.texts.insert(key, text.to_owned());
        if self.texts.len() > KEPT {
            self.texts.pop_last();
        }
    }

    /// The texts that were chosen.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.values().map(String::as_str)
    }
}

/// What is looked for of a text: all of it, or pieces of a long one.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while rest.len() > PIECE_BYTES && pieces.len() < PIECES_MAX {
        let end = (1..=PIECE_BYTES).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
        let (piece, more) = rest.split_at(end);
        pieces.push(piece);
        rest = more;
    }
    if pieces.is_empty() || rest.len() >= PIECE_BYTES / 2 && pieces.len() < PIECES_MAX {
        pieces.push(rest);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use stemedb_api::core::Assertion;

    use super::*;

    #[test]
    fn every_text_of_a_claim_is_offered_and_no_more_than_that_is_kept() {
        let mut sample = Sample::default();
        let object = Object::Json(r#"{"a":["inner text"],"b":1}"#.to_owned());
        sample.offer(&Command::Assert(Assertion::new("subject-x", "predicate-x", object, "source-x")));
        let mut texts: Vec<&str> = sample.texts().collect();
        texts.sort_unstable();
        assert_eq!(texts, ["inner text", "predicate-x", "source-x", "subject-x"]);
        for number in 0..KEPT as u64 + 100 {
            sample.text(&format!("text {number}"));
        }
        assert_eq!(sample.texts().count(), KEPT);
    }

    #[test]
    fn a_long_text_is_looked_for_in_pieces() {
        assert_eq!(pieces(" short text "), ["short text"]);
        let long = "ä".repeat(40);
        assert_eq!(pieces(&long).iter().map(|piece| piece.len()).collect::<Vec<_>>(), [32, 32, 16]);
        assert_eq!(pieces(&"x".repeat(100_000)).len(), PIECES_MAX);
    }
}
