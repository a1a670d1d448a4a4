//! The table of keys, a file a section.

mod archive;
mod audit;
mod backup;
mod connections;
mod disk;
mod http;
mod logging;
mod otlp;
mod security;
mod server;
mod storage;

use super::Key;

/// The sections in the order of the file, each with what it is about.
const SECTIONS: &[(&str, &str)] = &[
    ("server", "Where the server listens, and how it stops"),
    ("security", "Who may say what"),
    ("audit", "Where it is written down who did what"),
    ("http", "What requests may take"),
    ("connections", "How many connections, and how long they may stall"),
    ("tls", "Encrypted connections"),
    ("storage", "The database"),
    ("disk", "How much free room is enough"),
    ("backup", "Backups over HTTP"),
    ("archive", "The journal archived as it is written, and followed by a standby"),
    ("logging", "Which events are written, and how"),
    ("otlp", "Spans of requests for an OpenTelemetry collector"),
];

/// The keys of each section, in the order of [`SECTIONS`].
const TABLE: &[&[Key]] = &[
    server::KEYS,
    security::KEYS,
    audit::KEYS,
    http::KEYS,
    connections::KEYS,
    connections::TLS_KEYS,
    storage::KEYS,
    disk::KEYS,
    backup::KEYS,
    archive::KEYS,
    logging::KEYS,
    otlp::KEYS,
];

/// The keys that there are.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    sections: &'static [(&'static str, &'static str)],
    table: &'static [&'static [Key]],
}

impl Keys {
    /// Those of the server.
    pub fn all() -> Keys {
        static ALL: Keys = Keys { sections: SECTIONS, table: TABLE };
        ALL
    }

    /// Others, for tests.
    #[cfg(test)]
    pub(super) fn of(
        sections: &'static [(&'static str, &'static str)],
        table: &'static [&'static [Key]],
    ) -> Keys {
        Keys { sections, table }
    }

    /// All of them, section by section.
    pub fn iter(self) -> impl Iterator<Item = &'static Key> {
        self.table.iter().flat_map(|keys| keys.iter())
    }

    /// The names of the sections.
    pub fn sections(self) -> impl Iterator<Item = &'static str> {
        self.sections.iter().map(|(name, _)| *name)
    }

    /// What a section is about, in a sentence without a full stop.
    pub fn about_section(self, section: &str) -> &'static str {
        self.sections.iter().find(|(name, _)| *name == section).map_or("", |(_, about)| about)
    }

    /// A key by section and name.
    pub fn find(self, section: &str, name: &str) -> Option<&'static Key> {
        self.iter().find(|key| key.is(section, name))
    }
}
