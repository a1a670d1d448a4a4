//! Names as IRIs, and back.

use std::collections::BTreeMap;

use oxrdf::{BlankNode, BlankNodeRef, NamedNode};
use stemedb_core::{AgentId, ClaimId};

use crate::errors::{Code, FieldError};

const CLAIM: &str = "urn:stemedb:claim:";
const AGENT: &str = "urn:stemedb:agent:";
const NAME: &str = "urn:stemedb:name:";
const NANOPUB: &str = "urn:stemedb:np:";
/// Blank nodes of one input that are told apart.
const BLANK_NODES_MAX: usize = 1_000_000;
/// Digits of the label that the parser invents for a node without one: those of a random 128-bit number that begins with a
/// letter, without leading zeros. One time in 2⁶⁴ there are fewer.
const INVENTED_LABEL_DIGITS: std::ops::RangeInclusive<usize> = 17..=32;

/// The IRI of a claim.
pub(super) fn claim(id: &ClaimId) -> NamedNode {
    NamedNode::new_unchecked(format!("{CLAIM}{id}"))
}

/// The claim that an IRI names.
pub(super) fn claim_of(iri: &str) -> Option<ClaimId> {
    lower_hex(iri.strip_prefix(CLAIM)?)
}

/// The IRI of the nanopublication that we make of a claim.
pub(super) fn nanopub(id: &ClaimId) -> String {
    format!("{NANOPUB}{id}")
}

/// The claim that such an IRI names.
pub(super) fn nanopub_of(iri: &str) -> Option<ClaimId> {
    lower_hex(iri.strip_prefix(NANOPUB)?)
}

/// The IRI of an agent.
pub(super) fn agent(id: &AgentId) -> NamedNode {
    NamedNode::new_unchecked(format!("{AGENT}{id}"))
}

/// The agent that an IRI names.
pub(super) fn agent_of(iri: &str) -> Option<AgentId> {
    iri.strip_prefix(AGENT)?.parse().ok()
}

/// Ids have one IRI each: digits in upper case are none of ours.
fn lower_hex(digits: &str) -> Option<ClaimId> {
    let id = digits.parse().ok()?;
    (!digits.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(id)
}

/// The IRI of a subject, predicate, source or reference.
pub(super) fn name(text: &str) -> NamedNode {
    if !text.starts_with(NAME)
        && let Ok(iri) = NamedNode::new(text)
    {
        return iri;
    }
    let mut iri = String::with_capacity(NAME.len() + 3 * text.len());
    iri.push_str(NAME);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => iri.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'@' | b',' | b'+' => iri.push(char::from(byte)),
            _ => iri.push_str(&format!("%{byte:02X}")),
        }
    }
    NamedNode::new_unchecked(iri)
}

/// The name that an IRI stands for.
pub(super) fn name_of(iri: &str) -> Result<String, FieldError> {
    let Some(encoded) = iri.strip_prefix(NAME) else { return Ok(iri.to_owned()) };
    let refused = |detail: &str| FieldError::in_body("", Code::InvalidRdf, format!("{iri:?} {detail}"));
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit = |at: usize| rest.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(refused("is not percent-encoded"));
        };
        bytes.push((high << 4 | low) as u8);
        rest = rest.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| refused("does not stand for UTF-8"))
}

/// Names for the blank nodes of one input.
#[derive(Debug, Default)]
pub(super) struct Scope {
    name: Option<String>,
    /// Whether the form has nodes without a label at all.
    invents: bool,
    /// Numbers of nodes that have no label of their own, by the label that the parser invented.
    numbers: BTreeMap<u128, u64>,
}

impl Scope {
    /// Of N-Quads, where every node has a label.
    pub(super) fn of_lines(name: Option<String>) -> Scope {
        Scope { name, invents: false, numbers: BTreeMap::new() }
    }

    /// Of TriG.
    pub(super) fn of_document(name: Option<String>) -> Scope {
        Scope { name, invents: true, numbers: BTreeMap::new() }
    }

    /// The name of a blank node.
    pub(super) fn name_of(&mut self, node: BlankNodeRef<'_>) -> Result<String, FieldError> {
        let Some(scope) = &self.name else {
            let detail = "a blank node needs a scope (--scope NAME, scope=NAME)";
            return Err(FieldError::in_body("", Code::BlankNode, detail));
        };
        let label = node.as_str();
        let Some(invented) = invented(label).filter(|_| self.invents) else {
            return Ok(format!("_:{scope}/{label}"));
        };
        let next = self.numbers.len() as u64 + 1;
        if self.numbers.len() >= BLANK_NODES_MAX && !self.numbers.contains_key(&invented) {
            let detail = format!("more than {BLANK_NODES_MAX} blank nodes without a label");
            return Err(FieldError::in_body("", Code::TooMany, detail));
        }
        let number = *self.numbers.entry(invented).or_insert(next);
        Ok(format!("_:{scope}//{number}"))
    }
}

/// The number behind a label that the parser invented. Labels of the input that look like one are treated alike, which
/// only changes what they are called.
pub(super) fn invented(label: &str) -> Option<u128> {
    let looks = INVENTED_LABEL_DIGITS.contains(&label.len())
        && label.starts_with(|first: char| matches!(first, 'a'..='f'))
        && !label.bytes().any(|byte| byte.is_ascii_uppercase());
    if !looks {
        return None;
    }
    u128::from_str_radix(label, 16).ok()
}

/// A label that is a node's own, for text that is kept.
pub(super) fn labelled(number: u64) -> BlankNode {
    BlankNode::new_unchecked(format!("anonymous{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_iri_and_comes_back() {
        for (text, iri) in [
            ("cas:50-00-0", "cas:50-00-0"),
            ("https://example.org/a?b=c#d", "https://example.org/a?b=c#d"),
            ("melting_point_K", "urn:stemedb:name:melting_point_K"),
            ("NFPA 497 (2008)", "urn:stemedb:name:NFPA%20497%20%282008%29"),
            ("Größe", "urn:stemedb:name:Gr%C3%B6%C3%9Fe"),
            ("urn:stemedb:name:x", "urn:stemedb:name:urn:stemedb:name:x"),
            ("%41", "urn:stemedb:name:%2541"),
            ("_:a/b", "urn:stemedb:name:_:a/b"),
        ] {
            assert_eq!(name(text).as_str(), iri);
            assert_eq!(name_of(iri).as_deref(), Ok(text));
        }
        assert!(name_of("urn:stemedb:name:%4").is_err() && name_of("urn:stemedb:name:%FF").is_err());
    }

    #[test]
    fn nodes_without_a_label_are_numbered_as_they_come() {
        let mut scope = Scope::of_document(Some("f".into()));
        let (a, b) = (BlankNode::default(), BlankNode::default());
        for _ in 0..1000 {
            let node = BlankNode::default();
            assert!(invented(node.as_str()).is_some(), "{node}");
        }
        for (node, expected) in [(&a, "_:f//1"), (&b, "_:f//2"), (&a, "_:f//1")] {
            assert_eq!(scope.name_of(node.as_ref()).as_deref(), Ok(expected));
        }
        let labelled = BlankNode::new("x1").unwrap();
        assert_eq!(scope.name_of(labelled.as_ref()).as_deref(), Ok("_:f/x1"));
        assert_eq!(Scope::default().name_of(a.as_ref()).unwrap_err().code, Code::BlankNode);
        // Where every node has a label, one that looks invented is none.
        let expected = format!("_:f/{}", a.as_str());
        assert_eq!(Scope::of_lines(Some("f".into())).name_of(a.as_ref()), Ok(expected));
    }
}
