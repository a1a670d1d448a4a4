//! What a bundle consists of.

use serde_json::Value;

/// One file of a bundle.
#[derive(Debug)]
pub struct Part {
    /// Its name in the bundle.
    pub name: &'static str,
    /// What it is, for whoever opens the bundle.
    pub about: &'static str,
    pub content: Content,
}

/// What stands in it.
#[derive(Debug)]
pub enum Content {
    /// A document.
    Json(Value),
    /// Lines of text, of JSON among them.
    Text(String),
    /// It is not there, and why, in words that may stand in a bundle.
    Missing(String),
}

impl Part {
    /// A document.
    pub fn json(name: &'static str, about: &'static str, document: Value) -> Part {
        Part { name, about, content: Content::Json(document) }
    }

    /// A text.
    pub fn text(name: &'static str, about: &'static str, text: String) -> Part {
        Part { name, about, content: Content::Text(text) }
    }

    /// Something that could not be had.
    pub fn missing(name: &'static str, about: &'static str, why: String) -> Part {
        Part { name, about, content: Content::Missing(why) }
    }

    /// The bytes of its file; `None` if it is not there.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match &self.content {
            Content::Json(document) => {
                // Values of JSON always serialize.
                let mut text = serde_json::to_vec_pretty(document).unwrap_or_default();
                text.push(b'\n');
                Some(text)
            }
            Content::Text(text) => Some(text.clone().into_bytes()),
            Content::Missing(_) => None,
        }
    }
}

/// Every part there can be, in the order of the file. `--without` takes these names.
pub const NAMES: &[&str] = &[
    "program.json",
    "configuration.json",
    "health.json",
    "readiness.json",
    "stats.json",
    "metrics.txt",
    "events.json",
    "slow-queries.jsonl",
    "jobs.json",
    "backups.json",
    "scrub.json",
    "doctor.json",
    "files.json",
    "journal.json",
    "view.json",
    "storage-log.jsonl",
    "log.jsonl",
    "process.json",
    "machine.json",
    "clock.json",
];
