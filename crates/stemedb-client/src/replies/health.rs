//! How the server is.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// One view of the database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct View {
    /// `primary` or `fallback`.
    pub name: String,
    /// `healthy`, `degraded`, `rebuilding` or `failed`.
    pub state: String,
    /// The last entry that it shows.
    pub published_lsn: u64,
    /// The last entry that survives in its files.
    pub flushed_lsn: u64,
    /// Why it is so.
    pub cause: Option<String>,
}

/// How the server is, in detail.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// `ok`, `degraded` or `failed`.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// The timeline of its LSNs.
    pub timeline: u32,
    /// The last entry that is durable.
    pub durable_lsn: u64,
    /// The last entry that is readable.
    pub published_lsn: u64,
    /// Whether questions are answered.
    pub readable: bool,
    /// Whether writes are accepted.
    pub writable: bool,
    /// Why they are not.
    pub refusing_writes: Option<String>,
    /// The views.
    pub views: Vec<View>,
    /// Everything else: `space`, `stall`, `scrub`, `upgrade`, …
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

/// One thing that is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// It deserves a look, and keeps nobody away.
    #[serde(default)]
    pub warning: bool,
    /// In words.
    pub detail: Option<String>,
}

/// Whether requests should be sent to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Yes or no.
    pub ready: bool,
    /// By these checks.
    pub checks: Vec<Check>,
}
