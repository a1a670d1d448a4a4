//! `[storage]`.

use std::time::Duration;

use stemedb_hybrid::{FallbackMode, OpenDamaged};

use crate::config::{BuiltIn, Choice, Key, Kind, Unit};

/// 16 TiB.
const MOST_MIB: u64 = 16 << 20;

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "storage",
        name: "data_dir",
        flag: "data-dir",
        about: "The database's folder",
        kind: Kind::Path(|to, dir| to.data_dir = dir),
        built_in: BuiltIn::Is("/var/lib/stemedb"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "init",
        flag: "init",
        about: "Create the database if the folder is absent or empty, as that of a disk that is not mounted",
        kind: Kind::Switch(|to, yes| to.init = yes),
        built_in: BuiltIn::Is("false"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "lock_timeout_ms",
        flag: "lock-timeout-ms",
        about: "How long a write may wait for its turn before it is refused with `lock_timeout` (0: for ever)",
        kind: Kind::Number {
            unit: Unit::Milliseconds,
            least: 0,
            most: 86_400_000,
            set: |to, ms| to.database.engine.commit.lock_timeout = Duration::from_millis(ms),
        },
        built_in: BuiltIn::Is("5000"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "memory_mib",
        flag: "memory-mib",
        about: "Memory for the view: rows not yet in tables, indexes, cached blocks",
        kind: Kind::Number {
            unit: Unit::Mebibytes,
            least: 1,
            most: MOST_MIB,
            set: |to, mib| to.database.engine.lsm.memory_bytes = mib << 20,
        },
        built_in: BuiltIn::Is("320"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "cache_mib",
        flag: "cache-mib",
        about: "Memory for questions that were asked before: their claims and answers (0: nothing is kept)",
        kind: Kind::Number {
            unit: Unit::Mebibytes,
            least: 0,
            most: MOST_MIB,
            set: |to, mib| to.database.cache_bytes = mib << 20,
        },
        built_in: BuiltIn::Is("64"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "enable_auto_compaction",
        flag: "enable-auto-compaction",
        about: "Whether tables are merged by themselves; without it they are merged on request alone, and reads get slower",
        kind: Kind::Switch(|to, yes| to.database.engine.lsm.enable_auto_compaction = yes),
        built_in: BuiltIn::Is("true"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "compaction_trigger_mb",
        flag: "compaction-trigger-mb",
        about: "New tables of this size together are merged at the latest; four of them are merged before that",
        kind: Kind::Number {
            unit: Unit::Mebibytes,
            least: 1,
            most: MOST_MIB,
            set: |to, mib| to.database.engine.lsm.compaction_trigger_bytes = mib << 20,
        },
        built_in: BuiltIn::Is("1024"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "fallback",
        flag: "fallback",
        about: "When there is a second view that answers if the first one cannot",
        kind: Kind::Choice(&[
            Choice { name: "on_demand", set: |to| to.database.engine.fallback = FallbackMode::OnDemand },
            Choice { name: "standby", set: |to| to.database.engine.fallback = FallbackMode::Standby },
            Choice { name: "off", set: |to| to.database.engine.fallback = FallbackMode::Off },
        ]),
        built_in: BuiltIn::Is("on_demand"),
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "fallback_dir",
        flag: "fallback-dir",
        about: "Where the second view lies, best on another disk",
        kind: Kind::Path(|to, dir| to.database.engine.fallback_dir = Some(dir)),
        built_in: BuiltIn::Unset {
            means: "fallback/ in the database's folder",
            example: "/mnt/other-disk/stemedb",
        },
        ..Key::USUAL
    },
    Key {
        section: "storage",
        name: "read_only_if_damaged",
        flag: "read-only-if-damaged",
        about: "If the journal is damaged where nothing else has its entries: serve what lies before that, and refuse writes",
        kind: Kind::Switch(|to, yes| {
            to.database.engine.open_damaged = if yes { OpenDamaged::ReadOnly } else { OpenDamaged::Refuse };
        }),
        built_in: BuiltIn::Is("false"),
        ..Key::USUAL
    },
];
