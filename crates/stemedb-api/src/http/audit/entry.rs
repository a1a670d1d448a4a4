//! One line of the log.

use serde::{Deserialize, Serialize};
use stemedb_core::Micros;
use stemedb_env::Env;

use crate::backup::Hex;

/// What happened. The writer gives it its place in the chain.
#[derive(Clone, Debug, Default, Serialize)]
pub(in super::super) struct Entry {
    pub at: String,
    /// `request`, `start`, `gap`, `torn` or `removed`.
    pub event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The key's public part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The route's template, never the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'static str>,
    /// What it was about: ids alone, never what was claimed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Absent where the caller left before there was a reply: then it is open whether the request was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// Of a gap: how many entries are missing here. Of a removal: the last line that went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Of a gap, why; of a torn line, its bytes; of a removal, the hash of the last line that went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Entry {
    /// An entry of some kind, now.
    pub fn new(env: &Env, event: &'static str) -> Entry {
        Entry { at: Micros(env.clock.wall().0).to_string(), event, ..Entry::default() }
    }

    pub(super) fn start(env: &Env) -> Entry {
        let reason = Some(format!("stemedb-api {}", env!("CARGO_PKG_VERSION")));
        Entry { reason, ..Entry::new(env, "start") }
    }

    pub(super) fn gap(env: &Env, count: u64, reason: &str) -> Entry {
        Entry { count: Some(count), reason: Some(reason.to_owned()), ..Entry::new(env, "gap") }
    }

    pub(super) fn torn(env: &Env, bytes: &[u8]) -> Entry {
        let count = Some(bytes.len() as u64);
        let hash = Hex(*blake3::hash(bytes).as_bytes());
        Entry { count, reason: Some(format!("blake3 {hash}")), ..Entry::new(env, "torn") }
    }

    /// The lines up to and with this one are removed.
    pub(super) fn removed(env: &Env, last: Head) -> Entry {
        let reason = Some(format!("blake3 {}", Hex(last.hash)));
        Entry { count: Some(last.seq), reason, ..Entry::new(env, "removed") }
    }

    /// Whether somebody was turned away.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, Some(401 | 403 | 429))
    }
}

/// An entry with its place in the chain.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub seq: u64,
    /// The hash of the line before, without its line feed; zeros at the beginning.
    pub prev: String,
    #[serde(flatten)]
    pub entry: &'a Entry,
}

/// The part of a line that the chain is checked by.
#[derive(Deserialize)]
pub(super) struct Link {
    pub seq: u64,
    pub prev: String,
}

/// The part of a line that tells a removal.
#[derive(Deserialize)]
pub(super) struct Told {
    event: String,
    count: Option<u64>,
    reason: Option<String>,
}

impl Told {
    /// The last line that went, by its number and its hash as text; `None` where something else is told.
    pub fn removal(line: &[u8]) -> Option<(u64, String)> {
        let told: Told = serde_json::from_slice(line).ok()?;
        let hash = told.reason.as_deref()?.strip_prefix("blake3 ")?.to_owned();
        (told.event == "removed").then_some((told.count?, hash))
    }
}

/// The end of a chain: what the next line refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Number of the last line; 0 before the first.
    pub seq: u64,
    pub hash: [u8; 32],
}

impl Head {
    pub const START: Head = Head { seq: 0, hash: [0; 32] };

    /// The bytes of the next line, with its line feed, and the head after it.
    pub fn next(self, entry: &Entry) -> (Vec<u8>, Head) {
        let seq = self.seq + 1;
        let line = Line { seq, prev: Hex(self.hash).to_string(), entry };
        // Plain structs always serialize.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        let hash = *blake3::hash(&bytes).as_bytes();
        bytes.push(b'\n');
        (bytes, Head { seq, hash })
    }

    /// The head after a line that was read; `None` if it is not one.
    pub fn of_line(line: &[u8]) -> Option<Head> {
        let link: Link = serde_json::from_slice(line).ok()?;
        Some(Head { seq: link.seq, hash: *blake3::hash(line).as_bytes() })
    }
}
