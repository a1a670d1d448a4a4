//! Redaction by construction: a bundle is put together of what is named by lists, not of everything but what somebody thought of.
//!
//! - [`shape`]: JSON, member by member.
//! - [`words`]: free text, word by word.
//!
//! What is taken away is remembered: [`crate::cli::bundle::check`] looks for it in the finished file.

pub mod shape;
pub mod words;

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::Value;
use stemedb_env::Env;

/// So many texts that were taken away are remembered.
const WITHHELD_MAX: usize = 50_000;

/// Takes away, and remembers what.
pub struct Redactor {
    is_on: bool,
    /// Of this bundle alone: whoever reads two bundles cannot tell that they are about the same subject.
    key: [u8; 32],
    withheld: RefCell<BTreeSet<String>>,
}

impl Redactor {
    /// One for a bundle; `is_on` is false with `--no-redact`.
    pub fn new(env: &Env, is_on: bool) -> Redactor {
        let mut key = [0; 32];
        env.random.fill(&mut key);
        Redactor { is_on, key, withheld: RefCell::default() }
    }

    /// False with `--no-redact`.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// A document as its shape allows it; as it is with `--no-redact`.
    pub fn document(&self, shape: shape::Shape, document: &Value) -> Value {
        if self.is_on { shape::keep(shape, document, self) } else { document.clone() }
    }

    /// A text as it may stand in a bundle.
    pub fn text(&self, text: &str) -> String {
        if self.is_on { words::filter(text) } else { text.to_owned() }
    }

    /// A name for a text of a client: the same for the same text, and nothing else is to be learned from it.
    pub fn pseudonym(&self, text: &str) -> String {
        if !self.is_on {
            return text.to_owned();
        }
        self.withhold(text);
        let hash = blake3::keyed_hash(&self.key, text.as_bytes());
        let digits: String = hash.as_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("text-{digits}")
    }

    /// Remembers a text that was taken away.
    pub fn withhold(&self, text: &str) {
        let mut withheld = self.withheld.borrow_mut();
        if self.is_on && withheld.len() < WITHHELD_MAX && !text.is_empty() {
            withheld.insert(text.to_owned());
        }
    }

    /// Remembers every text of a value that was taken away; what the program says itself may well stand elsewhere.
    pub fn withhold_all(&self, value: &Value) {
        match value {
            Value::String(text) if words::is_own(text) => {}
            Value::String(text) => self.withhold(text),
            Value::Array(members) => members.iter().for_each(|member| self.withhold_all(member)),
            Value::Object(members) => members.values().for_each(|member| self.withhold_all(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// What was taken away.
    pub fn withheld(&self) -> Vec<String> {
        self.withheld.borrow().iter().cloned().collect()
    }
}
