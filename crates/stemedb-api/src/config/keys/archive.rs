//! `[archive]`.

use std::time::Duration;

use crate::{
    backup,
    config::{BuiltIn, Key, Kind, Unit},
};

/// What a target is, for people.
const FORM: &str = "a folder, or s3://bucket/prefix in a build with feature `s3`";

pub(super) const KEYS: &[Key] = &[
    Key {
        section: "archive",
        name: "to",
        flag: "archive-to",
        about: "Where durable frames of the journal are sent as they are written; another server that is promoted there fences this one",
        kind: Kind::Text {
            form: FORM,
            check: |text| backup::check_target(text).is_ok(),
            set: |to, target| to.archive_to = Some(target),
        },
        built_in: BuiltIn::Unset {
            means: "released segments alone are archived, on request",
            example: "/backup/stemedb",
        },
        ..Key::USUAL
    },
    Key {
        section: "archive",
        name: "interval_seconds",
        flag: "archive-interval-seconds",
        about: "How often they are sent: what is older is archived, unless the archive does not answer",
        kind: Kind::Number {
            unit: Unit::Seconds,
            least: 1,
            most: 3_600,
            set: |to, seconds| to.archive_interval = Duration::from_secs(seconds),
        },
        built_in: BuiltIn::Is("5"),
        ..Key::USUAL
    },
    Key {
        section: "archive",
        name: "follow",
        flag: "standby",
        about: "The archive of another server to follow: this one answers reads, and takes no writes before it is promoted",
        kind: Kind::Text {
            form: FORM,
            check: |text| backup::check_target(text).is_ok(),
            set: |to, target| to.standby = Some(target),
        },
        built_in: BuiltIn::Unset { means: "it is no standby", example: "/backup/stemedb" },
        ..Key::USUAL
    },
];
