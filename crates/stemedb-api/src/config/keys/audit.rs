//! `[audit]`.

use crate::config::{AuditPlace, BuiltIn, Key, Kind, Unit};

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "audit",
        name: "log",
        flag: "audit-log",
        about: "The file in which it is written down who did what, or `off`",
        kind: Kind::Path(|to, file| to.security.audit.place = AuditPlace::of(file)),
        built_in: BuiltIn::Unset {
            means: "audit.log in the database's folder",
            example: "/var/log/stemedb/audit.log",
        },
        ..Key::USUAL
    },
    Key {
        section: "audit",
        name: "file_mib",
        flag: "audit-mib",
        about: "Size at which a new file of that log is begun",
        kind: Kind::Number {
            unit: Unit::Mebibytes,
            least: 1,
            most: 1 << 20,
            set: |to, mib| to.security.audit.file_bytes = mib << 20,
        },
        built_in: BuiltIn::Is("64"),
        ..Key::USUAL
    },
    Key {
        section: "audit",
        name: "keep_files",
        flag: "audit-keep",
        about: "How many complete files of that log are kept; the oldest is removed, and a line says so (0: all)",
        kind: Kind::Number {
            unit: Unit::Count,
            least: 0,
            most: 1_000_000,
            set: |to, files| to.security.audit.keep_files = usize::try_from(files).unwrap_or(usize::MAX),
        },
        built_in: BuiltIn::Is("0"),
        ..Key::USUAL
    },
];
