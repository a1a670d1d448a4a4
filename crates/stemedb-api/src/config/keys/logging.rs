//! `[logging]`.

use tracing::Level;

use crate::config::{BuiltIn, Choice, FlagOf, Key, Kind, LogFormat};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "logging",
        name: "level",
        flag: "log-level",
        flag_of: FlagOf::Everything,
        about: "Which events are written",
        kind: Kind::Choice(&[
            Choice { name: "error", set: |to| to.logs.level = Level::ERROR },
            Choice { name: "warn", set: |to| to.logs.level = Level::WARN },
            Choice { name: "info", set: |to| to.logs.level = Level::INFO },
            Choice { name: "debug", set: |to| to.logs.level = Level::DEBUG },
            Choice { name: "trace", set: |to| to.logs.level = Level::TRACE },
        ]),
        built_in: BuiltIn::Is("info"),
        ..Key::USUAL
    },
    Key {
        section: "logging",
        name: "format",
        flag: "log-format",
        flag_of: FlagOf::Everything,
        about: "How events are written to standard error; auto is human on a terminal, else json",
        kind: Kind::Choice(&[
            Choice { name: "auto", set: |to| to.logs.format = LogFormat::Auto },
            Choice { name: "human", set: |to| to.logs.format = LogFormat::Human },
            Choice { name: "json", set: |to| to.logs.format = LogFormat::Json },
        ]),
        built_in: BuiltIn::Is("auto"),
        ..Key::USUAL
    },
    Key {
        section: "logging",
        name: "file",
        flag: "log-file",
        about: "A file that gets the same events as well, as JSON lines; one that was rotated is begun anew",
        kind: Kind::Path(|to, file| to.logs.file = Some(file)),
        built_in: BuiltIn::Unset {
            means: "events go to standard error alone",
            example: "/var/log/stemedb/api.log",
        },
        ..Key::USUAL
    },
    Key {
        section: "logging",
        name: "storage_file",
        flag: "storage-log",
        about: "A file that gets the events of the storage alone, as JSON lines; it may be rotated at any time",
        kind: Kind::Path(|to, file| to.logs.storage_file = Some(file)),
        built_in: BuiltIn::Unset {
            means: "they go where all events go, and nowhere else",
            example: "/var/log/stemedb/storage.log",
        },
        ..Key::USUAL
    },
];
