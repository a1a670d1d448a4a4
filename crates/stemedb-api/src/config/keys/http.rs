//! `[http]`: the limits of the router.

use std::{num::NonZeroUsize, time::Duration};

use crate::config::{BuiltIn, Key, Kind, Unit};

/// How many at once can be asked for.
const MOST_AT_ONCE: u64 = 1_000_000;

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "http",
        name: "body_max_bytes",
        flag: "body-max-bytes",
        about: "Largest body of any request but an import",
        kind: Kind::Number {
            unit: Unit::Bytes,
            least: 1 << 10,
            most: 1 << 30,
            set: |to, bytes| to.router.body_max_bytes = count(bytes),
        },
        built_in: BuiltIn::Is("1048576"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "import_max_bytes",
        flag: "import-max-bytes",
        about: "Largest body of an import, after decompression",
        kind: Kind::Number {
            unit: Unit::Bytes,
            least: 1 << 10,
            most: 1 << 50,
            set: |to, bytes| to.router.import_max_bytes = bytes,
        },
        built_in: BuiltIn::Is("4294967296"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "body_timeout_ms",
        flag: "body-timeout-ms",
        about: "How long a body may take, the next part of an import is waited for, and a reader of a feed may not read",
        kind: Kind::Number {
            unit: Unit::Milliseconds,
            least: 10,
            most: 86_400_000,
            set: |to, ms| to.router.body_timeout = Duration::from_millis(ms),
        },
        built_in: BuiltIn::Is("30000"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "max_in_flight",
        flag: "max-in-flight",
        about: "Requests handled at once, an eighth of them kept for reads and one for writes; more are refused with `overloaded`, except health and metrics",
        kind: Kind::Number {
            unit: Unit::Count,
            least: 1,
            most: MOST_AT_ONCE,
            set: |to, number| to.router.admission.max_in_flight = count(number),
        },
        built_in: BuiltIn::Is("512"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "max_in_flight_bytes",
        flag: "max-in-flight-bytes",
        about: "Bytes of the bodies of requests handled at once, imports apart; more are refused with `overloaded`",
        kind: Kind::Number {
            unit: Unit::Bytes,
            least: 1 << 10,
            most: 1 << 40,
            set: |to, bytes| to.router.admission.max_in_flight_bytes = bytes,
        },
        built_in: BuiltIn::Is("67108864"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "reads_at_once",
        flag: "reads-at-once",
        about: "Reads that touch the storage at the same time",
        kind: Kind::Number {
            unit: Unit::Count,
            least: 1,
            most: MOST_AT_ONCE,
            set: |to, number| to.router.admission.reads_at_once = NonZeroUsize::new(count(number)),
        },
        built_in: BuiltIn::Unset { means: "two for each processor", example: "16" },
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "queue_max_ms",
        flag: "queue-max-ms",
        about: "A read that would wait longer for its turn is refused with `overloaded` when it comes",
        kind: Kind::Number {
            unit: Unit::Milliseconds,
            least: 1,
            most: 3_600_000,
            set: |to, ms| to.router.admission.queue_max = Duration::from_millis(ms),
        },
        built_in: BuiltIn::Is("250"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "max_imports",
        flag: "max-imports",
        about: "Imports handled at once",
        kind: Kind::Number {
            unit: Unit::Count,
            least: 1,
            most: MOST_AT_ONCE,
            set: |to, number| to.router.max_imports = count(number),
        },
        built_in: BuiltIn::Is("4"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "max_exports",
        flag: "max-exports",
        about: "Exports handled at once",
        kind: Kind::Number {
            unit: Unit::Count,
            least: 1,
            most: MOST_AT_ONCE,
            set: |to, number| to.router.max_exports = count(number),
        },
        built_in: BuiltIn::Is("2"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "max_feeds",
        flag: "max-feeds",
        about: "Feeds read at once; each holds one open file and a few hundred kilobytes",
        kind: Kind::Number {
            unit: Unit::Count,
            least: 1,
            most: MOST_AT_ONCE,
            set: |to, number| to.router.max_feeds = count(number),
        },
        built_in: BuiltIn::Is("64"),
        ..Key::USUAL
    },
    Key {
        section: "http",
        name: "slow_query_ms",
        flag: "slow-query-ms",
        about: "Questions that take at least so long are logged and listed by `GET /v1/admin/slow-queries` (0: every one)",
        kind: Kind::Number {
            unit: Unit::Milliseconds,
            least: 0,
            most: 3_600_000,
            set: |to, ms| to.router.slow_queries.threshold = Duration::from_millis(ms),
        },
        built_in: BuiltIn::Is("100"),
        ..Key::USUAL
    },
];
